"""The panel in a real kernel, driven by the messages that a page sends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient
from support import until

from cognite_nb_upload.emulator import Emulator

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

WIDGET = "application/vnd.jupyter.widget-view+json"
SETUP = """
import os, time
from pathlib import Path
from cognite_nb_upload.emulator import Fault, emulator
from cognite_nb_upload.widgets.panel.panel import UploadPanel

cdf = emulator(faults=True, process=True, strict_storage=True)
cdf.__enter__()
os.environ.update(CDF_URL=cdf.base_url, CDF_PROJECT=cdf.project, CDF_TOKEN=cdf.token)
os.environ["COGNITE_NB_UPLOAD_STATE"] = FOLDER + "/journals"
big = Path(FOLDER, "big.segy")
big.write_bytes(os.urandom(20 * 2**20))

def compute(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))

def until(true):
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)
"""


class Kernel:
    """A kernel, and what its cells publish."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def run(self, code: str) -> list[dict[str, Any]]:
        """Everything that is published until a cell is over, by threads too, in order."""
        heard: list[dict[str, Any]] = []
        cell = self._client.execute(code)
        while True:
            heard.append(self._client.get_iopub_msg(timeout=60))
            last = heard[-1]
            assert last["msg_type"] != "error", last["content"]
            idle = last["content"].get("execution_state") == "idle"
            if idle and last["parent_header"].get("msg_id") == cell:
                return heard

    def ends(self, heard: list[dict[str, Any]]) -> dict[str, Any]:
        """The HTML that takes the place of what was displayed; threads tell of it in their time."""
        while not (found := [one for one in shown(heard, "update_display_data") if is_end(one)]):
            heard = [self._client.get_iopub_msg(timeout=60)]
        return found[-1]

    def value(self, code: str) -> str:
        """What a cell prints."""
        said = [one["content"] for one in self.run(f"print({code})")]
        return "".join(one.get("text", "") for one in said).strip()

    def tell(self, widget: str, **data: Any) -> None:
        """What a page sends to the widget of that name in the kernel."""
        content = {"comm_id": self.value(f"{widget}.model_id"), "data": data}
        self._client.shell_channel.send(self._client.session.msg("comm_msg", content))

    def click(self, widget: str) -> None:
        self.tell(widget, method="custom", content={"event": "click"})

    def press(self, view: str, key: str) -> None:
        """A button of a view of an upload."""
        self.tell(view, method="custom", content={"do": key})

    def type(self, widget: str, text: str) -> None:
        self.tell(widget, method="update", state={"value": text}, buffer_paths=[])


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    manager, client = start_new_kernel(kernel_name="python3")
    made = Kernel(client)
    try:
        made.run(f"FOLDER = {str(tmp_path_factory.mktemp('kernel'))!r}\n{SETUP}")
        yield made
    finally:
        made.run("cdf.__exit__(None, None, None)")
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def kernel(running: Kernel) -> Kernel:
    """The kernel with a panel of its own for each test, in which a file is chosen."""
    running.run("cdf.clear_faults()\npanel = UploadPanel()\npanel.files.choose(big)")
    running.run("until(lambda: panel.files.file and not panel.files.looking)")
    return running


