"""What may be made to go wrong, where, how often; and what did."""

from __future__ import annotations

import itertools
import time
from dataclasses import asdict, dataclass, fields
from typing import Any

from .families import ROUTES
from .request_log import RequestRecord

_KINDS = {
    "before": "reset_before close_before",  # the body is not read
    "during": "reset_mid close_mid early_status stall slow",  # while the body is on its way
    "after": "reset_after close_after status redirect garbage html xml_error",  # instead of work
    "answer": "lost_answer close_answer half_answer stall_answer drip",  # the work is done
}
#: When each kind of fault happens.
KINDS = {kind: when for when, kinds in _KINDS.items() for kind in kinds.split()}
#: Those that leave unread what a client sends.
STOPS_READING = ("stall", "slow")


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong on a route.

    `kind` is one of:

    - `status`: the body is read, nothing is done; the answer is `status`, `body`, `headers`.
    - `early_status`: that answer after `after_bytes` of the body; then the connection closes.
    - `reset_before`, `reset_mid`, `reset_after`: a TCP reset before the body, after `after_bytes`
      of it, or after all of it; nothing is stored.
    - `close_before`, `close_mid`, `close_after`: the same with a plain close.
    - `lost_answer`, `close_answer`, `half_answer`: the work is done, then a reset, a close, or
      half an answer and a close.
    - `stall`: after `after_bytes` nothing is read for `seconds`; None: until the client leaves,
      or the faults are cleared.
    - `stall_answer`: the work is done, then silence as long.
    - `slow`: the body is read at `bytes_per_s`. `drip`: the answer comes a byte per `seconds` (1).
    - `redirect`: 307 to `headers["location"]`. `garbage`: not HTTP. `html`: the 200 of a captive
      portal. `xml_error`: 200 with the `<Error>` of a store.

    `part` counts from 0; None means any. The first `skip` requests that match pass unharmed, the
    next `times` are hit (None: all that follow); of several faults the oldest hits first, and the
    others do not count that request. `after_bytes` None means half of the body.
    """

    kind: str
    route: str
    part: int | None = None
    times: int | None = 1
    skip: int = 0
    status: int | None = None
    retry_after: str | int | None = None
    after_bytes: int | None = None
    body: str | None = None
    headers: dict[str, str] | None = None
    seconds: float | None = None
    bytes_per_s: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"No fault is called {self.kind!r}; there are {', '.join(sorted(KINDS))}."
            )
        if self.route not in ROUTES | {"any"}:
            raise ValueError(
                f"No route is called {self.route!r}; there are any, {', '.join(sorted(ROUTES))}."
            )
        if self.kind == "slow" and not self.bytes_per_s:
            raise ValueError("A slow fault needs bytes_per_s.")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Fault:
        unknown = data.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"A fault has no {', '.join(sorted(unknown))}.")
        return cls(**data)


@dataclass
class _Planted:
    no: int
    fault: Fault
    seen: int = 0

    def takes(self, route: str, part: int | None) -> bool:
        fault = self.fault
        mine = fault.route in (route, "any") and fault.part in (None, part)
        if not mine or (fault.times is not None and self.seen >= fault.skip + fault.times):
            return False
        self.seen += 1
        return self.seen > fault.skip


class FaultBox:
    """The faults that wait, and the record of those that fired."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._planted: list[_Planted] = []
        self.fired: list[dict[str, Any]] = []

    def inject(self, fault: Fault) -> int:
        planted = _Planted(next(self._numbers), fault)
        self._planted.append(planted)
        return planted.no

    def clear(self) -> None:
        """None waits any more, and none holds a request."""
        self._planted.clear()

    @property
    def stops_reading(self) -> bool:
        """Whether one waits that leaves unread what a client sends."""
        return any(each.fault.kind in STOPS_READING for each in self._planted)

    def is_over(self, no: int) -> bool:
        """Whether this one was cleared."""
        return all(each.no != no for each in self._planted)

    def take(self, route: str, part: int | None) -> tuple[int, Fault] | None:
        """The fault that this request meets: the oldest one that takes it; the others wait."""
        taken = (each for each in self._planted if each.takes(route, part))
        found = next(taken, None)
        return (found.no, found.fault) if found else None

    def record(self, no: int, fault: Fault, record: RequestRecord, at: int) -> None:
        """`fault` has really happened to the request of `record`, after `at` bytes of its body."""
        record.fault = fault.kind
        where = {"route": record.route, "part": record.part, "request": record.no}
        what = {"fault": no, "kind": fault.kind, "at_bytes": at, "time": time.time()}
        self.fired.append(what | where)
