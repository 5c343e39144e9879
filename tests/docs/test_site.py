"""The documents as a site: every page is built, and no link leads nowhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MKDOCS = [sys.executable, "-m", "mkdocs", "build", "-q", "--strict", "--site-dir"]


@pytest.mark.slow
def test_the_site_is_built_without_a_dead_link(tmp_path: Path) -> None:
    done = subprocess.run(
        [*MKDOCS, tmp_path / "site"],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in (ROOT / "docs").rglob("*.md")}
    built = {path.parent.name for path in (tmp_path / "site").rglob("index.html")}
    assert pages - {"index"} <= built


def test_every_place_that_how_it_works_names_is_there() -> None:
    text = (ROOT / "docs" / "how-it-works.md").read_text()
    named = set(re.findall(r"`((?:\w+/)*\w+\.py)`", text))
    assert len(named) > 20
    package = ROOT / "cognite_nb_upload"
    assert [one for one in named if not ((package / one).exists() or (ROOT / one).exists())] == []
