"""Text from elsewhere, made safe to look at: the one place that writes HTML by hand."""

from __future__ import annotations

import html
from collections.abc import Iterable

from cognite_nb_upload.text import plain

__all__ = ["escaped", "html_table", "plain"]


def escaped(value: object) -> str:
    """`plain` text for HTML, inside an element or a quoted attribute."""
    return html.escape(plain(value))


def html_table(rows: Iterable[tuple[str, object]], caption: str = "") -> str:
    """A table of names and values, everything escaped."""
    body = "".join(
        f'<tr><th style="text-align:left">{escaped(name)}</th>'
        f'<td style="text-align:left">{escaped(value)}</td></tr>'
        for name, value in rows
    )
    head = f"<caption>{escaped(caption)}</caption>" if caption else ""
    return f"<table>{head}<tbody>{body}</tbody></table>"
