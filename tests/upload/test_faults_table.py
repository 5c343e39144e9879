"""FAULTS.md names a test for every row, and each of them exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")


def _lines() -> list[str]:
    return [line for line in (TESTS / "FAULTS.md").read_text().splitlines() if line[:2] == "| "]


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_every_row_and_every_threat_has_a_test() -> None:
    rows = [line for line in _lines() if not line.startswith(("| row", "| threat"))]
    numbers = [int(row.split("|")[1]) for row in rows if row.split("|")[1].strip().isdigit()]
    assert numbers[:30] == list(range(1, 31))
    assert len(numbers) == len(set(numbers))
    assert len(rows) == len(numbers) + 11
    assert [row for row in rows if not NAMED.search(row)] == []


def test_every_test_that_is_named_exists() -> None:
    named = NAMED.findall((TESTS / "FAULTS.md").read_text())
    assert len(named) > 100
    known = {path: _functions(TESTS / path) for path in {path for path, _ in named}}
    assert [f"{path}::{name}" for path, name in named if name not in known[path]] == []
