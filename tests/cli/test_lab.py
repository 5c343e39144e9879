"""`lab`, which `make lab` runs, as a person has it in a terminal."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from support import until

ROOT = Path(__file__).parents[2]

# JupyterLab comes with what browsers are tested with.
pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "terminated"])
def test_lab_opens_the_first_notebook_and_ends_whole(tmp_path: Path, number: int) -> None:
    folders = {f"JUPYTER_{one}_DIR": str(tmp_path / one) for one in ("CONFIG", "DATA", "RUNTIME")}
    folders |= {"IPYTHONDIR": str(tmp_path / "ipython"), "PYTHONUNBUFFERED": "1"}
    said = tmp_path / "said"
    with said.open("wb") as out:
        lab = subprocess.Popen(
            [
                *(sys.executable, "-m", "cognite_nb_upload", "lab"),
                *("--no-browser", "--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"),
            ],
            env=os.environ | folders,
            stdout=out,
            stderr=out,
            start_new_session=True,  # a terminal's Ctrl+C reaches the whole group
        )
    try:
        until(lambda: b"?token=" in said.read_bytes() or lab.poll() is not None, 60)
        address = re.search(r"(http://127\S+/)lab/tree/(\S+)\?token=(\w+)", said.read_text())
        assert address, said.read_text()
        assert address[2] == "01_first_upload.ipynb"
        start_kernel(address[1], address[3])
        processes = psutil.Process(lab.pid).children(recursive=True)
        assert len(processes) >= 3, "the emulator, JupyterLab and a kernel"
        os.killpg(lab.pid, number)
        assert lab.wait(60) == 0
    finally:
        lab.terminate()  # it ends JupyterLab, whose process group is another
        lab.wait(60)
    until(lambda: not any(map(psutil.Process.is_running, processes)), 30)
    text = said.read_text()
    assert "JupyterLab, its kernels and the emulated CDF have ended." in text
    assert str(ROOT / "notebooks") in text
    assert "goes on" not in text
    assert "cognite_nb_upload/cli" not in text, "no traceback of ours"


def start_kernel(url: str, token: str) -> None:
    """As an open notebook has one."""
    headers = {"Authorization": f"token {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}api/kernels", b"{}", headers)

    def started() -> bool:
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return bool(json.load(reply)["id"])
        except urllib.error.URLError:  # its address is printed before it listens
            return False

    until(started, 60)
