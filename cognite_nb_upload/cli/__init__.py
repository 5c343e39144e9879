"""The commands of `cognite-nb-upload`, which is `python -m cognite_nb_upload`, too."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import PurePath
from typing import Final, NoReturn

from cognite_nb_upload import UploadToolkitError, __version__
from cognite_nb_upload.cli import demo, lab, transfers
from cognite_nb_upload.say import say
from cognite_nb_upload.text import plain

INTERRUPTED: Final = 130


def main(argv: Sequence[str]) -> int:
    """Run a command.

    Returns:
        0 when it went well, whatever could be printed of it; 1 on an error that is said in a
        sentence; 2 on a wrong option; 130 when it was interrupted.
    """
    parser = _parser()
    options, rest = parser.parse_known_args(argv)
    if rest and options.command != "lab":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.rest = rest
    try:
        return int(options.run(options))
    except KeyboardInterrupt:
        say("Interrupted; the same command goes on from there.", error=True)
        return INTERRUPTED
    except UploadToolkitError as error:
        say(error, *getattr(error, "__notes__", ()), error=True)
        return 1
    except OSError as error:
        say(f"{error.filename or options.command}: {error.strerror or error}", error=True)
        return 1


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the options, without what steers a terminal."""
        super().error(plain(message))


def _parser() -> argparse.ArgumentParser:
    called = PurePath(sys.argv[0]).stem if sys.argv[0] else ""
    prog = "cognite-nb-upload" if called == "cognite-nb-upload" else "python -m cognite_nb_upload"
    parser = _Parser(prog=prog, description="Big files into Cognite Data Fusion.")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    transfers.add_to(commands)
    demo.add_to(commands)
    lab.add_to(commands)
    commands.add_parser("emulator", help="a little CDF on this machine, until told to stop")
    return parser
