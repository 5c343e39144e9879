"""What is measured, and what it must reach: readings in, rows out. No process, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from rig import GIB, Reading

Rounds = Mapping[str, Sequence[Reading]]
"""Readings by contender, one per round."""

SDKS = ("SDK, 5 at once (its default)", "SDK, 4 at once")
OURS = "this package, 4 at once"
LIMIT = "C client, 4 threads"


@dataclass(frozen=True)
class Row:
    """One measure. `spread`: the lowest and the highest of the rounds."""

    name: str
    value: float
    must: float
    aim: float
    unit: str = ""
    more_is_better: bool = True
    spread: tuple[float, float] | None = None

    @property
    def verdict(self) -> str:
        """`aim`, `must`, or `missed`."""
        for name, mark in (("aim", self.aim), ("must", self.must)):
            if (self.value >= mark) if self.more_is_better else (self.value <= mark):
                return name
        return "missed"


def rate(reading: Reading) -> float:
    """GiB per second."""
    return float(reading["bytes"] / GIB / reading["seconds"])


def cpu_per_gib(reading: Reading) -> float:
    """Seconds of CPU, user and system, per GiB."""
    return float(reading["cpu_s"] / (reading["bytes"] / GIB))


def throughput(rounds: Rounds, name: str, must: float, aim: float) -> Row:
    """Ours over the faster of the SDK's two settings."""
    best = max(SDKS, key=lambda sdk: median(map(rate, rounds[sdk])))
    return _ratio(name, map(rate, rounds[OURS]), map(rate, rounds[best]), must, aim, "x")


def share_of_limit(rounds: Rounds) -> Row:
    """Ours over the C client's throughput."""
    ours, limit = map(rate, rounds[OURS]), map(rate, rounds[LIMIT])
    return _ratio("share of a C client's throughput, TLS", ours, limit, 0.85, 0.95, "")


def cpu_share(rounds: Rounds) -> Row:
    """Our CPU per GiB over the thriftier of the SDK's two settings."""
    best = min(SDKS, key=lambda sdk: median(map(cpu_per_gib, rounds[sdk])))
    ours, theirs = map(cpu_per_gib, rounds[OURS]), map(cpu_per_gib, rounds[best])
    name = "CPU seconds per GiB against the SDK, TLS"
    return _ratio(name, ours, theirs, 0.45, 0.33, "", more_is_better=False)


def worst(name: str, values: Iterable[float], must: float, aim: float, unit: str) -> Row:
    """The median, where less is better."""
    found = list(values)
    return Row(
        name, median(found), must, aim, unit, more_is_better=False, spread=(min(found), max(found))
    )


def files_per_second(ours: Sequence[Reading], sdk: Sequence[Reading], name: str) -> Row:
    """Small files: seconds against seconds."""
    mine, theirs = ([1 / reading["seconds"] for reading in side] for side in (ours, sdk))
    return _ratio(name, mine, theirs, 4, 10, "x")


def _ratio(
    name: str,
    ours: Iterable[float],
    theirs: Iterable[float],
    must: float,
    aim: float,
    unit: str,
    *,
    more_is_better: bool = True,
) -> Row:
    """The ratio of the medians; its spread is that of the single rounds."""
    a, b = list(ours), list(theirs)
    each = [x / y for x, y in zip(a, b, strict=True)]
    return Row(name, median(a) / median(b), must, aim, unit, more_is_better, (min(each), max(each)))
