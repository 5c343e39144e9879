"""Whether what CDF holds is what was sent, and how that is known.

`size` asks the store for one byte and reads the total; `checksum` compares the MD5 or CRC32C of
each part with what the store answered for it; `download` reads everything back and compares.

Rule of this file: a store that says nothing is not a store that agrees; the result says what was
verified, and by what.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import show_bytes
from cognite_nb_upload.core.state import PartState, UploadState
from cognite_nb_upload.errors import SourceChanged, UploadStopped, UsageError, VerifyError
from cognite_nb_upload.sources import PieceReader, Source, Witness, reader_of, witness_of
from cognite_nb_upload.store.digests import LENGTHS, MAKERS, Computed
from cognite_nb_upload.store.download import ObjectReader, Span, cut, span_size
from cognite_nb_upload.store.port import Check, Checksums

Verify = Literal["size", "checksum", "download", "none"]
MODES: Final = ("size", "checksum", "download", "none")

_ALGORITHMS: Final = {
    "etag": "MD5", "content-md5": "MD5", "x-goog-md5": "MD5", "x-goog-crc32c": "CRC32C"
}  # fmt: skip
_MD5_ETAG: Final = re.compile(r'^"?([0-9a-fA-F]{32})"?$')
REFUTED: Final = (
    "the store's ETag is an MD5, as those of other parts show, and not that of the bytes sent"
)
OLD_TIME: Final = (
    "CDF took the new content, but still tells the upload time of the one before: it may be some "
    "time until it gives the new one"
)
_REASONS: Final = {
    "": "stored by an earlier call, which compared none",
    "silent": "the store gave no checksum",
    "etag": "its ETag is no MD5 of it",
    "late": "the store had given none before",
}


def check_mode(verify: str) -> None:
    """Refuse what is not a way to verify."""
    if not isinstance(verify, str) or verify not in MODES:
        raise UsageError(f"verify is one of {', '.join(MODES)}, not {verify!r}.")


class KnownChecksums:
    """Which checksums the store of a client answers with, learnt from its answers. Thread-safe.

    Until the first answer all are computed that a store may give. From then on it is the cheapest
    of those it gives, and none where it gives none.

    Attributes:
        agree: False where the last answer that was compared proved nothing; None before the first.
    """

    def __init__(self) -> None:
        self._given: frozenset[str] | None = None
        self._doubted = False
        self.agree: bool | None = None

    def wanted(self, likely: frozenset[str] = frozenset()) -> tuple[str, ...]:
        """The algorithms to compute for a part that is sent now.

        Args:
            likely: those that such answers gave, where none of a part was compared yet.
        """
        given = self._given
        if given is None and (self._doubted or not likely):
            return tuple(MAKERS)
        given = likely if given is None else given
        return tuple(name for name in ("CRC32C", "MD5") if name in given and name in MAKERS)[:1]

    def doubt(self) -> None:
        """An answer gave a checksum of other bytes: what answers gave so far is no guide."""
        self._doubted = True

    def learn(self, given: frozenset[str], agree: bool = True) -> None:
        """An answer gave checksums of these algorithms, of which some are the bytes' or none."""
        self.agree = agree
        self._given = given if self._given is None else self._given | given


