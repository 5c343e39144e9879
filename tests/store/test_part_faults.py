"""A part that meets trouble on its way to the store; the numbers are those of faults.md."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from proxy import Line
from support import PART, config_of, fired, quick, routes, seen, sha256, some_bytes, until

import cognite_nb_upload
from cognite_nb_upload import (
    AsyncCogniteClient,
    CogniteClient,
    FileMultipartUploadSession,
    PartFailed,
    TransferError,
)
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import KIB, MIB
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.emulator import Emulator, Fault, emulator

Connect = Callable[..., CogniteClient]


class Watched:
    """A session of one upload, and everything that happened to it."""

    def __init__(self, client: CogniteClient, parts: int = 1) -> None:
        self.session: FileMultipartUploadSession = client.files.multipart_upload_session("a", parts)
        self.events: list[ev.Event] = []
        self.states: list[UploadState] = []
        self.session.listen(self._hear)

    def _hear(self, state: UploadState, event: ev.Event) -> None:
        self.events.append(event)
        self.states.append(state)

    def of(self, kind: type[ev.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def send(self, *parts: bytes) -> None:
        with self.session as session:
            for no, part in enumerate(parts):
                session.upload_part(no, part)

    def stored(self, cdf: Emulator) -> str:
        return cdf.sha256(self.session.file_metadata.id)


def refused(watched: Watched, *parts: bytes) -> PartFailed:
    with pytest.raises(PartFailed) as caught:
        watched.send(*parts)
    return caught.value


# --- 1: the connection breaks ---------------------------------------------------------------

BREAKS = ["reset_before", "close_before", "reset_mid", "close_mid", "reset_after", "close_after"]


@pytest.mark.parametrize("kind", BREAKS)
def test_1_a_part_whose_connection_breaks_is_sent_again_from_its_first_byte(
    kind: str, cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault(kind, "part", part=0))
    watched = Watched(client, 2)
    watched.send(some_bytes(), b"end")
    assert fired(cdf) == [(kind, "part")]
    assert watched.stored(cdf) == sha256(some_bytes() + b"end")
    again = seen(cdf, "part")[1]
    assert (again["part"], again["body_bytes"], again["status"]) == (0, PART, 200)
    assert [row["part"] for row in seen(cdf, "part")] == [0, 0, 1]
    assert len(watched.of(ev.PartStored)) == 2


@pytest.mark.parametrize("kind", ["reset_mid", "close_mid"])
def test_1_the_bytes_of_a_lost_try_are_taken_back_from_the_progress(
    kind: str, cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault(kind, "part"))
    watched = Watched(client)
    watched.send(some_bytes())
    sent = [state.sent for state in watched.states]
    lost_at = next(n for n, event in enumerate(watched.events) if isinstance(event, ev.PartLost))
    assert sent[lost_at - 1] > 0
    assert sent[lost_at] == 0
    assert max(sent) == PART == sent[-1]
    assert fired(cdf) == [(kind, "part")]


def test_1_the_other_parts_go_on_meanwhile(cdf: Emulator, connect: Connect) -> None:
    cdf.inject(Fault("reset_mid", "part", part=0, times=3))
    watched = Watched(connect(), 4)
    parts = [some_bytes(seed=no) for no in range(4)]
    with watched.session as session, ThreadPoolExecutor(4) as pool:
        list(pool.map(session.upload_part, range(4), parts))
    assert fired(cdf) == [("reset_mid", "part")] * 3
    assert watched.stored(cdf) == sha256(b"".join(parts))
    assert {event.no for event in watched.of(ev.PartLost)} == {0}


# --- 2: the answer is lost ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lost_answer", "close_answer", "half_answer", "stall_answer"])
def test_2_a_part_whose_answer_is_lost_is_sent_again_and_counted_once(
    kind: str, cdf: Emulator, connect: Connect
) -> None:
    cdf.inject(Fault(kind, "part"))
    watched = Watched(connect(transfer_timeout_s=1.0 if kind == "stall_answer" else 60))
    watched.send(b"once")
    assert fired(cdf) == [(kind, "part")]
    assert len(seen(cdf, "part")) == 2
    assert len(watched.of(ev.PartStored)) == 1
    assert watched.session.state.sent == 4
    assert watched.stored(cdf) == sha256(b"once")


# --- 3 and 4: nothing moves, or hardly anything -----------------------------------------------


def test_3_a_stall_while_sending_is_noticed_and_the_part_is_sent_again(
    cdf: Emulator, connect: Connect
) -> None:
    cdf.inject(Fault("stall", "part", after_bytes=100_000))
    watched = Watched(connect(stall_timeout_s=0.4))
    watched.send(some_bytes(6 * MIB))
    assert fired(cdf) == [("stall", "part")]
    assert watched.of(ev.PartLost)[0].reason == "less than 64 KiB moved in 0 s"
    assert watched.stored(cdf) == sha256(some_bytes(6 * MIB))


def test_3_a_stall_is_noticed_when_all_is_in_this_machines_buffers(
    cdf: Emulator, connect: Connect
) -> None:
    """Every byte was handed over, and yet it is not the store that one waits for."""
    size = MIB  # this side's buffers take it at once, and the other side's do not
    cdf.inject(Fault("stall", "part", after_bytes=0))
    watched = Watched(connect(stall_timeout_s=1.0, transfer_timeout_s=600))
    watched.send(some_bytes(size))
    assert fired(cdf) == [("stall", "part")]
    assert watched.states[[type(one) for one in watched.events].index(ev.PartLost) - 1].sent == size
    assert watched.stored(cdf) == sha256(some_bytes(size))


@pytest.fixture
def process() -> Iterator[Emulator]:
    """An emulator in a process of its own, which can be frozen."""
    with emulator(process=True, strict_storage=True) as running:
        yield running
        os.kill(running.pid, signal.SIGCONT)


@pytest.mark.slow
def test_3_a_frozen_server_is_noticed_and_the_part_goes_on_once_it_is_back(
    process: Emulator,
) -> None:
    with CogniteClient(config_of(process, stall_timeout_s=0.4)) as client:
        watched = Watched(client)
        os.kill(process.pid, signal.SIGSTOP)
        frozen = threading.Event()

        def wake(state: UploadState, event: ev.Event) -> None:
            if isinstance(event, ev.PartLost):
                frozen.set()
                os.kill(process.pid, signal.SIGCONT)

        watched.session.listen(wake)
        data = b"".join(some_bytes(6 * MIB, seed) for seed in range(3))
        watched.send(data)
        assert frozen.is_set()
        assert watched.stored(process) == sha256(data)


def test_4_an_answer_that_drips_is_cut_and_the_part_is_sent_again(
    cdf: Emulator, connect: Connect
) -> None:
    cdf.inject(Fault("drip", "part", seconds=0.1))
    watched = Watched(connect(transfer_timeout_s=1.0))
    watched.send(b"x")
    assert fired(cdf) == [("drip", "part")]
    assert "no whole answer within" in watched.of(ev.PartLost)[0].reason
    assert len(watched.of(ev.PartStored)) == 1


def test_4_an_upload_below_the_least_rate_is_cut(cdf: Emulator, connect: Connect) -> None:
    cdf.inject(Fault("slow", "part", bytes_per_s=50 * KIB, after_bytes=0))
    watched = Watched(connect(stall_timeout_s=0.4))
    watched.send(some_bytes(6 * MIB))
    assert fired(cdf) == [("slow", "part")]
    assert "less than 64 KiB moved" in watched.of(ev.PartLost)[0].reason


@pytest.mark.slow
def test_4_what_is_slow_but_steady_is_not_cut(cdf: Emulator, connect: Connect) -> None:
    """The machine's buffers take it all at once, and drain for longer than the stall time."""
    cdf.inject(Fault("slow", "part", bytes_per_s=800 * KIB, after_bytes=0))
    watched = Watched(connect(stall_timeout_s=3.0))
    watched.send(some_bytes(4 * MIB))
    assert fired(cdf) == [("slow", "part")]
    assert watched.of(ev.PartLost) == []
    assert watched.stored(cdf) == sha256(some_bytes(4 * MIB))


