"""A session, used in whatever order anybody thinks of, with whatever happens on the way."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from support import PART, config_of, seen, sha256, some_bytes

from cognite_nb_upload import (
    CogniteClient,
    PartFailed,
    PlanError,
    UploadIncomplete,
    UploadStopped,
    UsageError,
)
from cognite_nb_upload.emulator import Emulator, Fault, emulator

MOST = 3
# What a part meets and gets over within one call; None: nothing.
SURVIVED = (
    None,
    Fault("status", "part", status=503),
    Fault("reset_before", "part"),
    Fault("reset_mid", "part"),
    Fault("lost_answer", "part"),
    Fault("html", "part"),
)
FATAL = Fault("status", "part", status=403)
ENDLESS = Fault("status", "part", status=503, times=None)
SURVIVED_COMPLETING = (
    None,
    Fault("status", "complete", status=503),
    Fault("lost_answer", "complete"),
)


class AnySession(RuleBasedStateMachine):
    """What may be sent, what is refused and what is known, against a model of three flags."""

    cdf: Emulator
    client: CogniteClient

    @initialize(parts=st.integers(1, MOST))
    def it_begins(self, parts: int) -> None:
        self.cdf.clear_faults()
        self.parts = parts
        self.session = self.client.files.multipart_upload_session("a", parts)
        self.file_id = self.session.file_metadata.id
        self.stored: set[int] = set()
        self.stopped = self.refused = self.finished = False

    def content(self, no: int) -> bytes:
        return some_bytes(PART if no < self.parts - 1 else 17, seed=abs(no))

    def refusal(self, no: int) -> type[Exception] | None:
        """What sending this part raises before a byte of it is sent."""
        if self.finished or no not in range(self.parts) or no in self.stored:
            return UsageError
        if self.refused:
            return PartFailed
        return UploadStopped if self.stopped else None

    def bytes_sent(self) -> int:
        return sum(row["body_bytes"] for row in seen(self.cdf, "part"))

    @rule(no=st.integers(-1, MOST), fault=st.sampled_from(SURVIVED))
    def a_part_is_sent(self, no: int, fault: Fault | None) -> None:
        refusal = self.refusal(no)
        if refusal is not None:
            before = self.bytes_sent()
            with pytest.raises(refusal):
                self.session.upload_part(no, self.content(no))
            assert self.bytes_sent() == before
            return
        if fault is not None:
            self.cdf.inject(fault)
        self.session.upload_part(no, self.content(no))
        self.stored.add(no)

    @rule(no=st.integers(0, MOST - 1), endless=st.booleans())
    def a_part_is_refused(self, no: int, endless: bool) -> None:
        if self.refusal(no) is not None:
            return
        self.cdf.inject(ENDLESS if endless else FATAL)
        with pytest.raises(PartFailed) as caught:
            self.session.upload_part(no, self.content(no))
        self.cdf.clear_faults()
        assert caught.value.part_no == no
        self.refused = not endless

    @precondition(lambda self: self.parts > 1)
    @rule()
    def a_part_is_too_small(self) -> None:
        refusal = self.refusal(0)
        expected = PlanError if refusal in (None, UploadStopped) else refusal
        before = self.bytes_sent()
        with pytest.raises(expected):
            self.session.upload_part(0, b"small")
        assert self.bytes_sent() == before

    @rule(fault=st.sampled_from(SURVIVED_COMPLETING))
    def it_is_left(self, fault: Fault | None) -> None:
        if self.finished:
            with pytest.raises(UsageError), self.session:
                pass
            return
        self.stopped = self.refused = False
        if missing := set(range(self.parts)) - self.stored:
            with pytest.raises(UploadIncomplete) as caught, self.session:
                pass
            assert set(caught.value.missing_parts) == missing
            return
        if fault is not None:
            self.cdf.inject(fault)
        with self.session:
            pass
        self.finished = True
        whole = b"".join(self.content(no) for no in range(self.parts))
        assert self.cdf.sha256(self.file_id or 0) == sha256(whole)

    @rule()
    def it_is_left_with_an_exception(self) -> None:
        expected = UsageError if self.finished else ZeroDivisionError
        with pytest.raises(expected), self.session:
            raise ZeroDivisionError
        if not self.finished:
            self.stopped, self.refused = True, False

    @invariant()
    def both_know_the_same(self) -> None:
        assert set(self.session.missing_parts) == set(range(self.parts)) - self.stored
        assert self.session.state.stored == sum(len(self.content(no)) for no in self.stored)
        (file,) = [one for one in self.cdf.files() if one["id"] == self.file_id]
        assert file["uploaded"] == self.finished


@pytest.mark.slow
def test_a_session_in_any_order() -> None:
    with emulator(faults=True, strict_storage=True) as cdf, CogniteClient(config_of(cdf)) as client:
        AnySession.cdf, AnySession.client = cdf, client
        run_state_machine_as_test(
            AnySession,
            settings=settings(
                max_examples=30, stateful_step_count=14, deadline=None, derandomize=True
            ),
        )
