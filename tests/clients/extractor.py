"""extractor-utils' upload queues, as an extractor fills them."""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

from cognite.client import ClientConfig, CogniteClient, global_config
from cognite.client.credentials import Token
from cognite.client.data_classes import FileMetadata
from cognite.extractorutils.uploader import BytesUploadQueue, FileUploadQueue, IOFileUploadQueue
from steps import BASE_URL, PROJECT, TOKEN, step

global_config.disable_pypi_version_check = True
client = CogniteClient(ClientConfig("tests", PROJECT, Token(TOKEN), base_url=BASE_URL))
work = Path(tempfile.mkdtemp())


def content(external_id: str) -> bytes:
    return client.files.download_bytes(external_id=external_id)


@step
def files():
    (work / "a").write_bytes(b"from a path")
    with FileUploadQueue(client, max_queue_size=2, overwrite_existing=True) as queue:
        for n in range(3):
            meta = FileMetadata(external_id=f"file {n}", name=f"{n}", source="s", directory="/d")
            queue.add_to_upload_queue(meta, work / "a")
        queue.upload()
    assert content("file 2") == b"from a path"


@step
def bytes_of_memory():
    with BytesUploadQueue(client, max_queue_size=10, overwrite_existing=True) as queue:
        queue.add_to_upload_queue(b"from memory", FileMetadata(external_id="bytes", name="b"))
        queue.upload()
    assert content("bytes") == b"from memory"


@step
def an_empty_file():
    (work / "empty").touch()
    with FileUploadQueue(client, max_queue_size=10) as queue:
        queue.add_to_upload_queue(FileMetadata(external_id="empty", name="e"), work / "empty")
        queue.upload()
    assert content("empty") == b""


@step
def a_stream():
    data = os.urandom(3_000_000)
    with IOFileUploadQueue(client, max_queue_size=10, overwrite_existing=True) as queue:
        meta = FileMetadata(external_id="stream", name="s", mime_type="a/b")
        queue.add_io_to_upload_queue(meta, lambda: io.BytesIO(data))
        queue.upload()
    assert content("stream") == data


@step
def in_parts():
    data = os.urandom(13 * 1024**2)
    with IOFileUploadQueue(client, max_queue_size=10, overwrite_existing=True) as queue:
        queue.max_single_chunk_file_size = 10 * 1024**2
        queue.max_file_chunk_size = 6 * 1024**2
        meta = FileMetadata(external_id="parts", name="p")
        queue.add_io_to_upload_queue(meta, lambda: io.BytesIO(data))
        queue.upload()
    assert content("parts") == data


@step
def overwriting_changes_directory_and_source():
    with BytesUploadQueue(client, max_queue_size=10, overwrite_existing=True) as queue:
        meta = FileMetadata(external_id="bytes", name="b", source="new", directory="/new")
        queue.add_to_upload_queue(b"again", meta)
        queue.upload()
    found = client.files.retrieve(external_id="bytes")
    assert (found.source, found.directory) == ("new", "/new")
    assert content("bytes") == b"again"
