"""Row 36: what CDF or the identity provider answers is bounded in time, memory and depth."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator

import pytest
from speaker import Speaker
from support import quick, until

from cognite_nb_upload import (
    APIError,
    CDFUnreachable,
    ClientConfig,
    CogniteClient,
    OAuthClientCredentials,
    Token,
)
from cognite_nb_upload.core.plan import MIB

WITHIN_S = 0.5
OK = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def drip(sock: socket.socket) -> None:
    sock.sendall(OK + b"content-length: 1000000\r\n\r\n")
    while True:
        sock.sendall(b" ")
        time.sleep(0.02)


def dripping_head(sock: socket.socket) -> None:
    sock.sendall(OK)
    while True:
        sock.sendall(b"x")
        time.sleep(0.02)


def flood_of_1xx(sock: socket.socket) -> None:
    while True:
        sock.sendall(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 10)
        time.sleep(0.005)


def endless(sock: socket.socket) -> None:
    sock.sendall(OK + b"transfer-encoding: chunked\r\n\r\n")
    chunk = b"100000\r\n" + b" " * MIB + b"\r\n"
    while True:
        sock.sendall(chunk)


def bomb(sock: socket.socket) -> None:
    """1 GiB of spaces in 1 MiB: each block stands for the same."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head = packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * MIB) + packer.flush(zlib.Z_FULL_FLUSH)
    data = head + block * 1024
    length = f"content-length: {len(data)}\r\n\r\n".encode()
    sock.sendall(OK + b"content-encoding: gzip\r\n" + length + data)
    sock.recv(1)


def whole(body: bytes, more: bytes = b"") -> Callable[[socket.socket], None]:
    def speak(sock: socket.socket) -> None:
        sock.sendall(OK + more + f"content-length: {len(body)}\r\n\r\n".encode() + body)
        sock.recv(1)

    return speak


def deep(levels: int, inner: bytes = b"") -> bytes:
    return b'{"items": ' + b"[" * levels + inner + b"]" * levels + b"}"


LATE = r"gave no whole answer within 0\.5 s"
TOO_MUCH: list[tuple[Callable[[socket.socket], None], str]] = [
    (endless, "the answer is larger than 64 MiB"),
    (bomb, "the answer is larger than 64 MiB"),
    (whole(deep(5000)), "the answer is nested more than 100 deep"),
    (whole(deep(200)), "the answer is nested more than 100 deep"),
    (whole(b'{"items": [' + b"{}," * 1_100_000 + b"{}]}"), "more than 1000000 objects"),
    (whole(b"x", b"content-encoding: br\r\n"), "packed in a way that was not asked for"),
]


@pytest.fixture
def speaking() -> Iterator[Callable[[Callable[[socket.socket], None]], Speaker]]:
    begun: list[Speaker] = []

    def start(speak: Callable[[socket.socket], None]) -> Speaker:
        begun.append(Speaker(speak))
        return begun[-1]

    yield start
    for one in begun:
        one.__exit__()


def client_of(url: str, within_s: float = WITHIN_S) -> CogniteClient:
    return CogniteClient(
        ClientConfig(
            client_name="tests",
            project="demo",
            credentials=Token("x"),
            base_url=url,
            timeout_s=within_s,
            retry=quick(),
        )
    )


def oauth_of(url: str, within_s: float = WITHIN_S) -> OAuthClientCredentials:
    return OAuthClientCredentials(f"{url}/token", "me", "secret", timeout_s=within_s)


# --- CDF ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speak", [drip, dripping_head, flood_of_1xx])
def test_36_an_answer_that_never_ends_is_given_up_in_time(speak, speaking) -> None:
    there = speaking(speak)
    with client_of(there.url) as client, pytest.raises(CDFUnreachable, match=LATE) as caught:
        client.files.list()
    assert len(there.heard) == 1  # waiting as long again would help nobody
    assert "asked to list files" in str(caught.value)
    assert there.gone.wait(60)  # it was still speaking


@pytest.mark.parametrize(("speak", "words"), TOO_MUCH)
def test_36_an_answer_that_is_too_much_is_refused(speak, words: str, speaking) -> None:
    there = speaking(speak)
    with client_of(there.url, 30) as client, pytest.raises(APIError, match=words) as caught:
        client.files.list()
    assert (caught.value.code, len(there.heard)) == (200, 1)


def test_36_a_session_that_begins_at_such_a_server_says_so_and_asks_once(speaking) -> None:
    there = speaking(drip)
    with client_of(there.url) as client, pytest.raises(CDFUnreachable, match="did not say whether"):
        client.files.multipart_upload_session("a", 1)
    assert len(there.heard) == 1


