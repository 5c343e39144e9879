"""Count the lines of code of each room: without blanks, comments and docstrings.

python docs/count_code.py
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from pathlib import Path

from rooms import PACKAGE, room_of

_NOT_CODE = {
    *{tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT},
    *{tokenize.ENCODING, tokenize.ENDMARKER},
}


def code_lines(path: Path) -> int:
    """How many lines of a Python file hold code; a docstring is none, other text is."""
    text = path.read_text()
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in _NOT_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - _docstrings(ast.parse(text)))


def _docstrings(tree: ast.Module) -> set[int]:
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                found.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return found


def main() -> None:
    """Print each room, the client as a whole, and the emulator."""
    counts: Counter[str] = Counter()
    for path in PACKAGE.rglob("*.py"):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        counts[room_of(name.removesuffix(".__init__"))] += code_lines(path)
    for room, count in sorted(counts.items()):
        print(f"{count:6} {room}")
    emulator = counts["emulator"]
    print(f"{counts.total() - emulator:6} without the emulator\n{emulator:6} the emulator")


if __name__ == "__main__":
    main()
