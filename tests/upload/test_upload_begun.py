"""Row 35: begun, and not known to be. One's own file is found again, somebody else's is not."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from upload_rig import (
    PART,
    asked,
    config_for,
    content_of,
    environment_of,
    file_of,
    fired,
    until,
    until_true,
)

from cognite_nb_upload import APIError, CDFUnreachable, CogniteClient, Upload, UploadStopped
from cognite_nb_upload.emulator import Emulator, Fault

FIELDS: dict[str, Any] = {
    "external_id": "x",
    "metadata": {"a": "1", "b": "2"},
    "directory": "/a",
    "source": "rig",
    "source_created_time": 1_700_000_000_123,
}


def ends_well(client: CogniteClient, cdf: Emulator, path: Path, **fields: Any) -> None:
    """The same call uploads the file, into the one file that there is."""
    uploaded = client.files.upload(path, part_size=PART, **{**FIELDS, **fields})
    assert cdf.content(uploaded.id) == path.read_bytes()
    assert [one["id"] for one in made(cdf)] == [uploaded.id]


def made(cdf: Emulator) -> list[dict[str, Any]]:
    """The files with the external id of these tests."""
    return [one for one in cdf.files() if one.get("externalId") == "x"]


def in_init(client: CogniteClient, cdf: Emulator, path: Path, **fields: Any) -> Upload:
    """An upload that CDF has begun, and has not yet told of."""
    cdf.inject(Fault("stall_answer", "init"))
    upload = client.files.start_upload(path, part_size=PART, **{**FIELDS, **fields})
    until_true(lambda: fired(cdf) == ["stall_answer"])
    return upload


def stopped(upload: Upload) -> None:
    upload.stop()


def interrupted(upload: Upload) -> None:
    upload.pause("interrupted")
    upload.stop()


def cancelled(upload: Upload) -> None:
    upload.cancel()
    with pytest.raises(UploadStopped) as told:
        upload.result()
    assert "The same call goes on with it" in told.value.__notes__[0]


@pytest.mark.parametrize("resume", [True, False])
@pytest.mark.parametrize("end", [stopped, interrupted, cancelled])
def test_what_was_ended_while_it_was_begun_is_gone_on_with(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, end: Callable[[Upload], None],
    resume: bool,
) -> None:  # fmt: skip
    path = file_of(tmp_path, 2)
    end(in_init(client, cdf, path))
    ends_well(client, cdf, path, resume=resume)
    assert len(asked(cdf, "init")) == 2


BEGINS = """
import sys
from cognite_nb_upload import CogniteClient
from upload_rig import PART
from test_upload_begun import FIELDS
CogniteClient.from_env().files.upload(sys.argv[1], part_size=PART, **FIELDS)
"""


@pytest.mark.parametrize("resume", [True, False])
def test_what_was_killed_while_it_was_begun_is_gone_on_with(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, resume: bool
) -> None:
    path = file_of(tmp_path, 2)
    cdf.inject(Fault("stall_answer", "init"))
    with subprocess.Popen([sys.executable, "-c", BEGINS, path], env=environment_of(cdf)) as process:
        until_true(lambda: fired(cdf) == ["stall_answer"])
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    ends_well(client, cdf, path, resume=resume)


def test_what_was_killed_twice_while_it_was_begun_is_gone_on_with(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    in_init(client, cdf, path).stop()
    cdf.inject(Fault("stall_answer", "multiuploadlink"))
    second = client.files.start_upload(path, part_size=PART, **FIELDS)
    until_true(lambda: fired(cdf) == ["stall_answer", "stall_answer"])
    second.stop()
    path.write_bytes(content_of(2, seed=1))  # no byte was sent: other bytes will do
    ends_well(client, cdf, path)


def test_an_answer_that_was_lost_for_good_is_made_up_for_by_the_next_call(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 1)
    cdf.inject(Fault("lost_answer", "init"))
    cdf.inject(Fault("reset_before", "byids", skip=1, times=None))
    with pytest.raises(CDFUnreachable):
        client.files.upload(path, part_size=PART, **FIELDS)
    cdf.clear_faults()
    ends_well(client, cdf, path)


@contextmanager
def replaying(cdf: Emulator) -> Iterator[str]:
    """A proxy in front of CDF that sends what begins an upload twice, and answers with the second.

    Its address.
    """
    host = cdf.base_url.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            for _ in range(2 if "initmultipartupload" in self.path else 1):
                connection = http.client.HTTPConnection(host)
                headers = {name.lower(): value for name, value in self.headers.items()}
                connection.request("POST", self.path, body, {**headers, "host": host})
                answer = connection.getresponse()
                text = answer.read()
                connection.close()
            self.send_response_only(answer.status)
            self.send_header("date", answer.headers["date"])
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server, ThreadPoolExecutor(1) as pool:
        pool.submit(server.serve_forever)
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


def test_a_proxy_that_replays_the_request_does_no_harm(cdf: Emulator, tmp_path: Path) -> None:
    path = file_of(tmp_path, 2)
    with replaying(cdf) as address, CogniteClient(config_for(cdf, base_url=address)) as client:
        ends_well(client, cdf, path)
    assert [row["status"] for row in asked(cdf, "init")] == [201, 409]


def test_an_upload_that_is_begun_anew_goes_on_with_its_own_file(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    cdf.inject(Fault("stall", "part", part=1))
    upload = client.files.start_upload(path, part_size=PART, **FIELDS)
    until(upload, lambda state: state.missing_parts == (1,))
    until_true(cdf.fired)
    upload.stop()
    ends_well(client, cdf, path, resume=False)


def test_an_upload_that_was_cancelled_is_begun_again_by_the_same_call(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    cdf.inject(Fault("stall", "part", part=1))
    upload = client.files.start_upload(path, part_size=PART, **FIELDS)
    until(upload, lambda state: state.missing_parts == (1,))
    until_true(cdf.fired)
    upload.cancel()
    ends_well(client, cdf, path)


# --- somebody else's ------------------------------------------------------------------------------


def refused(client: CogniteClient, cdf: Emulator, path: Path) -> str:
    """What the call says, which touches nothing of what is there."""
    before = made(cdf)
    with pytest.raises(APIError, match="external id 'x' exists already") as told:
        client.files.upload(path, part_size=PART, **FIELDS)
    assert told.value.code == 409
    assert asked(cdf, "multiuploadlink") == []
    assert made(cdf) == before
    return " ".join(told.value.__notes__)


def test_somebody_elses_unfinished_file_with_every_field_the_same_is_left_alone(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, journals: Path
) -> None:
    path = file_of(tmp_path, 2)
    theirs = client.files.multipart_upload_session(path.name, 2, **FIELDS)  # knows no journal
    said = refused(client, cdf, path)
    assert f"'big.segy', id {theirs.file_metadata.id}, created 20" in said
    assert "may be an upload of somebody else that still runs" in said
    assert "overwrite=True" in said
    assert "another external id" in said
    assert list(journals.glob("*.journal")) == []


def test_somebody_elses_file_that_was_begun_after_our_call_got_lost_is_left_alone(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    cdf.inject(Fault("stall", "init"))  # nothing is done
    upload = client.files.start_upload(path, part_size=PART, **FIELDS)
    until_true(lambda: fired(cdf) == ["stall"])
    upload.stop()
    client.files.multipart_upload_session(path.name, 2, **{**FIELDS, "source": "another rig"})
    assert "may be an upload of somebody else" in refused(client, cdf, path)


def test_somebody_elses_file_in_place_of_ours_that_was_deleted_is_left_alone(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    path = file_of(tmp_path, 2)
    in_init(client, cdf, path).stop()
    client.files.delete(external_id="x")
    theirs = client.files.multipart_upload_session(path.name, 1, external_id="x")
    theirs.upload_part(0, b"theirs")
    refused(client, cdf, path)
    with theirs:
        pass
    assert cdf.content(theirs.file_metadata.id) == b"theirs"
    assert "whose content is uploaded" in refused(client, cdf, path)


def test_two_that_begin_the_same_at_once_do_not_take_each_others_file(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    """Both saw that there was no file; one has begun it. The other has another source field."""
    path, other = file_of(tmp_path, 2), {**FIELDS, "source": "another rig"}
    cdf.inject(Fault("stall_answer", "byids"))
    first = client.files.start_upload(path, part_size=PART, **FIELDS)
    until_true(lambda: fired(cdf) == ["stall_answer"])
    second = client.files.upload(path, part_size=PART, **other)
    first.stop()
    refused(client, cdf, path)
    assert cdf.content(second.id) == content_of(2)


def test_a_call_that_cdf_refuses_leaves_nothing_behind(
    client: CogniteClient, cdf: Emulator, tmp_path: Path, journals: Path
) -> None:
    cdf.inject(Fault("status", "init", status=400))
    with pytest.raises(APIError):
        client.files.upload(file_of(tmp_path, 1), **FIELDS)
    assert os.listdir(journals) == []
