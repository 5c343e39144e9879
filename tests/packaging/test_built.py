"""What is built: its metadata, and a wheel that works with the oldest and newest dependencies."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest
from installing import install, make_venv

ROOT = Path(__file__).parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# The README's examples, many files, the panel, and the journal.
SHORT_SET = (
    "tests/docs/test_readme.py",
    "tests/batch/test_upload_many.py",
    "tests/panel/test_panel_upload.py",
    "tests/journal/test_journal.py",
)
# What the short set itself needs, beside the package.
TOOLS = (
    "pytest",
    "pytest-timeout",
    "pytest-randomly",
    "hypothesis",
    "psutil",
    "filelock",
    "cognite-sdk<9",
)
_FLOOR = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?\s*>=\s*([\d.]+)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist, and the wheel that was made from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "-q", "-o", folder, ROOT], check=True)
    return folder


def metadata(built: Path) -> Message:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        name = next(name for name in wheel.namelist() if name.endswith("/METADATA"))
        return message_from_bytes(wheel.read(name))


def test_no_relative_link_is_left_in_the_metadata(built: Path) -> None:
    text = str(metadata(built).get_payload())
    links = _LINK.findall(text)
    assert len(links) > 10
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert "ADDRESS" not in text


def test_every_link_into_the_repository_leads_to_a_file(built: Path) -> None:
    address = PYPROJECT["urls"]["Repository"]
    found = re.findall(
        rf"{re.escape(address)}/(?:raw|blob)/HEAD/([^)#\s]+)", str(metadata(built).get_payload())
    )
    assert found
    assert [path for path in found if not (ROOT / path).exists()] == []


def test_the_address_of_the_repository_stands_in_one_place() -> None:
    address = PYPROJECT["urls"]["Repository"].removeprefix("https://")
    names = subprocess.run(
        ["git", "grep", "-l", "--fixed-strings", address],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert names.stdout.split() == ["pyproject.toml"]


def test_the_sdist_has_what_is_needed_to_build_and_nothing_that_was_made(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "docs/readme_metadata.py"} <= names
    assert not [name for name in names if name.startswith((".venv", "build/", "artifacts/"))]


def floors(*extras: str) -> list[str]:
    """`name==version` of each requirement with a lower bound, as pyproject declares it."""
    wanted = list(PYPROJECT["dependencies"])
    for extra in extras:
        wanted += PYPROJECT["optional-dependencies"][extra]
    return [f"{found[1]}=={found[2]}" for text in wanted if (found := _FLOOR.match(text))]


@pytest.mark.parametrize("versions", ["lowest", "newest"])
def test_the_wheel_works_with_the_versions_that_are_declared(
    versions: str, built: Path, tmp_path: Path
) -> None:
    venv = tmp_path / "venv"
    make_venv(venv)
    python = venv / "bin" / "python"
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("\n".join(floors("emulator") if versions == "lowest" else []))
    wheel = next(built.glob("*.whl"))
    install(venv, "-c", str(constraints), f"{wheel}[emulator]", *TOOLS)
    done = subprocess.run(
        [python, "-P", "-m", "pytest", "-q", "-m", "not slow", *SHORT_SET],
        cwd=ROOT,
        env={**os.environ, "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    where = subprocess.run(
        [python, "-P", "-c", "import cognite_nb_upload; print(cognite_nb_upload.__file__)"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(venv))
