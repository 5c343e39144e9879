"""Folders keep their shape; what cannot be read is a row that says so."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from cognite_nb_upload import UsageError
from cognite_nb_upload.batch.folders import Walk, find
from cognite_nb_upload.batch.patterns import chooser, matcher
from cognite_nb_upload.emulator import Emulator

Many = Callable[..., pd.DataFrame]


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("*.las", "a.las", True),
        ("*.las", "sub/a.las", False),
        ("**/*.las", "a.las", True),
        ("**/*.las", "x/y/a.las", True),
        ("x/**", "x/y/a.las", True),
        ("a?.[lt]as", "ab.las", True),
        ("a.[!l]as", "a.las", False),
        ("a[.las", "a[.las", True),
        ("a.las", "axlas", False),
    ],
)
def test_patterns_have_the_rules_of_globs(pattern: str, path: str, fits: bool) -> None:
    assert matcher(pattern)(path) is fits


def test_paths_that_are_named_are_chosen_among_as_well(tmp_path: Path) -> None:
    """A shell makes paths of `*.las` before anybody sees the pattern."""
    for name in ("a.las", "a.tmp", "old/b.las"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    given = [str(tmp_path / "a.las"), tmp_path / "a.tmp", str(tmp_path / "old" / "b.las")]
    found = find(given, Walk(exclude=("old/", "*.tmp")))
    assert [Path(one.path).name for one in found] == ["a.las"]
    elsewhere = ["https://host/x/a.las?sig=secret", "https://host/x/a.tmp?sig=.las"]
    found = find(elsewhere, Walk(include=("*.las",)))
    assert [one.path for one in found] == ["https://host/x/a.las"]


def test_a_table_is_not_chosen_from_in_silence(tmp_path: Path, many: Many) -> None:
    with pytest.raises(UsageError, match="of a DataFrame, give the rows that are wanted"):
        many(pd.DataFrame({"path": [tmp_path / "a.tmp"]}), exclude="*.tmp")


def test_an_empty_path_is_not_the_current_folder(
    tmp_path: Path, many: Many, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "private.bin").write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    for given in ("", [""]):
        frame = many(given)
        assert list(frame["error"]) == ["The path is empty."]


def test_include_and_exclude() -> None:
    choice = chooser(["*.las", "raw/*"], ["old/", "*.tmp.las"])
    assert choice.takes("x/a.las")
    assert choice.takes("raw/b.bin")
    assert not choice.takes("x/raw/b.bin")
    assert not choice.takes("old/a.las")
    assert not choice.takes("x/old/a.las")
    assert not choice.takes("a.tmp.las")
    assert not choice.enters("x/old")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    top = tmp_path / "tree"
    for name in ("2023/data.csv", "2024/data.csv", "2024/raw/x.bin", "top.csv", "old/gone.csv"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(name.encode())
    return top


def places(cdf: Emulator) -> set[str]:
    return {
        f"{one.get('directory', '')}|{one['name']}"
        for one in cdf.files()
        if "instanceId" not in one
    }


def test_a_folder_keeps_its_shape(cdf: Emulator, many: Many, tree: Path) -> None:
    many(tree, recursive=True, exclude="old/")
    assert places(cdf) == {"/2023|data.csv", "/2024|data.csv", "/2024/raw|x.bin", "|top.csv"}


def test_below_a_directory(cdf: Emulator, many: Many, tree: Path) -> None:
    many(tree, recursive=True, include=["*.csv"], exclude=["old/"], directory="/survey/")
    assert places(cdf) == {"/survey/2023|data.csv", "/survey/2024|data.csv", "/survey/|top.csv"}


def test_a_glob_keeps_its_shape_and_follows_no_link(cdf: Emulator, many: Many, tree: Path) -> None:
    (tree / "loop").symlink_to(tree)
    (tree / "2024" / "link.csv").symlink_to(tree / "top.csv")
    many(str(tree / "**" / "*.csv"), exclude=["old/"])
    assert places(cdf) == {"/2023|data.csv", "/2024|data.csv", "|top.csv"}


def test_a_glob_of_one_level_looks_no_deeper(tree: Path) -> None:
    found = [one.relative for one in find([str(tree / "*" / "*.csv")], Walk())]
    assert found == ["2023/data.csv", "2024/data.csv", "old/gone.csv"]


def test_names_that_cdf_cannot_have_are_rows_that_say_so(
    cdf: Emulator, many: Many, tree: Path
) -> None:
    with open(os.fsencode(tree) + b"/bad\xff.csv", "wb") as file:
        file.write(b"x")
    result = many(tree).set_index("path")
    (bad,) = [path for path in result.index if "bad" in path]
    assert result["status"].to_dict() == {str(tree / "top.csv"): "done", bad: "invalid"}
    assert "is not UTF-8" in result["error"][bad]
    result.to_csv(tree.parent / "kept.csv")  # it can be written


def test_a_nul_in_a_path_is_a_row_that_says_so(many: Many, tree: Path) -> None:
    result = many([tree / "top.csv", "a\0b"])
    assert list(result["status"]) == ["done", "invalid"]
    assert "NUL" in result["error"][1]


def test_a_folder_that_cannot_be_read_stops_no_other(
    many: Many, tree: Path, tmp_path: Path
) -> None:
    """Its path is longer than the system takes, which holds for every user."""
    name, here = "d" * 250, os.open(tree, os.O_RDONLY)
    for _ in range(17):
        os.mkdir(name, dir_fd=here)
        deeper = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    result = many(tree, recursive=True, exclude=["20*/", "old/"])
    assert sorted(result["status"]) == ["done", "invalid"]
    assert "cannot be read: File name too long" in result["error"].max()


def test_a_directory_that_is_too_long_is_told(many: Many, tree: Path) -> None:
    result = many(tree / "2024", directory="/" + "d" * 511)
    assert list(result["status"]) == ["done"]
    result = many(tree / "2024", recursive=True, directory="/" + "d" * 511)
    assert list(result["status"]) == ["done", "invalid"]
    assert "directory has" in result["error"][1]


def test_two_rows_that_are_the_same_are_told_before_anything_is_sent(
    cdf: Emulator, many: Many, tree: Path
) -> None:
    os.chdir(tree)
    result = many(["top.csv", tree / "top.csv"], dry_run=True)
    assert "same file and request as row 0" in result["error"][1]
    named = many(tree, recursive=True, external_id=lambda path: path.split("/")[-1], dry_run=True)
    assert list(named["status"]) == ["waiting", "invalid", "waiting", "waiting", "waiting"]
    assert "'data.csv' is that of row 0" in named["error"][1]
    assert not cdf.requests()


def test_nothing_found_is_told(many: Many, tree: Path) -> None:
    with pytest.raises(UsageError, match="No file was found"):
        many(str(tree / "*.nothing"))
