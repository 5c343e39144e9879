"""`python -m cognite_nb_upload emulator`: prints one JSON line, then serves until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import inspect
import json
import os
import re
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Any

from .server import serve
from .settings import Settings
from .state import StateError

TOKEN_VARIABLE = "CDF_EMULATOR_TOKEN"  # noqa: S105 - a name, not a token
STORAGE_VARIABLE = "CDF_EMULATOR_STORAGE"
_SEEN = "Every user of this machine can read a command line"


#: How an option is read, by the type of the field that it sets.
_READ: dict[str, dict[str, Any]] = {
    "bool": {"action": argparse.BooleanOptionalAction},
    "int": {"type": int},
    "float": {"type": float},
    "str": {},
    "list[int]": {"type": lambda text: [int(each) for each in _listed(text)], "metavar": "7,11"},
    "list[str]": {"type": lambda text: _listed(text), "metavar": "A,B"},
    "tuple[str, ...]": {"action": "append", "metavar": "NAME"},
    "tuple[str, str]": {"nargs": 2, "metavar": ("CERT", "KEY")},
}


def parser() -> argparse.ArgumentParser:
    """An option for each field of Settings, which explains it; what is not given is not set."""
    made = argparse.ArgumentParser(
        prog="python -m cognite_nb_upload emulator",
        description=__doc__,
        argument_default=argparse.SUPPRESS,
    )
    made.add_argument("--port", type=int, default=0, help="0: any free port")
    made.add_argument(
        "--root", type=Path, default=None, help="keep the state here; else it is gone at the end"
    )
    explained = dict(
        re.findall(r"^ {4}(\w+): (.*(?:\n {8,}.*)*)", inspect.getdoc(Settings) or "", re.M)
    )
    for field in fields(Settings):
        kind = str(field.type).removesuffix(" | None")
        how = _READ[kind] if kind in _READ else {"choices": re.findall(r"'(\w+)'", kind)}
        many = "append" in how.values()
        option = "--" + field.name.removesuffix("s" if many else "").replace("_", "-")
        text = " ".join(explained.get(field.name, "").split())
        if field.name == "token":
            text += f" {_SEEN}: ${TOKEN_VARIABLE} is better. Without either, a random one."
        if field.name == "storage":
            how, text = {"type": _not_here}, argparse.SUPPRESS
        made.add_argument(option, dest=field.name, help=text, **how)
    made.add_argument(
        "--storage-file",
        type=_text_of,
        dest="storage",
        metavar="FILE",
        help="a file that holds s3://KEY:SECRET@host:port/bucket or "
        f"azure://ACCOUNT:KEY@host:port/container; or ${STORAGE_VARIABLE}",
    )
    made.add_argument("--from-stdin", action="store_true", default=False, help=argparse.SUPPRESS)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Runs an emulator; returns when it was interrupted or terminated, 1 if it cannot start."""
    options = vars(parser().parse_args(argv))
    watch_stdin = options.pop("from_stdin")
    if watch_stdin:
        told = json.loads(sys.stdin.readline())
        settings, root = Settings.from_json(told["settings"]), Path(told["root"])
        port = told["port"]
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
    hidden = {"token": os.environ.get(TOKEN_VARIABLE), "storage": os.environ.get(STORAGE_VARIABLE)}
    return Settings.from_json({name: text for name, text in hidden.items() if text} | options)


async def _run(settings: Settings, root: Path, port: int, *, watch_stdin: bool) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    if watch_stdin:
        loop.add_reader(sys.stdin.fileno(), stop.set)  # it becomes readable when the parent is gone
        # Ctrl+C, and the interrupt of a notebook's cell, reach the whole group; they are the
        # parent's, which may need the emulator until it has ended.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    else:
        loop.add_signal_handler(signal.SIGINT, stop.set)

    def announce(port: int) -> None:
        told = {"base_url": settings.url(port), "project": settings.project}
        print(json.dumps(told | {"token": settings.token}), flush=True)

    await serve(settings, root, port, stop, announce)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeError) as error:
        raise argparse.ArgumentTypeError(f"{path} cannot be read: {error}") from None


def _not_here(_: str) -> str:
    raise argparse.ArgumentTypeError(
        f"{_SEEN}: put it in a file and give --storage-file, or set {STORAGE_VARIABLE}"
    )


def _listed(text: str) -> list[str]:
    return [each for each in text.split(",") if each]
