"""`playground()`: the first cell of a notebook that anyone can run, anywhere."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from pathlib import Path
from urllib.parse import urlsplit

from .server import Emulator
from .settings import Settings

# A hosted notebook's own project; it would win over the emulated one.
_HOSTED = ("COGNITE_PROJECT", "COGNITE_BASE_URL", "COGNITE_TOKEN")
_STATE = "COGNITE_NB_UPLOAD_STATE"


def playground() -> None:
    """An emulated CDF that `from_env()` finds, and an empty folder to work in.

    It changes the environment and the working folder of this Python process: unfinished uploads are
    remembered in that folder, too. All of it is gone when the process ends. An emulator that runs
    on this machine already (`CDF_URL`) is used; a real project is never touched.
    """
    folder = Path(tempfile.mkdtemp(prefix="cdf-playground-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[_STATE] = str(folder / "state")
    (folder / "work").mkdir()
    os.chdir(folder / "work")
    if not _is_here(os.environ.get("CDF_URL", "")):
        _start()
    project = os.environ["CDF_PROJECT"]
    print(f"Ready: an emulated CDF, project {project!r}, and an empty folder to work in.")


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def _start() -> None:
    cdf = Emulator(Settings(), process=True).__enter__()
    atexit.register(cdf.__exit__, None, None, None)
    # A kernel that shuts down ends its children, and waits until somebody has taken note of it.
    threading.Thread(target=os.waitpid, args=(cdf.pid, 0), daemon=True).start()
    for name in _HOSTED:
        os.environ.pop(name, None)
    found = {"CDF_URL": cdf.base_url, "CDF_PROJECT": cdf.project, "CDF_TOKEN": cdf.token}
    os.environ.update(found, LOGIN_FLOW="token")
