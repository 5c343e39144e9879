"""How many threads send small files: more while they wait, fewer where they wait for each other.

Of Python's threads one runs at a time. Where `n` of them never wait for the network, each file
takes `n` times its own CPU, and more threads only cost (4 to 32: +50 % of the CPU); where it takes
much longer than that, more of them find something to do. Nothing here knows a clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

_FEWEST: Final = 4
# So many times longer than threads without a wait would take: more of them pay. A machine that is
# busy with something else makes it twice as long, and then they do not.
_WAITS: Final = 2.5
# So many times: nearly all of it is waiting, also of the first files, which open connections.
_IDLES: Final = 5.0
_CONTENDS: Final = 1.2


@dataclass(slots=True)
class Pace:
    """How many at once, from what each file took. Not for several threads at a time.

    Attributes:
        most: at once, at least 1.
        now: at once, now.
    """

    most: int
    now: int = field(init=False)
    _files: int = 0
    _wall_s: float = 0.0
    _cpu_s: float = 0.0

    def __post_init__(self) -> None:
        self.now = min(_FEWEST, self.most)

    def took(self, wall_s: float, cpu_s: float) -> int:
        """A file took so long, and so much CPU of its thread; returns how many at once from now."""
        self._files += 1
        self._wall_s += wall_s
        self._cpu_s += cpu_s
        ratio = self._wall_s / max(self._cpu_s, 1e-9)
        if ratio > _WAITS * self.now and self.now < self.most:
            self._go(self.most if ratio > _IDLES * self.now else 2 * self.now)
        elif self._files >= 2 * self.now:
            self._go(self.now / 2 if ratio < _CONTENDS * self.now else self.now)
        return self.now

    def _go(self, now: float) -> None:
        fewest = min(_FEWEST, self.most)
        self.now = max(fewest, min(self.most, int(now)))
        self._files, self._wall_s, self._cpu_s = 0, 0.0, 0.0
