"""What connections carry, as the kernel tells, and by which rule they send."""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cognite_nb_upload import AsyncCogniteClient, ClientConfig, ConfigError, Token
from cognite_nb_upload.core.congestion import Congestion, Counts, Loss
from cognite_nb_upload.core.plan import KIB, MIB
from cognite_nb_upload.store.connection import piece_size
from cognite_nb_upload.store.stream import use_congestion_control
from cognite_nb_upload.store.traffic import Traffic

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux tells it")
OPENING = 1  # the kernel may count the opening of a connection as a byte
LOSSY = Loss(lossy=True, began_s=float("inf"), first=Counts())


class WithoutBBR(socket.socket):
    """A connection of a kernel that has no BBR, as it says itself, and how often it was asked."""

    asked = 0

    def setsockopt(self, *words: Any) -> None:
        if words[1] == socket.TCP_CONGESTION and words[2] == b"bbr":
            self.asked += 1
            words = (*words[:2], b"no-such-rule")
        super().setsockopt(*words)


@contextmanager
def connected(
    receive_buffer: int | None = None, made: type[socket.socket] = socket.socket
) -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.socket() as listener, made() as ours:
        if receive_buffer is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        ours.connect(listener.getsockname())
        theirs, _ = listener.accept()
        with theirs:
            yield ours, theirs


def rule_of(sock: socket.socket) -> str:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()


def needs_bbr() -> None:
    with socket.socket() as sock:
        if not use_congestion_control(sock, "bbr"):
            pytest.skip("this system does not let BBR be chosen")


def look_until(traffic: Traffic, sock: socket.socket, rule: str, *, hurry: bool) -> None:
    until_s = time.monotonic() + 30
    while rule_of(sock) != rule and time.monotonic() < until_s:
        traffic.look(hurry)
        time.sleep(0.01)
    assert rule_of(sock) == rule


def until_confirmed(traffic: Traffic, size: int) -> int:
    until_s = time.monotonic() + 30
    while (seen := traffic.look().confirmed) < size and time.monotonic() < until_s:
        time.sleep(0.01)
    return seen


def test_bytes_count_once_the_other_side_has_them_and_not_when_they_are_handed_over() -> None:
    traffic = Traffic()
    with connected(receive_buffer=4 * KIB) as (ours, theirs):
        traffic.begins(ours)
        ours.setblocking(False)
        handed_over = ours.send(bytes(MIB))
        assert handed_over > 8 * traffic.look().confirmed
        reading = threading.Thread(target=theirs.recv, args=(handed_over, socket.MSG_WAITALL))
        reading.start()
        assert 0 <= until_confirmed(traffic, handed_over) - handed_over <= OPENING
        reading.join()


def test_what_round_trips_are_longer_than_the_shortest_is_told_while_something_is_sent() -> None:
    """The other side confirms single bytes 40 ms late: that is how a queue looks from here."""
    traffic, until_s = Traffic(), time.monotonic() + 30
    with connected() as (ours, theirs):
        traffic.begins(ours)
        while (seen := traffic.look()).queue_s < 0.005 and time.monotonic() < until_s:
            theirs.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 0)
            ours.send(b"x")
            time.sleep(0.01)
    assert seen.queue_s >= 0.005 > seen.trip_s > 0


def test_what_a_connection_has_carried_stays_counted_when_it_is_closed() -> None:
    traffic = Traffic()
    for _ in range(2):
        with connected() as (ours, theirs):
            traffic.begins(ours)
            before = traffic.look().confirmed
            ours.sendall(bytes(1000))
            theirs.recv(1000, socket.MSG_WAITALL)
            until_confirmed(traffic, before + 1000)
            traffic.ends(ours)
    assert 0 <= traffic.look().confirmed - 2000 <= 2 * OPENING
    assert traffic.look().tells


def test_bbr_is_used_from_the_beginning_where_it_is_asked_for() -> None:
    needs_bbr()
    with connected() as (ours, _):
        Traffic("bbr").begins(ours)
        assert rule_of(ours) == "bbr"


