"""How a file is cut into parts: arithmetic, and nothing else.

Rules of this file: parts tile the file (no gap, no overlap, nothing twice); every part but the last
is larger than 5 MiB; none is above 4000 MiB; there are at most 250. Sizes are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cognite_nb_upload.core.numbers import as_size, whole
from cognite_nb_upload.errors import PlanError

KIB: Final = 1024
MIB: Final = 1024 * KIB
GIB: Final = 1024 * MIB


@dataclass(frozen=True, slots=True)
class PartLimits:
    """What initmultipartupload allows: larger than 5 MiB but the last, 4000 MiB, 250 parts."""

    above: int = 5 * MIB
    most: int = 4000 * MIB
    parts: int = 250

    @property
    def largest_file(self) -> int:
        """Bytes of the largest file: 250 x 4000 MiB, 976.56 GiB."""
        return self.most * self.parts


LIMITS: Final = PartLimits()

# A part that fails or is paused is sent again whole, so it should be small; each costs a request.
# Where no rate is known, 8 MiB: a second at 64 Mbit/s. Else what a connection carries in a few
# seconds, up to 64 MiB, and at most a 64th of the file, so that sixteen on their way are a quarter.
DEFAULT_PART_SIZE: Final = 8 * MIB
LARGEST_CHOSEN: Final = 64 * MIB
PART_S: Final = 3.0
_SHARE: Final = 64
# Part sizes are whole MiB: readable, aligned with pages and with most file systems' blocks.
_STEP: Final = MIB
# A file of up to so many bytes may be held in memory while it is sent.
_HELD: Final = MIB
# From here on a size is shown as 1.00 of the unit, rather than as 1024.00 of the one below.
_ROUNDS_UP: Final = 1 - 0.005 / 1024


@dataclass(frozen=True, slots=True)
class Part:
    """Bytes `[start, start + size)` of the file. `no` counts from 0."""

    no: int
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """A file of `size` bytes as parts that tile it."""

    size: int
    part_size: int
    parts: tuple[Part, ...]

    def __repr__(self) -> str:
        return f"<Plan {show_bytes(self.size)} in {show_parts(len(self.parts), self.part_size)}>"


def plan_parts(
    size: int,
    part_size: float | str | None = None,
    *,
    rate: float = 0.0,
    limits: PartLimits = LIMITS,
) -> Plan:
    """Cut a file of `size` bytes into parts.

    Args:
        size: bytes of the file, 0 or more. An empty file is one part of 0 bytes.
        part_size: bytes of each part but the last, such as 67108864 or "64 MiB"; chosen to suit
            the size and the rate when None.
        rate: bytes per second that one connection carries; 0 where that is not known.
        limits: what the service allows.

    Raises:
        PlanError: the file is larger than CDF takes, or `part_size` is outside its limits.
    """
    if size < 0:
        raise PlanError(f"A file cannot have {size} bytes.")
    if size > limits.largest_file:
        raise PlanError(
            f"The file has {size} bytes ({show_bytes(size)}); CDF takes at most "
            f"{limits.largest_file} bytes ({limits.parts} parts of {show_bytes(limits.most)})."
        ).hint("Split the file, and upload the pieces as files of their own.")
    if part_size is None:
        length = choose_part_size(size, rate, limits=limits)
    else:
        length = as_size("part_size", part_size)
    _check_part_size(size, length, limits)
    starts = range(0, size, length) if size else (0,)
    parts = tuple(Part(no, at, min(length, size - at)) for no, at in enumerate(starts))
    return Plan(size, length, parts)


def choose_part_size(size: int, rate: float = 0.0, *, limits: PartLimits = LIMITS) -> int:
    """The part size (bytes, whole MiB) that suits a file and a link, in no more than 250 parts.

    Args:
        size: bytes of the file.
        rate: bytes per second that one connection carries; 0 where that is not known.
        limits: what the service allows.
    """
    needed = -(-size // limits.parts)
    most = min(LARGEST_CHOSEN, size // _SHARE)
    fits = max(DEFAULT_PART_SIZE, min(most, round(rate * PART_S)), limits.above + 1)
    return min(_whole_mib(max(fits, needed)), limits.most)


def _whole_mib(size: int) -> int:
    return -(-size // _STEP) * _STEP


def fits_one_put(size: int, mime_type: str | None) -> bool:
    """True where a file may be held in memory, and go in one PUT.

    Its type is a header there, which not every text can be.
    """
    text = mime_type or ""
    return size <= _HELD and text.isascii() and text.isprintable() and text == text.strip()


def check_part(part_no: int, size: int, parts: int, *, limits: PartLimits = LIMITS) -> None:
    """Refuse a part that CDF would refuse, before a byte of it goes out.

    Raises:
        PlanError: not larger than 5 MiB and not the last, or above 4000 MiB.
    """
    if size > limits.most:
        raise PlanError(
            f"Part {part_no} has {size} bytes; a part has at most {limits.most} bytes "
            f"({show_bytes(limits.most)})."
        ).hint("Plan more parts, each smaller.")
    if size <= limits.above and part_no != parts - 1:
        raise PlanError(
            f"Part {part_no} has {size} bytes; every part but the last (part {parts - 1}) is "
            f"larger than {limits.above} bytes ({show_bytes(limits.above)})."
        ).hint("Plan fewer parts, each larger.")


def checked_part_count(parts: int, *, limits: PartLimits = LIMITS) -> int:
    """A number of parts from 1 to 250.

    Raises:
        PlanError: `parts` is not a whole number from 1 to 250.
    """
    number = whole(parts)
    if number is None:
        raise PlanError(f"parts is a whole number from 1 to {limits.parts}, not {parts!r}.")
    if not 1 <= number <= limits.parts:
        raise PlanError(f"parts is {number}; CDF takes 1 to {limits.parts} parts.")
    return number


def _check_part_size(size: int, part_size: int, limits: PartLimits) -> None:
    if part_size > limits.most:
        raise PlanError(
            f"part_size is {part_size} bytes; a part has at most {limits.most} bytes "
            f"({show_bytes(limits.most)})."
        )
    if part_size < 1 or (part_size <= limits.above and size > part_size):
        raise PlanError(
            f"part_size is {part_size} bytes; every part but the last is larger than "
            f"{limits.above} bytes ({show_bytes(limits.above)})."
        )
    count = -(-size // part_size)
    if count > limits.parts:
        raise PlanError(
            f"part_size {part_size} cuts {size} bytes into {count} parts; CDF takes {limits.parts}."
        ).hint(f"Use part_size={choose_part_size(size, limits=limits)} or more, or leave it out.")


def show_bytes(size: float) -> str:
    """Bytes for people: `1.5 GiB`, `640 MiB`, `17 bytes`."""
    for unit, scale in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size >= scale * _ROUNDS_UP:
            number = size / scale
            return f"{number:.0f} {unit}" if number == int(number) else f"{number:.2f} {unit}"
    return f"{size:.0f} byte{'' if size == 1 else 's'}"


def show_parts(count: int, part_size: int) -> str:
    """`246 parts of 50 MiB`, `1 part`."""
    return "1 part" if count == 1 else f"{count} parts of {show_bytes(part_size)}"
