"""A real kernel, and a page at the other end of its sockets."""

from __future__ import annotations

import hashlib
import random
import time
import zlib
from collections.abc import Callable, Iterator
from queue import Empty
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, emulator

pytestmark = [pytest.mark.kernel, pytest.mark.slow]
DATA = random.Random(17).randbytes(13 * MIB)

WIDGET = """
from cognite_nb_upload import AsyncCogniteClient
from cognite_nb_upload.widgets.browser.files import BrowserFiles
client, files = AsyncCogniteClient.from_env(), BrowserFiles()
"""


class KernelPage:
    """Hears what the kernel publishes, and answers as a page that holds one file."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client, self._comm = client, ""
        self.reads = 0

    def run(self, code: str, seconds: float = 60) -> str:
        """Run a cell, serving what it asks for meanwhile, and give what it printed."""
        asked, text = self._client.execute(code), ""
        for message in self._heard(seconds):
            if message is None or message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            text += content.get("text", "") if kind == "stream" else ""
            assert kind != "error", content
            if kind == "status" and content["execution_state"] == "idle":
                return text
        raise AssertionError("The cell did not end.")

    def serve(self, until: Callable[[], bool], seconds: float = 60) -> None:
        """Answer while no cell runs."""
        for _ in self._heard(seconds):
            if until():
                return
        raise AssertionError("It did not come true.")

    def choose(self) -> None:
        about = {"key": "page-1", "name": "big.segy", "size": len(DATA), "modified": 1}
        self._say({"kind": "chosen", "page": "page", "files": [about]})

    def _heard(self, seconds: float) -> Iterator[dict[str, Any] | None]:
        """What the kernel publishes; None where it has been silent for a moment."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                message = self._client.get_iopub_msg(timeout=0.1)
            except Empty:
                yield None
                continue
            content = message["content"]
            if message["msg_type"] == "comm_open" and "rows" in content["data"]["state"]:
                self._comm = content["comm_id"]
            elif message["msg_type"] == "comm_msg" and content["data"]["method"] == "custom":
                self._answer(content["data"]["content"])
            yield message

    def _answer(self, asked: dict[str, Any]) -> None:
        if asked["kind"] == "read":
            self.reads += 1
            data = b"".join(DATA[at : at + size] for at, size in asked["pieces"])
            self._say({"kind": "slice", "no": asked["no"], "crc": zlib.crc32(data)}, data)
        elif asked["kind"] == "ping":
            about = {"page": "page", "holds": ["page-1"], "working": []}
            self._say({"kind": "pong", "no": asked["no"], **about})

    def _say(self, content: dict[str, Any], *buffers: bytes) -> None:
        data = {"method": "custom", "content": content}
        self._client.session.send(
            self._client.shell_channel.socket,
            "comm_msg",
            {"comm_id": self._comm, "data": data},
            buffers=list(buffers),
        )


@pytest.fixture(scope="module")
def cdf() -> Iterator[Emulator]:
    with emulator(process=True, strict_storage=True) as running:
        yield running


@pytest.fixture(scope="module")
def page(cdf: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[KernelPage]:
    folder = tmp_path_factory.mktemp("kernel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDF_URL", cdf.base_url)
        patch.setenv("CDF_PROJECT", cdf.project)
        patch.setenv("CDF_TOKEN", cdf.token)
        patch.setenv("COGNITE_NB_UPLOAD_STATE", str(folder / "state"))
        patch.setenv("IPYTHONDIR", str(folder / "ipython"))
        manager, client = start_new_kernel()
        try:
            made = KernelPage(client)
            made.run(WIDGET)
            made.choose()
            yield made
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def sha256_of(cdf: Emulator, printed: str) -> str:
    return cdf.sha256(int(printed.split()[-1]))


def test_an_upload_goes_on_between_cells(page: KernelPage, cdf: Emulator) -> None:
    page.run("upload = files.files[0].upload(client, name='between')")
    before = page.reads

    def is_there() -> bool:
        return any(row["name"] == "between" and row["uploaded"] for row in cdf.files())

    page.serve(is_there)
    assert page.reads > before
    assert sha256_of(cdf, page.run("print(upload.result().id)")) == hashlib.sha256(DATA).hexdigest()


def test_a_cell_awaits_an_upload(page: KernelPage, cdf: Emulator) -> None:
    printed = page.run("print((await files.files[0].upload(client, name='awaited')).id)")
    assert sha256_of(cdf, printed) == hashlib.sha256(DATA).hexdigest()
