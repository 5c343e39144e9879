"""Files from the browser, measured: over the comm, straight to the store, and Jupyter's own ways.

    python tests/bench/browser.py [--size MIB] [--rounds N] [--only button,contents,comm,direct]
                                  [--json FILE] [--write FILE]

One JupyterLab, one page, one emulated CDF; the ways take turns, so that a busy machine is as busy
for each. The page works unattended. Rates are MiB/s of medians; memory is what each process had at
most above where it began, private to it. Jupyter's own ways bring a file to the server's disk only:
the Upload button of JupyterLab's file browser, and the contents API below it as a bare loop of
requests, both in chunks of 1 MiB; of a large file only the first 100 MiB go these ways.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "browser"))

from detached import MIB, Chromium, Memory, choose, renderers
from jupyter_app import JupyterApp, Notebook
from playwright.sync_api import Page, Playwright, sync_playwright
from support import config_of

from cognite_nb_upload import CogniteClient
from cognite_nb_upload.emulator import Emulator, emulator

CELLS = [
    """
from cognite_nb_upload import AsyncCogniteClient
from cognite_nb_upload.widgets.browser.files import BrowserFiles
client = AsyncCogniteClient.from_env()
files = BrowserFiles()
files
""",
    """
import json, pathlib, threading, time
def measure(direct, place):
    time.sleep(2)  # whoever watches has let go of the page
    file, began, cpu = files.files[0], time.monotonic(), time.process_time()
    file.direct = direct
    try:
        done = file.upload(client, resume=False, part_size=64 * 2**20).result()
        told = {"id": done.id, "retries": done.retries}
    except Exception as error:
        told = {"error": repr(error)}
    told |= {"seconds": time.monotonic() - began, "cpu_s": time.process_time() - cpu}
    told["slice"] = files.link.slice_size
    pathlib.Path(place + "~").write_text(json.dumps(told))
    pathlib.Path(place + "~").rename(place)
def start(direct, place):
    threading.Thread(target=measure, args=(direct, place)).start()
""",
]

# What JupyterLab's file browser does: base64 in JSON, a chunk at a time.
CONTENTS = """
async ([token, most]) => {
    const file = document.querySelector("#bench-file").files[0];
    const base64 = blob => new Promise(done => {
        const reader = new FileReader();
        reader.onload = () => done(reader.result.split(",")[1]);
        reader.readAsDataURL(blob);
    });
    const send = async () => {
        await new Promise(done => setTimeout(done, 2000));
        const began = performance.now(), size = Math.min(most, file.size), step = 1024 * 1024;
        for (let at = 0, chunk = 1; at < size; at += step, chunk++) {
            const last = at + step >= size;
            const content = await base64(file.slice(at, Math.min(at + step, size)));
            const body = {type: "file", format: "base64", name: "contents.bin",
                          path: "contents.bin", content, chunk: last ? -1 : chunk};
            const reply = await fetch("/api/contents/contents.bin", {
                method: "PUT", body: JSON.stringify(body),
                headers: {"Authorization": `token ${token}`, "Content-Type": "application/json"},
            });
            if (!reply.ok) throw new Error(`${reply.status} ${await reply.text()}`);
        }
        return {seconds: (performance.now() - began) / 1000, size};
    };
    window.benched = null;
    const tell = told => { window.benched = told; };
    send().then(tell, error => tell({error: `${error}`}));
}
"""

# JupyterLab's own button, with a file in the place of what one would pick.
BUTTON = """
async ([name, most]) => {
    const file = document.querySelector("#bench-file").files[0];
    const picked = new DataTransfer();
    picked.items.add(new File([file.slice(0, most)], name));
    const click = HTMLInputElement.prototype.click;
    HTMLInputElement.prototype.click = function () {
        HTMLInputElement.prototype.click = click;
        this.files = picked.files;
        this.dispatchEvent(new Event("change"));
    };
    window.began = null;
    setTimeout(() => {
        document.querySelector('[data-jp-item-name="uploader"] jp-button').click();
        const asked = setInterval(() => {
            const yes = document.querySelector(".jp-Dialog .jp-mod-warn"); // it is a large file
            if (!yes) return;
            clearInterval(asked);
            window.began = Date.now() / 1000;
            yes.click();
        }, 10);
    }, 2000);
}
"""


def main() -> None:
    """Measure, and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=300, help="MiB")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default=",".join(NAMES))
    parser.add_argument("--json", type=Path, help="all that was measured")
    parser.add_argument("--write", type=Path, help="a table in Markdown")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        file = _file(Path(folder) / "big.segy", options.size * MIB)
        told = _measure(Path(folder), file, options.only.split(","), options.rounds)
    table = report(told, options.size)
    print(table)
    if options.write:
        options.write.write_text(HEAD + table)
    if options.json:
        options.json.write_text(json.dumps(told, indent=2))


