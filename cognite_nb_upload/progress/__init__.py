"""Listeners that show an upload: tqdm bars, a strip of all parts, a pandas table, a line of text.

Everything here watches; nothing that moves bytes knows of it.
"""

from __future__ import annotations

from cognite_nb_upload.core.feed import Listener, Observable
from cognite_nb_upload.progress.listen import throttled
from cognite_nb_upload.progress.strip import STYLE, strip_html, strip_text
from cognite_nb_upload.progress.table import state_html, to_frame
from cognite_nb_upload.progress.watch import Bars, bars
from cognite_nb_upload.progress.words import (
    clean,
    parts_words,
    show_amount,
    show_duration,
    show_rate,
    show_share,
    summary,
    waits_for,
)

__all__ = [
    "bars",
    "Bars",
    "throttled",
    "Listener",
    "Observable",
    "summary",
    "waits_for",
    "parts_words",
    "to_frame",
    "state_html",
    "strip_html",
    "strip_text",
    "STYLE",
    "clean",
    "show_amount",
    "show_duration",
    "show_rate",
    "show_share",
]
