"""The README for an index page: links and the badge lead to the repository that pyproject names."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from hatchling.metadata.plugin.interface import MetadataHookInterface

_LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?://|mailto:|#)([^)\s]+)\)")


def for_index_page(text: str, repository: str) -> str:
    """Make relative links absolute, and put the repository's address into Binder's.

    An image is shown from the raw file, another link leads to the file's page.
    """

    def absolute(link: re.Match[str]) -> str:
        kind = "raw" if link[1] else "blob"
        return f"{link[1]}[{link[2]}]({repository}/{kind}/HEAD/{link[3]})"

    # A badge is an image within a link: the inner one first, then the outer.
    text = _LINK.sub(absolute, _LINK.sub(absolute, text))
    return text.replace("/git/ADDRESS/", f"/git/{quote(repository, safe='')}/")


class ReadmeHook(MetadataHookInterface):
    """Sets the project's `readme` when it is built."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Take README.md, with its links made absolute."""
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        readme = for_index_page(text, metadata["urls"]["Repository"])
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}