def _file(path: Path, size: int) -> Path:
    """Random bytes up to 300 MiB; a larger file is sparse after that."""
    with path.open("wb") as file:
        for _ in range(0, min(size, 300 * MIB), MIB):
            file.write(os.urandom(MIB))
        file.truncate(size)
        file.seek(-8, os.SEEK_END)
        file.write(b"the end.")
    return path


def _measure(
    folder: Path, file: Path, ways: list[str], rounds: int
) -> dict[str, list[dict[str, Any]]]:
    told: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    (folder / "app").mkdir()
    with (
        emulator(process=True, cors=True, checksums=False, quota_bytes=10**12) as cdf,
        JupyterApp("lab", folder / "app", cdf) as app,
        sync_playwright() as playwright,
        Chromium() as chromium,
    ):
        rig = _Rig(playwright, chromium, app, cdf)
        rig.set_up(file)
        for no in range(rounds):
            for way in ways:
                one = rig.own(way) if way in OWN else rig.upload(way, no, sha256)
                told[way].append(one)
                print(f"{way:9}{one}", flush=True)
    return told


class _Rig:
    def __init__(
        self, playwright: Playwright, chromium: Chromium, app: JupyterApp, cdf: Emulator
    ) -> None:
        self._playwright, self._chromium, self._app, self._cdf = playwright, chromium, app, cdf

    def set_up(self, file: Path) -> None:
        self._size = file.stat().st_size
        with self._chromium.attached(self._playwright.chromium) as page:
            notebook = Notebook.open(page, self._app, CELLS)
            notebook.run_cell(0)
            page.locator(".cnbu-drop").wait_for()
            choose(page, ".cnbu-drop-input", file)
            page.locator(".cnbu-drop-name").wait_for()
            notebook.run_cell(1)
            page.evaluate(
                """() => {
                    const input = document.createElement("input");
                    input.type = "file"; input.id = "bench-file"; document.body.append(input);
                }"""
            )
            choose(page, "#bench-file", file)

    def upload(self, way: str, no: int, sha256: str) -> dict[str, Any]:
        place = self._app.root.parent / f"{way}-{no}.json"
        with self._chromium.attached(self._playwright.chromium) as page:
            self._notebook(page).run(f"start({way == 'direct'}, {str(place)!r})")
        with self._memory() as memory:
            while not place.exists():
                time.sleep(0.1)
        told: dict[str, Any] = json.loads(place.read_text())
        if "error" not in told:
            told["rate"] = round(self._size / MIB / told["seconds"], 1)
            told["same"] = self._cdf.sha256(told["id"]) == sha256
            self._delete(told["id"])
        return told | {"memory": _in_mib(memory)}

    def contents(self) -> dict[str, Any]:
        with self._chromium.attached(self._playwright.chromium) as page:
            page.evaluate(CONTENTS, [self._app.token, 100 * MIB])
        with self._memory() as memory:
            while (told := self._benched()) is None:
                time.sleep(0)
        if "error" not in told:
            told["rate"] = round(told["size"] / MIB / told["seconds"], 1)
        return told | {"memory": _in_mib(memory)}

    def _delete(self, file_id: int) -> None:
        """So that the disk's cache is as full in the last round as in the first."""
        with CogniteClient(config_of(self._cdf)) as client:
            client.files.delete(id=file_id)

    def own(self, way: str) -> dict[str, Any]:
        """By one of Jupyter's own ways, which end on the server's disk."""
        return self.contents() if way == "contents" else self.button()

    def button(self) -> dict[str, Any]:
        path, size = self._app.root / "button.bin", min(self._size, 100 * MIB)
        path.unlink(missing_ok=True)
        with self._chromium.attached(self._playwright.chromium) as page:
            page.evaluate(BUTTON, [path.name, 100 * MIB])
        with self._memory() as memory:
            while not (path.exists() and path.stat().st_size == size):
                time.sleep(0.1)
        with self._chromium.attached(self._playwright.chromium) as page:
            told = {"seconds": path.stat().st_mtime - page.evaluate("window.began"), "size": size}
        told["rate"] = round(size / MIB / told["seconds"], 1)
        return told | {"memory": _in_mib(memory)}

    def _benched(self) -> dict[str, Any] | None:
        time.sleep(4)
        with self._chromium.attached(self._playwright.chromium) as page:
            told: dict[str, Any] | None = page.evaluate("window.benched")
        return told

    def _notebook(self, page: Page) -> Notebook:
        return Notebook(page, self._app, "")

    def _memory(self) -> Memory:
        return Memory(
            {
                "kernel": self._app.kernel_pids,
                "server": lambda: [self._app.pid],
                "page": lambda: renderers(self._chromium.pid),
            }
        )


