"""The user's own function, called when a file is in CDF; its failure fails no upload."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from anyio import CapacityLimiter, to_thread

from cognite_nb_upload.errors import UsageError


def checked_hook(name: str, value: Any) -> Callable[..., Any]:
    """A function, sync or async.

    Raises:
        UsageError: it cannot be called.
    """
    if not callable(value):
        raise UsageError(f"{name} is a function, not {type(value).__name__}.")
    hook: Callable[..., Any] = value
    return hook


async def call_hook(name: str, hook: Callable[..., Any], *given: object) -> str:
    """Call it, a sync one in a thread; returns what went wrong, in words, or "".

    The thread is one of its own: a hook may wait for another upload, which needs threads, too.
    """
    try:
        if inspect.iscoroutinefunction(hook):
            await hook(*given)
            return ""
        found = await to_thread.run_sync(hook, *given, limiter=CapacityLimiter(1))
        if inspect.isawaitable(found):
            await found
    except Exception as error:
        return f"{name} failed: {type(error).__name__}: {error}"
    return ""
