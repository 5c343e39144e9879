"""Text from elsewhere, made safe to look at: the one place that writes HTML by hand."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import Final

# Line breaks, other controls, and the marks that turn the direction of text around and so make
# a name look like another: shown as what they are.
_UNSEEN: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def plain(value: object) -> str:
    r"""Text on one line, in one direction: what is not seen is written as `\n` or `\u202e`."""
    return _UNSEEN.sub(lambda found: repr(found[0])[1:-1], str(value))


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
