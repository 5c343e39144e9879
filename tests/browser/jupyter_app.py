"""A real JupyterLab or Notebook 7 as a process, and a notebook open in it, driven by Playwright."""

from __future__ import annotations

import itertools
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import nbformat
import psutil
from playwright.sync_api import Locator, Page

from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.journal.folder import STATE_VARIABLE

PATIENCE_S = 60.0
_APPS = {
    "lab": ("jupyterlab", "LabApp", "lab/tree/"),
    "notebook": ("notebook", "JupyterNotebookApp", "notebooks/"),
}
# As `python -m`, without a grammar of addresses that is compiled at each start, for a second.
_STARTED = """
import runpy, sys
sys.modules["rfc3987_syntax"] = None
runpy.run_module("{module}", run_name="__main__", alter_sys=True)
"""
_names = itertools.count(1)


def chromium_options() -> dict[str, Any]:
    """Where Chromium is, and how it starts without a screen; Playwright's own where none is."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    return {"executable_path": found, "args": ["--no-sandbox", "--disable-dev-shm-usage"]}


class JupyterApp:
    """A Jupyter server on 127.0.0.1 with a token, on a folder of its own.

    Args:
        kind: "lab" or "notebook".
        folder: an empty folder; its `work` is what the server serves.
        cdf: what kernels find as CDF_URL, CDF_PROJECT and CDF_TOKEN.
        base_url: the path below which all of it is served, as on a hub.
        env: more variables for the server and its kernels.

    Attributes:
        root: the folder that is served.
        state: the folder where kernels keep their journals.
    """

    def __init__(
        self,
        kind: str,
        folder: Path,
        cdf: Emulator | None = None,
        base_url: str = "/",
        **env: str,
    ) -> None:
        self._base_url = base_url
        self.kind, self.cdf = kind, cdf
        self.root, self.state = folder / "work", folder / "state"
        self.token = secrets.token_hex(16)
        self._folder, self._more_env = folder, env
        self.url = ""

    def __enter__(self) -> Self:
        self.root.mkdir()
        self._ask_nothing()
        self._log = (self._folder / "server.log").open("wb")
        self._server = subprocess.Popen(
            self._command(), cwd=self.root, env=self._env(), stdout=self._log, stderr=self._log
        )
        try:
            self.url = self._wait_until_ready()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _ask_nothing(self) -> None:
        """No question for news above the page's corner; notebooks are saved with their widgets."""
        settings = {
            "@jupyterlab/apputils-extension/notification": '{"fetchNews": "false"}',
            "@jupyter-widgets/jupyterlab-manager/plugin": '{"saveState": true}',
        }
        for name, text in settings.items():
            path = self._folder / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True)
            path.write_text(text)
        page = self._folder / "config" / "labconfig" / "page_config.json"
        page.parent.mkdir(parents=True)
        page.write_text('{"buildCheck": false}')  # each page would start Node.js to look for news

    def _command(self) -> list[str]:
        module, app, _ = _APPS[self.kind]
        options = [
            "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0",
            f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.root}",
            f"--ServerApp.base_url={self._base_url}", f"--{app}.expose_app_in_browser=True",
            "--LabApp.news_url=",
            "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        ]  # fmt: skip
        return [sys.executable, "-c", _STARTED.format(module=module), *options]

    def _env(self) -> dict[str, str]:
        own = {
            f"JUPYTER_{name}_DIR": str(self._folder / name.lower())
            for name in ("CONFIG", "DATA", "RUNTIME")
        }
        own["JUPYTERLAB_SETTINGS_DIR"] = str(self._folder / "settings")
        own["JUPYTERLAB_WORKSPACES_DIR"] = str(self._folder / "workspaces")
        own["IPYTHONDIR"] = str(self._folder / "ipython")
        own[STATE_VARIABLE] = str(self.state)
        if self.cdf is not None:
            own |= {"CDF_URL": self.cdf.base_url, "CDF_PROJECT": self.cdf.project}
            own["CDF_TOKEN"] = self.cdf.token
        return {**os.environ, **own, **self._more_env}

    def _wait_until_ready(self) -> str:
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until and self._server.poll() is None:
            for path in (self._folder / "runtime").glob("jpserver-*.json"):
                if url := _answering(path):
                    return url
            time.sleep(0.1)
        raise RuntimeError(f"Jupyter did not start:\n{self.log()[-4000:]}")

    def log(self) -> str:
        """What the server has said so far, its kernels included."""
        return (self._folder / "server.log").read_text(errors="replace")

    def page_url(self, notebook: str) -> str:
        """Where a notebook opens, signed in, and none of those that were open before."""
        return f"{self.url}{_APPS[self.kind][2]}{notebook}?reset&token={self.token}"

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._server.pid

    def kernel_pids(self) -> list[int]:
        """The process ids of its kernels."""
        return [one.pid for one in self._kernels()]

    def clear(self) -> None:
        """End its kernels, and empty its folders."""
        for kernel in self._ask("api/kernels"):
            self._ask(f"api/kernels/{kernel['id']}", "DELETE")
        for folder in (self.root, self.state):
            for path in folder.iterdir() if folder.exists() else ():
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _ask(self, path: str, method: str = "GET") -> Any:
        headers = {"Authorization": f"token {self.token}"}
        request = urllib.request.Request(f"{self.url}{path}", headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as reply:
            return json.loads(reply.read() or "null")

    def _kernels(self) -> list[psutil.Process]:
        found = []
        with suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self.pid).children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    if "ipykernel_launcher" in " ".join(child.cmdline()):
                        found.append(child)
        return found

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        kernels = self._kernels() if self.url else []
        self._server.terminate()
        try:
            self._server.wait(30)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()
        for kernel in kernels:
            with suppress(psutil.NoSuchProcess):
                kernel.kill()
        self._log.close()


