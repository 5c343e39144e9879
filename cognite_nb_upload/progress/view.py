"""`UploadView`: one upload, live: bars, a strip, what it waits for, and buttons to steer it.

Rules of this file: it watches, and calls what anyone may call; no callback waits for the network;
when the upload is over, what is left is HTML that needs no widget.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from anyio import to_thread
from IPython.display import display

from cognite_nb_upload import background
from cognite_nb_upload.core.feed import Observable
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.state import Phase, UploadState
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.progress.lines import Moment
from cognite_nb_upload.progress.notebook import (
    BUDGET,
    LOST_UPLOAD,
    Describer,
    LiveOutput,
    LiveView,
    leave_view,
    redraw,
)
from cognite_nb_upload.progress.outcome import Ended, Outcome, fusion_link, outcome_of
from cognite_nb_upload.progress.table import state_html
from cognite_nb_upload.progress.watch import Bars, in_notebook
from cognite_nb_upload.progress.words import clean, summary
from cognite_nb_upload.say import say

_SLOTS: Final = 8


class Steered(Observable, Ended, Protocol):
    """What a view shows and steers: an `Upload`."""

    @property
    def max_bandwidth(self) -> float | None:
        """Bytes per second that all uploads of its client share; None is no limit."""
        ...

    def set_limits(self, *, max_bandwidth: float) -> None:
        """Change the limit."""
        ...

    def done(self) -> bool:
        """True once it is over."""
        ...

    def pause(self) -> None:
        """Send nothing more until it is resumed."""
        ...

    def resume(self) -> None:
        """Go on."""
        ...

    def stop(self) -> None:
        """End it, and keep what is sent."""
        ...

    def cancel(self, delete: bool = False) -> None:
        """End it for good."""
        ...

    def when_done(self, call: Callable[[Future[Any]], object]) -> None:
        """Call `call(future)` once it is over."""
        ...


def show_upload(upload: Steered) -> None:
    """What an `Upload` does as the last line of a cell: a live view; its repr in a terminal."""
    if in_notebook():
        UploadView(upload)._ipython_display_()
    else:
        say(repr(upload))


@dataclass(eq=False, slots=True)
class Press:
    """A button: what it says, and what a click of it does."""

    key: str
    description: str
    tooltip: str
    click: Callable[[], object]
    disabled: bool = False
    quiet: bool = False
    expanded: bool | None = None

    def described(self) -> dict[str, Any]:
        """For the page."""
        told = {"key": self.key, "text": self.description, "title": self.tooltip}
        told |= {"disabled": self.disabled, "quiet": self.quiet}  # type: ignore[dict-item]
        return told if self.expanded is None else {**told, "expanded": self.expanded}


class RateBox:
    """The box with the rate limit: MiB/s as text. Setting `value` is typing there."""

    def __init__(self, typed: Callable[[str], None]) -> None:
        self._typed = typed
        self.text = ""

    @property
    def value(self) -> str:
        """What the box shows."""
        return self.text

    @value.setter
    def value(self, text: str) -> None:
        self.text = text
        self._typed(text)


class UploadView(LiveView):
    """One upload, live: bars, a strip of its parts, and Pause, Resume, Stop and a rate limit.

    Args:
        upload: what is shown.
        folded: show one line in place of the bars.
        aside: a cell that waits for the upload shows bars of its own, too.
        again: goes on with the upload after it has failed or was stopped; a button then calls it.
        dismiss: takes the view away once the upload is over; a button then calls it.
        fusion_url: the address of a file in Fusion, with `{id}` in place of its id.

    Attributes:
        pause, stop: the buttons; `pause` says Resume while the upload is paused.
        limit: the rate limit in MiB/s, of all uploads of this client; empty is none.
        keep, give_up, delete, back: the choice that `stop` offers while `asking`.
        ended: how it ended; None while it runs.
    """

    def __init__(
        self,
        upload: Steered,
        *,
        folded: bool = False,
        aside: bool = False,
        again: Callable[[], object] | None = None,
        dismiss: Callable[[], None] | None = None,
        fusion_url: str = "",
    ) -> None:
        self._fusion_url = fusion_url
        face = _Face(self, upload.name)
        self.upload = upload
        self.folded = folded
        self.ended: Outcome | None = None
        self.asking = False
        self._again, self._dismiss = again, dismiss
        self._seen, self._paused = Phase.NEW, False
        self._stopping, self._note, self._limit_bad = False, "", False
        self._lock = threading.RLock()
        self._handle: LiveOutput | None = None
        self._make()
        # What is shown first comes with the widget itself.
        first = {"shown": face.described(Moment(upload.state)), "tools": self._tools(upload.state)}
        super().__init__(**first, _dom_classes=("cnbu-view",))
        self.on_msg(self._pressed)
        self._bars = Bars(upload, face, aside=aside)
        # Its own callback, and not a listener: the error comes with its traceback.
        upload.when_done(self.over)

    def _make(self) -> None:
        name = clean(self.upload.name, 60)
        self.fold = Press("fold", "", f"Show or hide the parts of {name}", self.toggle, quiet=True)
        self.pause = Press("pause", "Pause", f"Pause or resume {name}", self._pause_or_resume)
        self.stop = Press("stop", "Stop…", f"Stop {name}", lambda: self._ask(True))
        self.keep = Press("keep", "Keep what is sent", "Stop; go on later", self._stop)
        self.give_up = Press("give_up", "Give it up", "Stop for good", lambda: self._cancel(False))
        self.delete = Press(
            "delete",
            "Give it up, and delete the file in CDF",
            "Stop for good, and delete the file that this upload made in CDF",
            lambda: self._cancel(True),
        )
        self.back = Press("back", "Back", "Do not stop", lambda: self._ask(False))
        self.go_on = Press("again", "Go on", f"Go on with {name}", self._go_on)
        self.take_away = Press("dismiss", "Close", f"Take {name} away", self._close_it)
        self.limit = RateBox(self._limit_typed)

    def toggle(self) -> None:
        """Show the bars, or one line in their place."""
        self.folded = not self.folded
        self._steer()
        self._bars.redraw()

    # --- what the page offers ----------------------------------------------------------------

    def _offered(self) -> tuple[Press, ...]:
        """The buttons of now, but for the question's."""
        if self.ended is None:
            return () if self.asking else (self.fold, self.pause, self.stop)
        goes_on = self.ended.mood != "done" and not self.upload.cancelled
        again = (self.go_on,) if self._again and goes_on else ()
        return (*again, self.take_away) if self._dismiss else again

    def _steer(self) -> None:
        """Bring the buttons up to date; what has not changed costs no message."""
        with self._lock:  # its state is asked for within, or an older one might be shown last
            self.tools = self._tools(self.upload.state)

    def _tools(self, state: UploadState) -> dict[str, Any]:
        self._follow(state)
        live = self.ended is None and not self.asking
        return {
            "buttons": [one.described() for one in self._offered()],
            "question": [one.described() for one in self._asked()],
            "limit": self.limit.text if live else None,
            "note": self._note,
            "bad": self._limit_bad,
        }

    def _asked(self) -> tuple[Press, ...]:
        return (self.keep, self.give_up, self.delete, self.back) if self.asking else ()

    def _follow(self, state: UploadState) -> None:
        if state.phase is not self._seen and Phase.PAUSED in (state.phase, self._seen):
            self._paused = state.phase is Phase.PAUSED  # others may pause it, too
        self._seen = state.phase
        self.fold.description = "Show parts" if self.folded else "Hide parts"
        self.fold.expanded = not self.folded
        self.pause.description = "Resume" if self._paused else "Pause"
        busy = state.phase in (Phase.COMPLETING, Phase.ASSEMBLING)
        self.pause.disabled = self._stopping or busy
        if not self._limit_bad:  # another view of the same client may have set it
            rate = self.upload.max_bandwidth
            self.limit.text = "" if rate is None else f"{rate / MIB:g}"

    def _pressed(self, _: object, content: Any, buffers: object = None) -> None:
        """A message of the page: a button, or text in the box."""
        key = content.get("do") if isinstance(content, dict) else None
        if key == "limit":
            self.limit.value = str(content.get("text", ""))
            return
        for one in (*self._offered(), *self._asked()):
            if one.key == key and not one.disabled:
                one.click()

    # --- what they do ------------------------------------------------------------------------

    def _pause_or_resume(self) -> None:
        with self._lock:
            self._follow(self.upload.state)
            self._paused = paused = not self._paused
        (self.upload.pause if paused else self.upload.resume)()
        self._steer()

    def _limit_typed(self, text: str) -> None:
        try:
            rate = rate_of(text)
        except UsageError as error:
            self._limit_bad, self._note = True, str(error)
        else:
            self._limit_bad, self._note = False, ""
            self.upload.set_limits(max_bandwidth=rate)
        self._steer()

    def _ask(self, asking: bool) -> None:
        self.asking = asking
        self._steer()

    def _stop(self) -> None:
        self._end(self.upload.stop)

    def _cancel(self, delete: bool) -> None:
        self._end(lambda: self.upload.cancel(delete))

    def _end(self, how: Callable[[], None]) -> None:
        """It waits until no byte follows, so it is called from another thread."""
        self._stopping, self.asking, self._note = True, False, "Stopping…"
        self._steer()
        background.start(to_thread.run_sync, how)

    def _go_on(self) -> None:
        if self._again is not None:
            self._again()

    def _close_it(self) -> None:
        if self._dismiss is not None:
            self._dismiss()

    # --- when it is over ---------------------------------------------------------------------

    def over(self, done: Future[Any]) -> None:
        """Show how it ended. Called for the end; who wants to read it then may call it, too."""
        error = done.exception()
        self._bars.forget()
        with self._lock:
            if self.ended is not None:
                return
            self.asking, self._note, self._limit_bad = False, "", False
            self.ended = outcome_of(self.upload, None if error else done.result(), error)
            if self._fusion_url and error is None:
                link = fusion_link(self._fusion_url, done.result().id)
                self.ended = replace(self.ended, link=link)
            self._steer()
            self.shown = {"still": self.still_html()}
        if self._handle is not None:
            still = self._still_bundle()
            self._handle.still(still)
            leave_view(self, still)

    def _tell_again(self) -> None:
        """Say how it ended once more, from a cell that has waited for it."""
        if self.ended is not None and self._handle is not None:
            self._handle.still(self._still_bundle())

    def still_html(self) -> str:
        """The snapshot as HTML that needs no widget and no kernel."""
        return self.ended.html() if self.ended else state_html(self.upload.state)

    def close(self) -> None:
        """Stop watching; the upload goes on."""
        if self.comm is not None:
            self._bars.forget()
            self.layout.close()
            super().close()

    # --- being displayed ---------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        """Live while it runs; then text and HTML in its place, which a saved notebook keeps."""
        with self._lock:
            if self.ended is None:
                self._handle = LiveOutput(self, repr(self.upload), LOST_UPLOAD)
                when_awaited = getattr(self.upload, "when_awaited", None)
                if when_awaited is not None:
                    when_awaited(self._tell_again)
                return
        show: Any = display  # IPython's is not typed
        show(self._still_bundle(), raw=True)

    def _still_bundle(self) -> dict[str, str]:
        return {"text/plain": summary(self.upload.state), "text/html": self.still_html()}

    def __repr__(self) -> str:
        return f"<UploadView of {self.upload!r}>"


class _Face:
    """Draws into a view: its bars, or one line where it is folded; and its buttons."""

    def __init__(self, view: UploadView, name: str) -> None:
        self._view, self._describer = view, Describer(_SLOTS, name)

    def described(self, moment: Moment) -> dict[str, Any]:
        """What the view shows of the moment."""
        describer = self._describer
        return describer.in_one_line(moment) if self._view.folded else describer.of(moment)

    def paint(self, moment: Moment) -> bool:
        """Draw the moment, but for an upload whose end is shown already."""
        view = self._view
        with view._lock:
            if view.ended is not None:
                return False
            view._steer()  # the moment may be older than a press
            return redraw(view, self.described(moment), BUDGET)

    def finish(self, moment: Moment) -> None:
        """How it ended is shown by the view."""


def rate_of(text: str) -> float:
    """Bytes per second from MiB/s as one types them; `math.inf` where nothing is typed.

    Raises:
        UsageError: it is no number above 0.
    """
    text = text.strip().replace(",", ".")
    if not text:
        return math.inf
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise UsageError("The limit is a number of MiB/s above 0, or empty for no limit.")
    return rate * MIB
