"""One part, sent until the store has it or its tries are used up.

Rules of this file: every try reads the part afresh and from its first byte; the source is looked at
before and after; the upload's progress renews a part's tries; being offline is waited out by time.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cognite_nb_upload import http
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import BackoffWait, CancelToken
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import PartFailed, UploadStopped, UploadToolkitError
from cognite_nb_upload.sources import Source, Witness, witness_of
from cognite_nb_upload.store.connection import Body, Storage, Verdict

Throttle = Callable[[int, CancelToken], int]
Checksums = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Check:
    """What a store's checksums say of one try of one part.

    Attributes:
        problem: what differs, in words; "" where nothing does.
        agreed: the checksums that are the same, as (algorithm, the store's name for it).
        unproven: why none is, as in `PartStored`.
    """

    problem: str = ""
    agreed: Checksums = ()
    unproven: str = ""


class Digest(Protocol):
    """Checksums of one try of one part, and whether the store's agree with them."""

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the part."""
        ...

    def judge(self, theirs: Checksums) -> Check:
        """Compare with what the store answered."""
        ...


@dataclass(frozen=True, slots=True)
class PartJob:
    """Bytes `[start, start + size)` of a source, to be stored as part `no` at `url`.

    Attributes:
        pace: is called with the number of bytes about to go out, and returns, when some of them
            may, how many.
        rest: is called with the seconds until the next try, and returns when they are over or it is
            stopped; others may use the way meanwhile.
        digests: makes the checksums of one try; None: none are computed.
        content_type: only for a whole file in one PUT, whose URL is signed for it.
    """

    no: int
    url: Secret
    source: Source
    start: int
    size: int
    pace: Throttle | None = None
    rest: BackoffWait | None = None
    digests: Callable[[], Digest] | None = None
    content_type: str | None = None


class PartSender:
    """Sends one part; `run()` blocks the calling thread.

    Args:
        job: what to send.
        storage: through what.
        retry: how often.
        stop: ends it at once.
        emit: is told what happens.
        missing: how many parts of the upload are not stored yet.
    """

    def __init__(
        self,
        job: PartJob,
        storage: Storage,
        retry: Retry,
        *,
        stop: CancelToken,
        emit: Callable[[ev.Event], None],
        missing: Callable[[], int],
    ) -> None:
        self._job, self._storage, self._stop = job, storage, stop
        self._emit, self._missing = emit, missing
        self._retry, self._budget = retry, _Budget(retry)

    def run(self) -> None:
        """Try, and try again.

        Raises:
            PartFailed: the tries are used up, or the store refused for good.
            SourceChanged: the file was written to meanwhile.
            UploadStopped: `stop` was set.
        """
        while True:
            if self._stop:
                raise self._stopped()
            verdict = self._try()
            if verdict.stored:
                return
            self._wait_after(verdict)

    def _try(self) -> Verdict:
        job, attempt = self._job, self._budget.begin()
        self._emit(ev.PartStarted(job.no, job.size, attempt))
        digest = job.digests() if job.digests else None
        body = Body(
            job.source,
            job.start,
            job.size,
            on_sent=lambda sent: self._emit(ev.PartSent(job.no, sent)),
            pace=job.pace,
            digest=_each(digest, witness_of(job.source, job.start, job.size)),
            content_type=job.content_type,
        )
        try:
            job.source.check()
            verdict = self._storage.put(job.url, body, self._stop)
            job.source.check()
        except BaseException as error:
            self._emit(ev.PartLost(job.no, attempt, _reason(error), None))
            raise
        if verdict.stored:
            verdict = self._checked(verdict, digest)
        return verdict

    def _checked(self, verdict: Verdict, digest: Digest | None) -> Verdict:
        """Count the part as stored, unless the store's checksum says that it has other bytes."""
        check = digest.judge(verdict.checksums) if digest else Check()
        if check.problem:
            return Verdict(False, check.problem, retry=True, status=verdict.status)
        self._emit(ev.PartStored(self._job.no, self._job.size, check.agreed, check.unproven))
        return verdict

    def _wait_after(self, verdict: Verdict) -> None:
        """Wait for the next try, or raise."""
        attempt = self._budget.attempt
        wait_s = None if self._stop else self._budget.wait_s(verdict, self._missing())
        reason = ("offline: " if verdict.offline else "") + verdict.reason
        self._emit(
            ev.PartLost(self._job.no, attempt, reason, wait_s, verdict.status, verdict.overloaded)
        )
        if wait_s is not None:
            self._rest(wait_s, offline=verdict.offline)
        if self._stop:
            raise self._stopped()
        if wait_s is None:
            raise self._failure(verdict, attempt)

    def _rest(self, seconds: float, *, offline: bool) -> None:
        """Wait; where there is no network at all, nobody else would get further."""
        if self._job.rest is None or offline:
            self._stop.wait(seconds)
        else:
            self._job.rest(seconds, self._stop)

    def _failure(self, verdict: Verdict, attempt: int) -> PartFailed:
        tries = "1 try" if attempt == 1 else f"{attempt} tries"
        asked = http.asks_too_much(self._retry, verdict.retry_after, verdict.now)
        return PartFailed(
            f"Part {self._job.no} was not stored in {tries}: {verdict.reason}{asked}.",
            part_no=self._job.no,
            attempts=attempt,
            status=verdict.status,
            fatal=not verdict.retry,
            expired=verdict.expired,
        ).hint(
            verdict.hint
            or (
                "What is stored stays stored; the part can be sent again."
                if verdict.retry
                else None
            )
        )

    def _stopped(self) -> UploadStopped:
        return UploadStopped(
            f"Part {self._job.no} was not sent: {self._stop.reason}.", missing_parts=(self._job.no,)
        )


def _each(*watching: Digest | Witness | None) -> Callable[[bytes | memoryview], None] | None:
    """What hands each piece to all of them; None where there is nobody."""
    updates = [one.update for one in watching if one is not None]
    if len(updates) < 2:
        return updates[0] if updates else None

    def update(data: bytes | memoryview) -> None:
        for one in updates:
            one(data)

    return update


class _Budget:
    """How often one part may still be tried. The upload's progress renews it; time ends it."""

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self.attempt = 0
        self._used = 0
        self._missing: int | None = None
        self._first_failure_s: float | None = None
        self._offline_since_s: float | None = None

    def begin(self) -> int:
        self.attempt += 1
        self._used += 1
        return self.attempt

    def wait_s(self, verdict: Verdict, missing: int) -> float | None:
        """Seconds until the next try; None to give up."""
        now_s = time.monotonic()
        if self._first_failure_s is None:
            self._first_failure_s = now_s
        if not verdict.retry or now_s - self._first_failure_s > self._retry.deadline_s:
            return None
        if self._missing is not None and missing < self._missing:
            self._used = 1  # other parts were stored meanwhile: the way is open
        self._missing = missing
        if verdict.offline:
            return self._offline_wait_s(now_s)
        self._offline_since_s = None
        return self._retry.wait_s(
            self._used,
            status=verdict.status,
            retryable=verdict.retryable or verdict.status in (200, 201),
            retry_after=verdict.retry_after,
            now=verdict.now,
        )

    def _offline_wait_s(self, now_s: float) -> float | None:
        """No connection at all is waited out by time, not by tries."""
        if self._offline_since_s is None:
            self._offline_since_s = now_s
            self._used = 1
        if now_s - self._offline_since_s >= self._retry.offline_s:
            return None
        return self._retry.jitter.uniform(0, self._retry.ceiling_s(self._used))


def _reason(error: BaseException) -> str:
    return str(error) if isinstance(error, UploadToolkitError) else type(error).__name__
