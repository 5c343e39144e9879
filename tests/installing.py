"""Environments for tests: uv makes them from one cache; pip does it where uv cannot.

uv takes seconds where pip takes minutes. It reads none of pip's settings, so these are given to it.
"""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

_BIN = Path(sys.executable).parent
# pip's settings, and the options of uv that mean the same.
_OPTIONS = {
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "trusted-host": "--allow-insecure-host",
}
# As pip does: the best of all indexes. Modules are compiled by what imports them: most never are.
_INSTALL = ("pip", "install", "-q", "--index-strategy", "unsafe-best-match")
_PIP = ("-m", "pip", "install", "-q", "--no-compile")


def make_venv(folder: Path, python: str = sys.executable) -> None:
    """Makes a venv with pip in it; one that is there already is kept."""
    made = ("venv", "-q", "--seed", "--allow-existing", "-p", python)
    if not _uv(*made, *_index_options(), str(folder)):
        subprocess.run([python, "-m", "venv", folder], check=True)


def install(venv: Path, *wanted: str) -> None:
    """Installs packages; `wanted` is what both `pip install` and `uv pip install` take.

    Raises:
        subprocess.CalledProcessError: pip cannot install them either.
    """
    python = str(venv / "bin" / "python")
    held = [text for path in _pip_settings().get("constraint", "").split() for text in ("-c", path)]
    if not _uv(*_INSTALL, "-p", python, *_index_options(), *held, *wanted):
        subprocess.run([python, *_PIP, *wanted], check=True)


def _uv(*arguments: str) -> bool:
    """Whether uv is there and did it. What it says of a failure is shown."""
    uv = shutil.which("uv", path=f"{_BIN}{os.pathsep}{os.environ.get('PATH', '')}")
    if uv is None:
        return False
    env = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    if certificate := _pip_settings().get("cert"):
        env["SSL_CERT_FILE"] = certificate
    return subprocess.run([uv, *arguments], env=env, check=False).returncode == 0


def _index_options() -> list[str]:
    """Where packages come from, as pip is set up, in options of uv."""
    settings = _pip_settings()
    found = [
        text
        for name, option in _OPTIONS.items()
        for value in settings.get(name, "").split()
        for text in (option, value)
    ]
    return [*found, "--no-index"] if settings.get("no-index") in ("1", "true", "yes") else found


@cache
def _pip_settings() -> dict[str, str]:
    """pip's settings from its files and the environment; the environment comes first."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "config", "list"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [line.partition("=") for line in done.stdout.splitlines() if "=" in line]
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for key, _, value in rows:
            name = key.removeprefix(f"{section}.")
            if name != key:
                found[name] = str(ast.literal_eval(value))
    return found
