"""One connection to a store that behaves badly: what is told at once, and what ends by cancelling.

All time-outs are an hour, so that what is not told at once never ends.
"""

from __future__ import annotations

import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import Any

import h11
import psutil
import pytest
from certificates import Authority
from support import until

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import KIB, MIB
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.sources import BytesSource
from cognite_nb_upload.store.connection import StoreTimeouts
from cognite_nb_upload.store.network import NetworkStore
from cognite_nb_upload.store.port import PartJob, Verdict

HOUR = StoreTimeouts(connect_s=3600, stall_s=3600, answer_s=3600)
# More than all buffers between two sockets swallow.
MUCH = bytes(32 * MIB)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
Play = Callable[[socket.socket], None]


class Peer:
    """A server that plays one of `plays` with each connection, in turn, the last one again."""

    def __init__(self, *plays: Play, receive_buffer: int | None = None) -> None:
        self._plays = plays
        self._stack = ExitStack()
        self._listener = self._stack.enter_context(socket.socket())
        if receive_buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.over = threading.Event()

    def __enter__(self) -> Peer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.over.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._stack.close()

    def _accept(self) -> None:
        while not self.over.is_set():
            try:
                one = self._listener.accept()[0]
            except OSError:
                return
            self._stack.push(one)
            if self.over.is_set():  # it came in the moment when all the others were closed
                one.close()
                return
            play = self._plays[min(self.connections, len(self._plays) - 1)]
            self.connections += 1
            threading.Thread(target=self._run, args=(play, one), daemon=True).start()

    def _run(self, play: Play, one: socket.socket) -> None:
        with suppress(OSError):
            play(one)


