"""Enter in a box that tells every key: what was typed before it may arrive after it.

A page holds keys back until the kernel has taken those before, but sends Enter at once (ipywidgets,
`msg_throttle`). Acting on Enter right away would take the id 12 where somebody typed 123.
"""

from __future__ import annotations

from typing import Any, Final

import ipywidgets

from cognite_nb_upload.widgets.tasks import Tasks, Work

# Enter counts when the box has been still for this long, in seconds: a slow connection's way there
# and back, and no more than a person waits for an answer.
_STILL_S: Final = 0.25


class SubmitAfterTyping:
    """Does `work()` in the background, once a box in which Enter was pressed has come to rest."""

    def __init__(self, typed: ipywidgets.Text, tasks: Tasks, name: str, work: Work) -> None:
        self._tasks, self._name, self._work = tasks, f"enter {name}", work
        self._pressed = False
        typed.on_msg(self._on_message)
        typed.observe(self._on_text, "value")

    def _on_message(self, _: object, content: dict[str, Any], __: object) -> None:
        if content.get("event") == "submit":
            self._pressed = True
            self._wait()

    def _on_text(self, _: object) -> None:
        if self._pressed:
            self._wait()

    def _wait(self) -> None:
        self._tasks.start(self._name, self._act, _STILL_S)

    async def _act(self) -> None:
        self._pressed = False
        await self._work()
