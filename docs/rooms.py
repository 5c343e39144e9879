"""The rooms of the package: who may import whom, who does, and a picture of it.

    python docs/rooms.py     # writes docs/images/rooms.svg and says where imports break the table

The table in `how-it-works.md` is the truth; `tests/test_layers.py` keeps the imports to it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
PACKAGE: Final = HERE.parent / "cognite_nb_upload"
NAME: Final = PACKAGE.name
TABLE: Final = HERE / "how-it-works.md"
PICTURE: Final = HERE / "images" / "rooms.svg"
_ROW: Final = re.compile(r"^\| (\d+|-) \| (.+?) \| .* \|$", re.MULTILINE)
# Modules outside the lines: nothing of the client imports them, and they import nothing of it.
APART: Final = 0


@dataclass(frozen=True, slots=True)
class Import:
    """`module` imports `seen`, both named below the package; `inside` a function or not."""

    module: str
    seen: str
    inside: bool


def lines() -> dict[str, int]:
    """The line of each room or module in the table; the emulator, which stands apart, has 0."""
    found = {}
    for line, rooms in _ROW.findall(TABLE.read_text()):
        for name in re.findall(r"`([\w.]+)`", rooms):
            found[name] = APART if line == "-" else int(line)
    return found


def line_of(module: str, table: dict[str, int]) -> int:
    """The line of a module: that of the longest name in the table that it begins with.

    Raises:
        KeyError: the table does not have it.
    """
    parts = module.split(".")
    for size in range(len(parts), 0, -1):
        if (line := table.get(".".join(parts[:size]))) is not None:
            return line
    raise KeyError(f"{module} has no line in {TABLE.name}; give it one.")


def modules() -> dict[str, ast.Module]:
    """Every module of the package, by its name below it."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(path.read_text())
    return found


def imported(
    tree: ast.AST, inside: bool = False, types: bool = False
) -> Iterator[tuple[str, bool]]:
    """(what is imported, whether inside a function); `types`: also what type checkers alone see."""
    for node in ast.iter_child_nodes(tree):
        match node:
            case ast.expr():
                pass  # nothing is imported within an expression, and most nodes are there
            case ast.If(test=ast.Name(id="TYPE_CHECKING")) if not types:
                pass
            case ast.Import(names=names):
                yield from ((one.name, inside) for one in names)
            case ast.ImportFrom(module=module, names=names, level=0) if module:
                yield from ((f"{module}.{one.name}", inside) for one in names)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from imported(node, True, types)
            case _:
                yield from imported(node, inside, types)


def ours(name: str, known: dict[str, ast.Module]) -> str | None:
    """The module of this package that an import names; None for another package's."""
    if name.partition(".")[0] != NAME:
        return None
    name = name.partition(".")[2]
    while name and name not in known:
        name = name.rpartition(".")[0]
    return name or "__init__"


def imports(known: dict[str, ast.Module], types: bool = False) -> list[Import]:
    """Every import of one module of the package by another; `types`: for type checkers, too."""
    return [
        Import(module, seen, inside)
        for module, tree in known.items()
        for name, inside in imported(tree, types=types)
        if (seen := ours(name, known)) and seen != module
    ]


def upward(known: dict[str, ast.Module]) -> set[tuple[str, str]]:
    """(module, what it imports) where the table does not allow it."""
    table = lines()
    return {
        (one.module, one.seen)
        for one in imports(known)
        if line_of(one.module, table) < line_of(one.seen, table)
    }


def circles(known: dict[str, ast.Module]) -> list[set[str]]:
    """Groups of modules that name each other, for type checkers or at run time, by any way."""
    arrows: dict[str, set[str]] = {module: set() for module in known}
    for one in imports(known, types=True):
        arrows[one.module].add(one.seen)
    reach = {module: _reachable(module, arrows) for module in known}
    found: list[set[str]] = []
    for module in known:
        group = {other for other in reach[module] if module in reach[other]}
        if group and group not in found:
            found.append(group)
    return found


