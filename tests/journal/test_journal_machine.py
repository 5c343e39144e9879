"""A journal against a model: any events, a crash at any byte, a full disk, a flipped byte."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from journals import PART, files_of_at_most, known, mark, opened, stored

from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.state import ImpossibleEvent, Phase, UploadState, advance
from cognite_nb_upload.journal.file import JournalFile
from cognite_nb_upload.journal.writer import (
    Journal,
    JournalDamaged,
    JournalWarning,
    history,
    replay,
)

# Thousands of syncs need no real disk.
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
PARTS = st.integers(0, 3)
EVENTS = st.one_of(
    st.sampled_from(["first", "second"]).map(lambda session: opened(session=session)),
    PARTS.map(stored),
    PARTS.map(lambda no: ev.PartStarted(no=no, size=PART, attempt=1)),
    PARTS.map(lambda no: ev.PartSent(no=no, sent=4096)),
    PARTS.map(lambda no: ev.PartLost(no=no, attempt=1, reason="reset", wait_s=0.5)),
    st.sampled_from(
        [
            ev.Waiting(reason="offline"), ev.Paused(reason="asked"), ev.Resumed(), ev.Completing(),
            ev.Assembling(), ev.Completed(verified="size"), ev.Failed(reason="no"), ev.Cancelled(),
        ]
    ),
)  # fmt: skip


WRITTEN = (
    ev.Opened, ev.PartStored, ev.Paused, ev.Resumed, ev.Completing, ev.Assembling, ev.Completed,
    ev.Failed, ev.Cancelled,
)  # fmt: skip


@dataclass(frozen=True)
class Known:
    """What a journal says up to one of its lines."""

    said: tuple[object, ...]
    session: ev.Opened | None
    phase: Phase


class JournalMachine(RuleBasedStateMachine):
    """The model keeps what is known after each line, be it in the file or waiting for the disk."""

    @initialize()
    def new_upload(self) -> None:
        self.patched = pytest.MonkeyPatch()
        # The thread that syncs writes what is pending, too, at moments that no model knows.
        self.patched.setattr(
            JournalFile, "_start", lambda one: one.close_now() if one._closed else None
        )
        self.folder = Path(tempfile.mkdtemp(prefix="journal-", dir=MEMORY))
        self._open()
        assert self.journal.replayed is None

    def teardown(self) -> None:
        if hasattr(self, "journal"):
            self.journal.close()
            self.patched.undo()
            shutil.rmtree(self.folder)

    @rule(event=EVENTS)
    def something_happens(self, event: ev.Event) -> None:
        self._happen(event)

    @rule(event=EVENTS, room=st.integers(0, 400))
    def something_happens_on_a_full_disk(self, event: ev.Event, room: int) -> None:
        with files_of_at_most(self.path.stat().st_size + room):
            self._happen(event)

    @rule(data=st.data())
    def the_process_dies_and_starts_again(self, data: st.DataObject) -> None:
        content = self.path.read_bytes()
        self.journal.close()
        cut = data.draw(st.integers(0, len(content)), label="bytes that reached the disk")
        self.path.write_bytes(content[:cut])
        lines = content[:cut].count(b"\n")
        left = self.lines[lines - 1] if lines else None
        self._open()
        found = self.journal.replayed
        if left is None or left.session is None or left.phase is Phase.CANCELLED:
            assert found is None
            return
        assert found is not None
        assert (known(found.state), found.opened) == (left.said, left.session)

    @precondition(lambda self: self.session is not None)
    @rule(data=st.data())
    def a_flipped_byte_is_refused(self, data: st.DataObject) -> None:
        flipped = bytearray(self.path.read_bytes())
        at = data.draw(st.integers(0, len(flipped) - 2), label="byte")
        flipped[at] ^= data.draw(st.integers(1, 255), label="by")
        copy = self.folder / "copy.journal"
        copy.write_bytes(flipped)
        with pytest.raises(JournalDamaged):
            replay(copy)
        copy.unlink()

    @precondition(lambda self: self.state.phase.over)
    @rule()
    def the_end_is_archived_and_the_next_upload_is_new(self) -> None:
        rows = len(history(self.folder)) + (self.session is not None)
        self.journal.archive("ended")
        assert len(history(self.folder)) == rows
        self._open()
        assert self.journal.replayed is None

    @invariant()
    def the_file_says_what_was_written(self) -> None:
        if not hasattr(self, "journal"):
            return
        content = self.path.read_bytes()
        found = replay(self.path)
        assert found.end == len(content)
        last = self.lines[content.count(b"\n") - 1]
        assert (known(found.state), found.opened) == (last.said, last.session)
        if not self.journal.warning:
            assert content.count(b"\n") == len(self.lines)
            assert known(found.state) == known(self.state)

    def _open(self) -> None:
        self.journal = Journal.open(mark(), self.folder)
        assert self.journal.path is not None
        self.path = self.journal.path
        found = self.journal.replayed
        self.state = found.state if found else UploadState()
        self.session = found.opened if found else None
        lines = self.path.read_bytes().count(b"\n")
        self.lines = self.lines[: lines - 1] if found else [self._known()]
        self.lines.append(self._known())

    def _happen(self, event: ev.Event) -> None:
        if hasattr(event, "no") and not self.state.parts:
            return  # nobody sends parts of what was not opened
        before = known(self.state)
        try:
            self.state = advance(self.state, event)
        except ImpossibleEvent:
            return
        if isinstance(event, ev.Opened):
            self.session = event
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", JournalWarning)
            self.journal.record(self.state, event)
        if isinstance(event, WRITTEN) or known(self.state) != before:
            self.lines.append(self._known())

    def _known(self) -> Known:
        return Known(known(self.state), self.session, self.state.phase)


TestJournalMachine = JournalMachine.TestCase
TestJournalMachine.settings = settings(
    max_examples=40, stateful_step_count=25, deadline=None, database=None,
    suppress_health_check=[HealthCheck.too_slow],
)  # fmt: skip
TestJournalMachine = pytest.mark.slow(TestJournalMachine)
