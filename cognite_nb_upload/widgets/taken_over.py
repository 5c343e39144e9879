"""What a person did in a panel goes on in the panel that its cell makes when it is run again.

Three things are compared, field by field: what the code of the cell said the last time, what it
says now, and what the old panel held in the end. What a person has changed since the code spoke is
taken over, unless the code now says something else for that field: then the code wins. What the
code says is what the fields hold when the panel is displayed for the first time, or when its cell
ends; a field that is as empty as it was made is one of which the code says nothing.

Rules of this file: ids go to the same project alone; no secret is held; text that was on its way
while the old panel was closed still arrives.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, Protocol

import ipywidgets
from comm import get_comm_manager

from cognite_nb_upload.progress.notebook import LiveOutput
from cognite_nb_upload.widgets.cell import RUN_ELSEWHERE, OfThisKernel, when_cell_ends
from cognite_nb_upload.widgets.page import Page
from cognite_nb_upload.widgets.style import box, button, close_all, hide, make, say

Key = Hashable
# A project and its base URL.
Place = tuple[str, str]
# What a saved notebook shows where there is no kernel that has the widget.
_OUTLIVED: Final = (
    "The {kind} of this cell is not shown: the cell was run again since this was saved, or the "
    "kernel has ended. Run it again to see it."
)
_SAID: Final = "Taken over from the panel that this cell showed before{but}."


class Keeps(Protocol):
    """What can be taken over.

    Attributes:
        place: the project that its ids belong to; None where it has no client.
        taken_over: its `TakeOver`.
    """

    taken_over: TakeOver
    place: Place | None

    def held(self) -> dict[Key, Any]:
        """What each field holds, valid or not; equal where nothing has changed."""
        ...

    def hold(self, state: Mapping[Key, Any]) -> None:
        """Put into these fields what others have `held`."""
        ...

    def boxes(self) -> dict[Key, ipywidgets.Text]:
        """The boxes that one types in."""
        ...

    def is_id(self, key: Key) -> bool:
        """Whether a field holds ids of one project."""
        ...

    def is_view(self, key: Key) -> bool:
        """Whether a field is only about what is to be seen, such as an opened section."""
        ...


class TakeOver:
    """What a widget takes over, and what the next one may take over from it.

    Args:
        into: the widget that was made.
        before: the one whose place it takes.
        told: a line says that something was taken over, with a button that undoes it.

    Attributes:
        said: what the fields held once the code had spoken; None before.
        widget: the line.
    """

    def __init__(self, into: Keeps, before: Keeps | None, *, told: bool = True) -> None:
        self._into, self._before, self._told = into, before, told
        self.said: dict[Key, Any] | None = None
        self._lock = threading.RLock()
        self._old = before.taken_over if before is not None else None
        self._next: TakeOver | None = None
        self._ears: list[Any] = []
        self._handed: dict[Key, str] = {}  # what the boxes of the next one held then
        self._settled = False
        self._blank: dict[Key, Any] = {}
        self._without: dict[Key, Any] = {}
        self.widget = box(ipywidgets.HBox, [], "cnbu-tools", "cnbu-taken", "cnbu-none")

    def watch(self) -> None:
        """The widget is made, and the code of the cell has said nothing yet.

        It settles at the end of the running cell, where the widget is not displayed before.
        """
        self._blank = self._into.held()
        when_cell_ends(self.settle)

    def settle(self) -> None:
        """The code has spoken: take over what a person did before. A second call does nothing."""
        if self._settled:
            return
        self._settled = True
        into, before, old = self._into, self._before, self._old
        self.said = into.held()
        self._before = None
        if before is None or old is None:
            return
        with old._lock:  # late text waits, and is then compared with what was taken over
            old._next = self
            said = old.said or self.said
            taken = {
                key: value
                for key, value in before.held().items()
                if value != said.get(key) and not self._says_else(key, said.get(key))
            }
            lost = self._of_other_project(before, taken)
            into.hold({key: value for key, value in taken.items() if key not in lost})
            into.place = into.place or before.place  # of its ids, until it has a client
            old._handed = {key: one.value for key, one in into.boxes().items()}
        self._without = {key: self.said.get(key) for key in taken if key not in lost}
        if self._told and any(not before.is_view(key) for key in taken):
            self._tell(f", but for what belongs to project {before.place[0]}" if lost else "")  # type: ignore[index]

    def _says_else(self, key: Key, said: Any) -> bool:
        """Whether the code now says something for a field, and not what it said."""
        assert self.said is not None  # noqa: S101 # the code has spoken
        now = self.said.get(key)
        return bool(now not in (said, self._blank.get(key)))

    def _of_other_project(self, before: Keeps, taken: Mapping[Key, Any]) -> set[Key]:
        here, there = self._into.place, before.place
        if here is None or there is None or here == there:
            return set()
        return {key for key in taken if before.is_id(key)}

    # --- the line ----------------------------------------------------------------------------

    def _tell(self, but: str) -> None:
        self.widget.children = (
            make(ipywidgets.HTML, say(_SAID.format(but=but), "info")),
            button(
                "Start empty", "Undo that: only what the code says stays", self.undo, "cnbu-link"
            ),
        )
        hide(self.widget, False)

    def undo(self) -> None:
        """Hold what the code says, and nothing of what was taken over."""
        self.forget()
        self._into.hold(self._without)

    def forget(self) -> None:
        """Take the line away; what was taken over is now of this panel."""
        line, self.widget.children = self.widget.children, ()
        hide(self.widget, True)
        for one in line:
            close_all(one)

    # --- when the widget is closed -----------------------------------------------------------

    def release(self) -> None:
        """Its cell is run again: hear what a page has sent to its boxes, and not more.

        The page sends what was typed just before it runs a cell, and a kernel may handle the two in
        two threads. So each box stays where messages arrive, though the page is told that it is
        closed, until the next widget is closed, too.
        """
        for key, one in self._into.boxes().items():
            channel: Any = one.comm
            if channel is None:
                continue
            one.unobserve_all()
            one.observe(partial(self._late, key), "value")
            channel.on_msg(partial(_set_text, one))
            channel.close(deleting=True)  # closed for the page, and still known to the kernel
            self._ears.append(channel)

    def _late(self, key: Key, change: Mapping[str, Any]) -> None:
        with self._lock:
            if self._next is None:
                return  # `settle` will look at the box
            new = self._next._into.boxes().get(key)
            if new is not None and new.value in (change["old"], self._handed.get(key)):
                new.value = change["new"]

    def close(self) -> None:
        """The widget is closed: nobody waits any more for what was typed in the one before it."""
        if self._old is not None:
            self._old._stop_listening()
            self._old = None

    def _stop_listening(self) -> None:
        self._next = None
        for channel in self._ears:
            with suppress(KeyError):
                get_comm_manager().unregister_comm(channel)
        self._ears.clear()


class TakesOver(OfThisKernel, ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A widget that goes on where the one was that its cell had made before."""

    taken_over: TakeOver
    _kind = "form"  # as a sentence calls it

    def _close_for_next_run(self) -> None:
        for child in self.children:
            if isinstance(child, Page):
                child.left = RUN_ELSEWHERE
        self.taken_over.release()
        self.close()

    def _ipython_display_(self) -> None:
        """The widget, and below it words for where a saved notebook cannot show it."""
        self.taken_over.settle()  # by now the code has said what it says
        LiveOutput(self, repr(self), _OUTLIVED.format(kind=self._kind))


def _set_text(one: ipywidgets.Text, message: Mapping[str, Any]) -> None:
    state = message["content"]["data"].get("state") or {}
    if isinstance(state.get("value"), str):
        one.value = state["value"]
