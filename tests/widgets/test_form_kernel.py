"""A form in a real kernel: what reaches the browser while a cell computes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

SETUP = """
import time
from cognite_nb_upload import AsyncCogniteClient, ClientConfig, Token
from cognite_nb_upload.emulator import Fault, emulator
from cognite_nb_upload.widgets import MetadataForm

cdf = emulator(faults=True, process=True, strict_storage=True)
cdf.__enter__()
config = ClientConfig(
    client_name="tests", project=cdf.project, base_url=cdf.base_url, credentials=Token(cdf.token)
)
client = AsyncCogniteClient(config)

def compute(seconds):
    "A cell that is busy in pure Python."
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(1000))
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[BlockingKernelClient]:
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        run(client, SETUP)
        yield client
    finally:
        run(client, "cdf.__exit__(None, None, None)")
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> list[dict[str, Any]]:
    """Everything that is published while a cell runs, in order."""
    heard: list[dict[str, Any]] = []
    reply = client.execute_interactive(code, output_hook=heard.append, timeout=60)
    assert reply["content"]["status"] == "ok", reply["content"]
    return heard


def run_and_hear_all(client: BlockingKernelClient, code: str) -> list[dict[str, Any]]:
    """`run`, with what threads publish that were started by an earlier cell, as of that cell."""
    heard: list[dict[str, Any]] = []
    sent = client.execute(code, allow_stdin=False)
    while not heard or not (
        heard[-1]["parent_header"].get("msg_id") == sent
        and heard[-1]["content"].get("execution_state") == "idle"
    ):
        heard.append(client.get_iopub_msg(timeout=60))
    return heard


def printed(heard: list[dict[str, Any]]) -> str:
    return "".join(one["content"]["text"] for one in heard if one["msg_type"] == "stream")


def test_lists_reach_the_browser_while_a_cell_computes(kernel: BlockingKernelClient) -> None:
    heard = run_and_hear_all(
        kernel,
        """
cdf.inject(Fault("stall_answer", "datasets_list"))
begun = time.monotonic()
form = MetadataForm(client)
made_s = time.monotonic() - begun
print("loading:", form.loading)
while not cdf.fired():
    compute(0.01)
cdf.clear_faults()
while form.loading and time.monotonic() < begun + 60:
    compute(0.1)  # nobody awaits, nobody waits
print("loaded:", form.data_set.loaded, form.labels.loaded, not form.loading)
print(made_s, [one["route"] for one in cdf.fired()])
""",
    )
    text = printed(heard)
    assert "loading: True" in text
    assert "loaded: True True True" in text
    assert "datasets_list" in text
    # The notes changed before the cell was over: "busy" came, and went.
    notes = [
        one["content"]["data"]["state"]["value"]
        for one in heard
        if one["msg_type"] == "comm_msg"
        and "cnbu-limit" in str(one["content"]["data"].get("state", {}).get("value"))
    ]
    busy = [at for at, note in enumerate(notes) if "Loading data sets" in note]
    assert busy
    assert any("cnbu-busy" not in note for note in notes[busy[-1] + 1 :])


def test_a_form_with_256_pairs_is_not_a_flood_of_messages(kernel: BlockingKernelClient) -> None:
    heard = run(
        kernel,
        """
form = MetadataForm(client)
form.tasks.wait()
form.fill({"name": "a", "metadata": {f"k{no}": "v" for no in range(256)}})
""",
    )
    comms = [one for one in heard if one["msg_type"] in ("comm_open", "comm_msg")]
    assert len(comms) < 600


def test_displaying_a_form_has_a_text_for_where_widgets_do_not_load(
    kernel: BlockingKernelClient,
) -> None:
    heard = run(kernel, "MetadataForm()")
    (shown,) = [one["content"]["data"] for one in heard if one["msg_type"] == "display_data"]
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert shown["text/plain"].startswith("<MetadataForm ''")
