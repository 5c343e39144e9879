"""What a client's program reports: each step with its outcome, as one line of JSON."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable

BASE_URL, PROJECT, TOKEN = (os.environ[f"EMULATED_{name}"] for name in ("URL", "PROJECT", "TOKEN"))


def step(work: Callable[[], object]) -> Callable[[], object]:
    """Runs a function at once; what it raises is its outcome, and the next one follows."""
    outcome = "ok"
    try:
        work()
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[1:2]
        line = f" (line {where[0].lineno})" if where else ""
        outcome = f"{type(error).__name__}: {error}{line}"[-1500:]
    print(json.dumps([work.__name__, outcome]), flush=True)
    return work


def raises(kind: type[BaseException], work: Callable[[], object]) -> BaseException:
    try:
        work()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")
