"""`lab`: JupyterLab on the notebooks, with an emulated CDF beside it, until Ctrl+C ends both.

Rules of this file: JupyterLab is asked to end, so that it ends its kernels, and is killed only if
it does not; what is said of the end is said once it is so.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from cognite_nb_upload.say import say

# So long kernels may take to end, in seconds.
_PATIENCE_S: Final = 20.0


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    lab = commands.add_parser("lab", help="JupyterLab with an emulated CDF beside it")
    lab.description = "What is not known here goes to JupyterLab: options, and a notebook to open."
    lab.set_defaults(run=_lab)


def _lab(options: argparse.Namespace) -> int:
    """JupyterLab with an emulated CDF that `CogniteClient()` finds."""
    import jupyterlab  # noqa: F401 # what is missing is said before the emulator starts

    from cognite_nb_upload.emulator import emulator

    for name in ("SIGTERM", "SIGHUP"):  # as Ctrl+C does; SIGHUP: the terminal was closed
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    notebooks = Path(__file__).parents[2] / "notebooks"
    folder = notebooks if notebooks.is_dir() else Path.cwd()
    with emulator(process=True) as cdf:
        found = {"CDF_URL": cdf.base_url, "CDF_PROJECT": cdf.project, "CDF_TOKEN": cdf.token}
        say(
            f"An emulated CDF runs at {cdf.base_url}, project {cdf.project!r}; CogniteClient() in "
            "a notebook finds it. Ctrl+C ends it and JupyterLab."
        )
        code, told = _run(_command(options.rest, folder), folder, {**os.environ, **found})
    if told:
        say(
            "JupyterLab, its kernels and the emulated CDF have ended. What was uploaded there is "
            f"gone; notebooks that were saved are in {folder}."
        )
    return code


def _command(rest: list[str], folder: Path) -> list[str]:
    command = [sys.executable, "-m", "jupyterlab"]
    first = min(folder.glob("*.ipynb"), default=None)
    if first is not None and all(one.startswith("-") for one in rest):
        # In place of the name alone: the address that is printed leads there, too.
        command.append(f"--LabApp.default_url=/lab/tree/{first.name}")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    return [*command, *rest]


def _run(command: list[str], folder: Path, env: dict[str, str]) -> tuple[int, bool]:
    """Run JupyterLab until it ends by itself or is told to: its exit code, and whether it was told.

    It has a process group of its own: Ctrl+C reaches this process alone, which asks it to end
    without the question that JupyterLab has for a terminal.
    """
    alone: dict[str, Any] = {} if os.name == "nt" else {"process_group": 0}
    with subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, **alone) as lab:  # noqa: S603 # our own Python
        try:
            return lab.wait(), False
        except KeyboardInterrupt:
            say("Ending JupyterLab ... Ctrl+C again ends it at once.")
            return _end(lab), True
        finally:
            lab.kill()  # does nothing once it has ended


def _end(lab: subprocess.Popen[bytes]) -> int:
    """Ask it to end, and wait; 0 if it did so."""
    lab.terminate()
    try:
        lab.wait(_PATIENCE_S)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        lab.kill()
        lab.wait()
        say("JupyterLab did not end in time, and was killed.", error=True)
        return 1
    return 0
