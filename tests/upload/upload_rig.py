"""What the tests of uploads share: files of a few parts, listeners, requests that are counted."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from cognite_nb_upload import ClientConfig, Retry, Token
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.facts import SourceFacts
from cognite_nb_upload.core.feed import Observable
from cognite_nb_upload.core.plan import KIB, MIB
from cognite_nb_upload.core.state import Phase, UploadState
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.sources import BytesSource

# As small as CDF lets a part be.
PART = 5 * MIB + 64 * KIB
_BLOCK = random.Random(7).randbytes(PART)
PATIENCE_S = 60


def parts_of(count: int, seed: int = 0) -> list[bytes]:
    """Parts that differ from each other, and from those of another seed."""
    return [b"%08d%08d" % (seed, no) + _BLOCK[16:] for no in range(count)]


def content_of(count: int, seed: int = 0) -> bytes:
    return b"".join(parts_of(count, seed))


def short_of(seed: int) -> bytes:
    """Two parts, of which the last one is short, as it may be."""
    return content_of(2, seed)[: PART + KIB]


def file_of(folder: Path, count: int = 4, *, name: str = "big.segy", seed: int = 0) -> Path:
    path = folder / name
    path.write_bytes(content_of(count, seed))
    return path


def config_for(cdf: Emulator, **changes: Any) -> ClientConfig:
    quick = Retry(attempts=4, base_s=0.01, most_s=0.05, offline_s=5, deadline_s=30)
    given = {"base_url": cdf.base_url, "retry": quick, "uploaded_wait_s": 5.0, **changes}
    return ClientConfig(
        client_name="tests",
        project=cdf.project,
        credentials=Token(cdf.token),
        **given,
    )


# --- what the emulator saw ------------------------------------------------------------------------


def asked(cdf: Emulator, route: str) -> list[dict[str, Any]]:
    return [row for row in cdf.requests() if row["route"] == route]


def all_seen(cdf: Emulator) -> list[dict[str, Any]]:
    """The requests, once the emulator is done with all that had reached it by now."""
    until_true(lambda: all(row["ended"] for row in cdf.requests()))
    return cdf.requests()


def puts(cdf: Emulator) -> Counter[int]:
    """How often each part began to arrive."""
    return Counter(row["part"] for row in asked(cdf, "part"))


def stored_puts(cdf: Emulator) -> Counter[int]:
    """How often each part was stored."""
    return Counter(row["part"] for row in asked(cdf, "part") if row["status"] in (200, 201))


def fired(cdf: Emulator) -> list[str]:
    return [row["kind"] for row in cdf.fired()]


# --- what an upload says --------------------------------------------------------------------------


class Ear:
    """A listener that keeps every event, and waits for those that a test is about.

    It hears what happens from `follow` on. What came before is in `state`.
    """

    def __init__(self, act: Callable[[UploadState, ev.Event], None] | None = None) -> None:
        self.events: list[ev.Event] = []
        self.states: list[UploadState] = []
        self._act = act
        self._heard = threading.Condition()

    def __call__(self, state: UploadState, event: ev.Event) -> None:
        with self._heard:
            self.events.append(event)
            self.states.append(state)
            self._heard.notify_all()
        if self._act is not None:
            self._act(state, event)

    def of(self, kind: type[ev.Event]) -> list[Any]:
        with self._heard:
            return [event for event in self.events if isinstance(event, kind)]

    def until(self, true: Callable[[], object]) -> None:
        with self._heard:
            assert self._heard.wait_for(true, PATIENCE_S), self.events[-5:]

    def until_heard(self, kind: type[ev.Event], times: int = 1) -> None:
        self.until(lambda: len([one for one in self.events if isinstance(one, kind)]) >= times)


def until(observed: Observable, true: Callable[[UploadState], object]) -> UploadState:
    """Wait until the upload's state is as a test wants it."""
    met, state = threading.Event(), observed.state

    def look(now: UploadState, _: ev.Event) -> None:
        if true(now):
            met.set()

    stop = observed.listen(look)
    try:
        while not true(state := observed.state):
            assert met.wait(PATIENCE_S), state
    finally:
        stop()
    return state


def until_phase(observed: Observable, *phases: Phase) -> UploadState:
    return until(observed, lambda state: state.phase in phases)


def until_true(question: Callable[[], object]) -> None:
    """Ask until the answer is yes; for what nobody tells of."""
    pause = threading.Event()
    for _ in range(PATIENCE_S * 100):
        if question():
            return
        pause.wait(0.01)
    raise AssertionError("It did not become true.")


# --- sources --------------------------------------------------------------------------------------


class Gate:
    """Bytes that can be read up to `open_to`; who reads on waits until it is opened further."""

    def __init__(self, data: bytes, open_to: int = 0, name: str = "gate.bin") -> None:
        self.name, self.size = name, len(data)
        self.data = data
        self.reads: list[tuple[int, int]] = []
        self._samples = 7  # the fingerprint is taken first
        self._open_to = open_to
        self._moved = threading.Condition()

    def open(self, to: int | None = None) -> None:
        with self._moved:
            self._open_to = self.size if to is None else to
            self._moved.notify_all()

    def read_at(self, offset: int, size: int) -> bytes:
        with self._moved:
            if self._samples:
                self._samples -= 1
                return self.data[offset : offset + size]
            self.reads.append((offset, size))
            assert self._moved.wait_for(lambda: offset + size <= self._open_to, PATIENCE_S)
        return self.data[offset : offset + size]

    def check(self) -> None:
        pass

    def facts(self) -> SourceFacts:
        return BytesSource(self.data).facts()  # so that the same bytes can go on with it

    def close(self) -> None:
        pass


class Late(Gate):
    """A gate that can be looked at only once `looked` is set: until then CDF is asked nothing."""

    def __init__(self, data: bytes, open_to: int) -> None:
        super().__init__(data, open_to)
        self.looked = threading.Event()

    def facts(self) -> SourceFacts:
        assert self.looked.wait(PATIENCE_S)
        return super().facts()


# --- other processes ------------------------------------------------------------------------------


def environment_of(cdf: Emulator) -> dict[str, str]:
    """By which another process finds the emulator, the journals, this file and the shared ones."""
    here = Path(__file__).parent
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (here, here.parent))),
        "CDF_URL": cdf.base_url,
        "CDF_PROJECT": cdf.project,
        "CDF_TOKEN": cdf.token,
    }


@contextmanager
def begun(cdf: Emulator, text: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A program that runs beside the test, for a minute at most; it is gone when the block ends."""
    with subprocess.Popen(
        [sys.executable, "-c", text, *map(str, arguments)],
        env=environment_of(cdf), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        late = threading.Timer(PATIENCE_S, process.kill)
        late.start()
        try:
            yield process
        finally:
            late.cancel()
            process.kill()


def line_of(stream: IO[str] | None) -> str:
    """The next line that a program says there."""
    assert stream is not None
    return stream.readline()


def program(cdf: Emulator, text: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a program to its end."""
    return subprocess.run(
        [sys.executable, "-c", text, *map(str, arguments)],
        env=environment_of(cdf), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
