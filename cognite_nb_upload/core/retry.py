"""When to try again, and how long to wait: arithmetic. The edge sleeps.

Rules of this file: waiting doubles and is spread over the whole interval ("full jitter"); a budget
of tries ends it; what the server asks for (`Retry-After`) is honoured up to a cap; a status is
worth another try only where the next answer may differ.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from cognite_nb_upload.core.numbers import check_seconds, whole
from cognite_nb_upload.errors import ConfigError

# The union of what the official clients try again. 500 is among them, since
# every request of ours that is repeated may be.
RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})
# These ask for less, not only for later.
OVERLOADED: Final = frozenset({408, 429, 503, 504})

# Whole seconds by the standard; some servers send a fraction. float() takes more: `inf`, `1_0`.
_SECONDS: Final = re.compile(r"[0-9]+(\.[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Retry:
    """How often, and how patiently, something is tried again.

    Attributes:
        attempts: tries of a request, the first among them; those of a part count from one again
            when another part was stored meanwhile.
        base_s: the first wait is drawn from `[0, base_s]` seconds, each further one from twice it.
        most_s: no wait of our own is longer, in seconds.
        patience_s: the longest `Retry-After` that is obeyed; above it, the request fails.
        offline_s: how long "no connection at all" is waited out, in seconds.
        deadline_s: after this long, in seconds, what keeps failing is not tried again.
    """

    attempts: int = 8
    base_s: float = 0.5
    most_s: float = 30.0
    patience_s: float = 120.0
    offline_s: float = 600.0
    deadline_s: float = 3600.0
    jitter: random.Random = field(default_factory=random.Random, repr=False, compare=False)

    def __post_init__(self) -> None:
        """See that waits can be computed of it.

        Raises:
            ConfigError: one of its numbers is none, or below 0; or there is no try at all.
        """
        if (whole(self.attempts) or 0) < 1:
            raise ConfigError(f"attempts is a whole number from 1, not {self.attempts!r}.")
        for name in ("base_s", "most_s", "patience_s", "offline_s", "deadline_s"):
            check_seconds(name, getattr(self, name))

    def wait_s(
        self,
        attempt: int,
        *,
        status: int | None = None,
        retryable: bool = False,
        retry_after: str | None = None,
        now: datetime | None = None,
    ) -> float | None:
        """Seconds to wait after try number `attempt` (from 1) failed; None to give up.

        Args:
            attempt: the try that failed, counted from 1.
            status: the HTTP status of the answer; None where none came, which is worth a try.
            retryable: the server said so itself (`cdf-is-auto-retryable: true`).
            retry_after: the header's text: seconds or an HTTP date. Nonsense counts as absent,
                and so does a moment that has passed: our own wait is kinder than none.
            now: the server's `Date`, against which a date in `retry_after` counts.
        """
        if attempt >= self.attempts:
            return None
        if status is not None and status not in RETRYABLE and not retryable:
            return None
        asked = parse_retry_after(retry_after, now)
        if not asked:
            return self.jitter.uniform(0, self.ceiling_s(attempt))
        return None if asked > self.patience_s else asked

    def ceiling_s(self, attempt: int) -> float:
        """The longest that our own wait after try number `attempt` may be."""
        return float(min(self.most_s, self.base_s * 2.0 ** min(attempt - 1, 60)))


def parse_retry_after(text: str | None, now: datetime | None = None) -> float | None:
    """Seconds that a `Retry-After` header asks for: never negative; None where it says nothing."""
    if text is None:
        return None
    if _SECONDS.fullmatch(text.strip()):
        return float(text)
    return _seconds_until(text, now)


def _seconds_until(text: str, now: datetime | None) -> float | None:
    moment = http_date(text)
    if moment is None or now is None:
        return None  # without the server's clock a date says nothing that can be trusted
    return max(0.0, (moment - now).total_seconds())


def http_date(text: str | None) -> datetime | None:
    """The moment that a `Date` or `Retry-After` header names, in UTC; None where it names none.

    Servers write what the calendar does not have; a zone of `-0000` says that it is unknown, and
    HTTP's dates are in GMT.
    """
    try:
        moment = parsedate_to_datetime(text or "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError, TypeError):
        return None
