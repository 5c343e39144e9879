"""`%cd` in the next cell: what was given by a relative path stays what it was."""

from __future__ import annotations

from pathlib import Path

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
