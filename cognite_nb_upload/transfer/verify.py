"""Whether what CDF holds is what was sent, and how that is known.

`size` asks the store for one byte and reads the total; `checksum` compares MD5 and CRC32C of each
part with what the store answered for it; `download` reads everything back and compares each byte.

Rule of this file: a store that says nothing is not a store that agrees; the result says what was
verified, and by what.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Any, Final, Literal

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.plan import show_bytes
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.errors import UploadStopped, UsageError, VerifyError
from cognite_nb_upload.sources import Source
from cognite_nb_upload.store.download import Download
from cognite_nb_upload.store.part import Checksums

Verify = Literal["size", "checksum", "download", "none"]
MODES: Final = ("size", "checksum", "download", "none")

_ALGORITHMS: Final = {
    "etag": "MD5", "content-md5": "MD5", "x-goog-md5": "MD5", "x-goog-crc32c": "CRC32C"
}  # fmt: skip
_MD5_ETAG: Final = re.compile(r'^"?([0-9a-fA-F]{32})"?$')


def check_mode(verify: str) -> None:
    """Refuse what is not a way to verify."""
    if verify not in MODES:
        raise UsageError(f"verify is one of {', '.join(MODES)}, not {verify!r}.")


class PartDigest:
    """MD5 of one try of one part, and CRC32C where `google-crc32c` is installed.

    An S3 ETag is the MD5 unless the bucket encrypts with a key of its own: one that differs proves
    nothing, so it never fails a part; one that agrees is named.
    """

    def __init__(self) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._crc32c = _crc32c()

    def update(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the part."""
        self._md5.update(data)
        if self._crc32c is not None:
            self._crc32c.update(bytes(data))

    def judge(self, theirs: Checksums) -> tuple[str, Checksums]:
        """`("", what agreed)`, or what differs in words, and nothing."""
        agreed = []
        for name, value in theirs:
            mine = self._mine(name, value)
            if mine is None:
                continue
            algorithm, same = mine
            if not same and name != "etag":
                return f"the store's {algorithm} is not that of the bytes sent", ()
            if same:
                agreed.append((algorithm, name))
        return "", tuple(agreed)

    def _mine(self, name: str, value: str) -> tuple[str, bool] | None:
        """The algorithm, and whether it agrees; None where the value is no checksum of ours."""
        algorithm = _ALGORITHMS.get(name, "")
        mine = {"MD5": self._md5, "CRC32C": self._crc32c}.get(algorithm)
        theirs = _digest_in_etag(value) if name == "etag" else _decoded(value)
        if mine is None or len(theirs) != len(mine.digest()):
            return None
        return algorithm, mine.digest() == theirs


def _crc32c() -> Any:
    try:
        found: Any = import_module("google_crc32c")  # an extra
    except ImportError:
        return None
    return found.Checksum()


def _digest_in_etag(value: str) -> bytes:
    found = _MD5_ETAG.match(value)
    return bytes.fromhex(found.group(1)) if found else b""


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        return b""


def by_checksum(state: UploadState) -> str:
    """What the parts' checksums prove, in words; "" where the store gave none."""
    agreed = [part for part in state.parts if part.checksums]
    if not agreed:
        return ""
    names = sorted({algorithm for part in agreed for algorithm, _ in part.checksums})
    count = "every part" if len(agreed) == len(state.parts) else (
        f"{len(agreed)} of {len(state.parts)} parts"
    )  # fmt: skip
    return f"{' and '.join(names)} of {count}, by the store's answers"


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


async def by_download(
    download: Download,
    fresh_url: Callable[[], Awaitable[Secret]],
    source: Source,
    stop: CancelToken,
) -> str:
    """Read the file back and compare it with the source, byte for byte.

    Raises:
        VerifyError: the first difference is named.
        UploadStopped: `stop` was set.
    """
    at = 0

    def compare(data: bytes) -> None:
        nonlocal at
        if stop:
            raise UploadStopped(f"The upload was {stop.reason}.")
        mine = bytes(source.read_at(at, len(data)))
        if mine != data:
            first = next((n for n, (a, b) in enumerate(zip(mine, data, strict=False)) if a != b), 0)
            raise VerifyError(f"CDF's bytes differ from those sent, from byte {at + first} on.")
        at += len(data)

    await download.into(compare, fresh_url)
    if at != source.size:
        raise VerifyError(f"CDF gave back {at} bytes; {source.size} were sent.")
    return f"all {source.size} bytes, by reading them back"
