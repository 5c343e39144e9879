"""`demo`: a file through an emulated CDF and back."""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import sysconfig
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cognite_nb_upload import ClientConfig, CogniteClient, Token
from cognite_nb_upload.cli.transfers import watched
from cognite_nb_upload.core.plan import LIMITS, MIB, plan_parts
from cognite_nb_upload.journal.folder import STATE_VARIABLE
from cognite_nb_upload.say import say

if TYPE_CHECKING:
    from cognite_nb_upload.emulator import Emulator


def add_to(commands: Any) -> None:
    """Add the command to the parser."""
    demo = commands.add_parser("demo", help="send a file through an emulated CDF and back")
    demo.add_argument("file", nargs="?", type=Path, help="default: Python's library as a tar file")
    demo.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    """Upload a file in parts to an emulated CDF, download it, and compare."""
    from cognite_nb_upload.emulator import emulator

    with tempfile.TemporaryDirectory() as folder, emulator(process=True) as cdf:
        os.environ[STATE_VARIABLE] = folder  # a demo leaves nothing behind
        file = options.file or _library(Path(folder))
        say(f"An emulated CDF runs at {cdf.base_url}, project {cdf.project!r}.")
        with CogniteClient(_config_for(cdf)) as client:
            return _there_and_back(client, file, Path(folder) / "back")


def _config_for(cdf: Emulator) -> ClientConfig:
    return ClientConfig(
        client_name="demo",
        project=cdf.project,
        base_url=cdf.base_url,
        credentials=Token(cdf.token),
    )


def _there_and_back(client: CogniteClient, file: Path, back: Path) -> int:
    how: dict[str, Any] = {"part_size": _several(file), "data_set_id": 7}
    result = watched(client.files.start_upload(file, **how))
    say("Downloading it again ...")
    client.files.download(back, result.id)
    sent, received = _sha256(file), _sha256(back)
    say(f"SHA-256 of the file sent       {sent}\nSHA-256 of the file received   {received}")
    say("They are the same." if sent == received else "They are NOT the same.")
    return 0 if sent == received else 1


def _several(file: Path) -> int | None:
    """A part size that gives several parts, also of a file that would fit into one."""
    if not file.is_file():
        return None  # the upload says what is wrong with it
    size = file.stat().st_size
    whole_mib = -(-size // 8 // MIB) * MIB
    return min(max(whole_mib, LIMITS.above + MIB), plan_parts(size).part_size)


def _library(folder: Path) -> Path:
    """The running Python's standard library as a tar file: real bytes, several parts."""
    path = folder / f"python-{sys.version_info.major}.{sys.version_info.minor}-library.tar"
    say("No FILE given: packing this Python's standard library.")
    with tarfile.open(path, "w") as tar:
        tar.add(sysconfig.get_path("stdlib"), arcname="lib", filter=_source_only)
    return path


def _source_only(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "site-packages" in entry.name or "__pycache__" in entry.name else entry


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
