"""How the emulator is built: no circle of imports, one table of routes."""

from __future__ import annotations

import ast
from pathlib import Path

from cognite_nb_upload import emulator
from cognite_nb_upload.emulator.families import FAMILIES, ROUTES

ROOT = Path(emulator.__file__).parent


def imports_of(path):
    """The modules of the emulator that a module names, also for type checkers alone."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            named = [*base, *(node.module or "").split(".")]
            names = [".".join([*named, each.name]).strip(".") for each in node.names]
            yield from (name.replace("..", ".") for name in [".".join(named).strip("."), *names])


def test_no_module_is_in_a_circle():
    paths = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in ROOT.rglob("*.py")
    }
    arrows = {
        name: {one for one in imports_of(path) if one in paths} for name, path in paths.items()
    }
    assert {"project", "routes"} <= arrows["files"]
    assert {"uploads", "store.disk"} <= arrows["store.endpoints"]
    done = set()
    while free := {name for name, seen in arrows.items() if name not in done and seen <= done}:
        done |= free
    assert arrows.keys() - done == set()


def test_each_route_has_one_name_and_one_place():
    routes = [route for family in FAMILIES for route, _ in family.routes()]
    assert len({route.name for route in routes}) == len(routes) == len(ROUTES)
    places = [(method, route.path) for route in routes for method in route.methods]
    assert len(set(places)) == len(places)
