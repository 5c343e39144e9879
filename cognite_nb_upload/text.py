"""Text from elsewhere, shown as what it is: for every repr, error, log line and page.

Rule of this file: a name, or what a server says, can neither steer a terminal nor look like another
text. `plain` is the one place that decides what is not shown as it is.
"""

from __future__ import annotations

import re
from typing import Final

# Controls (escape codes begin with one), line breaks, marks that turn the direction of text around
# or have no width, tags, and halves of surrogate pairs, which cannot be printed at all. Joiners
# (U+200C, U+200D) stay: Persian, Hindi and emoji need them.
_UNSEEN: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)


def plain(value: object) -> str:
    r"""Text on one line, in one direction: what is not seen is written as `\n` or `\u202e`."""
    return _UNSEEN.sub(lambda found: repr(found[0])[1:-1], str(value))