# --- 5 and 6: the store asks for another try ------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_5_a_status_that_may_pass_is_tried_again(
    status: int, cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault("status", "part", status=status, times=2))
    watched = Watched(client)
    watched.send(b"x")
    assert len(cdf.fired()) == 2
    assert [event.status for event in watched.of(ev.PartLost)] == [status, status]
    assert watched.stored(cdf) == sha256(b"x")


def test_5_any_status_is_tried_again_where_the_server_says_so(
    cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(
        Fault("status", "part", status=418, headers={"cdf-is-auto-retryable": "true"}, times=2)
    )
    watched = Watched(client)
    watched.send(b"x")
    assert len(cdf.fired()) == 2
    assert len(watched.of(ev.PartStored)) == 1


def http_date(seconds: float) -> str:
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def test_6_seconds_in_retry_after_are_waited(cdf: Emulator, client: CogniteClient) -> None:
    cdf.inject(Fault("status", "part", status=429, retry_after="0.25"))
    watched = Watched(client)
    watched.send(b"x")
    assert [event.wait_s for event in watched.of(ev.PartLost)] == [0.25]
    assert fired(cdf) == [("status", "part")]


def test_6_a_date_in_retry_after_is_waited_by_the_servers_clock(
    cdf: Emulator, client: CogniteClient
) -> None:
    headers = {"date": "Mon, 18 May 2026 10:00:00 GMT"}
    cdf.inject(
        Fault(
            "status",
            "part",
            status=503,
            retry_after="Mon, 18 May 2026 10:00:01 GMT",
            headers=headers,
        )
    )
    watched = Watched(client)
    watched.send(b"x")
    assert [event.wait_s for event in watched.of(ev.PartLost)] == [1.0]
    assert fired(cdf) == [("status", "part")]


@pytest.mark.parametrize("header", ["soon", "-5", "", "Mon, 99 Foo", "1e999", "an hour ago"])
def test_6_nonsense_or_a_past_date_in_retry_after_means_our_own_wait(
    header: str, cdf: Emulator, client: CogniteClient
) -> None:
    header = http_date(-3600) if header == "an hour ago" else header
    cdf.inject(Fault("status", "part", status=503, retry_after=header))
    watched = Watched(client)
    watched.send(b"x")
    assert [0 <= event.wait_s <= 0.02 for event in watched.of(ev.PartLost)] == [True]
    assert fired(cdf) == [("status", "part")]


def test_6_above_the_cap_it_stops_and_says_what_was_asked_for(
    cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault("status", "part", status=503, retry_after=86400))
    error = refused(Watched(client), b"x")
    assert "503, and asks to come back in 86400 s, which is longer than the 120 s" in str(error)
    assert (error.attempts, error.fatal) == (1, False)
    assert fired(cdf) == [("status", "part")]


# --- 7 to 10: the store says no -------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 404, 409, 411, 413])
def test_7_a_refusal_is_fatal_at_once_and_nothing_more_is_tried(
    status: int, cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault("status", "part", status=status, times=None))
    session = client.files.multipart_upload_session("a", 3)
    with pytest.raises(PartFailed, match=f"the store says {status}") as caught:
        session.upload_part(0, some_bytes())
    assert (caught.value.attempts, caught.value.status, caught.value.fatal) == (1, status, True)
    with pytest.raises(PartFailed, match=f"{status}") as other:
        session.upload_part(2, b"end")
    assert other.value.part_no == 2
    assert "nothing of this one was sent" in str(other.value.__notes__)
    assert routes(cdf) == ["init", "part"]


def test_7_entering_again_is_how_one_tries_once_more(cdf: Emulator, client: CogniteClient) -> None:
    cdf.inject(Fault("status", "part", status=404))
    session = client.files.multipart_upload_session("a", 1)
    with pytest.raises(PartFailed), session:
        session.upload_part(0, b"x")
    with session:
        session.upload_part(0, b"x")
    assert session.file_metadata.uploaded
    assert fired(cdf) == [("status", "part")]


@pytest.mark.parametrize("store", ["s3", "azure", "gcs"])
def test_8_an_expired_url_is_said_to_be_expired(store: str) -> None:
    with (
        emulator(store=store, url_life_s=0, strict_storage=True) as cdf,
        CogniteClient(config_of(cdf)) as client,
    ):
        error = refused(Watched(client), b"x")
        assert "the upload URL has expired" in str(error)
        assert (error.expired, error.fatal, error.attempts) == (True, True, 1)
        assert error.status == (400 if store == "gcs" else 403)
        assert "Open the upload again" in str(error.__notes__)
        assert len(seen(cdf, "part")) == 1


def test_8_a_wrong_clock_is_told_in_minutes(cdf: Emulator, client: CogniteClient) -> None:
    body = "<Error><Code>RequestTimeTooSkewed</Code><Message>too far</Message></Error>"
    there = http_date(-37 * 60)
    cdf.inject(Fault("status", "part", status=403, body=body, headers={"date": there}, times=None))
    error = refused(Watched(client), b"x")
    assert "403 RequestTimeTooSkewed: your clock is off by 37 min" in str(error)
    assert "set it" in str(error.__notes__)
    assert (error.attempts, error.expired) == (1, False)
    assert fired(cdf) == [("status", "part")]


def test_8_any_other_403_names_the_stores_code_and_is_not_repeated(
    cdf: Emulator, client: CogniteClient
) -> None:
    body = "<Error><Code>SignatureDoesNotMatch</Code></Error>"
    cdf.inject(Fault("status", "part", status=403, body=body, times=None))
    error = refused(Watched(client), b"x")
    assert "the store says 403 SignatureDoesNotMatch" in str(error)
    assert (error.attempts, error.fatal, error.expired) == (1, True, False)
    assert fired(cdf) == [("status", "part")]


@pytest.mark.parametrize("status", [403, 503])
def test_9_an_answer_that_comes_before_the_body_is_out_wins_over_the_broken_pipe(
    status: int, cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault("early_status", "part", status=status, after_bytes=1000))
    watched = Watched(client)
    if status == 403:
        assert refused(watched, some_bytes()).status == 403
    else:
        watched.send(some_bytes())
        assert watched.stored(cdf) == sha256(some_bytes())
    assert watched.of(ev.PartLost)[0].status == status
    assert fired(cdf) == [("early_status", "part")]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_10_a_redirect_is_not_followed_and_the_host_is_named(
    status: int, cdf: Emulator, client: CogniteClient
) -> None:
    location = "https://login.hotel.example/portal?token=planted"
    cdf.inject(Fault("redirect", "part", status=status, headers={"location": location}))
    error = refused(Watched(client), b"x")
    assert f"{status}, and points to login.hotel.example; redirects are not followed" in str(error)
    assert "planted" not in str(error)
    assert (error.attempts, error.fatal) == (1, True)
    assert fired(cdf) == [("redirect", "part")]
    assert len(cdf.requests()) == 2  # init and the part; nothing else was asked for


@pytest.mark.parametrize("location", ["/_elsewhere", "", "https://[", "//"])
def test_10_a_redirect_to_nowhere_is_fatal_too(
    location: str, cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault("redirect", "part", headers={"location": location}, times=None))
    error = refused(Watched(client), b"x")
    assert error.attempts <= 4
    assert set(fired(cdf)) == {("redirect", "part")}


# --- 11: an answer that is none -------------------------------------------------------------

NO_ANSWERS = {
    "garbage": "without a whole answer",
    "html": "with a body that no store gives",
    "xml_error": "with a body that no store gives (InternalError)",
}


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_11_only_a_clean_200_counts(kind: str, cdf: Emulator, client: CogniteClient) -> None:
    cdf.inject(Fault(kind, "part", times=2))
    watched = Watched(client)
    watched.send(b"x")
    assert fired(cdf) == [(kind, "part")] * 2
    assert len(watched.of(ev.PartLost)) == 2
    assert watched.stored(cdf) == sha256(b"x")


@pytest.mark.parametrize("kind", NO_ANSWERS)
def test_11_what_stays_no_answer_fails_in_words(
    kind: str, cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault(kind, "part", times=None))
    error = refused(Watched(client), b"x")
    assert NO_ANSWERS[kind] in str(error)
    assert error.attempts == 4
    assert len(cdf.fired()) == 4


def test_11_an_answer_that_cannot_be_decoded_is_none(cdf: Emulator, client: CogniteClient) -> None:
    cdf.inject(
        Fault("status", "part", status=200, body="no gzip", headers={"content-encoding": "gzip"})
    )
    watched = Watched(client)
    watched.send(b"x")
    assert fired(cdf) == [("status", "part")]
    assert watched.of(ev.PartLost)[0].reason == "the answer could not be read"


@pytest.mark.parametrize("status", [202, 204, 206])
def test_11_another_2xx_does_not_count_as_stored(
    status: int, cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault("status", "part", status=status, body=""))
    watched = Watched(client)
    watched.send(b"x")
    assert fired(cdf) == [("status", "part")]
    assert watched.of(ev.PartLost)[0].status == status
    assert watched.stored(cdf) == sha256(b"x")


# --- 12, 18, 21: what stands between --------------------------------------------------------


def test_12_a_part_that_a_proxy_sends_twice_does_no_harm(
    cdf: Emulator, client: CogniteClient
) -> None:
    session = client.files.multipart_upload_session("a", 1)
    session.upload_part(0, b"x")
    again = httpx.put(session._opened.urls[0].reveal(), content=b"x", trust_env=False)
    with session:
        pass
    assert again.status_code == 200
    assert len(seen(cdf, "part")) == 2
    assert cdf.content(session.file_metadata.id) == b"x"


@pytest.fixture
def line(cdf: Emulator) -> Iterator[Line]:
    with Line(cdf.port) as line:
        yield line


def test_18_while_offline_a_part_waits_by_time_and_not_by_tries(
    cdf: Emulator, line: Line, connect: Connect
) -> None:
    client = connect(base_url=f"http://127.0.0.1:{line.port}", retry=quick(attempts=2))
    watched = Watched(client)
    line.down()

    def back(state: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.PartLost) and event.attempt == 5:
            line.up()

    watched.session.listen(back)
    watched.send(b"x")
    lost = watched.of(ev.PartLost)
    assert len(lost) >= 5
    assert {event.reason for event in lost} == {"offline: the connection was refused"}
    assert watched.stored(cdf) == sha256(b"x")


def test_18_being_offline_ends_after_the_time_that_was_set(line: Line, connect: Connect) -> None:
    client = connect(base_url=f"http://127.0.0.1:{line.port}", retry=quick(offline_s=0.1))
    session = client.files.multipart_upload_session("a", 1)
    line.down()
    with pytest.raises(PartFailed, match="the connection was refused") as caught:
        session.upload_part(0, b"x")
    assert caught.value.attempts > 4
    assert not caught.value.fatal
    line.up()
    session.upload_part(0, b"x")


def test_21_a_100_continue_that_nobody_asked_for_is_skipped(
    cdf: Emulator, line: Line, connect: Connect
) -> None:
    line.put_before_answers = b"HTTP/1.1 100 Continue\r\n\r\n"
    watched = Watched(connect(base_url=f"http://127.0.0.1:{line.port}"))
    watched.send(b"x")
    assert watched.of(ev.PartLost) == []
    assert "expect" not in seen(cdf, "part")[0]["headers"]
    assert watched.stored(cdf) == sha256(b"x")


# --- the store's answers belong to the store ------------------------------------------------


def test_a_cookie_of_the_store_is_not_sent_back(cdf: Emulator, client: CogniteClient) -> None:
    cdf.inject(Fault("status", "part", status=503, headers={"set-cookie": "a=b; Path=/"}))
    watched = Watched(client)
    watched.send(b"x")
    assert fired(cdf) == [("status", "part")]
    assert set(seen(cdf, "part")[1]["headers"]) == {"host", "content-length"}


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://store.example/part?sig=planted", "store.example that is not https"),
        ("https://me:planted@store.example/part", "carries a user name"),
        ("https://169.254.169.254/latest?sig=planted", "is a link-local address"),
        ("https://[fe80::1]/part?sig=planted", "is a link-local address"),
        ("https://[::ffff:169.254.169.254]/latest?sig=planted", "is a link-local address"),
        ("https://store.example:planted/", "cannot be read"),
        ("https://store.example/plantød", "cannot be read"),
        ("ftp://127.0.0.1/planted", "is not https"),
    ],
)
def test_an_upload_url_that_may_not_be_used_is_refused_and_not_shown(
    url: str, words: str, cdf: Emulator, client: CogniteClient
) -> None:
    body = json.dumps({"id": 1, "name": "a", "uploadId": "u", "uploadUrls": [url]})
    cdf.inject(Fault("status", "init", status=201, body=body))
    session = client.files.multipart_upload_session("a", 1)
    with pytest.raises(TransferError, match="CDF handed out an upload URL") as caught:
        session.upload_part(0, b"x")
    assert words in str(caught.value)
    assert "plant" not in str(caught.value)
    assert fired(cdf) == [("status", "init")]


