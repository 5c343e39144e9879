"""Files read from a real S3: one upload by address, and a prefix as a job."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support import some_bytes

from cognite_nb_upload import CogniteClient, SourceChanged, UsageError, upload_many
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator

pytestmark = [pytest.mark.store, pytest.mark.slow]
PART = 6 * MIB
DATA = some_bytes(13 * MIB, seed=3)


@pytest.fixture
def bucket(seaweed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the S3 of the tests wants to know."""
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))
    login, _, rest = seaweed.removeprefix("s3://").rpartition("@")
    key, _, secret = login.partition(":")
    endpoint = f"http://{rest.partition('/')[0]}"
    return {"key": key, "secret": secret, "region": "us-east-1", "endpoint_url": endpoint}


@pytest.fixture
def put(bucket: dict[str, Any]) -> Callable[[str, bytes], str]:
    """Puts an object; returns its address."""
    import boto3
    from botocore.config import Config

    s3 = boto3.client(
        "s3", endpoint_url=bucket["endpoint_url"], region_name="us-east-1",
        aws_access_key_id=bucket["key"], aws_secret_access_key=bucket["secret"],
        config=Config(s3={"addressing_style": "path"}),
    )  # fmt: skip
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket="objects")

    def put(key: str, data: bytes) -> str:
        s3.put_object(Bucket="objects", Key=key, Body=data)
        return f"s3://objects/{key}"

    return put


def test_an_object_is_uploaded_and_one_that_is_replaced_is_refused(
    client: CogniteClient, cdf: Emulator, bucket: dict[str, Any], put: Callable[[str, bytes], str]
) -> None:
    address = put("wells/a b#1.las", DATA)
    done = client.files.upload(
        address, storage_options=bucket, part_size=PART, verify="checksum", external_id="a"
    )
    assert (done.name, cdf.content(done.id)) == ("a b#1.las", DATA)

    def replace(state: Any, event: ev.Event) -> None:
        if isinstance(event, ev.PartStored):
            put("wells/a b#1.las", DATA[::-1])

    upload = client.files.start_upload(
        address, storage_options=bucket, part_size=PART, max_concurrency=1, external_id="b"
    )
    upload.listen(replace)
    with pytest.raises(SourceChanged, match="was replaced"):
        upload.result()
    wrong = {**bucket, "secret": "planted"}
    with pytest.raises(UsageError, match="refuses to show it") as refused:
        client.files.upload(address, storage_options=wrong)
    assert "planted" not in str(refused.value)


def test_a_prefix_is_a_job(
    client: CogniteClient, cdf: Emulator, bucket: dict[str, Any], put: Callable[[str, bytes], str]
) -> None:
    files = {"job/big.las": DATA, "job/deep/small.las": b"small", "job/deep/x.txt": b"x"}
    for key, data in files.items():
        put(key, data)
    how: Any = {"storage_options": bucket, "external_id": "path", "progress": False}
    frame = upload_many(client, "s3://objects/job/**/*.las", **how)
    assert frame["status"].tolist() == ["done", "done"]
    assert frame["path"].tolist() == ["s3://objects/job/big.las", "s3://objects/job/deep/small.las"]
    assert frame["size"].tolist() == [len(DATA), 5]
    assert [cdf.content(one) for one in frame["id"]] == [DATA, b"small"]
    again = upload_many(client, "s3://objects/job/**/*.las", **how)
    assert again["note"].tolist() == ["sent before", "sent before"]
