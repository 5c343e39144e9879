from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support import config_of, fired, routes, seen

from cognite_nb_upload import AsyncCogniteClient, CogniteClient, UsageError, upload_many
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, Fault, emulator
from cognite_nb_upload.progress.many import BatchBar


def many(client: object, files: object, **how: Any) -> pd.DataFrame:
    return upload_many(client, files, progress=False, **how)


def uploaded(cdf: Emulator) -> list[dict[str, Any]]:
    return [one for one in cdf.files() if one["uploaded"]]


def names(cdf: Emulator) -> set[str]:
    return {one["name"] for one in uploaded(cdf)}


def test_a_folder_sends_its_files_without_links_hidden_ones_and_folders(cdf, client, folder):
    result = many(client, folder, data_set_id=7)
    assert names(cdf) == {"f0.bin", "f1.bin", "f2.bin", "f3.bin"}
    assert list(result["status"]) == ["done"] * 4
    assert all(one["dataSetId"] == 7 for one in uploaded(cdf))


def test_what_is_hidden_and_what_is_deep_are_asked_for(cdf, client, folder):
    many(client, folder, recursive=True, hidden=True)
    assert names(cdf) == {"f0.bin", "f1.bin", "f2.bin", "f3.bin", ".hidden", "deep.bin"}


def test_a_glob_and_a_list_of_paths(cdf, client, folder):
    many(client, [str(folder / "f[01].bin"), folder / "sub" / "deep.bin"])
    assert names(cdf) == {"f0.bin", "f1.bin", "deep.bin"}


def test_every_byte_arrives_and_the_frame_says_where(cdf, client, folder):
    result = many(client, folder)
    for row in result.itertuples():
        assert cdf.content(row.id) == Path(row.path).read_bytes()
        assert row.size == os.path.getsize(row.path)
        assert row.attempts == 1
        assert row.seconds > 0
        assert row.error == ""


def test_a_column_for_each_field_with_the_keywords_as_defaults(cdf, client, folder):
    frame = pd.DataFrame(
        {
            "path": [folder / "f0.bin", folder / "f1.bin"],
            "name": ["first", None],
            "external_id": ["one", "two"],
            "data_set_id": [11, float("nan")],
            "labels": [["well-log"], None],
            "mine": ["kept", "too"],
        }
    )
    labels = [one.external_id for one in client.catalog.labels()]
    frame.at[0, "labels"] = labels[:1]
    result = many(client, frame, data_set_id=7, source="vessel", keep=["mine"])
    by_id = {one["externalId"]: one for one in uploaded(cdf)}
    assert by_id["one"]["name"] == "first"
    assert by_id["two"]["name"] == "f1.bin"
    assert by_id["one"]["dataSetId"] == 11
    assert by_id["two"]["dataSetId"] == 7
    assert by_id["one"]["labels"] == [{"externalId": labels[0]}]
    assert {one["source"] for one in by_id.values()} == {"vessel"}
    assert list(result["mine"]) == ["kept", "too"]


def bad_frame(folder: Path) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": [folder / "f0.bin", folder / "nowhere", folder / "f1.bin", folder, None],
            "external_id": ["a", "b", "x" * 256, "d", "e"],
        }
    )


def test_a_bad_row_says_why_and_stops_no_other(cdf, client, folder):
    result = many(client, bad_frame(folder))
    assert list(result["status"]) == ["done"] + ["invalid"] * 4
    told = list(result["error"])
    assert "No such file" in told[1]
    assert "255" in told[2]
    assert "not a file" in told[3]
    assert "missing" in told[4]
    assert names(cdf) == {"f0.bin"}


def test_a_dry_run_tells_every_bad_row_and_sends_nothing(cdf, client, folder):
    result = many(client, bad_frame(folder), dry_run=True)
    assert list(result["status"]) == ["waiting"] + ["invalid"] * 4
    assert not cdf.requests()


def test_bad_rows_are_told_before_anything_is_sent(cdf, client, folder, monkeypatch):
    told: list[tuple[str, int]] = []

    class Screen(io.StringIO):
        def write(self, text: str) -> int:
            told.append((text, len(cdf.requests())))
            return len(text)

    monkeypatch.setattr(sys, "stdout", Screen())
    upload_many(client, bad_frame(folder)[1:], progress=True)
    assert "4 of 4 rows" in told[0][0]
    assert told[-1][1] == 0


def test_two_rows_with_one_external_id_do_not_fight(cdf, client, folder):
    frame = pd.DataFrame({"path": [folder / "f0.bin", folder / "f1.bin"], "external_id": "same"})
    result = many(client, frame)
    assert list(result["status"]) == ["done", "invalid"]
    assert "row 0" in result["error"][1]


def test_what_failed_is_sent_again_when_the_result_is_given_back(cdf, client, folder):
    cdf.inject(Fault("status", "create", status=400, body='{"error": {"message": "no"}}'))
    first = many(client, folder)
    assert fired(cdf) == [("status", "create")]
    assert sorted(first["status"]) == ["done", "done", "done", "failed"]
    failed = first.index[first["status"] == "failed"][0]
    before = len(seen(cdf, "create"))
    second = many(client, first)
    assert list(second["status"]) == ["done"] * 4
    assert len(seen(cdf, "create")) == before + 1
    kept = second.drop(index=failed)["id"]
    assert list(kept) == list(first.drop(index=failed)["id"])


def test_a_lost_part_is_tried_again_and_counted(cdf, client, folder):
    cdf.inject(Fault("status", "put", status=503))
    result = many(client, [folder / "f0.bin"])
    assert fired(cdf) == [("status", "put")]
    assert list(result["status"]) == ["done"]
    assert list(result["attempts"]) == [2]