def head_of(one: socket.socket) -> bytes:
    """The request's head; what is read of the body beside it is lost."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += one.recv(65536)
    return data


def after_head(answer: bytes, then: Play = lambda one: None) -> Play:
    """Answers when the head is there, and reads no more."""

    def play(one: socket.socket) -> None:
        head_of(one)
        one.sendall(answer)
        then(one)

    return play


def whole(*answers: bytes) -> Play:
    """Reads each request to its end, and then gives the next answer, or the last one again."""

    def play(one: socket.socket) -> None:
        for answer in chain(answers, repeat(answers[-1])):
            data = head_of(one)
            head, _, body = data.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            left = length - len(body)
            while left:
                left -= len(one.recv(min(left, 1 << 20)))
            one.sendall(answer)

    return play


def half_close(one: socket.socket) -> None:
    one.shutdown(socket.SHUT_WR)


@contextmanager
def store(timeouts: StoreTimeouts = HOUR) -> Iterator[NetworkStore]:
    made = NetworkStore("http://127.0.0.1:1", timeouts)
    yield made
    made.close()


@pytest.fixture
def ours() -> Iterator[NetworkStore]:
    with store() as made:
        yield made


def job(port: int, content: bytes = MUCH, query: str = "sig=planted", **how: Any) -> PartJob:
    url = Secret(f"http://127.0.0.1:{port}/part?{query}")
    return PartJob(0, url, BytesSource(content), 0, len(content), **how)


def put(*plays: Play, content: bytes = MUCH, receive_buffer: int | None = None) -> Verdict:
    with store() as ours, Peer(*plays, receive_buffer=receive_buffer) as peer:
        return ours.put(job(peer.port, content), CancelToken())


# --- told at once ---------------------------------------------------------------------------

REFUSAL = (
    b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 31\r\n\r\n<Code>EntityTooLarge</Code>12345"
)


def test_9_an_early_413_is_told_at_once_though_the_store_reads_no_more() -> None:
    verdict = put(after_head(REFUSAL))
    assert (verdict.status, verdict.retry) == (413, False)
    assert verdict.reason == "the store says 413 EntityTooLarge"


@pytest.mark.parametrize("then", [lambda one: None, half_close, socket.socket.close])
def test_9_a_refusal_whose_own_words_do_not_end_is_told_by_its_status(then: Play) -> None:
    answer = b"HTTP/1.1 413 No\r\nContent-Length: 1000\r\n\r\n<Code>EntityTooLarge</Code>"
    verdict = put(after_head(answer, then))
    assert verdict.status == 413
    assert verdict.reason == "the store says 413 EntityTooLarge"


@pytest.mark.parametrize("content", [MUCH, b"x"])
def test_9_a_store_that_closes_its_half_is_told_at_once(content: bytes) -> None:
    verdict = put(after_head(b"", half_close), content=content)
    assert verdict.reason == "the connection was closed without a whole answer"
    assert (verdict.stored, verdict.retry, verdict.offline) == (False, True, False)


def test_9_an_early_200_is_not_stored() -> None:
    verdict = put(after_head(OK))
    assert verdict.reason == "the answer was 200 before all of the part was sent"
    assert (verdict.stored, verdict.retry) == (False, True)


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="this system does not tell what is out")
def test_9_a_200_is_early_while_the_parts_end_is_still_in_this_machines_buffers() -> None:
    """All is handed to the kernel, and yet the store cannot have read it."""
    verdict = put(after_head(OK), content=bytes(MIB), receive_buffer=4 * KIB)
    assert verdict.reason == "the answer was 200 before all of the part was sent"


def test_21_answers_before_the_answer_without_end_are_no_answer() -> None:
    def chatter(one: socket.socket) -> None:
        while True:
            one.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)

    assert not put(after_head(b"", chatter)).stored
    assert not put(after_head(b"", chatter), content=b"").stored


def test_a_200_with_a_body_without_end_is_not_stored() -> None:
    def talk(one: socket.socket) -> None:
        while True:
            one.sendall(bytes(65536))

    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"
    assert put(after_head(answer, talk), content=b"").reason == (
        "the answer is longer than any store's"
    )


# --- what a 200 has to be like --------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("Content-Type: text/html; charset=utf-8", "a body that no store gives (a page?)"),
        ("Set-Cookie: session=planted", "a cookie, which no store sets"),
        ("Content-Encoding: gzip", "the answer could not be read"),
    ],
)
def test_11_a_200_that_no_store_gives_is_not_stored(header: str, words: str) -> None:
    answer = f"HTTP/1.1 200 OK\r\n{header}\r\nContent-Length: 0\r\n\r\n".encode()
    verdict = put(whole(answer), content=b"x")
    assert words in verdict.reason
    assert "planted" not in verdict.reason
    assert (verdict.stored, verdict.retry) == (False, True)


WITH_ETAG = b'HTTP/1.1 200 OK\r\nETag: "abc"\r\nContent-Length: 0\r\n\r\n'


def test_11_a_200_without_the_etag_that_the_other_answers_had_is_not_stored(
    ours: NetworkStore,
) -> None:
    cancel = CancelToken()
    with Peer(whole(WITH_ETAG, OK)) as peer:
        assert ours.put(job(peer.port, b"x"), cancel).stored
        verdict = ours.put(job(peer.port, b"x"), cancel)
        assert not verdict.stored
        assert "without the ETag that the store's other answers have" in verdict.reason
        # Another kind of request may have other answers: Azure gives blocks no ETag, but blobs.
        assert ours.put(job(peer.port, b"x", query="sig=planted&comp=block"), cancel).stored
        assert peer.connections == 1


def test_11_no_etag_is_asked_for_where_none_ever_comes(ours: NetworkStore) -> None:
    cancel = CancelToken()
    with Peer(whole(OK)) as peer:
        assert [ours.put(job(peer.port, b"x"), cancel).stored for _ in range(3)] == [True] * 3
        assert peer.connections == 1


# --- connections ----------------------------------------------------------------------------


def test_a_connection_that_was_closed_while_it_was_idle_is_not_used(ours: NetworkStore) -> None:
    cancel, tired = CancelToken(), threading.Event()

    def once(one: socket.socket) -> None:
        head_of(one)
        one.sendall(OK)
        tired.wait(60)
        one.shutdown(socket.SHUT_RDWR)

    with Peer(once, whole(OK)) as peer:
        assert ours.put(job(peer.port, b""), cancel).stored
        (idle,) = ours.connections.get()._idle
        tired.set()
        assert idle._stream is not None
        select.select([idle._stream.sock], [], [], 20)  # its end has arrived
        assert ours.put(job(peer.port, b"x"), cancel).stored
        assert peer.connections == 2


@pytest.mark.skipif(not hasattr(socket, "TCP_INFO"), reason="the kernel counts no packets")
def test_a_small_request_goes_with_its_head_in_one_packet(ours: NetworkStore) -> None:
    packets: list[int] = []

    def counting(one: socket.socket) -> None:
        for _ in range(2):
            data = head_of(one)
            while not data.endswith(b"the last bytes"):
                data += one.recv(65536)
            info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
            packets.append(int.from_bytes(info[152:156], sys.byteorder))  # tcpi_data_segs_in
            one.sendall(OK)

    with Peer(counting) as peer:
        for _ in range(2):
            assert ours.put(job(peer.port, b"the last bytes"), CancelToken()).stored
    assert packets == [1, 2]


@pytest.mark.skipif(not hasattr(socket, "TCP_CORK"), reason="packets cannot be held back")
def test_a_part_goes_in_full_packets_and_its_end_is_not_held_back(ours: NetworkStore) -> None:
    size, packets = 100 * KIB, [0]  # on loopback 64 KiB are a packet

    def counting(one: socket.socket) -> None:
        while True:
            left = size - len(head_of(one).partition(b"\r\n\r\n")[2])
            while left:
                left -= len(one.recv(left))
            info = one.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
            packets.append(int.from_bytes(info[152:156], sys.byteorder))  # tcpi_data_segs_in
            one.sendall(OK)

    with Peer(counting) as peer:
        for _ in range(5):
            assert ours.put(job(peer.port, bytes(size)), CancelToken()).stored
            (idle,) = ours.connections.get()._idle
            assert idle._stream is not None
            assert not idle._stream.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK)
    # The kernel sends what it holds back after 200 ms: a busy machine may do so once, or twice.
    assert min(after - before for before, after in pairwise(packets)) == 2


def test_after_an_early_answer_the_connection_is_not_used_on(ours: NetworkStore) -> None:
    cancel = CancelToken()
    with Peer(after_head(REFUSAL), whole(OK)) as peer:
        assert ours.put(job(peer.port), cancel).status == 413
        assert ours.put(job(peer.port, b"x"), cancel).stored
        assert peer.connections == 2


def test_an_address_that_refuses_is_followed_by_the_next_one(
    ours: NetworkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Peer(whole(OK)) as peer, socket.create_server(("127.0.0.1", 0)) as closed:
        dead = closed.getsockname()
        closed.close()
        real = socket.getaddrinfo(None, peer.port, socket.AF_INET, socket.SOCK_STREAM)[0]
        both = [(*real[:4], dead), (*real[:4], ("127.0.0.1", peer.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **how: both)
        assert ours.put(job(peer.port, b"x"), CancelToken()).stored


def test_h11_counts_a_body_that_it_does_not_see() -> None:
    """What a part relies on, and h11 documents: `Data.data` is only counted, and handed back."""
    protocol, body = h11.Connection(h11.CLIENT), range(3 * MIB)
    head = [("host", "a"), ("content-length", str(3 * MIB))]
    protocol.send(h11.Request(method="PUT", target="/", headers=head))
    sent = protocol.send_with_data_passthrough(h11.Data(data=body))  # type: ignore[arg-type]
    assert sent == [body]
    protocol.send(h11.EndOfMessage())
    assert protocol.our_state is h11.DONE


# --- cancelling, and time-outs, on the way there --------------------------------------------


@contextmanager
def no_accept() -> Iterator[int]:
    """A port whose queue is full: who connects waits."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def connecting_to(port: int) -> int:
    return sum(
        one.status == psutil.CONN_SYN_SENT and one.raddr and one.raddr.port == port
        for one in psutil.Process().net_connections("tcp")
    )


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    found = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", found.file)
    return found