def test_a_url_goes_out_letter_for_letter(cdf: Emulator, client: CogniteClient) -> None:
    """What a store has signed is what it must see: `%7e`, `%2F`, `..` and `+` as they are."""
    path = "/store/parts/%7e%2f/../a+b/0?sig=a%2Fb+c=&x=%7E"
    body = json.dumps({"id": 1, "name": "a", "uploadId": "u", "uploadUrls": ["http://{}" + path]})
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        cdf.inject(
            Fault("status", "init", status=201, body=body.replace("{}", f"127.0.0.1:{port}"))
        )
        session = client.files.multipart_upload_session("a", 1)

        def answer() -> None:
            with server.accept()[0] as one:
                heard.append(one.recv(65536))
                one.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        session.upload_part(0, b"")
        thread.join(60)
    assert heard[0].split(b"\r\n")[0] == f"PUT {path} HTTP/1.1".encode()


# --- budgets and cancelling -----------------------------------------------------------------


def test_progress_of_the_upload_renews_the_tries_of_a_part(
    cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault("status", "part", part=0, status=503, times=6))
    watched = Watched(client, 3)

    def help_along(state: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.PartLost) and event.attempt == 3:
            watched.session.upload_part(1, some_bytes(seed=1))

    watched.session.listen(help_along)
    with watched.session as session:
        session.upload_part(0, some_bytes())
        session.upload_part(2, b"end")
    assert len(cdf.fired()) == 6  # more than the 4 tries of a part by itself


