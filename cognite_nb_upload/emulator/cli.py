"""`python -m cognite_nb_upload emulator`: prints one JSON line, then serves until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .server import bind, serve
from .settings import Settings
from .state import StateError

TOKEN_VARIABLE = "CDF_EMULATOR_TOKEN"  # noqa: S105 - a name, not a token
STORAGE_VARIABLE = "CDF_EMULATOR_STORAGE"


def parser() -> argparse.ArgumentParser:
    """The options; each is named after the field of Settings that it sets."""
    made = argparse.ArgumentParser(prog="python -m cognite_nb_upload emulator", description=__doc__)
    switch = argparse.BooleanOptionalAction
    made.add_argument("--port", type=int, default=0, help="0: any free port")
    made.add_argument(
        "--root", type=Path, help="keep the state here; without it, it is gone at the end"
    )
    made.add_argument("--project", default="demo")
    made.add_argument("--token", help=f"or ${TOKEN_VARIABLE}; without either, a random one")
    made.add_argument("--faults", action=switch, default=False, help="let clients inject faults")
    made.add_argument(
        "--strict-storage", action=switch, default=False, help="refuse what S3 or Azure refuses"
    )
    made.add_argument(
        "--store", choices=["s3", "gcs", "azure"], default="s3", help="whose replies to imitate"
    )
    made.add_argument(
        "--storage-file",
        type=_text_of,
        dest="storage",
        metavar="FILE",
        help="a file that holds s3://KEY:SECRET@host:port/bucket or "
        f"azure://ACCOUNT:KEY@host:port/container; or ${STORAGE_VARIABLE}",
    )
    made.add_argument("--storage", type=_not_here, dest="storage", help=argparse.SUPPRESS)
    made.add_argument("--repeated-complete", choices=["ok", "refuse"], default="ok")
    made.add_argument(
        "--uploaded-delay-s", type=float, default=0.0, help="until a file counts as uploaded"
    )
    made.add_argument("--relative-urls", action=switch, default=False)
    made.add_argument("--url-life-s", type=float, default=7 * 86400.0)
    made.add_argument("--token-life-s", type=float, help="of tokens from /oauth/token")
    made.add_argument(
        "--write-scope", type=_ids, help="data sets that may be written, such as 7,11"
    )
    made.add_argument(
        "--space-scope", type=_texts, help="spaces whose nodes may be written, such as scans,field"
    )
    made.add_argument(
        "--node-delay-s", type=float, default=0.0, help="until a new node can take content"
    )
    made.add_argument(
        "--node-uploaded-delay-s", type=float, default=0.0, help="until a node is told its upload"
    )
    made.add_argument(
        "--instances-s", type=float, default=0.0, help="what a request about nodes takes"
    )
    made.add_argument("--apply-limit", type=int, default=Settings.apply_limit)
    made.add_argument("--delete-limit", type=int, default=Settings.delete_limit)
    made.add_argument("--query-limit", type=int, default=Settings.query_limit)
    made.add_argument("--quota-bytes", type=int, default=Settings.quota_bytes)
    made.add_argument("--min-part-size", type=int, default=Settings.min_part_size)
    made.add_argument(
        "--checksums", action=switch, default=True, help="MD5 of each part, as stores compute it"
    )
    made.add_argument(
        "--cors", action=switch, default=False, help="let web pages of this machine use part URLs"
    )
    made.add_argument("--tls", nargs=2, metavar=("CERT", "KEY"))
    made.add_argument(
        "--host", default="127.0.0.1", help="the address to listen on; the token is the guard"
    )
    made.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        dest="allowed_hosts",
        help="a name under which other machines reach it; this package's client sends to https "
        "or to loopback only",
    )
    made.add_argument(
        "--own-store", action=switch, default=True, help="a port of its own for the store"
    )
    made.add_argument("--from-stdin", action="store_true", help=argparse.SUPPRESS)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs an emulator; returns when it was interrupted or terminated, 1 if it cannot start."""
    options = vars(parser().parse_args(argv))
    watch_stdin = options.pop("from_stdin")
    if watch_stdin:
        told = json.loads(sys.stdin.readline())
        settings, root, port = (
            Settings.from_json(told["settings"]),
            Path(told["root"]),
            told["port"],
        )
    else:
        root, port = options.pop("root"), options.pop("port")
        settings = _settings(options)
    with ExitStack() as undo:
        if root is None:
            root = Path(tempfile.mkdtemp(prefix="cdf-emulator-"))
            undo.callback(shutil.rmtree, root, ignore_errors=True)
        try:
            asyncio.run(_run(settings, root, port, watch_stdin=watch_stdin))
        except (OSError, StateError) as error:  # the port is taken, the folder cannot be used
            print(f"The emulator cannot start: {error}", file=sys.stderr)
            return 1
    return 0


def _settings(options: dict[str, Any]) -> Settings:
    token = options.pop("token") or os.environ.get(TOKEN_VARIABLE)
    options["storage"] = options["storage"] or os.environ.get(STORAGE_VARIABLE)
    return Settings.from_json(options | ({"token": token} if token else {}))


async def _run(settings: Settings, root: Path, port: int, *, watch_stdin: bool) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if watch_stdin:
        loop.add_reader(sys.stdin.fileno(), stop.set)  # it becomes readable when the parent is gone
    listener = bind(settings.host, port)

    def announce() -> None:
        url = settings.url(listener.getsockname()[1])
        print(
            json.dumps({"base_url": url, "project": settings.project, "token": settings.token}),
            flush=True,
        )

    await serve(settings, root, listener, stop, announce)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeError) as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be read: {error}") from None


def _not_here(_: str) -> str:
    raise argparse.ArgumentTypeError(
        "every user of this machine can read a command line: put it in a file and give "
        f"--storage-file, or set {STORAGE_VARIABLE}"
    )


def _texts(text: str) -> list[str]:
    return [each for each in text.split(",") if each]


def _ids(text: str) -> list[int]:
    return [int(each) for each in text.split(",") if each]
