"""Who may import whom: the table of `docs/how-it-works.md`, and the imports as they are."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "docs"))

import rooms

# One process reads the whole package for all of these tests.
pytestmark = pytest.mark.xdist_group("layers")
Modules = dict[str, ast.Module]
LINES = rooms.lines()
# Line 1 is pure: values in, values out.
NO_EDGE = frozenset("httpx anyio asyncio time os pathlib json".split())
ONLY_IN = {
    "httpx": ("api", "http", "store"),
    "cognite": (),
    "tqdm": ("progress",),
    "pandas": ("progress", "batch", "transfer", "blocking", "unfinished", "widgets"),
    "ipywidgets": ("widgets",),
    "anywidget": ("progress.notebook", "widgets"),
    "IPython": ("progress", "widgets"),
    "starlette": ("emulator",),
}


@pytest.fixture(scope="module")
def modules() -> Modules:
    return rooms.modules()


@pytest.fixture(scope="module")
def imports(modules: Modules) -> list[rooms.Import]:
    return rooms.imports(modules)


def test_every_module_has_its_line(modules: Modules) -> None:
    assert all(rooms.line_of(module, LINES) >= rooms.APART for module in modules)


def test_every_room_of_the_table_is_there(modules: Modules) -> None:
    assert [name for name in LINES if name not in modules] == []


def test_a_module_sees_its_own_line_and_lower_ones(modules: Modules) -> None:
    assert rooms.upward(modules) == set()


def test_a_room_that_shares_its_line_does_not_see_the_others_there(
    imports: list[rooms.Import],
) -> None:
    shared = {room for room in LINES if sum(line == LINES[room] for line in LINES.values()) > 1}
    free = {room for room in shared if LINES[room] in (1, 2, LINES["cli"])}
    crossing = {
        (one.module, one.seen)
        for one in imports
        if (here := rooms.room_of(one.module)) in shared - free
        and (there := rooms.room_of(one.seen)) in shared - free
        and LINES[here] == LINES[there]
        and here != there
    }
    assert crossing == set()


def test_there_is_no_circle(modules: Modules) -> None:
    assert [circle for circle in rooms.circles(modules) if len(circle) > 1] == []


def test_the_core_is_pure(modules: Modules) -> None:
    edges = {
        (module, name)
        for module, tree in modules.items()
        if rooms.line_of(module, LINES) == 1
        for imported, _ in rooms.imported(tree)
        if (name := imported.partition(".")[0]) in NO_EDGE
    }
    assert edges == set()


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_known_in_its_place_alone(library: str, modules: Modules) -> None:
    users = {
        module
        for module, tree in modules.items()
        if library in {name.partition(".")[0] for name, _ in rooms.imported(tree)}
    }
    places = ONLY_IN[library]
    assert {one for one in users if not f"{one}.".startswith(tuple(f"{p}." for p in places))} == (
        set()
    )


def test_the_emulator_imports_nothing_of_the_client(
    modules: Modules, imports: list[rooms.Import]
) -> None:
    seen = {
        (one.module, one.seen)
        for one in imports
        if one.module.startswith("emulator") and not one.seen.startswith("emulator")
    }
    assert seen == set()
    for module, tree in modules.items():
        if module.startswith("emulator"):
            inside = max(module.count("."), 1)  # dots; one more would lead out of it
            for node in ast.walk(tree):
                assert not (isinstance(node, ast.ImportFrom) and node.level > inside), module


def test_nothing_but_the_commands_starts_the_emulator(imports: list[rooms.Import]) -> None:
    users = {
        one.module
        for one in imports
        if one.seen.startswith("emulator") and not one.module.startswith("emulator")
    }
    assert {user.partition(".")[0] for user in users} == {"cli", "__main__", "pytest_plugin"}


def test_the_picture_is_that_of_todays_imports() -> None:
    assert rooms.PICTURE.read_text() == rooms.picture(), "run `python docs/rooms.py`"


def test_this_test_sees_the_imports_that_there_are(imports: list[rooms.Import]) -> None:
    """Against what Python itself has loaded, lest a form of import goes unseen here."""
    import cognite_nb_upload.client

    loaded = {
        name.removeprefix(f"{rooms.NAME}.")
        for name in sys.modules
        if name.startswith(f"{rooms.NAME}.")
    }
    assert cognite_nb_upload.client
    reached, left = set(), ["client"]
    while left:
        module = left.pop()
        if module not in reached:
            reached.add(module)
            left += [one.seen for one in imports if one.module == module]
    assert {"api.session", "core.plan", "models.file"} <= reached & loaded
