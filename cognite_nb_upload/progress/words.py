"""An upload in words: what people read beside bars, in tables, in logs and in a saved notebook.

Rules of this file: names and reasons come from files and servers, so they are cleaned and cut to
length before they are shown (`clean`); nothing is rounded up to "100 %"; what is not known is left
out.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from math import floor
from typing import Final

from cognite_nb_upload.core.plan import GIB, KIB, MIB
from cognite_nb_upload.core.state import PartPhase, PartState, Phase, UploadState

# Unicode categories that move the cursor, turn the reading direction, or cannot be encoded.
_UNSAFE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Several scripts are written with the zero-width joiners.
_JOINERS: Final = frozenset("\u200c\u200d")


def clean(text: str, most: int = 120) -> str:
    r"""`text` in one line of at most `most` characters; control characters are spelled: `\n`."""
    if len(text) > 2 * most:
        text = f"{text[:most]}…{text[-most:]}"
    return shorten("".join(map(_visible, text)), most)


def _visible(char: str) -> str:
    if char in _JOINERS or unicodedata.category(char) not in _UNSAFE:
        return char
    return char.encode("unicode_escape").decode("ascii")


def shorten(text: str, most: int) -> str:
    """At most `most` characters; the middle is left out, since the end of a file's name matters."""
    if len(text) <= most:
        return text
    tail = (most - 1) // 2
    return f"{text[: most - 1 - tail]}…{text[len(text) - tail :]}"


def show_duration(seconds: float) -> str:
    """Seconds for people: `0.4 s`, `12 s`, `1 min 12 s`, `2 h 5 min`, `3 d 4 h`."""
    if seconds < 9.95:
        return f"{max(0.0, seconds):.1f}".removesuffix(".0") + " s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two_units(whole, "min", 60, "s", 1)
    if whole < 86400:
        return _two_units(whole, "h", 3600, "min", 60)
    return _two_units(whole, "d", 86400, "h", 3600)


def _two_units(seconds: int, unit: str, size: int, small_unit: str, small: int) -> str:
    rest = seconds % size // small
    return f"{seconds // size} {unit}" + (f" {rest} {small_unit}" if rest else "")


def show_amount(size: float) -> str:
    """Bytes in three digits, for numbers that move: `5.41 GiB`, `110 MiB`, `17 bytes`."""
    unit, scale = _unit(size)
    return f"{_digits(size / scale)} {unit}"


def show_share(sent: float, size: float) -> str:
    """`5.41 of 12 GiB`, both in the unit of the whole."""
    unit, scale = _unit(size)
    return f"{_digits(sent / scale)} of {_digits(size / scale)} {unit}"


def show_rate(rate: float) -> str:
    """Bytes per second: `110 MiB/s`."""
    return f"{show_amount(rate)}/s"


def show_percent(sent: float, size: float) -> str:
    """`45 %`, rounded down: 100 % is only what is all there."""
    return "100 %" if sent >= size else f"{floor(100 * sent / size)} %"


