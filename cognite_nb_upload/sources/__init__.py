"""A `Source` is a name, a size, and bytes that can be read again from any place.

That one promise gives parallel parts, retry and resume. What cannot keep it (a pipe, an iterator)
is spooled to a temporary file at the border, since the stores want to know each part's length and
a part that is lost is sent again from its first byte.

Rules of this file: reading is safe from several threads; content that changes while it is being
read raises `SourceChanged`; nobody's file is closed but our own.
"""

from cognite_nb_upload.sources.file import FileSource, says_more
from cognite_nb_upload.sources.given import (
    Content,
    as_source,
    as_source_async,
    at_its_end,
    give_back,
    is_spooled,
    own_name,
    refuse_others,
    stands_at,
    unpacked_name,
    unpacks,
)
from cognite_nb_upload.sources.memory import COPIED_UP_TO, BytesSource, LiveBytesSource
from cognite_nb_upload.sources.passing import PassingSource, as_it_comes
from cognite_nb_upload.sources.paths import NOWHERE, absolute, shown_path
from cognite_nb_upload.sources.port import (
    AnyPlace,
    InBlocks,
    PieceReader,
    Source,
    Witness,
    check_last,
    goes_alone,
    is_pinned,
    needs_samples,
    parts_at_once,
    passes_once,
    piece_read,
    read_once,
    reader_of,
    region_of,
    witness_of,
)
from cognite_nb_upload.sources.seekable import LiveSeekableSource, SeekableSource

__all__ = [
    "AnyPlace",
    "BytesSource",
    "COPIED_UP_TO",
    "Content",
    "FileSource",
    "InBlocks",
    "LiveBytesSource",
    "LiveSeekableSource",
    "NOWHERE",
    "PassingSource",
    "PieceReader",
    "SeekableSource",
    "Source",
    "Witness",
    "absolute",
    "as_it_comes",
    "as_source",
    "as_source_async",
    "at_its_end",
    "check_last",
    "give_back",
    "goes_alone",
    "is_pinned",
    "is_spooled",
    "needs_samples",
    "own_name",
    "parts_at_once",
    "passes_once",
    "piece_read",
    "read_once",
    "reader_of",
    "refuse_others",
    "region_of",
    "says_more",
    "shown_path",
    "stands_at",
    "unpacked_name",
    "unpacks",
    "witness_of",
]