def test_a_small_file_takes_one_request_and_one_put(cdf, client, folder):
    many(client, [folder / "f0.bin"])
    assert routes(cdf)[:2] == ["create", "put"]
    assert set(routes(cdf)[2:]) <= {"byids"}
    headers = seen(cdf, "put")[0]["headers"]
    assert set(headers) == {"host", "content-length", "content-type"}


def test_an_overwritten_small_file_takes_its_directory_and_source(cdf, client, folder):
    first = many(client, pd.DataFrame({"path": [folder / "f0.bin"], "external_id": ["one"]}))
    again = pd.DataFrame({"path": [folder / "f1.bin"], "external_id": ["one"]})
    result = many(client, again, overwrite=True, directory="/new", source="new")
    assert result["id"][0] == first["id"][0]
    file = client.files.retrieve(external_id="one")
    assert (file.directory, file.source) == ("/new", "new")
    assert cdf.content(file.id) == (folder / "f1.bin").read_bytes()


def test_an_overwritten_small_file_is_done_when_its_new_content_is_there(folder):
    with (
        emulator(strict_storage=True, uploaded_delay_s=1.0) as slow,
        CogniteClient(config_of(slow)) as client,
    ):
        many(client, pd.DataFrame({"path": [folder / "f0.bin"], "external_id": ["one"]}))
        again = pd.DataFrame({"path": [folder / "f1.bin"], "external_id": ["one"]})
        result = many(client, again, overwrite=True)
        assert list(result["status"]) == ["done"]
        assert slow.content(result["id"][0]) == (folder / "f1.bin").read_bytes()


def test_a_large_file_goes_in_parts(cdf, client, tmp_path):
    big = tmp_path / "big.bin"
    with big.open("wb") as file:
        file.truncate(65 * MIB)
    result = many(client, [big], part_size=40 * MIB)
    assert list(result["status"]) == ["done"]
    assert len(seen(cdf, "part")) == 2


def test_cdf_is_asked_for_all_files_at_once(cdf, client, folder):
    many(client, folder)
    assert routes(cdf).count("byids") < 4


def test_a_misspelt_column_is_told_before_anything_is_sent(cdf, client, folder):
    frame = pd.DataFrame({"path": [folder / "f0.bin"], "data_setid": [7]})
    with pytest.raises(UsageError, match="did you mean 'data_set_id'"):
        many(client, frame)
    assert not cdf.requests()


@pytest.mark.parametrize("nothing", [pd.DataFrame({"file": ["x"]}), [], 7])
def test_what_is_no_list_of_files_gets_a_sentence(client, nothing):
    with pytest.raises(UsageError):
        many(client, nothing)


@pytest.mark.anyio
async def test_a_batch_can_be_awaited(cdf, async_client: AsyncCogniteClient, folder):
    frame = await async_client.files.start_many(folder)
    assert list(frame["status"]) == ["done"] * 4


def test_stopping_sends_nothing_more(cdf, client, folder):
    cdf.inject(Fault("stall_answer", "put", times=99, seconds=60))
    batch = client.files.start_many(folder)
    moved = []
    batch.listen(lambda state: moved.append(state.sent))
    until_put(cdf)
    batch.stop()
    count = len(cdf.requests())
    assert set(batch.frame()["status"]) == {"stopped"}
    assert len(cdf.requests()) == count


def until_put(cdf: Emulator) -> None:
    from support import until

    until(lambda: seen(cdf, "put"))


def test_the_bar_counts_files_and_bytes(cdf, client: CogniteClient, folder, monkeypatch):
    text = io.StringIO()
    monkeypatch.setattr("sys.stderr", text)
    batch = client.files.start_many(folder)
    with BatchBar(batch, disable=False):
        batch.result()
    assert "4 of 4 files" in text.getvalue()
    assert batch.state.sent == batch.state.size


@pytest.mark.slow
def test_a_hundred_thousand_rows_are_checked_in_seconds(client, folder: Path):
    """Not sent: the rows are the matter here."""
    frame = pd.DataFrame({"path": [str(folder / "f0.bin")] * 100_000})
    frame["external_id"] = [f"file-{no}" for no in range(len(frame))]
    result = many(client, frame, dry_run=True)
    assert set(result["status"]) == {"waiting"}


def test_an_empty_cell_is_no_external_id_and_an_empty_keyword_is_refused(cdf, client, folder):
    paths = [folder / "f0.bin", folder / "f1.bin"]
    result = many(client, pd.DataFrame({"path": paths, "external_id": ["", " "]}))
    assert list(result["status"]) == ["done"] * 2
    assert all("externalId" not in file for file in uploaded(cdf))
    for call in (
        lambda: many(client, paths, external_id=""),
        lambda: client.files.upload(paths[0], external_id=""),
        lambda: client.files.multipart_upload_session("a", 1, external_id=""),
    ):
        with pytest.raises(UsageError, match="external_id is empty; leave it out"):
            call()


@pytest.mark.parametrize(
    "mime_type",
    ["\u0442\u0438\u043f/\U0001f642", "text/plain\r\nx-evil: 1", " "],
    ids=["letters", "lines", "blank"],
)
def test_a_type_that_no_header_can_have_arrives_all_the_same(cdf, client, folder, mime_type: str):
    """It is also what the emulator's download link then leaves out."""
    (row,) = many(client, [folder / "f0.bin"], mime_type=mime_type, verify="size").itertuples()
    assert (row.status, row.error) == ("done", "")
    (file,) = uploaded(cdf)
    assert file["mimeType"] == mime_type
    assert cdf.content(row.id) == (folder / "f0.bin").read_bytes()