def _reachable(start: str, arrows: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    left = list(arrows[start])
    while left:
        if (one := left.pop()) not in seen:
            seen.add(one)
            left += arrows[one]
    return seen


# --- the picture -------------------------------------------------------------------------------

_WIDTH: Final = 150
_HEIGHT: Final = 44
_GAP_X: Final = 26
_GAP_Y: Final = 46
_MARGIN: Final = 24
_STYLE: Final = (
    "text{font:13px system-ui,sans-serif;text-anchor:middle;fill:#1d2733}"
    ".size{font-size:11px;fill:#5b6875}rect{fill:#eef3f8;stroke:#8da2b8;rx:6}"
    ".arrow{stroke:#7b8b9b;fill:none;marker-end:url(#tip)}"
)


def room_of(module: str) -> str:
    """The room: a folder of the package, a wing of `widgets`, or a file that stands alone."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "widgets" and len(parts) > 2 else parts[0]


def picture() -> str:
    """The rooms by line, the top line uppermost, as SVG.

    An arrow that others imply is left out.
    """
    known, table = modules(), lines()
    shown = {
        name: tree for name, tree in known.items() if not name.startswith(("emulator", "_version"))
    }
    sizes: dict[str, int] = {}
    floors: dict[str, int] = {}
    for module in shown:
        room = room_of(module)
        sizes[room] = sizes.get(room, 0) + 1
        floors[room] = max(floors.get(room, 0), line_of(module, table))
    arrows = {room: set() for room in sizes}
    for one in imports(shown):
        here, there = room_of(one.module), room_of(one.seen)
        if here != there and there in arrows:
            arrows[here].add(there)
    return _svg(floors, sizes, _implied_left_out(arrows))


def _implied_left_out(arrows: dict[str, set[str]]) -> set[tuple[str, str]]:
    kept = set()
    for here, ends in arrows.items():
        for end in ends:
            others = {one for one in ends if one != end}
            if not any(end in _reachable(one, arrows) for one in others):
                kept.add((here, end))
    return kept


def _svg(floors: dict[str, int], sizes: dict[str, int], arrows: set[tuple[str, str]]) -> str:
    places, width, height = _places(floors)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        "<title>The rooms of the package, and which imports which</title>",
        f"<style>{_STYLE}</style>",
        f'<rect width="{width}" height="{height}" style="fill:#fff;stroke:none"/>',
        '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M0 0L8 4L0 8z" fill="#7b8b9b"/></marker>',
    ]
    parts += [_arrow(places[here], places[end]) for here, end in sorted(arrows)]
    for room, (x, y) in sorted(places.items()):
        count = f"{sizes[room]} modules" if sizes[room] > 1 else "1 module"
        parts += [
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}"/>',
            f'<text x="{x + _WIDTH // 2}" y="{y + 19}">{room.replace("__", "")}</text>',
            f'<text class="size" x="{x + _WIDTH // 2}" y="{y + 35}">{count}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])


def _places(floors: dict[str, int]) -> tuple[dict[str, tuple[int, int]], int, int]:
    """Where each room stands, and the width and height of the whole."""
    rows = [
        sorted(room for room, floor in floors.items() if floor == level)
        for level in sorted(set(floors.values()), reverse=True)
    ]
    width = 2 * _MARGIN + max(map(len, rows)) * (_WIDTH + _GAP_X) - _GAP_X
    places = {}
    for at, row in enumerate(rows):
        left = (width - len(row) * (_WIDTH + _GAP_X) + _GAP_X) // 2
        for no, room in enumerate(row):
            places[room] = (left + no * (_WIDTH + _GAP_X), _MARGIN + at * (_HEIGHT + _GAP_Y))
    return places, width, 2 * _MARGIN + len(rows) * (_HEIGHT + _GAP_Y) - _GAP_Y


def _arrow(here: tuple[int, int], end: tuple[int, int]) -> str:
    half = _WIDTH // 2
    if here[1] == end[1]:  # beside each other
        side, y = (half if end[0] > here[0] else -half), here[1] + _HEIGHT // 2
        path = f"M{here[0] + half + side} {y}L{end[0] + half - side} {y}"
    else:
        x1, y1, x2, y2 = here[0] + half, here[1] + _HEIGHT, end[0] + half, end[1]
        path = f"M{x1} {y1}C{x1} {y1 + 30} {x2} {y2 - 30} {x2} {y2}"
    return f'<path class="arrow" d="{path}"/>'


def main() -> None:
    """Write the picture, and say what breaks the table."""
    PICTURE.write_text(picture())
    known = modules()
    for module, seen in sorted(upward(known)):
        print(f"{module} imports {seen}, which stands above it")
    for circle in circles(known):
        print("circle:", *sorted(circle))


if __name__ == "__main__":
    main()
