"""What CDF has already: compared in one request for a thousand files, and told per row."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from support import seen

from cognite_nb_upload import CogniteClient, UsageError
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.models.wire import to_ms

Many = Callable[..., pd.DataFrame]
BY_PATH = {"recursive": True, "external_id": "path"}


def sent(cdf: Emulator) -> int:
    return len(seen(cdf, "put")) + len(seen(cdf, "part"))


def later(path: Path, content: bytes, by_s: int = 10) -> None:
    """Edit a file; its time is later, whatever the clock's resolution."""
    at = path.stat().st_mtime
    path.write_bytes(content)
    os.utime(path, (at + by_s, at + by_s))


def test_changed_sends_what_was_edited_and_nothing_else(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    first = many(folder, if_exists="changed", **BY_PATH)
    assert list(first["status"]) == ["done"] * 5
    count = sent(cdf)
    again = many(folder, if_exists="changed", **BY_PATH)
    assert list(again["status"]) == ["skipped"] * 5
    assert set(again["note"]) == {"same time"}
    assert list(again["id"]) == list(first["id"])
    assert sent(cdf) == count
    later(folder / "sub" / "deep.bin", b"edited")
    edited = many(folder, if_exists="changed", **BY_PATH)
    assert sorted(edited["status"]) == ["done"] + ["skipped"] * 4
    assert sent(cdf) == count + 1
    file = client.files.retrieve(external_id="sub/deep.bin")
    assert cdf.content(file.id) == b"edited"
    assert file.id == dict(zip(first["path"], first["id"], strict=True))[
        str(folder / "sub" / "deep.bin")
    ]  # fmt: skip


def test_the_time_is_the_files_own_to_a_millisecond(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    os.utime(folder / "f0.bin", ns=(0, 1_700_000_000_123_999_999))
    many([folder / "f0.bin"], if_exists="changed", external_id=lambda _: "one")
    file = client.files.retrieve(external_id="one")
    assert to_ms(file.source_modified_time) == 1_700_000_000_123


@pytest.mark.parametrize("mode", ["newer", "changed"])
def test_a_file_older_than_1970_is_sent_once(
    cdf: Emulator, many: Many, folder: Path, mode: str
) -> None:
    path = folder / "f0.bin"
    os.utime(path, (-86400.5, -86400.5))
    how = {"if_exists": mode, "external_id": lambda _: "x"}
    assert [*many([path], **how)["status"], *many([path], **how)["status"]] == ["done", "skipped"]
    assert sent(cdf) == 1
    later(path, b"other", 1)
    assert list(many([path], **how)["status"]) == ["done"]
    assert sent(cdf) == 2


def test_it_works_without_a_record_too(
    cdf: Emulator, many: Many, folder: Path, tmp_path: Path
) -> None:
    many(folder, if_exists="changed", **BY_PATH)
    for path in (tmp_path / "state").glob("*.job"):
        path.unlink()
    count = sent(cdf)
    assert list(many(folder, if_exists="changed", **BY_PATH)["status"]) == ["skipped"] * 5
    assert sent(cdf) == count


@pytest.mark.parametrize(
    ("mode", "by_s", "status", "note"),
    [
        ("skip", 10, "skipped", "CDF has it"),
        ("newer", 10, "done", ""),
        ("newer", -10, "skipped", "CDF's is newer"),
        ("changed", -10, "done", ""),
        ("overwrite", 10, "done", ""),
        ("error", 10, "failed", "changed since"),
    ],
)
def test_each_mode_says_what_it_did(
    cdf: Emulator, many: Many, folder: Path, mode: str, by_s: int, status: str, note: str
) -> None:
    path = folder / "f0.bin"
    (first,) = many([path], if_exists="changed", external_id=lambda _: "x").itertuples()
    later(path, b"other", by_s)
    (row,) = many([path], if_exists=mode, external_id=lambda _: "x").itertuples()
    assert (row.status, note in row.note) == (status, True)
    same = status == "skipped" or mode == "error"
    assert (cdf.content(first.id) == b"other") is not same


def test_one_request_asks_for_all(cdf: Emulator, many: Many, folder: Path) -> None:
    many(folder, if_exists="changed", **BY_PATH)
    before = len(seen(cdf, "byids"))
    many(folder, if_exists="changed", **BY_PATH)
    asked = len(seen(cdf, "byids")) - before
    assert asked <= 2  # by id, of the record, and by external id


def test_metadata_keys_of_ones_own_tell_the_content(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    how = {"if_exists": "changed", "size_key": "bytes", "sha256_key": "sha256", **BY_PATH}
    many(folder, metadata={"mine": "x"}, **how)
    (file,) = [one for one in cdf.files() if one.get("externalId") == "sub/deep.bin"]
    assert file["metadata"]["bytes"] == "4"
    assert file["metadata"]["mine"] == "x"
    os.utime(folder / "sub" / "deep.bin")
    count = sent(cdf)
    result = many(folder, metadata={"mine": "x"}, **how)
    assert set(result["note"]) == {"same size and SHA-256"}
    path = folder / "sub" / "deep.bin"
    at = path.stat().st_mtime_ns
    path.write_bytes(b"DEEP")
    os.utime(path, ns=(at, at))  # the time tells nothing
    assert sorted(many(folder, metadata={"mine": "x"}, **how)["status"])[:2] == ["done", "skipped"]
    assert sent(cdf) == count + 1


def test_without_a_name_nothing_tells_what_is_there(
    cdf: Emulator, many: Many, folder: Path
) -> None:
    with pytest.raises(UsageError, match="if_exists='changed' needs the external id"):
        many(folder, if_exists="changed")
    assert not cdf.requests()


def test_without_a_name_the_record_tells(cdf: Emulator, many: Many, folder: Path) -> None:
    many(folder)
    later(folder / "f1.bin", b"edited")
    result = many(folder, if_exists="changed")
    assert result["note"][0] == "sent before"
    assert len(seen(cdf, "create")) == 5


def test_two_words_for_it_must_agree(many: Many, folder: Path) -> None:
    with pytest.raises(UsageError, match="differ"):
        many(folder, overwrite=True, if_exists="skip")
    with pytest.raises(UsageError, match="if_exists is one of"):
        many(folder, if_exists="maybe")


def test_names_are_nfc_with_slashes_and_too_long_ones_are_told(
    cdf: Emulator, client: CogniteClient, many: Many, tmp_path: Path
) -> None:
    top = tmp_path / "t"
    (top / "a\u0308").mkdir(parents=True)
    (top / "a\u0308" / "x").write_bytes(b"x")
    deep = top / ("d" * 200) / ("e" * 100)
    deep.mkdir(parents=True)
    (deep / "y").write_bytes(b"y")
    result = many(top, **BY_PATH)
    assert list(result["status"]) == ["done", "invalid"]
    assert "external_id has 303 characters" in result["error"][1]
    assert client.files.retrieve(external_id="\u00e4/x") is not None


def test_what_was_overwritten_is_never_deleted(
    cdf: Emulator, client: CogniteClient, many: Many, folder: Path
) -> None:
    many(folder, if_exists="overwrite", **BY_PATH)
    later(folder / "f0.bin", b"other")
    many(folder, if_exists="overwrite", **BY_PATH)
    assert not seen(cdf, "delete")
    file = client.files.retrieve(external_id="f0.bin")
    assert cdf.content(file.id) == b"other"
