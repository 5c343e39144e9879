"""A little CDF on this machine: real state, real HTTP, and faults on request.

    with emulator(faults=True) as cdf:
        cdf.inject(Fault("reset_mid", "part", part=2))
        ...                       # upload to cdf.base_url, cdf.project, with cdf.token
        assert cdf.fired()

It imports nothing of the client, or it would agree with its mistakes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .faults import Fault
from .playground import playground
from .s3 import Bucket, bucket
from .server import Emulator
from .settings import Settings

__all__ = ["emulator", "playground", "bucket", "Bucket", "Emulator", "Fault", "Settings"]


def emulator(
    root: str | Path | None = None,
    token: str | None = None,
    project: str = "demo",
    port: int = 0,
    *,
    process: bool = False,
    **switches: Any,
) -> Emulator:
    """An emulator, to be entered with `with`.

    Args:
        root: Folder that keeps the state; without it, a temporary one that is gone at the end.
        token: The bearer token; random unless given.
        project: The only project there is.
        port: On 127.0.0.1; 0 is any free one.
        process: In a process of its own instead of a thread.
        switches: The other fields of Settings, such as `faults=True` or `min_part_size=1`.
    """
    given = {"token": token} if token else {}
    settings = Settings.from_json({"project": project, **given, **switches})
    return Emulator(settings, root=root, port=port, process=process)
