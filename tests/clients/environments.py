"""An environment for each client, with the newest release of it, made once a day."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from installing import install, make_venv

ROOT = Path(__file__).parents[2] / "build" / "clients"
DAY_S = 86400


@dataclass(frozen=True)
class Client:
    """What is installed, and the program that tries it."""

    name: str
    packages: tuple[str, ...]
    program: str

    @property
    def folder(self) -> Path:
        return ROOT / self.name

    @property
    def command(self) -> list[str]:
        """Runs the program, as if its user had installed the client."""
        program = str(Path(__file__).parent / self.program)
        is_js = self.program.endswith(".mjs")
        return ["node" if is_js else str(self.folder / "bin" / "python"), program]

    def install(self) -> None:
        """Makes the environment, unless there is one of today; one process does it at a time."""
        ROOT.mkdir(parents=True, exist_ok=True)
        stamp = self.folder / "installed.json"
        with FileLock(ROOT / f"{self.name}.lock"):
            known = json.loads(stamp.read_text()) if stamp.exists() else {}
            fresh = known.get("time", 0) > time.time() - DAY_S
            if fresh and known["packages"] == list(self.packages):
                return
            self.folder.mkdir(exist_ok=True)
            self._install()
            stamp.write_text(json.dumps({"time": time.time(), "packages": self.packages}))

    def _install(self) -> None:
        if self.program.endswith(".mjs"):
            quiet = ["--no-audit", "--no-fund", "--loglevel=error", "--prefix", "."]
            command = ["npm", "install", *quiet, *self.packages]
            subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.PIPE)
            return
        make_venv(self.folder)
        install(self.folder, "--upgrade", *self.packages)


SDK_8 = Client("sdk-8", ("cognite-sdk>=8",), "sdk.py")
SDK_7 = Client("sdk-7", ("cognite-sdk<8",), "sdk.py")
SDK_JS = Client("sdk-js", ("@cognite/sdk",), "sdk.mjs")
EXTRACTOR = Client("extractor", ("cognite-extractor-utils",), "extractor.py")
FILESYSTEM = Client("filesystem", ("cognite-cdffs",), "filesystem.py")
TOOLKIT = Client("toolkit", ("cognite-toolkit",), "toolkit.py")
SCHEMATHESIS = Client("schemathesis", ("schemathesis",), "described.py")