def test_36_silence_is_worth_another_try(speaking) -> None:
    """Other than a drip: a connection may have died without a word."""
    answers = iter([lambda sock: sock.recv(1), whole(b'{"items": []}')])
    there = speaking(lambda sock: next(answers)(sock))
    with client_of(there.url) as client:
        assert len(client.files.list()) == 0
    assert len(there.heard) == 2


def test_36_answers_as_cdf_gives_them_are_read(speaking) -> None:
    name = json.dumps({"items": [{"id": 1, "name": "é" * 100_000, "uploaded": True}]}).encode()
    there = speaking(whole(gzip.compress(name), b"content-encoding: gzip\r\n"))
    with client_of(there.url) as client:
        assert client.files.list()[0].name == "é" * 100_000


MEMORY = """
import resource, sys
sys.path[:0] = sys.argv[2:]
from test_bounds import client_of
from cognite_nb_upload import APIError
client = client_of(sys.argv[1], 60)
try:
    client.files.list(limit=1)
except APIError as error:
    assert "larger than 64 MiB" in str(error), error
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(before // 1024)
"""


@pytest.mark.parametrize("speak", [bomb, endless])
def test_36_a_bomb_takes_no_more_memory_than_an_answer_may(speak, speaking) -> None:
    quiet = subprocess.run(
        [sys.executable, "-c", MEMORY.split("client = ")[0] + "\nimport cognite_nb_upload.client\n"
         "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)", "", *sys.path],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    there = speaking(speak)
    ended = subprocess.run(
        [sys.executable, "-c", MEMORY, there.url, *sys.path],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert len(there.heard) == 1
    assert int(ended.stdout) - int(quiet.stdout) < 160  # MiB: two copies of 64, and the rest


# --- the identity provider ------------------------------------------------------------------------


@pytest.mark.parametrize("speak", [drip, dripping_head, flood_of_1xx])
def test_36_a_provider_that_never_ends_is_given_up_in_time(speak, speaking) -> None:
    there = speaking(speak)
    with pytest.raises(CDFUnreachable, match=r"identity provider at 127\.0\.0\.1 " + LATE):
        oauth_of(there.url).authorization_header()
    assert there.gone.wait(60)
    assert len(there.heard) == 1


@pytest.mark.parametrize(("speak", "words"), TOO_MUCH)
def test_36_a_provider_that_says_too_much_is_refused(speak, words: str, speaking) -> None:
    there = speaking(speak)
    with pytest.raises(APIError, match=words):
        oauth_of(there.url, 30).authorization_header()
    assert len(there.heard) == 1


def test_36_a_request_does_not_wait_for_such_a_provider_again_and_again(speaking) -> None:
    there = speaking(drip)
    config = ClientConfig(
        client_name="tests",
        project="demo",
        credentials=oauth_of(there.url),
        base_url=there.url,
        retry=quick(),
    )
    with CogniteClient(config) as client, pytest.raises(CDFUnreachable, match="identity provider"):
        client.files.list()
    assert len(there.heard) == 1


def test_36_a_slow_provider_holds_nobody_who_has_a_token(speaking) -> None:
    answers = iter([whole(b'{"access_token": "first", "expires_in": 60}')])
    there = speaking(lambda sock: next(answers, drip)(sock))
    now = [0.0]
    credentials = OAuthClientCredentials(
        f"{there.url}/token", "me", "secret", timeout_s=20, clock=lambda: now[0]
    )
    first = credentials.authorization_header()
    now[0] = 40  # in its last 30 s: one thread fetches the next
    fetching = threading.Thread(target=_quietly, args=(credentials,), daemon=True)
    fetching.start()
    until(lambda: len(there.heard) == 2)
    assert credentials.authorization_header() == first  # while the other one waits
    credentials.refresh()  # does not wait for it either
    assert fetching.is_alive()


def test_36_those_who_need_a_token_wait_for_one_fetch_together(speaking) -> None:
    there = speaking(drip)
    credentials, errors = oauth_of(there.url), []

    def ask() -> None:
        try:
            credentials.authorization_header()
        except CDFUnreachable as error:
            errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(errors) == 12
    assert len({id(error) for error in errors}) == 12  # each has its own traceback
    assert len(there.heard) < 4  # those who came later ask once more, not each on their own


def _quietly(credentials: OAuthClientCredentials) -> None:
    try:
        credentials.authorization_header()
    except CDFUnreachable:
        pass