def cancelled(url: str, there: Callable[[], object]) -> Verdict:
    """The verdict on a part that was cancelled once it had come so far."""
    ended: list[Verdict] = []
    cancel = CancelToken()
    part = PartJob(0, Secret(url), BytesSource(b"x"), 0, 1)
    with store() as ours:
        sender = threading.Thread(target=lambda: ended.append(ours.put(part, cancel)), daemon=True)
        sender.start()
        until(there)
        cancel.set("stopped by the test")
        sender.join(60)
    assert not sender.is_alive()
    return ended[0]


def test_29_a_part_is_cancelled_while_its_host_is_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real, asked, over = socket.getaddrinfo, threading.Event(), threading.Event()

    def slow(host: str, port: int, *args: Any, flags: int = 0, **how: Any) -> Any:
        if flags & socket.AI_NUMERICHOST:
            return real(host, port, *args, flags=flags, **how)
        asked.set()
        over.wait(60)
        raise socket.gaierror("over")

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    verdict = cancelled("https://store.example/part", asked.is_set)
    over.set()
    assert verdict == Verdict(False, "stopped by the test")


@pytest.mark.skipif(not hasattr(select, "poll"), reason="Linux's queue of connections")
def test_29_a_part_is_cancelled_while_it_connects() -> None:
    with no_accept() as port:
        before = connecting_to(port)
        assert before
        verdict = cancelled(f"http://127.0.0.1:{port}/part", lambda: connecting_to(port) > before)
    assert verdict == Verdict(False, "stopped by the test")


