"""What a file is called in CDF, and what of it is sent, where the content does not say it well."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pytest
from upload_rig import asked

from cognite_nb_upload import CogniteClient, UsageError
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.sources import own_name

CONTENT = b"a,b\n" * 100


def pipe(_: Path) -> Any:
    reader, writer = os.pipe()
    os.close(writer)
    return open(reader, "rb")


def in_tar(path: Path) -> Any:
    with tarfile.open(path.with_suffix(".tgz"), "w:gz") as archive:
        archive.add(path, "inner/a.bin")
    with tarfile.open(path.with_suffix(".tgz")) as archive:
        return archive.extractfile("inner/a.bin")


NAMELESS: dict[str, Callable[[Path], Any]] = {
    "BytesIO": lambda _: io.BytesIO(b"x"),
    "a temporary file": lambda _: tempfile.TemporaryFile(),
    "a spooled file": lambda _: tempfile.SpooledTemporaryFile(),
    "a descriptor": lambda path: open(os.open(path, os.O_RDONLY), "rb"),
    "bytes": lambda _: b"x",
    "a generator": lambda _: (one for one in [b"x"]),
    "a list": lambda _: [b"x"],
    "a pipe": pipe,
    "a member of a tar": in_tar,
    "gzip of a buffer": lambda _: gzip.GzipFile(fileobj=io.BytesIO(gzip.compress(b"x"))),
    "bz2": lambda path: bz2.BZ2File(io.BytesIO(bz2.compress(b"x"))),
}


@pytest.mark.parametrize("make", NAMELESS.values(), ids=NAMELESS)
def test_what_has_no_name_is_asked_for_one(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, make: Callable[[Path], Any]
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"x")
    content = make(path)
    with pytest.raises(UsageError, match=r"^The \w+ has no name; give name='\.\.\.'\.$"):
        client.files.upload(content)
    assert not asked(cdf, "init")
    if hasattr(content, "close"):
        content.close()


def test_what_holds_no_bytes_is_not_asked_for_a_name(client: CogniteClient) -> None:
    for wrong in (None, 7, float("nan"), print):
        with pytest.raises(UsageError, match=r"^\w+ cannot be uploaded; give bytes, str, a Path"):
            client.files.upload(wrong)  # type: ignore[call-overload]


def test_a_name_may_be_a_path(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"x")
    with io.FileIO(tmp_path / "a.bin") as file:
        assert own_name(file) == "a.bin"


def in_zip(folder: Path) -> Any:
    with zipfile.ZipFile(folder / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/x.csv", CONTENT)
    return zipfile.ZipFile(folder / "all.zip").open("inner/x.csv")


def packed(name: str, module: Any) -> Callable[[Path], Any]:
    def make(folder: Path) -> Any:
        with module.open(folder / name, "wb") as file:
            file.write(CONTENT)
        return module.open(folder / name)

    return make


def buffered(folder: Path) -> Any:
    return io.BufferedReader(packed("x.csv.gz", gzip)(folder))


def by_fsspec(folder: Path) -> Any:
    packed("x.csv.gz", gzip)(folder).close()
    return fsspec.open(f"file://{folder}/x.csv.gz", compression="gzip")


UNPACKED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gzip": (packed("x.csv.gz", gzip), "x.csv"),
    "gzip of another name": (packed("x.data", gzip), "x.data"),
    "a tar": (packed("x.tgz", gzip), "x.tar"),
    "a buffered gzip": (buffered, "x.csv"),
    "fsspec": (by_fsspec, "x.csv"),
}


@pytest.mark.parametrize(("make", "name"), UNPACKED.values(), ids=UNPACKED)
def test_what_is_unpacked_on_the_way_is_called_as_what_is_sent(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, make: Callable[[Path], Any], name: str
) -> None:
    content = make(tmp_path)
    uploaded = client.files.upload(content)
    assert cdf.content(uploaded.id) == CONTENT
    assert uploaded.name == name
    assert uploaded.file.mime_type != "application/gzip"
    assert uploaded.notes[0] == f"What is sent is unpacked: 400 bytes as '{name}'."
    if hasattr(content, "read"):
        content.close()


@pytest.mark.parametrize("module", [bz2, lzma])
def test_what_is_unpacked_without_a_name_is_said_too(
    client: CogniteClient, tmp_path: Path, module: Any
) -> None:
    with packed("x.csv", module)(tmp_path) as content:
        uploaded = client.files.upload(content, name="x.csv")
    assert uploaded.notes[0].startswith("What is sent is unpacked")


def test_a_member_of_an_archive_is_called_as_it_is_there(
    client: CogniteClient, tmp_path: Path
) -> None:
    content = in_zip(tmp_path)
    uploaded = client.files.upload(content)
    assert (uploaded.name, uploaded.notes) == ("x.csv", ())
    content.close()


def test_names_that_are_none(tmp_path: Path) -> None:
    for name in ("<stdin>", "/dev/fd/63", "/proc/self/fd/0", 7, None):
        named = io.BytesIO()
        named.name = name  # type: ignore[attr-defined]
        assert own_name(named) == ""
    named.name = os.fsencode(tmp_path / "x.csv")  # type: ignore[attr-defined]
    assert own_name(named) == "x.csv"


@pytest.mark.parametrize("kind", ["buffer", "file", "gzip"])
def test_an_object_at_its_end_is_told(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, kind: str
) -> None:
    content: Any = {
        "buffer": lambda: io.BytesIO(),
        "file": lambda: (tmp_path / "a").open("w+b"),
        "gzip": lambda: packed("x.csv.gz", gzip)(tmp_path),
    }[kind]()
    if kind == "gzip":
        content.read()
    else:
        content.write(CONTENT)
    with pytest.raises(UsageError, match=r"a\.csv stands at its end, after 400 bytes.* seek\(0\)"):
        client.files.upload(content, name="a.csv")
    assert not asked(cdf, "init")
    content.seek(0)
    assert cdf.content(client.files.upload(content, name="a.csv").id) == CONTENT
    content.close()


def test_an_empty_buffer_is_an_empty_file(client: CogniteClient) -> None:
    uploaded = client.files.upload(io.BytesIO(), name="a")
    assert (uploaded.size, uploaded.notes) == (0, ())


def test_an_iterator_that_gives_nothing_is_said(client: CogniteClient) -> None:
    uploaded = client.files.upload(iter(()), name="a")
    assert uploaded.notes == ("The tuple_iterator gave no bytes: the file is empty.",)


@pytest.mark.skipif(not Path("/proc/version").exists(), reason="no /proc here")
@pytest.mark.parametrize("opened", [False, True])
def test_a_file_of_size_0_that_has_bytes_is_told(client: CogniteClient, opened: bool) -> None:
    path = Path("/proc/version")
    assert path.stat().st_size == 0
    with path.open("rb") as file:
        with pytest.raises(UsageError, match="says that it has 0 bytes, and has some: give its"):
            client.files.upload(file if opened else path, name="version")
    assert client.files.upload(path.read_bytes(), name="version").size > 0


def test_a_place_that_is_none_on_earth_is_said(client: CogniteClient) -> None:
    place = {"type": "Point", "coordinates": [597423, 6643210]}
    uploaded = client.files.upload(b"x", name="a", geo_location=place)
    assert uploaded.notes[0].startswith("geo_location: The latitude 6.64321e+06 is outside")


@pytest.mark.parametrize(
    "several",
    [list, tuple, set, pd.DataFrame, pd.Index, pd.Categorical, np.array, dict.fromkeys, iter],
    ids=lambda one: one.__name__,
)
@pytest.mark.parametrize("named", [{}, {"name": "a"}], ids=["unnamed", "named"])
def test_several_files_lead_to_what_takes_them(
    cdf: Emulator,
    client: CogniteClient,
    tmp_path: Path,
    several: Callable[[Any], Any],
    named: dict[str, str],
) -> None:
    (tmp_path / "a").write_bytes(b"x")
    said = {dict.fromkeys: "A dict is not bytes", iter: "upload_many" if named else "has no name"}
    with pytest.raises(UsageError, match=said.get(several, r"one file.*upload_many\(client")):
        client.files.upload(several([str(tmp_path / "a")]), **named)
    assert cdf.requests() == []


def test_content_of_a_file_is_one_file_too(client: CogniteClient, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="upload takes one file, not a list"):
        client.files.upload_content([tmp_path / "a"], external_id="x")  # type: ignore[arg-type]


def test_a_name_is_text(client: CogniteClient) -> None:
    with pytest.raises(UsageError, match="name is text, not int"):
        client.files.upload(b"x", name=2024)  # type: ignore[arg-type]


def test_a_file_that_is_called_like_an_address_is_a_file(
    client: CogniteClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dbfs:x").write_bytes(b"x")
    assert client.files.upload("dbfs:x").name == "dbfs:x"


def test_a_timestamp_without_a_zone_is_told_what_a_timestamp_can(client: CogniteClient) -> None:
    moment = pd.Timestamp("2024-01-01 12:00")
    with pytest.raises(UsageError, match="tz_localize") as refused:
        client.files.upload(b"x", name="x", source_created_time=moment)
    assert "astimezone" not in str(refused.value)
    utc = moment.tz_localize("UTC")
    assert client.files.upload(b"x", name="x", source_created_time=utc).id


@pytest.mark.parametrize(
    ("packed", "name", "mime_type"),
    [("x.svgz", "x.svg", "image/svg+xml"), ("x.csv.bgz", "x.csv", "text/csv")],
)
def test_what_unpacks_has_the_name_and_type_of_what_is_sent(
    client: CogniteClient, tmp_path: Path, packed: str, name: str, mime_type: str
) -> None:
    with gzip.open(tmp_path / packed, "wb") as file:
        file.write(CONTENT)
    with gzip.open(tmp_path / packed) as file:
        result = client.files.upload(file)
    assert (result.name, result.file.mime_type) == (name, mime_type)
    with gzip.open(tmp_path / packed) as file:  # its name is as it is given, and its type is true
        assert client.files.upload(file, name=packed).file.mime_type == mime_type


def test_a_file_of_a_web_form_has_its_own_name(client: CogniteClient) -> None:
    class Storage(io.BytesIO):
        """As Flask and Django hand it over: `name` is the field of the form."""

        name, filename = "file", "report.csv"

    assert client.files.upload(Storage(CONTENT)).name == "report.csv"


def test_what_begins_in_the_middle_says_so(client: CogniteClient, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(CONTENT)
    with open(tmp_path / "a.csv", "rb") as file:
        file.read(4)
        result = client.files.upload(file)
    assert result.size == len(CONTENT) - 4
    assert result.notes == ("What is sent begins at byte 4, where the file stood.",)


def test_what_holds_files_is_none(client: CogniteClient, cdf: Emulator, tmp_path: Path) -> None:
    """A dict would give its keys, and an archive nothing, or an error of its own."""
    of_widget = {"name": "a.csv", "content": memoryview(CONTENT)}
    with (
        zipfile.ZipFile(tmp_path / "a.zip", "w") as zipped,
        tarfile.open(tmp_path / "a.tar", "w") as tarred,
    ):
        for content, said in (
            (of_widget, r"value\['content'\]"), ({b"key": 1}, "json.dumps"),
            (zipped, r"archive\.open"), (tarred, r"archive\.extractfile"),
        ):  # fmt: skip
            for name in ({}, {"name": "a"}):
                given: Any = content
                with pytest.raises(UsageError, match=said):
                    client.files.upload(given, **name)
    assert not cdf.requests()


def test_a_length_that_is_no_number_is_refused(client: CogniteClient) -> None:
    given: Any = "3"
    with client.files.multipart_upload_session("a", 1) as session:
        with pytest.raises(UsageError, match="length is a number of bytes"):
            session.upload_part(0, iter([b"abc"]), length=given)
        session.upload_part(0, b"abc")