def test_where_packets_are_lost_at_random_bbr_is_used_on_all_connections_and_later_ones() -> None:
    needs_bbr()
    traffic = Traffic("auto", LOSSY)
    with connected() as (one, _), connected() as (later, _):
        assert use_congestion_control(one, "reno")
        assert use_congestion_control(later, "reno")
        traffic.begins(one)
        assert rule_of(one) == "reno"
        assert traffic.look().changes == 1
        assert rule_of(one) == "bbr"
        traffic.begins(later)
        assert rule_of(later) == "bbr"
        assert traffic.look().changes == 1


def test_in_a_hurry_bbr_is_used_and_afterwards_the_rule_that_was() -> None:
    needs_bbr()
    traffic = Traffic("auto")
    with connected() as (one, _), connected() as (later, _):
        assert use_congestion_control(one, "reno")
        traffic.begins(one)
        assert rule_of(one) == "reno"
        look_until(traffic, one, "bbr", hurry=True)
        assert use_congestion_control(later, "reno")
        traffic.begins(later)
        assert rule_of(later) == "reno"
        look_until(traffic, one, "reno", hurry=False)
        assert traffic.look().changes == 0
        for other in (Traffic("system"), Traffic("bbr")):
            other.begins(later)
            before = rule_of(later)
            for hurry in (True, False):
                time.sleep(0.11)
                other.look(hurry)
                assert rule_of(later) == before


def test_the_systems_rule_stays_where_that_is_asked_for() -> None:
    traffic = Traffic("system", LOSSY)
    with connected() as (ours, _):
        assert use_congestion_control(ours, "reno")
        traffic.begins(ours)
        assert traffic.look().lossy
        assert (rule_of(ours), traffic.look().changes) == ("reno", 0)


def test_a_rule_that_the_system_refuses_leaves_the_one_that_it_has() -> None:
    with connected() as (ours, theirs):
        before = rule_of(ours)
        assert not use_congestion_control(ours, "no-such-rule")
        assert rule_of(ours) == before
        ours.sendall(b"it goes on")
        assert theirs.recv(10) == b"it goes on"


@pytest.mark.parametrize("hurry", [False, True])
@pytest.mark.parametrize("congestion", ["auto", "bbr", "system"])
@pytest.mark.parametrize("loss", [Loss(), LOSSY])
def test_a_system_that_refuses_bbr_is_asked_once(
    congestion: Congestion, loss: Loss, hurry: bool
) -> None:
    asks = congestion == "bbr" or (congestion == "auto" and (hurry or loss.lossy))
    traffic = Traffic(congestion, loss)
    with connected(made=WithoutBBR) as (one, _), connected(made=WithoutBBR) as (other, _):
        before = rule_of(one), rule_of(other)
        traffic.begins(one)
        traffic.begins(other)
        for _ in range(3):
            time.sleep(0.11)  # looks that follow sooner are none
            traffic.look(hurry)
        traffic.ends(other)
        traffic.begins(other)
        assert (rule_of(one), rule_of(other)) == before
        assert traffic.look().changes == 0
        assert one.asked + other.asked == asks


def test_a_connection_that_is_closed_says_nothing_of_the_system() -> None:
    needs_bbr()
    traffic = Traffic("bbr")
    with socket.socket() as closed, connected() as (ours, _):
        closed.close()
        traffic.begins(closed)
        assert use_congestion_control(ours, "reno")
        traffic.begins(ours)
        assert rule_of(ours) == "bbr"


def test_another_word_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ConfigError, match="congestion is 'auto', 'system' or 'bbr', not 'fast'"):
        ClientConfig(
            client_name="x", project="p", cluster="c", credentials=Token("t"),
            congestion="fast",  # type: ignore[arg-type]
        )  # fmt: skip


def test_a_clients_setting_reaches_its_connections() -> None:
    needs_bbr()
    config = ClientConfig(
        client_name="x", project="p", cluster="c", credentials=Token("t"), congestion="bbr"
    )
    client = AsyncCogniteClient(config)
    with connected() as (ours, _):
        assert use_congestion_control(ours, "reno")
        client.files.network.connections.get().traffic.begins(ours)
        assert rule_of(ours) == "bbr"


@pytest.mark.parametrize(("connections", "budget"), [(4, 4), (8, 5), (16, 5), (64, 8)])
def test_what_all_connections_hold_together_stays_small(connections: int, budget: int) -> None:
    assert connections * piece_size(connections) <= budget * MIB
