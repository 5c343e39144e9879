"""The commands of `python -m cognite_nb_upload`: demo, upload, emulator, lab."""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import sysconfig
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cognite_nb_upload import (
    ClientConfig,
    CogniteClient,
    Token,
    Uploaded,
    UploadToolkitError,
    __version__,
)
from cognite_nb_upload.core.plan import LIMITS, MIB, plan_parts
from cognite_nb_upload.journal.folder import STATE_VARIABLE
from cognite_nb_upload.progress import bars
from cognite_nb_upload.transfer.files import UploadFields

if TYPE_CHECKING:
    from cognite_nb_upload.emulator import Emulator


def main(argv: Sequence[str]) -> int:
    """Run a command; 0 when it went well, 1 on an error that is said in a sentence."""
    parser = _parser()
    options, rest = parser.parse_known_args(argv)
    if rest and options.command != "lab":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    commands = {"demo": _demo, "upload": _upload, "lab": _lab}
    try:
        return commands[options.command](options)
    except KeyboardInterrupt:
        print("Interrupted; the same command goes on from there.", file=sys.stderr)
        return 130
    except UploadToolkitError as error:
        print(error, *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cognite_nb_upload")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="send a file through an emulated CDF and back")
    demo.add_argument("file", nargs="?", type=Path, help="default: Python's library as a tar file")
    _add_upload(commands.add_parser("upload", help="upload a file to the project of CDF_PROJECT"))
    commands.add_parser("emulator", help="a little CDF on this machine, until told to stop")
    lab = commands.add_parser("lab", help="JupyterLab with an emulated CDF beside it")
    lab.description = "Options that are not known here go to JupyterLab."
    return parser


def _add_upload(upload: argparse.ArgumentParser) -> None:
    upload.add_argument("file", type=Path)
    upload.add_argument("--name", help="default: the file's own")
    upload.add_argument("--external-id")
    upload.add_argument("--source", help="where the file comes from")
    upload.add_argument("--mime-type", help="default: guessed from the name")
    upload.add_argument("--directory", help="an absolute unix path")
    upload.add_argument("--data-set-id", type=int)
    upload.add_argument("--asset-id", type=int, action="append", dest="asset_ids")
    upload.add_argument("--label", action="append", dest="labels", help="an external id")
    upload.add_argument("--metadata", type=_pair, action="append", metavar="KEY=VALUE")
    upload.add_argument("--overwrite", action="store_true", help="replace that external id's file")
    upload.add_argument("--verify", choices=("size", "checksum", "download", "none"))
    upload.add_argument("--part-size", type=int, metavar="BYTES")
    upload.add_argument("--max-bandwidth", type=float, metavar="BYTES_PER_S")
    upload.add_argument("--dry-run", action="store_true", help="show the plan, and send nothing")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return key, value


# --- upload ---------------------------------------------------------------------------------------


def _upload(options: argparse.Namespace) -> int:
    """Upload one file with the credentials of the environment."""
    given = {name: value for name, value in vars(options).items() if value not in (None, False)}
    file = given.pop("file")
    del given["command"], given["rest"]
    if "metadata" in given:
        given["metadata"] = dict(given["metadata"])
    with CogniteClient() as client:
        if given.pop("dry_run", False):
            print(client.files.upload(file, dry_run=True, **given))
        else:
            _watched(client, file, **given)
    return 0


def _watched(client: CogniteClient, file: Path, **how: object) -> Uploaded:
    """Upload with bars; an interrupt stops it, and leaves a journal to go on from."""
    upload = client.files.start_upload(file, **how)  # type: ignore[arg-type] # checked as it begins
    try:
        with bars(upload):
            result = upload.result()
    finally:
        upload.stop()
    print(result, *result.notes, sep="\n")
    return result


# --- demo -----------------------------------------------------------------------------------------


def _demo(options: argparse.Namespace) -> int:
    """Upload a file in parts to an emulated CDF, download it, and compare."""
    from cognite_nb_upload.emulator import emulator

    with tempfile.TemporaryDirectory() as folder, emulator(process=True) as cdf:
        os.environ[STATE_VARIABLE] = folder  # a demo leaves nothing behind
        file = options.file or _library(Path(folder))
        print(f"An emulated CDF runs at {cdf.base_url}, project {cdf.project!r}.")
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
    how: UploadFields = {"part_size": _several(file), "data_set_id": 7}
    result = _watched(client, file, **how)
    print("Downloading it again ...")
    client.files.download(back, result.id)
    sent, received = _sha256(file), _sha256(back)
    print(f"SHA-256 of the file sent       {sent}\nSHA-256 of the file received   {received}")
    print("They are the same." if sent == received else "They are NOT the same.")
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
    print("No FILE given: packing this Python's standard library.")
    with tarfile.open(path, "w") as tar:
        tar.add(sysconfig.get_path("stdlib"), arcname="lib", filter=_source_only)
    return path


def _source_only(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "site-packages" in entry.name or "__pycache__" in entry.name else entry


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- lab ------------------------------------------------------------------------------------------


def _lab(options: argparse.Namespace) -> int:
    """JupyterLab on the notebooks, with an emulated CDF that `from_env()` finds."""
    from cognite_nb_upload.emulator import emulator

    notebooks = Path(__file__).parents[1] / "notebooks"
    folder = notebooks if notebooks.is_dir() else Path.cwd()
    with emulator(process=True) as cdf:
        found = {"CDF_URL": cdf.base_url, "CDF_PROJECT": cdf.project, "CDF_TOKEN": cdf.token}
        command = [sys.executable, "-m", "jupyterlab", *options.rest]
        return subprocess.call(command, cwd=folder, env={**os.environ, **found})  # noqa: S603 # our own Python
