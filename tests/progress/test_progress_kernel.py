"""Bars in a real kernel: what leaves it for the browser, and what a saved notebook holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

SETUP = f"""
import sys, threading, time
sys.path.insert(0, {str(Path(__file__).parent)!r})
from uploading import *
from cognite_nb_upload.progress import bars
import ipywidgets, tqdm.notebook

def busy(feed, seconds, per_s=2000):
    "Part after part, eight at once, `per_s` events a second."
    begun = time.monotonic()
    told = 0
    while (at := time.monotonic() - begun) < seconds:
        while told < at * per_s:
            no, sent = (told // 800) * 8 + told % 8, (told // 8) % 100
            tell(feed, *send(no, MIB) if sent == 0 else [ev.PartSent(no=no, sent=sent * MIB // 10)])
            told += 1
            if sent == 99:
                tell(feed, store(no))
        time.sleep(0.005)
    return told
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        run(client, SETUP)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> list[dict[str, Any]]:
    """Everything that is published while a cell runs, in order."""
    heard: list[dict[str, Any]] = []
    reply = client.execute_interactive(code, output_hook=heard.append, timeout=60)
    assert reply["content"]["status"] == "ok", reply["content"]
    return heard


def run_to_the_end(client: BlockingKernelClient, code: str) -> list[dict[str, Any]]:
    """What is published while a cell runs, and until its bars have made way for what is left."""
    heard = run(client, code)
    while not (
        ids(heard, "comm_open") == ids(heard, "comm_close") and ids(heard, "update_display_data")
    ):
        heard.append(client.get_iopub_msg(timeout=60))  # another thread draws
    return heard


def ids(heard: list[dict[str, Any]], kind: str) -> set[str | None]:
    """The comms that messages of this kind are about."""
    return {one["content"].get("comm_id") for one in heard if one["msg_type"] == kind}


def test_2000_events_a_second_are_about_ten_messages_a_second(
    kernel: BlockingKernelClient,
) -> None:
    heard = run(
        kernel,
        """
feed = Feed(time.monotonic)
tell(feed, opened([10 * MIB] * 250))
shown = bars(feed)
told, begun = [], time.monotonic()
thread = threading.Thread(target=lambda: told.append(busy(feed, 3.0)))
thread.start()
while thread.is_alive():  # a busy cell
    sum(range(1000))
print(told[0], time.monotonic() - begun)
""",
    )
    said = next(one["content"]["text"] for one in heard if one["msg_type"] == "stream")
    told, took_s = map(float, said.split())
    assert told > 1000
    moved = [one for one in heard if one["msg_type"] == "comm_msg"]
    assert 3 <= len(moved) <= 12 * took_s  # a busy machine draws fewer
    state = [one["content"]["data"]["state"]["shown"] for one in moved]
    assert all(one["rows"][0]["label"] == "all parts" for one in state)
    assert len({one["rows"][0]["share"] for one in state}) >= 3
    assert len({one["strip"]["marks"] for one in state}) >= 2
    opened = Counter(one["msg_type"] for one in heard)["comm_open"]
    assert opened == 2  # the view and its layout


def test_what_is_left_is_text_and_html_where_the_bars_were(kernel: BlockingKernelClient) -> None:
    heard = run_to_the_end(
        kernel,
        """
feed = Feed(time.monotonic)
tell(feed, opened([10 * MIB] * 2, name=XSS))
watching = bars(feed)
state = tell(feed, *stored(0, 1), ev.Completed())
watching
""",
    )
    (shown,) = (one["content"] for one in heard if one["msg_type"] == "display_data")
    (left,) = (one["content"] for one in heard if one["msg_type"] == "update_display_data")
    assert "application/vnd.jupyter.widget-view+json" in shown["data"]
    assert left["transient"]["display_id"] == shown["transient"]["display_id"]
    assert set(left["data"]) == {"text/plain", "text/html"}
    assert left["data"]["text/plain"].startswith("Uploaded <img")
    assert "<img" not in left["data"]["text/html"]
    assert not [one for one in heard if one["msg_type"] == "execute_result"]
    closed = [one["content"]["comm_id"] for one in heard if one["msg_type"] == "comm_close"]
    begun = [one["content"]["comm_id"] for one in heard if one["msg_type"] == "comm_open"]
    assert set(closed) <= set(begun)
    assert set(begun) == set(closed)


def test_bars_of_many_files_leave_a_text_and_no_models(kernel: BlockingKernelClient) -> None:
    heard = run_to_the_end(
        kernel,
        """
from cognite_nb_upload.progress.many import BatchBar
from cognite_nb_upload.batch.batch import BatchState, InFlight

class Batch:
    state = BatchState(files=3, size=3 * MIB)

    def listen(self, listener):
        self.tell = listener
        return lambda: None

batch = Batch()
with BatchBar(batch):
    batch.tell(BatchState(3, 3 * MIB, done=1, sent=MIB, active=(InFlight(XSS, 5, MIB),)))
    batch.state = BatchState(3, 3 * MIB, done=2, failed=1, sent=2 * MIB, over=True)
""",
    )
    (shown,) = (one["content"] for one in heard if one["msg_type"] == "display_data")
    (left,) = (one["content"] for one in heard if one["msg_type"] == "update_display_data")
    assert "application/vnd.jupyter.widget-view+json" in shown["data"]
    assert left["transient"]["display_id"] == shown["transient"]["display_id"]
    assert left["data"]["text/plain"].startswith("2 of 3 files, 1 failed: 2 MiB in ")
    assert left["data"]["text/plain"] in left["data"]["text/html"]
    states = [
        one["content"]["data"].get("state", {})
        for one in heard
        if one["msg_type"] in ("comm_open", "comm_msg")
    ]
    rows = [row for one in states for row in one.get("shown", {}).get("rows", ())]
    assert ("1 of 3 files", "33 %") in [(row["label"], row["percent"]) for row in rows]
    assert not [one for one in states if "<img" in str(one.get("shown", {}).get("still"))]
    begun, ended = (
        {one["content"]["comm_id"] for one in heard if one["msg_type"] == f"comm_{kind}"}
        for kind in ("open", "close")
    )
    assert begun <= ended


def test_a_saved_notebook_shows_the_end_without_widgets() -> None:
    cells = [
        SETUP,
        "feed = Feed(time.monotonic); tell(feed, opened([10 * MIB] * 2)); bars(feed)",
        "thread = threading.Thread(target=lambda: tell(feed, *stored(0, 1), ev.Completed()))\n"
        "thread.start(); thread.join()",
        "again = Feed(time.monotonic)\n"
        "with bars(again):\n    tell(again, opened([10 * MIB] * 2), *stored(0))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    nbclient.NotebookClient(notebook, kernel_name="python3").execute()
    assert outputs(notebook.cells[1]) == ["Uploaded big.segy: 20 MiB in 2 parts, id 91"]
    assert outputs(notebook.cells[3])[0].startswith("Uploading big.segy: 50 %, 10 of 20 MiB")


def outputs(cell: Any) -> list[str]:
    assert all(set(one["data"]) == {"text/plain", "text/html"} for one in cell.outputs)
    return [one["data"]["text/plain"].partition(", 0")[0] for one in cell.outputs]