def _in_mib(memory: Memory) -> dict[str, int]:
    return {name: round(size / MIB) for name, size in memory.most.items()}


HEAD = """# Files from the browser, measured

`python tests/bench/browser.py --write FILE`; what it does is in its docstring.

"""
NAMES = {
    "button": "JupyterLab's Upload button",
    "contents": "Jupyter's contents API alone",
    "comm": "`BrowserFile`, over the comm",
    "direct": "`BrowserFile(direct=True)`, straight to the store",
}
OWN = ("button", "contents")


def report(told: dict[str, list[dict[str, Any]]], size: int) -> str:
    """A table: rates (MiB/s), their ratios to Jupyter's ways, and the most memory of a round."""
    rounds = max(map(len, told.values()))
    load = f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the end"
    lines = [
        f"{size} MiB, {rounds} rounds in turn, medians (lowest to highest); {load}.",
        "",
        "| way | MiB/s | over the button | over the API | MiB added: kernel | server | page |",
        "|---|---|---|---|---|---|---|",
    ]
    bases = [_median(told.get(way, [])) for way in OWN]
    for way, ones in told.items():
        median, rates = _median(ones), _rates(ones)
        if median is None:
            lines.append(f"| {NAMES[way]} | failed: {ones[0].get('error')} | | | | | |")
            continue
        rate = f"**{median:.0f}** ({min(rates):.0f} to {max(rates):.0f})"
        ratios = " | ".join(f"{median / base:.1f}x" if base else "-" for base in bases)
        who = ("kernel", "server", "page")
        most = " | ".join(str(max(one["memory"][name] for one in ones)) for name in who)
        lines.append(f"| {NAMES[way]} | {rate} | {ratios} | {most} |")
    return "\n".join(lines) + "\n"


def _median(ones: list[dict[str, Any]]) -> float | None:
    return statistics.median(rates) if (rates := _rates(ones)) else None


def _rates(ones: list[dict[str, Any]]) -> list[float]:
    return [one["rate"] for one in ones if "rate" in one]


if __name__ == "__main__":
    main()
