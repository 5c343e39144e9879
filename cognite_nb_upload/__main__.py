"""`cognite-nb-upload`, and `python -m cognite_nb_upload`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

# What an optional package of another name belongs to.
_EXTRAS: Final = {
    "starlette": "emulator",
    "h11": "emulator",
    "jupyterlab": "lab",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 when it went well. The emulator loads nothing of the client."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["emulator"]:
            from cognite_nb_upload.emulator.cli import main as emulate

            return emulate(arguments[1:])
        from cognite_nb_upload.cli import main as command

        return command(arguments)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        if sys.stderr is not None:
            print(
                f"{arguments[0]} needs {error.name}, which the extra '{extra}' brings: "
                f"pip install 'cognite_nb_upload[{extra}]'",
                file=sys.stderr,
            )
        return 1


if __name__ == "__main__":
    sys.exit(main())
