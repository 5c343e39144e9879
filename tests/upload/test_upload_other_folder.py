"""`%cd` in the next cell: what was given by a relative path stays what it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from certificates import Authority
from upload_rig import PART, content_of, file_of, until

from cognite_nb_upload import CogniteClient, UsageError, uploads
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.http import tls_context
from cognite_nb_upload.sources import FileSource

Places = tuple[Path, Path]


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """The folder that the process is in, and another one."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    monkeypatch.chdir(here)
    return here, there


def test_an_upload_and_its_journal_go_on(
    client: CogniteClient, cdf: Emulator, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = places
    name = file_of(here, 3).name
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", "state")
    upload = client.files.start_upload(name, part_size=PART, max_bandwidth=MIB)
    until(upload, lambda state: state.moved > 0)
    monkeypatch.chdir(there)
    assert list(uploads(folder=here / "state")["source"]) == [str(here / name)]
    upload.set_limits(max_bandwidth=float("inf"))
    assert cdf.content(upload.result(30).id) == content_of(3)
    assert list(there.iterdir()) == []


def test_a_download_arrives_where_it_was_asked_for(
    client: CogniteClient, cdf: Emulator, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = places
    uploaded = client.files.upload(b"x", name="a")
    assert client.files.download("back", id=uploaded.id) == here / "back"
    monkeypatch.chdir(there)
    assert (here / "back").read_bytes() == b"x"


@pytest.mark.parametrize("named", ["in", "in/*.bin", "in/a.bin", "table"])
def test_many_files_are_those_of_the_folder_in_which_they_were_named(
    client: CogniteClient,
    cdf: Emulator,
    places: Places,
    monkeypatch: pytest.MonkeyPatch,
    named: str,
) -> None:
    for place in places:
        (place / "in").mkdir()
        (place / "in" / "a.bin").write_text(place.name)
    elsewhere = threading.Event()

    def given() -> Iterator[Any]:
        elsewhere.wait()
        yield pd.DataFrame({"path": ["in/a.bin"]}) if named == "table" else named

    how = {"result": "result.csv"} if named == "table" else {}
    batch = client.files.start_many(given(), **how)
    monkeypatch.chdir(places[1])
    elsewhere.set()
    assert list(batch.result()["status"]) == ["done"]
    assert [cdf.content(one["id"]) for one in cdf.files() if one["name"] == "a.bin"] == [b"here"]


@pytest.mark.parametrize("given", [".", "*.bin", ["a.bin"]], ids=["folder", "glob", "list"])
def test_the_result_tells_a_path_as_it_was_given(
    client: CogniteClient, places: Places, given: str | list[str]
) -> None:
    here, _ = places
    (here / "a.bin").write_bytes(b"here")
    [told] = client.files.start_many(given).result()["path"]
    assert told.removeprefix("./") == "a.bin"


def test_a_relative_path_is_that_of_the_moment_it_was_given(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = places
    (here / "a.bin").write_bytes(b"here")
    source = FileSource.open("a.bin")
    monkeypatch.chdir(there)
    (there / "a.bin").write_bytes(b"there")
    source.check()
    assert source.facts().path == str(here / "a.bin")
    source.close()


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("a\0b.csv", r"'a\\x00b.csv' holds a NUL"),
        ("s3://bucket/a.csv", r"is written to a file on this machine, not to s3://bucket/a.csv"),
    ],
    ids=["nul", "address"],
)
def test_what_is_written_goes_to_a_path_on_this_machine(
    client: CogniteClient, places: Places, path: str, sentence: str
) -> None:
    with pytest.raises(UsageError, match=r"A download is written to a path, not to int"):
        client.files.download(5, id=1)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=sentence):
        client.files.download(path, id=1)
    with pytest.raises(UsageError, match=sentence):
        client.files.start_many(iter([pd.DataFrame({"path": ["a"]})]), result=path)


def test_certificates_named_by_a_relative_path_stay_in_use(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", Path(Authority(places[0]).file).name)
    context = tls_context()
    monkeypatch.chdir(places[1])
    assert tls_context() is context


def test_a_home_folder_that_is_not_known_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(path: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", nobody)
    with pytest.raises(UsageError, match=r"^~/a begins in a home folder, and none is known"):
        FileSource.open("~/a")


@pytest.mark.parametrize("path", ["a\0b", "\udcff\0"])
def test_what_can_be_no_path_is_told(path: str) -> None:
    with pytest.raises(UsageError, match="cannot be the path of a file"):
        FileSource.open(path)
