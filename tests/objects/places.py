"""Where an object may be: real stores, each reached in one way, counted on the way."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import obstore
from counting import FrontDoor
from foreign import Foreign
from fsspec.core import OpenFile
from obstore.fsspec import FsspecStore
from obstore.store import AzureStore, S3Store
from real_stores import AZURE_ACCOUNT, AZURE_KEY, S3_KEY, S3_SECRET
from sftp_server import PASSWORD, USER, SftpStore, sftp_store

from cognite_nb_upload.emulator.store.remote import open_store

CONTAINER = "sources"
# What must never be seen again; the signature of a request has a name of its own in each store.
SECRETS = (S3_SECRET, AZURE_KEY, PASSWORD, "AWS4-HMAC", "X-Amz-Signature", "Signature=", "sig=")


@dataclass
class Place:
    """One store, reached in one way.

    Attributes:
        name: of the way.
        put: puts an object into the store, past what counts.
        given: an object as `upload` takes it, by its key.
        options: the `storage_options` that go with it.
        door: what counts.
        most: bytes read over size that are allowed, with 8 parts at once.
        tells: the store tells versions.
    """

    name: str
    put: Callable[[str, bytes], object]
    given: Callable[[str], Any]
    options: Mapping[str, Any] | None
    door: FrontDoor | SftpStore
    most: float
    tells: bool = True


def port_of(storage: str) -> int:
    """The port in what `emulator(storage=...)` takes."""
    return int(storage.rpartition("@")[2].partition("/")[0].rpartition(":")[2])


def s3(storage: str, stack: ExitStack, way: str) -> Place:
    """SeaweedFS: by its address through obstore, through `cat_file`, or as a foreign object."""
    open_store(storage.replace("/parts", f"/{CONTAINER}"))
    door = stack.enter_context(FrontDoor(port_of(storage)))
    store = S3Store(CONTAINER, **_s3(port_of(storage)))
    fs = FsspecStore("s3", **_s3(door.port))
    ways: dict[str, Callable[[str], Any]] = {
        "s3": lambda key: f"s3://{CONTAINER}/{key}",
        "cat_file": lambda key: OpenFile(fs, f"{CONTAINER}/{key}"),
        "foreign": lambda key: Foreign(fs.open(f"{CONTAINER}/{key}"), key),
    }
    options = {
        "endpoint_url": f"http://127.0.0.1:{door.port}", "key": S3_KEY, "secret": S3_SECRET,
    }  # fmt: skip
    return Place(
        way,
        lambda key, data: obstore.put(store, key, data, use_multipart=False),
        ways[way],
        options if way == "s3" else None,
        door,
        most={"s3": 1.05, "cat_file": 1.15, "foreign": 2.0}[way],
        tells=way != "foreign",
    )


def _s3(port: int) -> dict[str, Any]:
    return {
        "access_key_id": S3_KEY, "secret_access_key": S3_SECRET, "region": "us-east-1",
        "endpoint": f"http://127.0.0.1:{port}", "client_options": {"allow_http": True},
        "retry_config": {"max_retries": 0},
    }  # fmt: skip


def azure(storage: str, stack: ExitStack) -> Place:
    """Azurite, by its address through obstore."""
    open_store(storage.replace("/parts", f"/{CONTAINER}"))
    door = stack.enter_context(FrontDoor(port_of(storage)))
    store = AzureStore(
        CONTAINER,
        account_name=AZURE_ACCOUNT,
        account_key=AZURE_KEY,
        endpoint=f"http://127.0.0.1:{port_of(storage)}/{AZURE_ACCOUNT}",
        client_options={"allow_http": True},
    )
    words = (
        f"DefaultEndpointsProtocol=http;AccountName={AZURE_ACCOUNT};AccountKey={AZURE_KEY};"
        f"BlobEndpoint=http://127.0.0.1:{door.port}/{AZURE_ACCOUNT};"
    )
    return Place(
        "azure",
        lambda key, data: obstore.put(store, key, data, use_multipart=False),
        lambda key: f"abfs://{CONTAINER}/{key}",
        {"connection_string": words},
        door,
        most=1.05,
    )


def sftp(folder: Path, stack: ExitStack) -> Place:
    """An SFTP server, through fsspec's own filesystem."""
    store = stack.enter_context(sftp_store(folder))
    moments = count(1_700_000_000, 10)  # SFTP tells whole seconds

    def put(key: str, data: bytes) -> None:
        (folder / key).write_bytes(data)
        os.utime(folder / key, (moment := next(moments), moment))

    return Place(
        "sftp",
        put,
        lambda key: f"sftp://127.0.0.1/{key}",
        {"port": store.port, "username": USER, "password": PASSWORD, "allow_agent": False,
         "look_for_keys": False},
        store,
        most=1.15,
    )  # fmt: skip
