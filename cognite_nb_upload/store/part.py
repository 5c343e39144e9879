"""One part, sent until the store has it or its tries are used up.

Rules of this file: every try reads the part afresh and from its first byte; the source is looked at
before and after; the upload's progress renews a part's tries; being offline is waited out by time.
"""

from __future__ import annotations

import time

from cognite_nb_upload import http
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.errors import PartFailed, UploadStopped, UploadToolkitError
from cognite_nb_upload.store.port import Check, PartJob, PartStore, Verdict


class PartSender:
    """Sends one part; `run()` blocks the calling thread.

    Args:
        job: what to send, and who hears of it.
        store: carries it, once at a time.
        retry: how often.
        cancel: ends it at once.
    """

    def __init__(self, job: PartJob, store: PartStore, retry: Retry, cancel: CancelToken) -> None:
        self._job, self._store, self._cancel = job, store, cancel
        self._retry, self._budget = retry, _Budget(retry)

    def run(self) -> None:
        """Try, and try again.

        Raises:
            PartFailed: the tries are used up, or the store refused for good.
            SourceChanged: the file was written to meanwhile.
            UploadStopped: `cancel` was set.
        """
        while True:
            if self._cancel:
                raise self._stopped()
            verdict, wait_s = self._try()
            if verdict.stored:
                return
            self._wait_after(verdict, wait_s)

    def _try(self) -> tuple[Verdict, float | None]:
        """One try; also the seconds until the next, None where there is none.

        Wherever an interrupt (Ctrl+C) comes, who listens hears that the bytes count no more.
        """
        job, attempt = self._job.begun(), self._budget.begin()
        job.emit(ev.PartStarted(job.no, job.size, attempt))
        try:
            job.source.check()
            verdict = self._store.put(job, self._cancel)
            job.source.check()
            if verdict.stored:
                verdict = self._checked(job, verdict)
            return verdict, None if verdict.stored else self._lost(verdict)
        except BaseException as error:
            job.emit(ev.PartLost(job.no, attempt, _reason(error), None))
            raise

    def _checked(self, job: PartJob, verdict: Verdict) -> Verdict:
        """Count the part as stored, unless the store's checksum says that it has other bytes."""
        check = job.digest.judge(verdict.checksums) if job.digest else Check()
        if check.problem:
            return Verdict(False, check.problem, retry=True, status=verdict.status)
        job.emit(ev.PartStored(job.no, job.size, check.agreed, check.unproven, check.taken))
        return verdict

    def _lost(self, verdict: Verdict) -> float | None:
        """Tell that this try was for nothing; returns the seconds until the next."""
        attempt = self._budget.attempt
        wait_s = None if self._cancel else self._budget.wait_s(verdict, self._job.missing())
        reason = ("offline: " if verdict.offline else "") + verdict.reason
        self._job.emit(
            ev.PartLost(self._job.no, attempt, reason, wait_s, verdict.status, verdict.overloaded)
        )
        return wait_s

    def _wait_after(self, verdict: Verdict, wait_s: float | None) -> None:
        """Wait for the next try, or raise."""
        if wait_s is not None:
            self._wait(wait_s, offline=verdict.offline)
        if self._cancel:
            raise self._stopped()
        if wait_s is None:
            raise self._failure(verdict, self._budget.attempt)

    def _wait(self, seconds: float, *, offline: bool) -> None:
        """Wait; where there is no network at all, nobody else would get further."""
        if self._job.backoff_wait is None or offline:
            self._cancel.wait(seconds)
        else:
            self._job.backoff_wait(seconds, self._cancel)

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
            f"Part {self._job.no} was not sent: {self._cancel.reason}.",
            missing_parts=(self._job.no,),
        )


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