class PartDigest:
    """Checksums of one try of one part: those that the store answers with.

    An S3 ETag is the MD5 unless the bucket encrypts with a key of its own. So one that looks like
    an MD5 and differs is a mismatch where the ETag of another part of this upload agrees, and
    proves nothing until then.

    Args:
        known: what the store answers with.
        etags_are_md5: says whether the ETag of another part agrees.
        likely: the algorithms of earlier answers to such a request; empty where there is none.
        taken: algorithms that are taken whatever the store answers with, and told.
    """

    def __init__(
        self,
        known: KnownChecksums | None = None,
        etags_are_md5: Callable[[], bool] = lambda: False,
        likely: frozenset[str] = frozenset(),
        taken: Sequence[str] = (),
    ) -> None:
        self._known = known or KnownChecksums()
        self._etags_are_md5 = etags_are_md5
        self._taken = taken
        names = dict.fromkeys((*self._known.wanted(likely), *taken))
        self._mine: dict[str, Any] = {name: MAKERS[name]() for name in names}

    @property
    def algorithms(self) -> tuple[str, ...]:
        """What is computed."""
        return tuple(self._mine)

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the part."""
        for mine in self._mine.values():
            mine.update(data)

    def take(self, digests: Mapping[str, bytes]) -> None:
        """Take digests of the whole part that another process has computed."""
        self._mine = {name: Computed(digest) for name, digest in digests.items()}

    def judge(self, theirs: Checksums) -> Check:
        """Compare with what the store answered for the part."""
        given = [(name, *found) for name, value in theirs if (found := _checksum_of(name, value))]
        agreed, differs = [], False
        for name, algorithm, value in given:
            if algorithm not in self._mine:
                continue
            if self._mine[algorithm].digest() == value:
                agreed.append((algorithm, name))
            elif name != "etag":
                self._known.doubt()
                return Check(f"the store's {algorithm} is not that of the bytes sent")
            else:
                differs = True
        if differs and self._etags_are_md5():
            return Check(REFUTED)
        self._known.learn(frozenset(algorithm for _, algorithm, _ in given), bool(agreed))
        silent = "late" if given else "silent"
        taken = tuple(
            (name, self._mine[name].digest().hex()) for name in self._taken if name in self._mine
        )
        return Check("", tuple(agreed), "" if agreed else "etag" if differs else silent, taken)


def algorithms_in(checksums: Checksums) -> frozenset[str]:
    """The algorithms of the checksums that a store gave."""
    found = (_checksum_of(name, value) for name, value in checksums)
    return frozenset(one[0] for one in found if one)


def _checksum_of(name: str, value: str) -> tuple[str, bytes] | None:
    """The algorithm and the digest of what a store tells; None where it is no checksum of ours."""
    algorithm = _ALGORITHMS.get(name, "")
    digest = _digest_in_etag(value) if name == "etag" else _decoded(value)
    return (algorithm, digest) if len(digest) == LENGTHS.get(algorithm) else None


def _digest_in_etag(value: str) -> bytes:
    found = _MD5_ETAG.match(value)
    return bytes.fromhex(found.group(1)) if found else b""


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return b""


def etags_are_md5(state: UploadState) -> bool:
    """True where the ETag of a stored part is the MD5 of what was sent."""
    return any(("MD5", "etag") in part.checksums for part in state.parts)


def refuted_parts(state: UploadState) -> tuple[int, ...]:
    """Numbers of stored parts whose ETag differs, where those of others turned out to be MD5s."""
    if not etags_are_md5(state):
        return ()
    return tuple(part.no for part in state.parts if part.unproven == "etag")


def by_checksum(state: UploadState) -> str:
    """What the parts' checksums prove, and why not of all parts; "" where nothing agrees."""
    agreed = [part for part in state.parts if part.checksums]
    if not agreed:
        return ""
    algorithms = " or ".join(_algorithms(agreed))
    if len(agreed) == len(state.parts):
        return f"{algorithms} of every part, by the store's answers"
    return (
        f"{algorithms} of {len(agreed)} of {len(state.parts)} parts, by the store's answers "
        f"({_left_out(state)})"
    )


def of_the_whole(state: UploadState) -> str:
    """What proves all that was sent, where it went as one part; "" where nothing does."""
    if len(state.parts) > 1 or not state.parts[0].checksums:
        return ""
    return f"{' and '.join(_algorithms(state.parts))}, by the store's answer"


def _algorithms(parts: Sequence[PartState]) -> list[str]:
    """Those by which all of the parts agree; where there is none, those by which some do."""
    of_each = [{algorithm for algorithm, _ in part.checksums} for part in parts]
    return sorted(set.intersection(*of_each)) or sorted(set.union(*of_each))


