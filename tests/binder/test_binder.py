"""The steps that Binder takes, taken here: in a clean venv, with its own start script."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from installing import make_venv

ROOT = Path(__file__).parents[2]
PLANNER = Path(sys.executable).parent / "jupyter-repo2docker"

UPLOAD = """
import json
from cognite_nb_upload import CogniteClient
with CogniteClient.from_env() as client:
    sets = len(client.catalog.data_sets())
    result = client.files.upload(b"bytes", name="first.txt", data_set_id=7)
    print(json.dumps({"sets": sets, "labels": len(client.catalog.labels()), "size": result.size,
                      "verified": result.verified}))
"""


# What Binder gives a notebook, and some to spare for the server.
MEMORY = 1536 * 2**20
# The Python that binder/runtime.txt names.
VERSION = (ROOT / "binder" / "runtime.txt").read_text().strip().replace("-", "")


def python() -> str:
    """Binder's own version of Python where it is installed; else the one that runs the tests."""
    known = (Path.home() / ".pyenv" / "versions").glob(f"{VERSION.removeprefix('python')}*")
    for found in (shutil.which(VERSION), *(str(one / "bin" / VERSION) for one in known)):
        if (
            found
            and subprocess.run([found, "-V"], capture_output=True, check=False).returncode == 0
        ):
            return found
    return sys.executable


class Peak(threading.Thread):
    """Watches the memory of a process and all that it started; `bytes` is the most it was."""

    def __init__(self, pid: int) -> None:
        super().__init__()
        self._process, self._over = psutil.Process(pid), threading.Event()
        self.bytes = 0

    def run(self) -> None:
        while not self._over.wait(0.1):
            self.bytes = max(self.bytes, self._now())

    def _now(self) -> int:
        total = 0
        with suppress(psutil.Error):
            for one in (self._process, *self._process.children(recursive=True)):
                with suppress(psutil.Error):
                    total += one.memory_info().rss
        return total

    def end(self) -> None:
        self._over.set()
        self.join()


@pytest.fixture
def clean(tmp_path: Path) -> dict[str, str]:
    """A venv with nothing but pip in it, first on the PATH, and a home of its own."""
    make_venv(tmp_path / "venv", python())
    path = f"{tmp_path / 'venv' / 'bin'}{os.pathsep}{os.environ['PATH']}"
    kept = {name: text for name, text in os.environ.items() if not name.startswith("CDF_")}
    own = {"PATH": path, "COGNITE_NB_UPLOAD_STATE": str(tmp_path / "state")}
    # "no" is how pip reads it: modules are compiled as they are imported, most of them never.
    return {**kept, **own, "PIP_NO_COMPILE": "no"}


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_binder_builds_and_starts_uploads_a_file_and_runs_every_notebook(
    clean: dict[str, str], tmp_path: Path
) -> None:
    repo = tmp_path / "repo"
    kept = shutil.ignore_patterns(".*", "build", "artifacts", "node_modules", "__pycache__")
    shutil.copytree(ROOT, repo, ignore=kept)

    def run(*command: str) -> str:
        group = subprocess.Popen(
            command, cwd=repo, env=clean, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        with group:
            assert group.stdout is not None
            said = group.stdout.read()
            assert group.wait() == 0
        with suppress(ProcessLookupError):
            os.killpg(group.pid, signal.SIGTERM)  # the emulator that `start` leaves behind
        return said

    run("pip", "install", "-q", "-r", "binder/requirements.txt")
    run("binder/postBuild")
    run("jupyter", "lab", "--version")
    said = json.loads(run("binder/start", "python", "-c", UPLOAD).splitlines()[-1])
    assert said["sets"] > 1
    assert said["labels"] > 1
    assert said["size"] == 5
    assert said["verified"] == "MD5, by the store's answer"
    peak = Peak(os.getpid())
    peak.start()
    try:
        told = run("binder/start", "python", "notebooks/build_notebooks.py")
    finally:
        peak.end()
    assert told.splitlines() == sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert 100 * 2**20 < peak.bytes - psutil.Process().memory_info().rss < MEMORY


def test_the_scripts_can_be_run() -> None:
    for name in ("postBuild", "start"):
        assert os.access(ROOT / "binder" / name, os.X_OK)


@pytest.mark.slow
@pytest.mark.skipif(not PLANNER.exists(), reason="repo2docker is not installed (extra `browser`)")
def test_repo2docker_understands_the_folder() -> None:
    plan = subprocess.run(
        [PLANNER, "--no-build", "--debug", "."],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    text = plan.stdout + plan.stderr
    assert "binder/requirements.txt" in text
    assert "./binder/postBuild" in text
    assert 'R2D_ENTRYPOINT="${REPO_DIR}/binder/start"' in text
