"""The little S3 store: it is there for one process, and ends with it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from botocore.exceptions import ClientError
from support import until

pytestmark = [pytest.mark.store, pytest.mark.slow]

STARTS = """
import json, time
from cognite_nb_upload.emulator import bucket
made = bucket("surveys")
print(json.dumps({"url": made.url, **made.storage_options}), flush=True)
time.sleep(600)
"""


def client_of(told: dict[str, str], secret: str):
    """boto3's client, by the names of storage_options."""
    return boto3.client(
        "s3",
        endpoint_url=told["endpoint_url"],
        region_name="us-east-1",
        aws_access_key_id=told["key"],
        aws_secret_access_key=secret,
    )


def test_its_bucket_takes_files_of_who_has_the_key_and_ends_with_a_process_that_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", STARTS], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        told = json.loads(owner.stdout.readline())
        assert told["url"] == "s3://surveys"
        own = client_of(told, told["secret"])
        own.put_object(Bucket="surveys", Key="a", Body=b"some bytes")
        assert own.get_object(Bucket="surveys", Key="a")["Body"].read() == b"some bytes"
        with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
            client_of(told, "another").list_objects_v2(Bucket="surveys")
        assert list(tmp_path.iterdir())
        owner.send_signal(signal.SIGKILL)
    port = int(told["endpoint_url"].rpartition(":")[2])
    until(lambda: not listens(port) and not list(tmp_path.iterdir()), within_s=60)


def listens(port: int) -> bool:
    """Whether anybody accepts connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