def _left_out(state: UploadState) -> str:
    """Why parts have no checksum that agrees: `part 3: ...; parts 0 and 2: ...`."""
    by_reason: dict[str, list[int]] = {}
    for part in state.parts:
        if not part.checksums:
            by_reason.setdefault(_REASONS[part.unproven], []).append(part.no)
    return "; ".join(f"{_these(numbers)}: {reason}" for reason, numbers in by_reason.items())


def _these(numbers: list[int]) -> str:
    """`part 3`, `parts 1, 2 and 7`."""
    if len(numbers) == 1:
        return f"part {numbers[0]}"
    return f"parts {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"


def why_unproven(state: UploadState) -> str:
    """Why no part has a checksum that agrees, in one sentence."""
    if any(part.unproven == "etag" for part in state.parts):
        return (
            "The store's ETags look like MD5s and are not those of the bytes sent, as where a "
            "bucket encrypts with a key of its own: they prove nothing. verify='download' "
            "reads the file back."
        )
    return "The store gave no checksum that can be compared."


def by_size(there: int | None, size: int) -> str:
    """What the size in the store proves, in words; "" where it does not say.

    Raises:
        VerifyError: it has another size.
    """
    if there is None:
        return ""
    if there != size:
        raise VerifyError(f"CDF holds {there} bytes; {size} were sent ({show_bytes(size)}).").hint(
            "Upload it again with resume=False."
        )
    return f"size {size} bytes, by the download link"


async def by_download(reader: ObjectReader, source: Source, stop: CancelToken) -> str:
    """Read the file back, several ranges at once, and compare it with the source, byte for byte.

    Raises:
        VerifyError: the size or a byte differs.
        UploadStopped: `stop` was set.
    """
    found, _ = await reader.open()
    if found.size != source.size:
        raise VerifyError(f"CDF gives back {found.size} bytes; {source.size} were sent.")
    spans = cut(found.size, span_size(found))
    came, witnesses = [0] * len(spans), {}
    readers: dict[int, PieceReader] = {}

    def compare(span: Span, at: int, data: bytes | memoryview) -> None:
        if stop:
            raise UploadStopped(f"The upload was {stop.reason}.")
        if at == span.start:
            size = span.end - span.start
            witnesses[span.no] = witness_of(source, span.start, size)
            _ended(readers, span.no)
            readers[span.no] = reader_of(source, span.start, size, stop)
        _compare(readers[span.no], witnesses[span.no], at, data)
        if at + len(data) == span.end:
            _ended(readers, span.no)
        came[span.no] = at + len(data) - span.start

    try:
        await reader.read(spans, compare)
    finally:
        for no in tuple(readers):
            _ended(readers, no)
    if sum(came) != source.size:
        raise VerifyError(f"CDF gave back {sum(came)} bytes; {source.size} were sent.")
    return f"all {source.size} bytes, by reading them back"


def _ended(readers: dict[int, PieceReader], no: int) -> None:
    if (one := readers.pop(no, None)) is not None:
        one.close()


def _compare(
    reader: PieceReader, witness: Witness | None, at: int, data: bytes | memoryview
) -> None:
    if witness is not None:
        try:
            witness.update(data)
        except SourceChanged:  # it is the store's bytes that differ from those of the pass
            raise VerifyError("CDF's bytes differ from those sent.") from None
        return
    mine = reader.read_piece(at, memoryview(bytearray(len(data))))
    if len(mine) < len(data):
        raise UploadStopped("The upload was stopped while it was verified.")
    if mine != data:
        pairs = zip(bytes(mine), bytes(data), strict=False)
        first = next((no for no, (a, b) in enumerate(pairs) if a != b), 0)
        raise VerifyError(f"CDF's bytes differ from those sent, from byte {at + first} on.")
