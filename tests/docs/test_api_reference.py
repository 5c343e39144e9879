"""`docs/api.md`: what is public is in it, as the docstrings of today say it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import cognite_nb_upload
from cognite_nb_upload import widgets

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

from build_api import PATH, markdown, reference  # noqa: E402


def test_it_is_up_to_date() -> None:
    assert PATH.read_text() == reference(), "run `python docs/build_api.py`"


def test_every_public_name_has_an_entry() -> None:
    headings = set(re.findall(r"^### `(\w+)`$", reference(), re.MULTILINE))
    public = {*cognite_nb_upload.__all__, *widgets.__all__} - {"__version__"}
    assert public <= headings


def test_every_entry_says_something() -> None:
    for entry in re.split(r"^###+ ", reference(), flags=re.MULTILINE)[1:]:
        name, _, told = entry.partition("\n")
        assert re.sub(r"```.*?```", "", told, flags=re.DOTALL).strip(), name


def example() -> None:
    """A fact.

        code()

    More of it.

    Args:
        one: what it is,
            and what it is not:

            - `a`: the first
              of two.
        **rest: others.

    Returns:
        What comes back: a thing.
    """


def test_a_docstring_becomes_markdown() -> None:
    assert markdown(example) == (
        "A fact.\n\n```python\ncode()\n```\n\nMore of it.\n\n"
        "**Args**\n\n- `one`: what it is, and what it is not:\n  - `a`: the first of two.\n"
        "- `**rest`: others.\n\n"
        "**Returns**\n\nWhat comes back: a thing."
    )
