"""Whether what was sent is what the source's own store says that it holds.

Rule of this file: what may be a checksum (an ETag of 32 hex digits) proves something where it
agrees, and nothing where it differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Self

from cognite_nb_upload.core.state import PartState, UploadState
from cognite_nb_upload.errors import VerifyError
from cognite_nb_upload.sources import Source
from cognite_nb_upload.store.digests import MAKERS, joined_crc32c

_NO_CRC32C: Final = "the CRC32C that its source's store tells; that needs the extra `checksums`"
_MD5_ALONE: Final = (
    "the MD5 that its source's store tells; that of several parts which go at once cannot be made"
)


class SourceProof:
    """A checksum of the whole that the source's store tells, and what is taken to compare with it.

    Attributes:
        algorithms: the checksums to take of each part.
        why_not: what of it cannot be compared, and why; "" where something can, and where the
            store tells nothing.
    """

    def __init__(
        self, algorithm: str = "", value: bytes = b"", *, sure: bool = True, why_not: str = ""
    ) -> None:
        self._algorithm, self._value, self._sure = algorithm, value, sure
        self.algorithms = (algorithm,) if algorithm else ()
        self.why_not = why_not

    @classmethod
    def of(cls, source: Source, parts: int) -> Self:
        """What the store tells; asks it, so call it off an event loop."""
        sums = {name: (value, sure) for name, value, sure in getattr(source, "sums", tuple)()}
        if "CRC32C" in sums and "CRC32C" in MAKERS:
            return cls("CRC32C", sums["CRC32C"][0])
        md5, sure = sums.get("MD5", (b"", False))
        if md5 and parts == 1:
            return cls("MD5", md5, sure=sure)
        if "CRC32C" in sums:
            return cls(why_not=_NO_CRC32C)
        return cls(why_not=_MD5_ALONE if sure else "")

    def of_sent(self, state: UploadState) -> str:
        """What the checksum of all parts proves, in words; "" where nothing can be compared.

        Raises:
            VerifyError: the bytes that were sent are not those that the source's store has.
        """
        known = all(self._algorithm in dict(part.taken) for part in state.parts)
        if not self._algorithm or not known:
            return ""
        sent = _whole(self._algorithm, state.parts)
        if sent == self._value:
            return f"{self._algorithm} of the whole, by the source's store"
        if not self._sure:
            return ""
        raise VerifyError(
            f"What was read of the source has the {self._algorithm} {sent.hex()}; its store says "
            f"{self._value.hex()}."
        ).hint("Nothing was completed. Upload it again with resume=False.")


def _whole(algorithm: str, parts: Sequence[PartState]) -> bytes:
    each = [(bytes.fromhex(dict(part.taken)[algorithm]), part.size or 0) for part in parts]
    return joined_crc32c(each) if algorithm == "CRC32C" else each[0][0]