def shown(heard: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The mime bundles that were displayed, or updated."""
    return [one["content"]["data"] for one in heard if one["msg_type"] == kind]


def is_end(bundle: dict[str, Any]) -> bool:
    return "Uploaded" in bundle.get("text/html", "")


def test_a_person_uploads_a_file_and_the_next_cell_awaits_it(kernel: Kernel) -> None:
    view, saved = shown(kernel.run("panel = UploadPanel()\npanel"), "display_data")
    assert WIDGET in view
    assert "text/html" in saved
    kernel.type("panel.files.input", kernel.value("big"))
    kernel.run("until(lambda: panel.files.file and not panel.files.looking)")
    kernel.type("panel.sending.part_mib", "6")
    kernel.click("panel.start")
    heard = kernel.run("await panel.upload")
    [result] = shown(heard, "execute_result")
    assert result["text/plain"].startswith("<Uploaded big.segy: 20 MiB in 4 parts")
    assert kernel.value("cdf.sha256(panel.upload.state.file_id)") == kernel.value(
        "__import__('hashlib').sha256(big.read_bytes()).hexdigest()"
    )


def test_a_saved_notebook_has_the_end_of_each_upload_as_html(kernel: Kernel) -> None:
    [_, saved] = shown(kernel.run("panel"), "display_data")
    assert "Uploaded" not in saved["text/html"]
    heard = kernel.run(
        "panel.form.fill({'source': 'again'})\npanel.start.click()\npanel.upload.result()"
    )
    assert kernel.ends(heard)["text/plain"].startswith("Uploaded big.segy: 20 MiB")


def test_an_upload_as_the_last_line_is_live_and_then_html(kernel: Kernel) -> None:
    kernel.run("cdf.inject(Fault('slow', 'part', times=None, bytes_per_s=2e5))")
    [view] = shown(
        kernel.run(
            "upload = panel.client.files.upload(big, name='slow.segy', part_size=6 * 2**20)\nupload"
        ),
        "display_data",
    )
    assert WIDGET in view
    assert view["text/plain"].startswith("<Upload slow.segy: 20 MiB in 4 parts")
    busy: list[dict[str, Any]] = []
    cells = 0
    while len(busy) < 5 and cells < 10:  # a busy machine gives the bars few turns
        busy += [one for one in kernel.run("compute(1.5)") if one["msg_type"] == "comm_msg"]
        cells += 1
    assert 5 <= len(busy) <= 40 * cells, "bars move while a cell computes, and are no flood"
    end = kernel.ends(kernel.run("cdf.clear_faults()\nupload.result()"))
    assert WIDGET not in end
    assert "slow.segy" in end["text/plain"]
    [again] = shown(kernel.run("upload"), "display_data")
    assert list(again) == ["text/plain", "text/html"]


def test_pause_and_stop_are_heard_between_cells(kernel: Kernel) -> None:
    kernel.run(
        "cdf.inject(Fault('stall', 'part', times=None))\n"
        "panel.form.fill({'source': 'paused'})\npanel.start.click()\nview = panel.views[0]"
    )
    kernel.press("view", "pause")
    kernel.run("until(lambda: view.upload.state.phase == 'paused')")
    kernel.press("view", "pause")
    kernel.run("until(lambda: view.upload.state.phase == 'sending')")
    kernel.press("view", "stop")
    kernel.press("view", "give_up")
    kernel.run("until(lambda: view.ended)\ncdf.clear_faults()")
    assert kernel.value("view.ended.title") == "Given up:"


def test_no_secret_is_in_an_executed_and_saved_notebook(
    cdf: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = "PLANTED-token-that-is-wrong"
    monkeypatch.setenv("PLANTED_ONE", cdf.token)
    monkeypatch.setenv("PLANTED_TWO", planted)
    book = nbformat.v4.new_notebook(
        cells=[
            nbformat.v4.new_code_cell(code)
            for code in (
                "import os\nfrom cognite_nb_upload.widgets.panel.panel import UploadPanel\n"
                "panel = UploadPanel()\npanel",
                "form = panel.sign_in\n"
                f"form.cluster.value, form.method.value = {cdf.base_url!r}, 'token'\n"
                "def press(name):\n"
                "    content = {'kind': 'secret', 'secret': os.environ[name]}\n"
                "    form.secret._handle_custom_msg(content, [])\n"
                "    form.tasks.wait()\n"
                "press('PLANTED_TWO')\nassert not panel.client\n"
                "press('PLANTED_ONE')\nassert panel.client\n",
                f"panel.files.choose({__file__!r})\n"
                "import time\nwhile panel.start.disabled: time.sleep(0.01)\n"
                "panel.show_code.click()\npanel.start.click()\nawait panel.upload",
                "panel.upload",
            )
        ]
    )
    NotebookClient(book, timeout=60, kernel_name="python3").execute()
    path = tmp_path / "saved.ipynb"
    nbformat.write(book, path)
    saved = path.read_text()
    widgets = json.loads(saved)["metadata"]["widgets"]
    # The state after the secrets were used is there: of the upload, or of its end.
    assert "is being uploaded" in str(widgets) or "was sent with just this" in str(widgets)
    assert "getpass" in str(widgets)
    assert "Uploaded" in str(book.cells[3].outputs)
    until(lambda: cdf.files())
    for secret in (cdf.token, planted, "sig="):
        assert secret not in saved
