"""`python -m cognite_nb_upload demo | emulator | upload`."""

from __future__ import annotations

import argparse
import hashlib
import sys
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from cognite_nb_upload import ClientConfig, CogniteClient, Token, UploadToolkitError, __version__
from cognite_nb_upload.core.plan import LIMITS, MIB, Plan, plan_parts
from cognite_nb_upload.progress import bars


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 when it went well, 1 on an error that is said in a sentence."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["emulator"]:
        from cognite_nb_upload.emulator.cli import main as emulate  # its web stack is an extra

        return emulate(arguments[1:])
    options = _parser().parse_args(arguments)
    try:
        return _demo(options.file)
    except UploadToolkitError as error:
        print(f"{error}", *getattr(error, "__notes__", ()), sep="\n", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cognite_nb_upload", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    demo = commands.add_parser("demo", help="send a file through an emulated CDF and back")
    demo.add_argument("file", nargs="?", type=Path, help="default: Python's library as a tar file")
    commands.add_parser("emulator", help="a little CDF on this machine, until interrupted")
    return parser


def _demo(file: Path | None) -> int:
    """Upload a file in parts to an emulated CDF, download it, and compare."""
    from cognite_nb_upload.emulator import emulator

    with tempfile.TemporaryDirectory() as folder, emulator(process=True) as cdf:
        file = file or _library(Path(folder))
        config = ClientConfig(
            client_name="demo",
            project=cdf.project,
            base_url=cdf.base_url,
            credentials=Token(cdf.token),
        )
        print(f"An emulated CDF runs at {cdf.base_url}, project {cdf.project!r}.")
        with CogniteClient(config) as client:
            return _there_and_back(client, file, Path(folder) / "back")


def _there_and_back(client: CogniteClient, file: Path, back: Path) -> int:
    plan = _demo_plan(file)
    print(f"Uploading {file.name}: {plan!r}")
    began = time.monotonic()
    session = client.files.multipart_upload_session(file.name, len(plan.parts))
    with bars(session), session, file.open("rb") as content:
        for part in plan.parts:
            session.upload_part(part.no, content, length=part.size)
    seconds = time.monotonic() - began
    print(f"{session.file_metadata!r}, {plan.size / seconds / MIB:.0f} MiB/s, {seconds:.1f} s")
    client.files.download(back, session.file_metadata.id)
    sent, received = _sha256(file), _sha256(back)
    print(f"SHA-256 sent      {sent}\nSHA-256 received  {received}")
    print("The same." if sent == received else "NOT the same.")
    return 0 if sent == received else 1


def _demo_plan(file: Path) -> Plan:
    """Several parts, also of a file that would fit into one."""
    size = file.stat().st_size
    several = -(-size // 8)
    part_size = max(several, LIMITS.above + MIB)
    return plan_parts(size, min(max(part_size, plan_parts(size).part_size // 8), LIMITS.most))


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


if __name__ == "__main__":
    sys.exit(main())
