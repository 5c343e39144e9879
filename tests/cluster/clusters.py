"""Dask clusters of real processes, which tests kill, freeze and add to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from support import until

_CLI = "import sys, {module} as cli; sys.argv[0] = 'dask'; cli.main()"


class Processes:
    """A scheduler, and workers that come and go, each a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ""
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self._started = 0

    def __enter__(self) -> Processes:
        file = self.folder / "scheduler.json"
        self.scheduler = self._run(
            "scheduler", ["--port", "0", "--host", "127.0.0.1", "--no-dashboard",
            "--scheduler-file", str(file)], self.folder,
        )  # fmt: skip
        until(lambda: file.exists() and file.read_text().endswith("}"), within_s=60)
        self.address = json.loads(file.read_text())["address"]
        return self

    def __exit__(self, *_: object) -> None:
        self.end_workers()
        self._end(self.scheduler)

    def start(self, *names: str, cwd: Path | None = None, more: Sequence[str] = ()) -> None:
        """Start workers, without waiting for them."""
        for name in names:
            self.workers[name] = self._run(
                "worker",
                [self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard", "--host",
                "127.0.0.1", "--name", name, "--local-directory", str(self.folder / name), *more],
                cwd or self.folder,
            )  # fmt: skip

    def kill(self, name: str) -> None:
        self.workers[name].kill()
        self.workers[name].wait()

    def freeze(self, name: str) -> None:
        os.kill(self.workers[name].pid, signal.SIGSTOP)

    def end_workers(self) -> None:
        for one in self.workers.values():
            self._end(one)
        self.workers = {}

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()

    def _run(self, what: str, arguments: list[str], cwd: Path) -> subprocess.Popen[bytes]:
        self._started += 1
        log = (self.folder / f"{what}-{self._started}.log").open("wb")
        code = _CLI.format(module=f"distributed.cli.dask_{what}")
        with log:
            return subprocess.Popen(
                [sys.executable, "-c", code, *arguments], cwd=cwd, stdout=log, stderr=log
            )

    def logs(self) -> str:
        """What the scheduler and all workers have logged."""
        return "\n".join(one.read_text() for one in sorted(self.folder.glob("*.log")))

    def seen(self) -> list[str]:
        """The workers that the scheduler knows."""
        from distributed import Client

        with Client(self.address, set_as_default=False) as client:
            return [str(one["name"]) for one in client.scheduler_info(-1)["workers"].values()]