@pytest.mark.anyio
async def test_cancelling_a_part_stops_it(cdf: Emulator) -> None:
    cdf.inject(Fault("stall", "part", part=0, after_bytes=100_000, times=None))
    async with AsyncCogniteClient(config_of(cdf)) as client:
        session = await client.files.multipart_upload_session("a", 2)
        under_way = threading.Event()
        session.listen(lambda state, event: under_way.set() if state.sent else None)
        sending = asyncio.ensure_future(session.upload_part_async(0, some_bytes(6 * MIB)))
        assert await asyncio.to_thread(under_way.wait, 60)
        await asyncio.to_thread(until, lambda: fired(cdf))
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert fired(cdf) == [("stall", "part")]
        assert session.state.sent == 0
        await asyncio.to_thread(until, lambda: not _busy_threads())
        cdf.clear_faults()
        async with session:  # it stays usable, and the others were not disturbed
            await session.upload_part_async(1, b"end")
            await session.upload_part_async(0, some_bytes())
    assert cdf.sha256(session.file_metadata.id) == sha256(some_bytes() + b"end")


def _busy_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if "AnyIO" in one.name and _busy(one)]


def _busy(thread: threading.Thread) -> bool:
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return False
    ours = str(Path(cognite_nb_upload.__file__).parent)
    return any(one.filename.startswith(ours) for one in traceback.extract_stack(frame))


def open_files() -> set[Path]:
    return {one.resolve() for one in Path("/proc/self/fd").iterdir()}


@pytest.mark.anyio
async def test_a_part_that_is_cancelled_before_it_has_a_thread_lets_go_of_its_file(
    cdf: Emulator, tmp_path: Path
) -> None:
    cdf.inject(Fault("stall", "part", times=None, after_bytes=0))
    path = tmp_path / "a"
    path.write_bytes(some_bytes())
    async with AsyncCogniteClient(config_of(cdf)) as client:
        session = await client.files.multipart_upload_session("a", 14)
        busy = [
            asyncio.ensure_future(session.upload_part_async(no, some_bytes())) for no in range(12)
        ]
        with path.open("rb") as file:
            waiting = asyncio.ensure_future(session.upload_part_async(12, file))
            await asyncio.to_thread(until, file.tell)  # it has taken its bytes
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert file.tell() == 0
        for one in busy:
            one.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
        await client.close()
    assert 12 not in {row["part"] for row in seen(cdf, "part")}
    assert path not in await asyncio.to_thread(open_files)