def _unit(size: float) -> tuple[str, int]:
    for unit, scale in (("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        if size >= scale:
            return unit, scale
    return ("byte" if size == 1 else "bytes"), 1


def _digits(number: float) -> str:
    if number == int(number) or number >= 100:
        return f"{number:.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def parts_words(state: UploadState) -> str:
    """The strip in words: `37 of 50 parts stored, 4 sending, 1 waiting to be sent again`."""
    count = Counter(_kind(part) for part in state.parts)
    retried = sum(part.phase is PartPhase.STORED and part.lost > 0 for part in state.parts)
    words = [f"{count['stored']} of {show_count(len(state.parts), 'part')} stored"]
    for kind in ("sending", "waiting to be sent again", "lost"):
        shown = "coming" if state.receives and kind == "sending" else kind
        words += [f"{count[kind]} {shown}"] * (count[kind] > 0)
    words += [f"{retried} stored after a retry"] * (retried > 0)
    workers = len(state.workers)
    words += [f"on {show_count(workers, 'worker')}"] * (workers > 0)
    return ", ".join(words)


def worker_name(part: PartState) -> str:
    """The worker that has a part, as the engine calls it, without its address."""
    return clean(part.where.partition(" at ")[0], 40)


def show_count(count: int, unit: str) -> str:
    """`1 part`, `246 parts`."""
    return f"{count} {unit}{'' if count == 1 else 's'}"


def _kind(part: PartState) -> str:
    if part.phase is PartPhase.LOST and part.wait_s is not None:
        return "waiting to be sent again"
    return part.phase.value


def summary(state: UploadState) -> str:
    """One line: `Uploaded big.segy: 12 GiB in 246 parts, id 91, 1 min 12 s, 170 MiB/s`."""
    name = clean(state.name)
    facts = ", ".join(_facts(state))
    if state.phase is Phase.FAILED and not name:  # what has no name yet was not begun
        return f"Not {'down' if state.receives else 'up'}loaded" + (f": {facts}" if facts else "")
    name = name or "a file"
    verb = _VERB[state.phase]
    if state.receives:
        verb = verb.replace("Up", "Down")
    return f"{verb} {name}" + (f": {facts}" if facts else "")


def outcome(state: UploadState) -> str:
    """How it ended, in a few words: `12 GiB in 246 parts, 1 min 12 s`, or the error."""
    if state.phase is Phase.DONE:
        return f"{_amount(state)}, {show_duration(state.elapsed_s)}"
    return clean(state.error, 100) if state.phase is Phase.FAILED else state.phase.value


_VERB: Final = {
    Phase.NEW: "Preparing",
    Phase.SENDING: "Uploading",
    Phase.PAUSED: "Paused",
    Phase.COMPLETING: "Completing",
    Phase.ASSEMBLING: "Assembling in CDF",
    Phase.DONE: "Uploaded",
    Phase.FAILED: "Failed",
    Phase.CANCELLED: "Cancelled",
}


def _facts(state: UploadState) -> list[str]:
    facts = [_amount(state)] if state.parts else []
    if state.phase is Phase.FAILED and state.error:
        facts.insert(0, clean(state.error, 300).rstrip("."))
    if state.file_id is not None:
        facts.append(f"id {state.file_id}")
    if state.elapsed_s > 0 and state.phase is not Phase.NEW:
        facts.append(show_duration(state.elapsed_s))
    return facts + _quality(state)


def _amount(state: UploadState) -> str:
    if state.phase is Phase.DONE:
        return f"{show_amount(state.sent)} in {show_count(len(state.parts), 'part')}"
    if state.size is None:
        return f"{show_amount(state.sent)}, {parts_words(state)}"
    percent = show_percent(state.sent, state.size)
    return f"{percent}, {show_share(state.sent, state.size)}, {parts_words(state)}"


def _quality(state: UploadState) -> list[str]:
    """The rate, what was sent twice, and what was checked: known when all is over."""
    if state.phase is not Phase.DONE:
        return []
    facts = [f"{show_rate(state.moved / state.elapsed_s)}"] if state.elapsed_s > 0 else []
    retried = sum(part.lost > 0 for part in state.parts)
    facts += [f"{show_count(retried, 'part')} sent again"] * (retried > 0)
    facts += [f"verified: {clean(state.verified)}"] * bool(state.verified)
    return facts


def waits_for(state: UploadState, again_s: float | None = None) -> str:
    """What the whole upload waits for: `offline`, `paused`, `assembling`; "" where it moves.

    Args:
        state: the snapshot.
        again_s: seconds until the next lost part is sent again, where that is known.
    """
    if state.phase in _PHASE_WAITS:
        return clean(state.waiting_for) or _PHASE_WAITS[state.phase]
    if state.phase.over:
        return ""
    if state.waiting_for:
        return clean(state.waiting_for)
    if any(part.phase is PartPhase.SENDING for part in state.parts):
        return ""
    lost = [part for part in state.parts if _kind(part) == "waiting to be sent again"]
    return part_waits_for(max(lost, key=lambda part: part.lost), again_s) if lost else ""


_PHASE_WAITS: Final = {
    Phase.NEW: "opening",
    Phase.PAUSED: "paused",
    Phase.COMPLETING: "completing",
    Phase.ASSEMBLING: "assembling",
}


def part_waits_for(part: PartState, again_s: float | None = None) -> str:
    """What a lost part waits for: `retry 2 in 4 s: 503`; "" for a part that is not lost."""
    if part.phase is not PartPhase.LOST:
        return ""
    reason = f": {clean(part.reason, 60)}" if part.reason else ""
    if part.wait_s is None:
        return f"lost{reason}"
    when = f" in {show_duration(max(1, round(again_s)))}" if again_s and again_s > 0 else ""
    return f"retry {part.lost}{when}{reason}"
