"""How smooth a page stays that shows a job of many files: frame times, long tasks, messages.

    python tests/bench/frames.py [--rows 10000] [--only idle bars ..]

In a real JupyterLab, in headless Chromium. Each scene, but for the idle page, sends files of 1 kB
to a sink that answers at once: a job of `--rows`, or what the panel's own list holds at most. A
frame's time is that between two calls of `requestAnimationFrame`; a long task holds the page's main
thread for more than 50 ms, whoever's it is.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import meter
import rig
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(rig.HERE.parent / "browser"))

from jupyter_app import JupyterApp, Notebook, chromium_options

_SETUP: Final = """
import asyncio
import os
import time
from pathlib import Path
import pandas as pd
from cognite_nb_upload import AsyncCogniteClient
from cognite_nb_upload.progress.many import BatchBar
from cognite_nb_upload.widgets import UploadPanel

client, job = AsyncCogniteClient(), time.time_ns()
folder = Path(f"many {job}").resolve()
folder.mkdir()
for no in range(1000):
    (folder / f"{no}.bin").write_bytes(os.urandom(1000))

async def send(rows, bars):
    frame = pd.DataFrame({"path": [str(folder / "0.bin")] * rows})
    frame["external_id"] = [f"{job}-{no}" for no in range(rows)]
    batch = client.files.start_many(frame)
    shown = [BatchBar(batch, disable=False) for _ in range(bars)]
    await batch
    for bar in shown:
        bar.__exit__(None, None, None)

async def send_list(panel):
    panel.files.choose(str(folder / "*"))
    while panel.reason:
        await asyncio.sleep(0.1)
    panel.start.click()
    while not panel._tables:
        await asyncio.sleep(0.1)
    await asyncio.to_thread(panel._tables[0].files.wait, 600)
"""
_PANEL: Final = "panel{no} = UploadPanel(client)\npanel{no}"
# Panels, and what is run then.
_SCENES: Final = {
    "idle": (1, "await asyncio.sleep(20)"),
    "no view": (0, "await send({rows}, 0)"),
    "bars": (0, "await send({rows}, 1)"),
    "two bars": (0, "await send({rows}, 2)"),
    "panel": (1, "await send({rows}, 0)"),
    "two panels": (2, "await send({rows}, 0)"),
    "two of each": (2, "await send({rows}, 2)"),
    "list": (1, "await send_list(panel0)"),
}
# From now on.
_WATCH: Final = """() => {
    const seen = window.seen = {frames: [], tasks: [], messages: 0, bytes: 0};
    let last = performance.now();
    const frame = now => {
        seen.frames.push(now - last);
        last = now;
        requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    new PerformanceObserver(list => seen.tasks.push(...list.getEntries().map(one => one.duration)))
        .observe({type: "longtask"});
    const {kernel} = window.jupyterapp.shell.currentWidget.sessionContext.session;
    kernel.iopubMessage.connect((_, message) => {
        if (!/^comm|display_data$/.test(message.header.msg_type)) return;
        seen.messages += 1;
        seen.bytes += JSON.stringify(message.content).length;
    });
}"""


def main() -> None:
    """Play the scenes, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--only", nargs="*", default=list(_SCENES), choices=list(_SCENES))
    options = parser.parse_args()
    rig.build()
    with (
        rig.sink(tls=False) as sink,
        tempfile.TemporaryDirectory() as folder,
        JupyterApp(
            "lab", Path(folder), CDF_URL=sink.api, CDF_PROJECT="bench", CDF_TOKEN="x"
        ) as app,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(**chromium_options())
        for name in options.only:
            # High enough for all of it to be in sight: what is not is not drawn.
            page = browser.new_page(viewport={"width": 1280, "height": 2400})
            _play(page, app, name, options.rows)
            page.close()
        browser.close()


def _play(page: Page, app: JupyterApp, name: str, rows: int) -> None:
    panels, work = _SCENES[name]
    cells = [_SETUP, *(_PANEL.format(no=no) for no in range(panels)), work.format(rows=rows)]
    notebook = Notebook.open(page, app, cells)
    for no in range(len(cells) - 1):
        notebook.run_cell(no)
    page.wait_for_timeout(2000)  # what comes with opening is none of it
    page.evaluate(_WATCH)
    began_s = time.perf_counter()
    notebook.run_cell(len(cells) - 1)
    took_s = time.perf_counter() - began_s
    seen: dict[str, Any] = page.evaluate("window.seen")
    frames, tasks = seen["frames"], seen["tasks"]
    print(
        f"{name}: {took_s:.1f} s; frames p50 {meter.percentile(frames, 0.5):.0f} ms, p99 "
        f"{meter.percentile(frames, 0.99):.0f} ms, most {max(frames):.0f} ms; {len(tasks)} long "
        f"tasks, most {max(tasks, default=0):.0f} ms; {seen['messages'] / took_s:.1f} messages/s, "
        f"{seen['bytes'] / took_s / 1024:.1f} KiB/s; load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")


if __name__ == "__main__":
    main()
