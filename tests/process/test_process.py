"""What belongs to one process is made afresh in a forked child, and says so where it cannot be."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from upload_rig import file_of, program

from cognite_nb_upload import process
from cognite_nb_upload.emulator import Emulator, emulator
from cognite_nb_upload.process import PerProcess

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

# Runs `child()` in a forked process, by Python or by C, and prints what it gives.
FORKING = """
import json, os, sys, threading, warnings
from pathlib import Path
from forks import raw_fork
from upload_rig import PART, Gate, content_of, until_true
from cognite_nb_upload import CogniteClient, UsageError, running_uploads

warnings.simplefilter("ignore", DeprecationWarning)

def forked(child, fork=os.fork):
    mine, theirs = os.pipe()
    if (pid := fork()) == 0:
        try:
            os.write(theirs, json.dumps(child()).encode())
        except BaseException as error:
            os.write(theirs, json.dumps(repr(error)).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with open(mine) as told:
        answer = json.load(told)
    os.waitpid(pid, 0)
    return answer

FORKS = (os.fork, raw_fork)
"""


def run(cdf: Emulator, text: str, *arguments: object) -> str:
    ended = program(cdf, FORKING + text, *arguments)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return ended.stdout


@pytest.fixture
def cdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))
    with emulator(process=True) as running:
        yield running


HANDLES = """
client = CogniteClient.from_env()
gate = Gate(content_of(1), PART // 2)
upload = client.files.start_upload(gate, name="a", part_size=PART)
session = client.files.multipart_upload_session("b", 1)
batch = client.files.start_many([sys.argv[1]])
batch.result()
done = client.files.start_upload(b"x", name="c")
done.result()
until_true(lambda: gate.reads)

def said(act):
    try:
        act()
    except UsageError as error:
        return str(error)
    return "nothing"

def child():
    acts = [upload.result, upload.pause, upload.resume, upload.cancel, upload.stop, upload.done,
            lambda: upload.set_limits(max_concurrency=2), upload.finish, session.__enter__,
            lambda: session.upload_part(0, b"x"), session.stop]
    return [said(act) for act in acts] + [repr(upload), done.result().name,
            len(running_uploads()), len(batch.result())]

with upload._lock, session._lock, batch._lock:  # as if another thread were in the middle of it
    told = [forked(child, fork) for fork in FORKS]
gate.open()
upload.result(30)
with session:
    session.upload_part(0, b"x")
print(json.dumps({"pid": os.getpid(), "told": told}))
"""


def test_31_a_childs_copy_of_a_handle_says_whose_it_is(cdf: Emulator, tmp_path: Path) -> None:
    answer = json.loads(run(cdf, HANDLES, file_of(tmp_path, 1)))
    place = f"runs in process {answer['pid']}; a forked child cannot use it."
    for told in answer["told"]:
        assert isinstance(told, list), told
        *handles, shown, done, running, rows = told
        assert handles[:8] == [f"The upload of a {place}"] * 8
        assert handles[8:] == [f"The upload session of b {place}"] * 3
        assert f"in process {answer['pid']}" in shown
        assert (done, running, rows) == ("c", 0, 1)  # what had ended is the child's as well


LOCKS = """
from cognite_nb_upload import OAuthClientCredentials, background
from cognite_nb_upload.emulator.tokens import CLIENT_ID
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.transfer.limits import SharedLimits

credentials = OAuthClientCredentials(sys.argv[1], CLIENT_ID, os.environ["CDF_TOKEN"])
first = credentials.authorization_header()[1]
limits = SharedLimits()
limits.bandwidth.set(1e9)
limits.lanes.busy = 99
loop = background.portal()

def child():
    return [credentials.authorization_header()[1] != first, limits.bandwidth.rate,
            limits.bandwidth.take(10, CancelToken()), limits.lanes.busy,
            background.is_running(), background.in_own_loop(), background.portal() is loop]

held = (credentials._mine.get().lock, limits.bandwidth._bucket.get().lock,
        background._loop.get().lock)
for lock in held:  # as if another thread had it
    lock.acquire()
print(json.dumps([forked(child, fork) for fork in FORKS]))
"""


def test_31_no_lock_count_token_or_loop_is_inherited(cdf: Emulator) -> None:
    for told in json.loads(run(cdf, LOCKS, f"{cdf.base_url}/oauth/token")):
        assert told == [True, 1e9, 10, 0, False, False, False]


SOCKETS = """
import socket
client = CogniteClient.from_env()
client.files.upload(sys.argv[1], part_size=PART)

def sockets():
    found = set()
    for fd in map(int, os.listdir("/proc/self/fd")):
        try:
            peer = socket.socket(fileno=os.dup(fd))
            with peer:
                if peer.family == socket.AF_INET and peer.getpeername():
                    found.add(fd)
        except OSError:
            pass
    return sorted(found)

def child():
    client.files.list()
    return sockets()

before = sockets()
children = [forked(child, fork) for fork in FORKS]
after = sockets()
print(json.dumps([before, children, after]))
"""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="looks into /proc")
def test_31_a_child_closes_inherited_connections_and_the_parent_keeps_them(
    cdf: Emulator, tmp_path: Path
) -> None:
    before, children, after = json.loads(run(cdf, SOCKETS, file_of(tmp_path, 4)))
    assert len(before) >= 3  # to CDF and to the store
    assert after == before
    for mine in children:
        assert len(mine) == 1  # the child's own, to CDF


SHUT = """
import socket
from cognite_nb_upload import process

mine, theirs = socket.socketpair()
theirs.settimeout(60)
process.own(mine.fileno())

def child():
    process.close_inherited()
    mine.close()
    return "closed"

for fork in FORKS:
    assert forked(child, fork) == "closed"
    mine.send(b"still open")
    assert theirs.recv(100) == b"still open"
child = os.fork()
if child == 0:
    theirs.close()
    sys.stdin.readline()  # lives on, and never uses the package
    os._exit(0)
mine.close()
print(theirs.recv(100))  # its end is seen, whatever children there are
os.kill(child, 9)
"""


def test_31_a_child_neither_shuts_nor_keeps_its_parents_connection(cdf: Emulator) -> None:
    assert run(cdf, SHUT) == "b''\n"


# --- the holder itself ----------------------------------------------------------------------------


def test_threads_that_ask_at_once_get_the_same_value() -> None:
    together = threading.Barrier(8)

    def make() -> object:
        together.wait(60)  # all of them are in the middle of making it
        return object()

    held, seen = PerProcess(make), []
    threads = [threading.Thread(target=lambda: seen.append(held.get())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert {id(one) for one in seen} == {id(held.get())}


def test_a_number_that_was_reused_is_left_alone() -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        fd = mine.fileno()
        about = os.fstat(fd)
        process._give_up(fd, (about.st_dev, about.st_ino + 1))  # another file had this number
        theirs.send(b"x")
        assert mine.recv(1) == b"x"
        process._give_up(fd, (about.st_dev, about.st_ino))
        with pytest.raises(OSError, match="non-socket"):
            mine.recv(1)


ENDS = """
import signal
signal.alarm(60)  # a child that hangs is one that failed
client = CogniteClient.from_env()
gate = Gate(content_of(1), PART // 2)
upload = client.files.start_upload(gate, name="a", part_size=PART)
until_true(lambda: gate.reads)
if not (pid := os.fork()):
    sys.exit(7)  # with all exit handlers, unlike os._exit
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
gate.open()
print(json.dumps([code, upload.result(30).size]))
"""


def test_31_a_child_that_ends_ends_though_its_parent_uploads(cdf: Emulator) -> None:
    code, size = json.loads(run(cdf, ENDS))
    assert code == 7
    assert size > 0