def _answering(path: Path) -> str:
    """The server's address, once it answers there."""
    try:
        url: str = json.loads(path.read_text())["url"]
        with urllib.request.urlopen(f"{url}api", timeout=2) as reply:
            return url if reply.status == 200 else ""
    except (OSError, ValueError):
        return ""


class Notebook:
    """A notebook that is open in a page; cells count from 0."""

    def __init__(self, page: Page, app: JupyterApp, name: str) -> None:
        self.page, self.app, self.name = page, app, name

    @classmethod
    def open(cls, page: Page, app: JupyterApp, cells: list[str]) -> Notebook:
        """Write a notebook of these cells, open it, and wait until its kernel is ready."""
        notebook = nbformat.v4.new_notebook()
        notebook.cells = [nbformat.v4.new_code_cell(source) for source in cells]
        notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
        name = f"test{next(_names)}.ipynb"
        nbformat.write(notebook, app.root / name)
        page.goto(app.page_url(name))
        opened = cls(page, app, name)
        opened.wait_until_idle()
        return opened

    def reload(self) -> None:
        """Load the page again, as F5 does, also where it warns: the kernel goes on."""
        self.page.once("dialog", lambda dialog: dialog.accept())
        self.page.goto(self.app.page_url(self.name))
        self.wait_until_idle()

    def wait_until_idle(self) -> None:
        """Wait until the kernel is there and has nothing to do."""
        self.page.wait_for_function(
            """() => {
                const panel = window.jupyterapp?.shell.currentWidget;
                return panel?.content?.widgets && panel.context?.isReady
                    && panel.sessionContext?.session?.kernel?.status === "idle";
            }""",
            timeout=PATIENCE_S * 1000,
        )

    def run_cell(self, index: int, *, wait: bool = True) -> None:
        """Run a cell; wait until it has ended, or else return as soon as it was sent."""
        self.page.evaluate(
            """async ([index, wait]) => {
                const notebook = window.jupyterapp.shell.currentWidget.content;
                notebook.deselectAll();
                notebook.activeCellIndex = index;
                const running = window.jupyterapp.commands.execute("notebook:run-cell");
                if (wait) await running;
            }""",
            [index, wait],
        )

    def cell(self, index: int) -> Locator:
        """A cell, to find things in."""
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, index: int) -> str:
        """The text of a cell's output as one sees it."""
        area = self.cell(index).locator(".jp-OutputArea")
        return area.first.inner_text() if area.count() else ""

    def run(self, code: str) -> str:
        """Run code in the kernel, beside the cells, and give what it prints; errors raise."""
        text = self.page.evaluate(
            """async code => {
                const kernel =
                    window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const future = kernel.requestExecute({code, store_history: false});
                let text = "";
                future.onIOPub = message => { text += message.content.text ?? ""; };
                const reply = await future.done;
                if (reply.content.status !== "ok")
                    throw new Error(`${reply.content.ename}: ${reply.content.evalue}`);
                return text;
            }""",
            code,
        )
        return str(text)

    def save(self) -> None:
        """Save the notebook, with the state of its widgets."""
        self.page.evaluate("window.jupyterapp.shell.currentWidget.context.save()")

    def saved_text(self) -> str:
        """The notebook's file as it is on disk."""
        return (self.app.root / self.name).read_text()

    @property
    def kernel_pid(self) -> int:
        """The process id of the notebook's kernel."""
        return int(self.run("import os; print(os.getpid())"))

    def kill_kernel(self) -> None:
        """SIGKILL the kernel, and wait until the server has started it anew."""
        victim = psutil.Process(self.kernel_pid)
        victim.kill()
        victim.wait(PATIENCE_S)
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            if self._is_up_again(victim.pid):
                return
            time.sleep(0.2)
        raise RuntimeError("The kernel did not come back.")

    def close_dialog(self) -> None:
        """Say Ok to the box that tells that the kernel has died."""
        self.page.locator(".jp-Dialog .jp-mod-accept").click()

    def _is_up_again(self, old_pid: int) -> bool:
        if not [pid for pid in self.app.kernel_pids() if pid != old_pid]:
            return False
        self.wait_until_idle()
        return self._answering_pid() not in (None, old_pid)

    def _answering_pid(self) -> int | None:
        """The kernel's process id; None where the page still talks to one that is gone."""
        text = self.page.evaluate(
            """async () => {
                const kernel =
                    window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
                const code = "import os; print(os.getpid())";
                const future = kernel.requestExecute({code, store_history: false});
                let text = "";
                future.onIOPub = message => { text += message.content.text ?? ""; };
                const late = new Promise(resolve => setTimeout(resolve, 5000, null));
                const reply = await Promise.race([future.done.catch(() => null), late]);
                return reply?.content.status === "ok" ? text : "";
            }"""
        )
        return int(text) if str(text).strip() else None