def test_29_a_part_is_cancelled_during_the_handshake(authority: Authority) -> None:
    with Peer(lambda one: None) as peer:
        verdict = cancelled(f"https://127.0.0.1:{peer.port}/part", lambda: peer.connections)
    assert verdict == Verdict(False, "stopped by the test")


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
def test_29_a_part_is_cancelled_while_a_proxy_says_nothing(
    scheme: str, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = threading.Event()

    def listen(one: socket.socket) -> None:
        one.recv(1)
        heard.set()

    with Peer(listen) as peer:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{peer.port}")
        verdict = cancelled("https://store.example/part", heard.is_set)
    assert verdict == Verdict(False, "stopped by the test")


@pytest.mark.parametrize("content", [MUCH, b"x"])
def test_29_a_part_is_cancelled_while_it_is_sent_and_while_it_waits_for_its_answer(
    content: bytes, ours: NetworkStore
) -> None:
    told, cancel, ended = threading.Event(), CancelToken(), []
    with Peer(after_head(b"")) as peer:
        part = job(peer.port, content, emit=lambda event: told.set())
        sender = threading.Thread(target=lambda: ended.append(ours.put(part, cancel)), daemon=True)
        sender.start()
        assert told.wait(60)
        cancel.set("stopped by the test")
        sender.join(60)
    assert ended == [Verdict(False, "stopped by the test")]
    assert len(ours.connections.get()) == 0


@pytest.mark.skipif(not hasattr(select, "poll"), reason="Linux's queue of connections")
def test_18_no_connection_in_time_is_told_as_being_offline() -> None:
    with store(StoreTimeouts(connect_s=0.2)) as ours, no_accept() as port:
        verdict = ours.put(job(port, b"x"), CancelToken())
    assert verdict.reason == "no connection in time"
    assert verdict.offline
    assert verdict.overloaded


def test_18_a_host_that_is_not_known_is_told_as_such(
    ours: NetworkStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*args: Any, **how: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    part = PartJob(0, Secret("https://store.example/part"), BytesSource(b"x"), 0, 1)
    verdict = ours.put(part, CancelToken())
    assert verdict.reason == "the host's name could not be looked up"
    assert verdict.offline
