"""The README's line on S3's own tool: the same file, the same store, the same death, again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support import config_of, some_bytes

from cognite_nb_upload import CogniteClient
from cognite_nb_upload.core.events import Event, PartStored
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.emulator import emulator

pytestmark = [pytest.mark.store, pytest.mark.slow]

PART = 6 * MIB
PARTS = 5

# Each dies at once, as a killed kernel does, when it is told to and three parts are stored.
THEIRS = f"""
import os, sys
import boto3
from boto3.s3.transfer import TransferConfig

host, key, secret, file, dies = sys.argv[1:]
s3 = boto3.client("s3", endpoint_url=host, aws_access_key_id=key, aws_secret_access_key=secret,
                  region_name="us-east-1")
if dies == "dies":
    s3.create_bucket(Bucket="theirs")
stored = []
def count(**_):
    stored.append(1)
    if dies == "dies" and len(stored) == 3:
        os._exit(9)
s3.meta.events.register("after-call.s3.UploadPart", count)
size = {PART}
config = TransferConfig(multipart_threshold=size, multipart_chunksize=size, use_threads=False)
s3.upload_file(file, "theirs", "big.bin", Config=config)
print(len(stored))
"""
OURS = f"""
import os, sys
from cognite_nb_upload import ClientConfig, CogniteClient, Token
from cognite_nb_upload.core.events import PartStored

url, project, token, file = sys.argv[1:]
config = ClientConfig(
    client_name="test", project=project, base_url=url, credentials=Token(token)
)
stored = []
def count(_, event):
    stored.extend([1] * isinstance(event, PartStored))
    if len(stored) == 3:
        os._exit(9)
with CogniteClient(config) as client:
    upload = client.files.start_upload(file, part_size={PART}, max_concurrency=1)
    upload.listen(count)
    upload.result()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "big.bin"
    path.write_bytes(b"".join(some_bytes(PART, seed=no) for no in range(PARTS)))
    return path


def run(script: str, *args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "-c", script, *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_boto3_sends_every_part_again_after_it_was_killed(seaweed: str, file: Path) -> None:
    who, _, where = seaweed.removeprefix("s3://").rpartition("@")
    args = (f"http://{where.partition('/')[0]}", *who.split(":"), file)
    killed = run(THEIRS, *args, "dies")
    assert killed.returncode == 9, killed.stderr
    again = run(THEIRS, *args, "lives")
    assert again.stdout.strip() == str(PARTS), again.stderr


def test_we_send_what_was_in_flight_after_a_kill(
    seaweed: str, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))
    with emulator(storage=seaweed) as cdf:
        killed = run(OURS, cdf.base_url, cdf.project, cdf.token, file)
        assert killed.returncode == 9, killed.stderr
        again: list[int] = []

        def count(_: UploadState, event: Event) -> None:
            if isinstance(event, PartStored):
                again.append(event.no)

        with CogniteClient(config_of(cdf)) as client:
            upload = client.files.start_upload(file, part_size=PART, max_concurrency=1)
            upload.listen(count)
            upload.result()
            back = client.files.download(tmp_path / "back", id=upload.state.file_id)
    assert len(again) <= PARTS - 2  # the third may not have been written down yet
    assert back.read_bytes() == file.read_bytes()
