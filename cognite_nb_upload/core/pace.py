"""How many threads send small files: as many as it takes that one of them has something to do.

Of Python's threads one runs at a time. While a file waits for the network, the threads of others
may run: so one is enough where no file waits, and `1 + wait / cpu` where each does. More of them
only cost: of 4, 16 and 48 threads without a wait, each has the interpreter change hands more often.
Nothing here knows a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_FEWEST: Final = 4
# What a file took counts so much among those before it: about the last sixteen decide.
_SHARE: Final = 1 / 8
# The first files of a process take several times the CPU of those that follow: modules are imported
# and connections made. So many of them are taken to need no more than this, in seconds.
_COLD: Final = 16
_WARM_S: Final = 0.002
# Within these times of what it should be, the number stays: threads are not begun and ended again.
_TOO_FEW: Final = 1.25
_TOO_MANY: Final = 0.5


@dataclass(slots=True)
class Pace:
    """How many at once, from what each file took. Not for several threads at a time.

    Attributes:
        most: at once, at least 1.
        now: at once, now.
    """

    most: int
    now: int = field(init=False)
    _wait_s: float = 0.0
    _cpu_s: float = 0.0
    _took: int = 0  # files, of which the first are cold

    def __post_init__(self) -> None:
        self.now = min(_FEWEST, self.most)

    def for_next(self, most: int) -> Pace:
        """One for the next files of the same link, which begins with what is known of it."""
        other = Pace(most)
        if self._cpu_s:
            other.took(self._wait_s, self._cpu_s)
            other._took = self._took
        return other

    def took(self, wait_s: float, cpu_s: float) -> int:
        """A file waited so long for the network, and took so much CPU; returns how many at once."""
        if self._took < _COLD:
            cpu_s = min(cpu_s, _WARM_S)
        self._took += 1
        share = _SHARE if self._cpu_s else 1.0
        self._wait_s += share * (wait_s - self._wait_s)
        self._cpu_s += share * (cpu_s - self._cpu_s)
        pays = min(self.most, 1 + self._wait_s / max(self._cpu_s, 1e-9))
        if pays > _TOO_FEW * self.now or pays == self.most or pays < _TOO_MANY * self.now:
            self.now = max(min(_FEWEST, self.most), int(pays))
        return self.now
