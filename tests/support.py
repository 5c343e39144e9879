"""What several test suites share: settings that make faults fast, and bytes to send."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable
from typing import Any

from cognite_nb_upload import ClientConfig, Retry, Token
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator

# A part that is not the last one has to be larger than this.
PART = 5 * MIB + 1
_BYTES = random.Random(20260518).randbytes(PART + MIB)  # bytes, not a secret


def some_bytes(size: int = PART, seed: int = 0) -> bytes:
    """`size` bytes, up to 6 MiB, that differ from those of another seed."""
    return seed.to_bytes(8, "big")[:size] + _BYTES[: max(0, size - 8)]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def quick(**changes: Any) -> Retry:
    """Retries that wait for milliseconds."""
    settings: dict[str, Any] = {
        "attempts": 4,
        "base_s": 0.005,
        "most_s": 0.02,
        "jitter": random.Random(7),  # not a secret
    }
    return Retry(**{**settings, **changes})


def config_of(cdf: Emulator, **settings: Any) -> ClientConfig:
    """Settings for a client of an emulator, without patience."""
    given: dict[str, Any] = {
        "client_name": "tests",
        "project": cdf.project,
        "credentials": Token(cdf.token),
        "base_url": cdf.base_url,
        "retry": quick(),
    }
    return ClientConfig(**{**given, **settings})


def seen(cdf: Emulator, route: str) -> list[dict[str, Any]]:
    """The requests that reached one route, in order."""
    return [row for row in cdf.requests() if row["route"] == route]


def routes(cdf: Emulator) -> list[str]:
    """The routes that were reached, in order."""
    return [row["route"] for row in cdf.requests()]


def fired(cdf: Emulator) -> list[tuple[str, str]]:
    """(kind, route) of each fault that really happened."""
    return [(row["kind"], row["route"]) for row in cdf.fired()]


def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Look again and again until it holds; for what only another process or thread can tell."""
    end_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end_s, "It has not come true."
        time.sleep(0.005)
