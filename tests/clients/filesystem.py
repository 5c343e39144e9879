"""cognite-cdffs: files as paths, as pandas and others open them."""

from __future__ import annotations

import fsspec
from cognite import cdffs  # noqa: F401 - it registers its protocol
from cognite.client import ClientConfig, CogniteClient, global_config
from cognite.client.credentials import Token
from cognite.client.data_classes import FileMetadata
from steps import BASE_URL, PROJECT, TOKEN, step

global_config.disable_pypi_version_check = True
config = ClientConfig("tests", PROJECT, Token(TOKEN), base_url=BASE_URL)
client = CogniteClient(config)
meta = FileMetadata(source="cdffs", mime_type="text/csv", metadata={"k": "v"})
fs = fsspec.filesystem("cdffs", connection_config=config, file_metadata=meta)


@step
def write():
    with fs.open("tables/a.csv", "wb") as file:
        file.write(b"x,y\n1,2\n")
    found = client.files.retrieve(external_id="a.csv")
    assert found.metadata["k"] == "v"
    assert client.files.download_bytes(external_id="a.csv") == b"x,y\n1,2\n"


@step
def read():
    with fs.open("tables/a.csv", "rb") as file:
        assert file.read() == b"x,y\n1,2\n"
    assert fs.cat("tables/a.csv") == b"x,y\n1,2\n"


@step
def overwrite():
    with fs.open("tables/a.csv", "wb") as file:
        file.write(b"x\n3\n")
    assert client.files.download_bytes(external_id="a.csv") == b"x\n3\n"


@step
def list_a_folder():
    assert "tables/a.csv" in fs.ls("tables/")


@step
def exists():
    assert fs.exists("tables/a.csv")
    assert not fs.exists("tables/b.csv")


@step
def remove():
    fs.rm_file("tables/a.csv")
    assert not fs.exists("tables/a.csv")


@step
def a_file_in_one_block():
    data = bytes(range(256)) * 12_000
    with fs.open("blobs/b.bin", "wb") as file:
        file.write(data)
    assert client.files.download_bytes(external_id="b.bin") == data
