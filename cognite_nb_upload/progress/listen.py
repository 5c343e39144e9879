"""Listeners that listen less."""

from __future__ import annotations

import time
from collections.abc import Callable

from cognite_nb_upload.core.events import Event, PartSent
from cognite_nb_upload.core.feed import Listener
from cognite_nb_upload.core.state import UploadState


def throttled(
    listener: Listener, every_s: float = 0.1, *, clock: Callable[[], float] = time.monotonic
) -> Listener:
    """Milestones go through at once, byte counts at most once every `every_s` seconds.

    Byte counts in between are dropped, not kept for later: each snapshot holds all of them, and a
    part ends with a milestone. One throttled listener serves one upload.
    """
    last_s: float | None = None

    def throttle(state: UploadState, event: Event) -> None:
        nonlocal last_s
        now_s = clock()
        if isinstance(event, PartSent) and last_s is not None and now_s - last_s < every_s:
            return
        last_s = now_s
        listener(state, event)

    return throttle
