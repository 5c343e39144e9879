"""What was stored stays: through other PUTs, restarts, and a second emulator on the same folder."""

from __future__ import annotations

import socket
import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from cognite_nb_upload.emulator import emulator
from cognite_nb_upload.emulator.state import State, StateError

MIB = 1024**2


def test_a_second_put_of_another_size_replaces_the_first(api):
    made = api.ok("/files", {"name": "a"})
    for content in (b"first", b"the second is longer", b"3"):
        assert api.put(made["uploadUrl"], content).status_code == 200
        assert api.download(made["id"]).content == content
    assert len(list((api.cdf.root / "store").iterdir())) == 1


def test_content_stays_while_the_next_one_does_not_come_whole(api, eventually):
    made = api.ok("/files", {"name": "a"})
    assert api.put(made["uploadUrl"], b"kept").status_code == 200
    address = urlsplit(made["uploadUrl"])
    with socket.create_connection((address.hostname, address.port)) as client:
        head = f"PUT {address.path}?{address.query} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        client.sendall(f"{head}Content-Length: 100\r\n\r\n".encode() + b"half")
        assert api.download(made["id"]).content == b"kept"
    eventually(lambda: len(list((api.cdf.root / "store").iterdir())) == 1)
    assert api.download(made["id"]).content == b"kept"


def test_a_chunk_of_a_body_is_refused_and_changes_nothing(api):
    made = api.ok("/files", {"name": "a"})
    assert api.put(made["uploadUrl"], b"kept").status_code == 200
    chunk = api.put(made["uploadUrl"], b"ke", content_range="bytes 0-1/*")
    block = api.put(made["uploadUrl"] + "&comp=block&blockid=AAAA", b"ke")
    for answer in (chunk, block):
        assert answer.status_code == 501
        assert "<Code>NotImplemented</Code>" in answer.text
    assert api.cdf.content(made["id"]) == b"kept"


@pytest.mark.parametrize("process", [False, True])
def test_a_second_emulator_on_the_same_folder_is_refused_in_words(tmp_path, process, capfd):
    with emulator(root=tmp_path, process=process), pytest.raises(StateError, match="Another"):
        State(tmp_path / "state.db")
    with emulator(root=tmp_path, process=process) as first:
        command = [sys.executable, "-m", "cognite_nb_upload.emulator", "--root", str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        assert f"Another emulator uses the folder {tmp_path}" in done.stderr
        assert len(first.files()) == 2


@pytest.mark.parametrize("content", [b"not a database" * 100, b"SQLite format 3\x00" + b"x" * 200])
def test_a_damaged_folder_is_said_in_one_line(tmp_path, content):
    (tmp_path / "state.db").write_bytes(content)
    command = [sys.executable, "-m", "cognite_nb_upload.emulator", "--root", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is damaged" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_folder_of_an_earlier_version_is_left_alone(tmp_path):
    (tmp_path / "catalog.json").write_text("{}")
    with pytest.raises(StateError, match="earlier version"), emulator(root=tmp_path):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["catalog.json"]


def test_a_change_that_fails_half_way_changes_nothing(tmp_path):
    state = State(tmp_path / "state.db")
    table = state.table("things", "name")
    with state.change():
        table.put(1, {"name": "one"})

    def fail() -> None:
        with state.change():
            table.put(1, {"name": "other"})
            table.put(2, {"name": "two"})
            table.drop(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert list(table) == [{"name": "one"}]
    assert table.by("name", "one") == [{"name": "one"}]
    assert table.by("name", "other") == []
    state.close()
    again = State(tmp_path / "state.db")
    assert list(again.table("things", "name")) == [{"name": "one"}]
    again.close()


def test_what_a_killed_one_left_behind_is_cleared_away(tmp_path):
    with emulator(root=tmp_path):
        pass
    orphan = tmp_path / "store" / ("a" * 32)
    orphan.mkdir()
    (orphan / "0").write_bytes(b"of no file")
    with emulator(root=tmp_path):
        assert not orphan.exists()


def page(api, limit, cursor):
    return api.ok("/files/list", {"limit": limit, "cursor": cursor})


def test_a_cursor_stays_right_while_files_are_deleted(api):
    made = {api.ok("/files", {"name": f"{n}"})["id"] for n in range(21)}
    seen, cursor = set(), None
    while True:
        answer = page(api, 4, cursor)
        ids = {item["id"] for item in answer["items"]} & made
        if ids:
            api.ok("/files/delete", {"items": [{"id": each} for each in ids]})
        seen |= ids
        if "nextCursor" not in answer:
            break
        cursor = answer["nextCursor"]
    assert seen == made


def test_the_store_keeps_its_port_so_that_its_urls_outlive_a_restart(start, tmp_path):
    first = start(root=tmp_path)
    url = first.cdf.store_url
    assert url != first.cdf.base_url
    first.cdf.__exit__(None, None, None)
    assert start(root=tmp_path).cdf.store_url == url
