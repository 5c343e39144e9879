"""A limit of bytes per second, as a token bucket that any number of threads share.

Rule of this file: waiting for the bucket ends when the upload is stopped.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Final

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.numbers import as_rate
from cognite_nb_upload.core.plan import KIB
from cognite_nb_upload.process import PerProcess

# A piece is at most this many seconds of the limit, so that a low limit flows rather than bursts.
_PIECE_S: Final = 0.1
_SMALLEST: Final = 16 * KIB
# A change of the limit is felt within this many seconds.
_SLICE_S: Final = 0.2


class _Bucket:
    """What one process may send now, and has sent."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.tokens = 0.0
        self.at_s = time.monotonic()
        self.moved = 0


class Bandwidth:
    """A token bucket in bytes per second, for any number of threads; None is no limit.

    Whoever takes may run into debt by one piece, and the next one waits until it is paid. A forked
    child has the same limit, and a bucket of its own.
    """

    def __init__(self, rate: float | None = None) -> None:
        self._rate = checked_bandwidth(rate)
        self._bucket = PerProcess(_Bucket)

    @property
    def rate(self) -> float | None:
        """Bytes per second; None is no limit."""
        return self._rate

    @property
    def moved(self) -> int:
        """Bytes that have gone in this process."""
        return self._bucket.get().moved

    def set(self, rate: float | str | None) -> None:
        """Another limit, from now on."""
        rate = checked_bandwidth(rate)
        bucket = self._bucket.get()
        with bucket.lock:
            self._rate, bucket.tokens, bucket.at_s = rate, 0.0, time.monotonic()

    def take(self, wanted: int, stop: CancelToken) -> int:
        """Wait until some of the `wanted` bytes may go; returns how many, at least 1."""
        bucket = self._bucket.get()
        while True:
            with bucket.lock:
                wait_s, granted = self._grant(bucket, wanted)
                bucket.moved += granted
            if granted or stop.wait(min(wait_s, _SLICE_S)):
                return granted or wanted

    def _grant(self, bucket: _Bucket, wanted: int) -> tuple[float, int]:
        if self._rate is None:
            return 0.0, wanted
        now_s = time.monotonic()
        most = self._rate * _PIECE_S
        bucket.tokens = min(most, bucket.tokens + (now_s - bucket.at_s) * self._rate)
        bucket.at_s = now_s
        if bucket.tokens < 0:
            return -bucket.tokens / self._rate, 0
        granted = min(wanted, max(_SMALLEST, int(most)))
        bucket.tokens -= granted
        return 0.0, granted


def checked_bandwidth(rate: float | str | None) -> float | None:
    """Bytes per second; None for no limit, which `math.inf` says, too.

    Raises:
        UsageError: it is no rate, or not above 0.
    """
    number = math.inf if rate is None else as_rate("max_bandwidth", rate)
    return None if number == math.inf else number
