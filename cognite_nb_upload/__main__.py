"""`python -m cognite_nb_upload demo | upload | emulator | lab`."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 when it went well. The emulator loads nothing of the client."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["emulator"]:
        from cognite_nb_upload.emulator.cli import main as emulate

        return emulate(arguments[1:])
    from cognite_nb_upload.cli import main as command

    return command(arguments)


if __name__ == "__main__":
    sys.exit(main())
