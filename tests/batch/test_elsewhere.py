"""Rows, prefixes and patterns of other stores: found, looked at and sent as files here are."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from support import some_bytes
from web_store import WebStore, web_store

from cognite_nb_upload import CogniteClient, UsageError, unfinished_jobs
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator

Many = Callable[..., pd.DataFrame]
BIG = some_bytes(7 * MIB, seed=5)
FILES = {
    "wells/a.las": b"a" * 100,
    "wells/b.txt": b"b" * 200,
    "wells/.hidden.las": b"h",
    "wells/deep/c.las": b"c" * 300,
    "wells/deep/er/d.las": BIG,
    "other/e.las": b"e",
}


class Shelf(MemoryFileSystem):  # type: ignore[misc] # fsspec has no types
    """A store in memory that counts how often it is asked for one file."""

    protocol = "shelf"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    looks: ClassVar[list[str]] = []

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("shelf://", "memory://")))

    def info(self, path: str, **how: Any) -> Any:
        self.looks.append(path)
        return super().info(path, **how)


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    fsspec.register_implementation("shelf", Shelf, clobber=True)
    Shelf.store.clear()
    Shelf.looks.clear()
    fs = Shelf()
    for path, data in FILES.items():
        fs.pipe(f"/{path}", data)
    Shelf.looks.clear()
    yield fs
    Shelf.store.clear()


@pytest.fixture
def web() -> Iterator[WebStore]:
    with web_store() as running:
        yield running


def paths_of(frame: pd.DataFrame) -> list[str]:
    return [str(one).removeprefix("shelf://") for one in frame["path"]]


@pytest.mark.parametrize(
    ("given", "how", "found"),
    [
        ("shelf://wells/", {}, ["wells/a.las", "wells/b.txt"]),
        (
            "shelf://wells/",
            {"recursive": True, "include": "*.las"},
            ["wells/a.las", "wells/deep/c.las", "wells/deep/er/d.las"],
        ),
        ("shelf://wells/*.las", {}, ["wells/a.las"]),
        ("shelf://wells/*/[!d].las", {}, ["wells/deep/c.las"]),
        (
            "shelf://wells/**/*.las",
            {"exclude": "er/"},
            ["wells/a.las", "wells/deep/c.las"],
        ),
        (["shelf://other/e.las", "shelf://wells/a.las"], {}, ["other/e.las", "wells/a.las"]),
    ],
)
def test_prefixes_and_patterns_are_those_of_folders(
    many: Many, shelf: Shelf, given: object, how: dict[str, Any], found: list[str]
) -> None:
    frame = many(given, dry_run=True, **how)
    assert paths_of(frame) == found
    assert frame["size"].tolist() == [len(FILES[one]) for one in found]
    assert len(shelf.looks) <= (2 if isinstance(given, list) else 1)  # a listing tells the sizes


def test_a_prefix_is_sent_once_and_what_was_replaced_again(
    many: Many, cdf: Emulator, uploaded: Callable[[], list[dict[str, Any]]], shelf: Shelf
) -> None:
    how: dict[str, Any] = {"recursive": True, "external_id": "path", "if_exists": "overwrite"}
    frame = many("shelf://wells/", **how)
    assert frame["error"].tolist() == [""] * 4
    assert frame["status"].tolist() == ["done"] * 4
    by_id = {one["externalId"]: one for one in uploaded()}
    assert set(by_id) == {"a.las", "b.txt", "deep/c.las", "deep/er/d.las"}
    assert by_id["deep/er/d.las"]["directory"] == "/deep/er"
    for name, file in by_id.items():
        assert cdf.content(file["id"]) == FILES[f"wells/{name}"]
    shelf.pipe("/wells/a.las", b"z" * 100)
    again = many("shelf://wells/", **how)
    assert again["status"].tolist() == ["done"] * 4
    assert [note == "sent before" for note in again["note"]] == [False, True, True, True]
    assert cdf.content(by_id["a.las"]["id"]) == b"z" * 100


def test_rows_of_addresses_stand_beside_rows_of_paths(
    many: Many,
    cdf: Emulator,
    uploaded: Callable[[], list[dict[str, Any]]],
    web: WebStore,
    tmp_path: Path,
    state: Path,
) -> None:
    (tmp_path / "here.bin").write_bytes(b"here")
    signed = web.put("big%20one.bin", BIG) + "?X-Amz-Signature=planted"
    frame = pd.DataFrame({
        "path": [signed, web.put("small.bin", b"small"), f"{web.url}/none.bin",
                 tmp_path / "here.bin", (tmp_path / "here.bin").as_uri()],
        "external_id": list("abcde"),
    })  # fmt: skip
    done = many(frame, verify="checksum")
    assert done["status"].tolist() == ["done", "done", "invalid", "done", "done"]
    assert "is not there" in done["error"][2]
    contents = {one["name"]: cdf.content(one["id"]) for one in uploaded()}
    assert contents == {"big one.bin": BIG, "small.bin": b"small", "here.bin": b"here"}
    assert len(BIG) <= web.given <= 1.01 * len(BIG)
    told = [done.drop(columns="path").to_csv(), repr(unfinished_jobs(recent=True))]
    told += [path.read_text() for path in state.rglob("*") if path.is_file()]
    assert any("big%20one.bin" in one for one in told)
    assert not [one for one in told if "planted" in one]


def test_a_small_object_that_is_replaced_after_the_look_is_refused(
    client: CogniteClient, web: WebStore, many: Many
) -> None:
    address = web.put("a.bin", b"first")

    def replaced(path: str, span: str) -> None:
        if len(web.asked) == 2:  # the look came first
            web.put("a.bin", b"other")

    web.fault = replaced
    frame = many([address])
    assert frame["status"].tolist() == ["failed"]
    assert "was replaced" in frame["error"][0]


def test_what_cannot_be_listed_is_said(many: Many, shelf: Shelf) -> None:
    with pytest.raises(UsageError, match=r"No file was found at shelf://none/\*\.las"):
        many("shelf://none/*.las")
    with pytest.raises(UsageError, match="storage_options is a dict"):
        many("shelf://wells/", storage_options="key")
    frame = many(["nosuch://bucket/*.las"], dry_run=True)
    assert "no scheme that can be read" in frame["error"][0]
