"""An upload as a pandas table, and as HTML that stands without a kernel."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any, Final

from cognite_nb_upload.core.state import PartPhase, PartState, Phase, UploadState
from cognite_nb_upload.progress.strip import STYLE, strip_html
from cognite_nb_upload.progress.words import show_percent, summary

if TYPE_CHECKING:
    import pandas as pd

# column -> pandas dtype, and where it comes from. A size that is not known is <NA>.
_COLUMNS: Final[dict[str, tuple[str, Callable[[PartState], Any]]]] = {
    "part": ("Int64", lambda part: part.no),
    "state": ("category", lambda part: part.phase.value),
    "size_bytes": ("Int64", lambda part: part.size),
    "sent_bytes": ("Int64", lambda part: part.sent),
    "attempts": ("Int64", lambda part: part.attempts),
    "lost": ("Int64", lambda part: part.lost),
    "wait_s": ("Float64", lambda part: part.wait_s),
    "reason": ("string", lambda part: part.reason),
}


def to_frame(state: UploadState) -> pd.DataFrame:
    """A row per part, with units in the columns' names.

    `part` counts from 0; `lost` is how often the part had to be sent again; `wait_s` is the wait
    before its next try. `worker` says which worker of an engine has the part, where there is one.
    Each kind of checksum that was verified has a column: `checksum_md5`.
    """
    import pandas as pd

    frame = pd.DataFrame({
        name: pd.Series([read(part) for part in state.parts], dtype=_dtype(kind))
        for name, (kind, read) in _COLUMNS.items()
    })  # fmt: skip
    if state.workers:
        frame["worker"] = pd.Series([part.where for part in state.parts], dtype="string")
    names = dict.fromkeys(name for part in state.parts for name, _ in part.checksums)
    for name in names:
        values = [dict(part.checksums).get(name) for part in state.parts]
        frame[f"checksum_{name}"] = pd.Series(values, dtype="string")
    return frame


def _dtype(kind: str) -> Any:
    import pandas as pd

    return pd.CategoricalDtype([phase.value for phase in PartPhase]) if kind == "category" else kind


def state_html(state: UploadState) -> str:
    """The snapshot as escaped HTML: no widget, script or kernel; without styles it is text."""
    drawn = _bar_html(state) + strip_html(state, with_words=False)
    return f'{STYLE}<div class="cnbu"><div>{escape(summary(state))}</div>{drawn}</div>'


def _bar_html(state: UploadState) -> str:
    if not state.size:
        return ""
    kind = state.phase.value if state.phase in (Phase.DONE, Phase.FAILED) else ""
    percent = show_percent(state.sent, state.size).replace(" ", "")
    return f'<div class="cnbu-bar"><b class="{kind}" style="width:{percent}"></b></div>'
