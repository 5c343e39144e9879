"""Who may import whom: the table of the architecture, and the imports as they are.

A module sees its own line and those above it. What is imported inside a function is shown apart: it
is how an upload that is the last line of a cell finds a way to show itself, and nothing else.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import cognite_nb_upload

ROOT = Path(cognite_nb_upload.__file__).parent
NAME = "cognite_nb_upload"

# The first that fits, from the longest to the shortest name. 0 is the emulator, which stands apart.
LINES = {
    "_version": 1,
    "errors": 1,
    "core": 1,
    "models": 2,
    "sources": 2,
    "background": 2,
    "http": 2,
    "store": 3,
    "journal": 3,
    "api": 4,
    "transfer": 5,
    "batch": 6,
    "client": 7,
    "blocking": 8,
    "unfinished": 9,
    "progress": 9,
    "batch.upload_many": 10,
    "widgets": 11,
    "cli": 12,
    "__main__": 12,
    "__init__": 12,
    "emulator": 0,
}
SHOWS_ITSELF = {
    ("transfer.upload", "progress.table"),
    ("transfer.upload", "widgets.panel.view"),
}
# Line 1 is pure: values in, values out.
NO_EDGE = frozenset("httpx anyio asyncio time os pathlib json".split())
ONLY_IN = {
    "httpx": ("api", "http", "store"),
    "cognite": (),
    "tqdm": ("progress",),
    "pandas": ("progress", "batch", "transfer", "blocking", "unfinished", "widgets"),
    "ipywidgets": ("progress.notebook", "progress.many", "widgets"),
    "anywidget": ("widgets",),
    "IPython": ("progress", "widgets"),
    "starlette": ("emulator",),
    "uvicorn": ("emulator",),
}


def modules() -> dict[str, ast.Module]:
    """Every module of the package, by its name below it."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(path.read_text())
    return found


MODULES = modules()


def line_of(module: str) -> int:
    parts = module.split(".")
    for size in range(len(parts), 0, -1):
        if (line := LINES.get(".".join(parts[:size]))) is not None:
            return line
    raise AssertionError(f"{module} has no line in the architecture; give it one.")


def imports(tree: ast.AST, inside: bool = False) -> Iterator[tuple[str, bool]]:
    """(what is imported, whether inside a function), without what only type checkers see."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                pass
            case ast.Import(names=names):
                yield from ((one.name, inside) for one in names)
            case ast.ImportFrom(module=module, names=names, level=0) if module:
                yield from ((f"{module}.{one.name}", inside) for one in names)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from imports(node, inside=True)
            case _:
                yield from imports(node, inside)


def ours(imported: str) -> str | None:
    """The module of this package that an import names; None for others'."""
    if imported.partition(".")[0] != NAME:
        return None
    name = imported.partition(".")[2]
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or "__init__"


def test_every_module_has_its_line() -> None:
    assert all(line_of(module) >= 0 for module in MODULES)


def upward(*, inside: bool) -> set[tuple[str, str]]:
    """(module, what it imports) where that is on a line below its own."""
    return {
        (module, seen)
        for module, tree in MODULES.items()
        if line_of(module)
        for imported, in_function in imports(tree)
        if in_function is inside and (seen := ours(imported)) and line_of(seen) > line_of(module)
    }


def test_a_module_sees_its_own_line_and_those_above_it() -> None:
    assert upward(inside=False) == set()


def test_only_an_upload_that_shows_itself_reaches_further_and_only_then() -> None:
    assert upward(inside=True) == SHOWS_ITSELF


def test_the_two_halves_of_line_3_do_not_see_each_other() -> None:
    third = [module for module in MODULES if line_of(module) == 3]
    crossing = {
        (module, seen)
        for module in third
        for imported, _ in imports(MODULES[module])
        if (seen := ours(imported)) and line_of(seen) == 3 and half(seen) != half(module)
    }
    assert crossing == set()


def half(module: str) -> bool:
    return module.startswith("journal")


def test_the_core_is_pure() -> None:
    edges = {
        (module, name)
        for module, tree in MODULES.items()
        if line_of(module) == 1
        for imported, _ in imports(tree)
        if (name := imported.partition(".")[0]) in NO_EDGE
    }
    assert edges == set()


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_known_in_its_place_alone(library: str) -> None:
    users = {
        module
        for module, tree in MODULES.items()
        if library in {name.partition(".")[0] for name, _ in imports(tree)}
    }
    places = ONLY_IN[library]
    assert {one for one in users if not f"{one}.".startswith(tuple(f"{p}." for p in places))} == (
        set()
    )


def test_the_emulator_imports_nothing_of_the_client() -> None:
    emulator = {name: tree for name, tree in MODULES.items() if name.startswith("emulator")}
    for module, tree in emulator.items():
        seen = {ours(imported) for imported, _ in imports(tree)} - {None}
        assert {(module, one) for one in seen if not one.startswith("emulator")} == set()
        for node in ast.walk(tree):  # two dots would lead out of it
            assert not (isinstance(node, ast.ImportFrom) and node.level > 1), module


def test_nothing_but_the_commands_starts_the_emulator() -> None:
    users = {
        module
        for module, tree in MODULES.items()
        if not module.startswith("emulator")
        and any((ours(name) or "").startswith("emulator") for name, _ in imports(tree))
    }
    assert users == {"cli", "__main__"}


def test_this_test_sees_the_imports_that_there_are() -> None:
    """Against what Python itself has loaded, lest a form of import goes unseen here."""
    import cognite_nb_upload.client

    loaded = {
        name.removeprefix(f"{NAME}.")
        for name in sys.modules
        if name.startswith(f"{NAME}.") and name.removeprefix(f"{NAME}.") in MODULES
    }
    assert cognite_nb_upload.client
    reached, left = set(), ["client"]
    while left:
        module = left.pop()
        if module not in reached:
            reached.add(module)
            left += [one for name, _ in imports(MODULES[module]) if (one := ours(name))]
    assert {"api.session", "core.plan", "models.file"} <= reached & loaded
