"""`UploadView`: one upload, live: bars, a strip, what it waits for, and buttons to steer it.

Rules of this file: it watches, and calls what anyone may call; no callback waits for the network;
when the upload is over, what is left is HTML that needs no widget.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from concurrent.futures import Future
from html import escape
from typing import Any, Final

import anyio
import ipywidgets
from anyio import to_thread
from IPython.display import display

from cognite_nb_upload import background
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.state import Phase
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.progress.lines import Moment, whole_line
from cognite_nb_upload.progress.notebook import Notebook, live_bundle
from cognite_nb_upload.progress.outcome import Outcome, outcome_of
from cognite_nb_upload.progress.strip import STYLE
from cognite_nb_upload.progress.watch import Bars, in_notebook
from cognite_nb_upload.progress.words import clean, summary
from cognite_nb_upload.transfer.upload import Upload, Uploaded
from cognite_nb_upload.widgets.panel.style import panel_style
from cognite_nb_upload.widgets.style import box, button, close_all, hide, say
from cognite_nb_upload.widgets.tasks import Tasks

# The buttons, and the line of a view that is folded, are looked after this often, in seconds.
_LOOK_S: Final = 0.5


def upload_view(upload: Upload) -> UploadView:
    """A running upload, live, to be displayed or placed in a box."""
    return UploadView(upload)


def show_upload(upload: Upload) -> None:
    """What an `Upload` does as the last line of a cell: a live view; its repr in a terminal."""
    if in_notebook():
        UploadView(upload)._ipython_display_()
    else:
        print(repr(upload))


class UploadView(ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """One upload, live: bars, a strip of its parts, and Pause, Resume, Stop and a rate limit.

    Args:
        upload: what is shown.
        folded: show one line in place of the bars.
        styled: bring the style sheet along; False inside of what has it.
        again: goes on with the upload after it has failed or was stopped; a button then calls it.
        dismiss: takes the view away once the upload is over; a button then calls it.

    Attributes:
        pause, stop: the buttons; `pause` says Resume while the upload is paused.
        limit: the rate limit in MiB/s, of all uploads of this client; empty is none.
        keep, give_up, delete, back: the choice that `stop` offers.
        ended: how it ended; None while it runs.
    """

    def __init__(
        self,
        upload: Upload,
        *,
        folded: bool = False,
        styled: bool = True,
        again: Callable[[], object] | None = None,
        dismiss: Callable[[], None] | None = None,
    ) -> None:
        self.upload = upload
        self.folded = folded
        self.ended: Outcome | None = None
        self._again, self._dismiss = again, dismiss
        self._tasks = Tasks()
        self._bars: Bars | None = None
        self._seen, self._paused = Phase.NEW, False
        self._stopping, self._limit_bad = False, ""
        self._lock = threading.RLock()
        self._handle: Any = None  # a DisplayHandle
        self._make()
        super().__init__([*([panel_style()] if styled else []), self._body])
        self.add_class("cnbu-form")
        self.add_class("cnbu-view")
        self._fold_or_unfold()
        self._tasks.start("look", self._follow)
        # Its own callback, and not a listener: the error comes with its traceback.
        upload._done.add_done_callback(self._over)

    # --- what it is made of ------------------------------------------------------------------

    def _make(self) -> None:
        name = clean(self.upload.name, 60)
        self.fold = button("", f"Show or hide the parts of {name}", self.toggle, "cnbu-link")
        self.pause = button("Pause", f"Pause or resume {name}", self._pause_or_resume)
        self.stop = button("Stop…", f"Stop {name}", self._ask)
        self.limit = ipywidgets.Text(
            description="Limit, MiB/s", placeholder="none", continuous_update=False
        )
        self.limit.observe(self._limit_typed, "value")
        self.keep = button("Keep what is sent", "Stop; go on later", self._stop)
        self.give_up = button("Give it up", "Stop for good", lambda: self._cancel(False))
        self.delete = button(
            "Give it up, and delete the file in CDF",
            "Stop for good, and delete the file that this upload made in CDF",
            lambda: self._cancel(True),
        )
        self.back = button("Back", "Do not stop", self._unask)
        self._line, self._note = ipywidgets.HTML(), ipywidgets.HTML()
        self._note.add_class("cnbu-note")
        self._place = box(ipywidgets.VBox, [], "cnbu-bars")
        question = ipywidgets.HTML("Stop this upload?")
        self._question = box(
            ipywidgets.HBox,
            [question, self.keep, self.give_up, self.delete, self.back],
            "cnbu-tools",
            "cnbu-none",
        )
        self._tools = box(
            ipywidgets.HBox,
            [self.fold, self.pause, self.stop, box(ipywidgets.HBox, [self.limit], "cnbu-limiter")],
            "cnbu-tools",
        )
        live = [self._line, self._place, self._tools, self._question, self._note]
        self._body = box(ipywidgets.VBox, live, "cnbu-body")

    def toggle(self) -> None:
        """Show the bars, or one line in their place."""
        self.folded = not self.folded
        self._fold_or_unfold()

    def _fold_or_unfold(self) -> None:
        with self._lock:
            if self.ended is None:
                self._show_folded()

    def _show_folded(self) -> None:
        self.fold.description = "Show parts" if self.folded else "Hide parts"
        hide(self._line, not self.folded)
        if self.folded:
            self._drop_bars()
        elif self._bars is None:
            face = Notebook(slots=8)
            self._bars = Bars(self.upload, face)
            self._place.children = (face.container,)
        self._look()

    def _drop_bars(self) -> None:
        if self._bars is None:
            return
        bars, self._bars = self._bars, None
        bars.close()
        self._place.children = ()
        close_all(bars.widget)

    # --- while it runs -----------------------------------------------------------------------

    async def _follow(self) -> None:
        while not self.upload.done():
            self._look()
            await anyio.sleep(_LOOK_S)

    def _look(self) -> None:
        """Bring buttons and line up to date; what has not changed costs no message."""
        state = self.upload.state
        if state.phase is Phase.PAUSED:
            self._paused = True
        elif self._seen is Phase.PAUSED:
            self._paused = False
        self._seen = state.phase
        self.pause.description = "Resume" if self._paused else "Pause"
        self.pause.disabled = self._stopping or state.phase in (Phase.COMPLETING, Phase.ASSEMBLING)
        if self.folded:
            self._line.value = _line_html(self.upload)
        self._show_limit()

    def _pause_or_resume(self) -> None:
        self._paused = not self._paused
        (self.upload.pause if self._paused else self.upload.resume)()
        self.pause.description = "Resume" if self._paused else "Pause"

    # --- the rate limit ----------------------------------------------------------------------

    def _show_limit(self) -> None:
        """Another view of the same client may have set it."""
        rate = self.upload._limits.bandwidth.rate
        text = "" if rate is None else f"{rate / MIB:g}"
        if not self._limit_bad and self.limit.value != text:
            self.limit.value = text

    def _limit_typed(self, change: dict[str, Any]) -> None:
        try:
            rate = rate_of(change["new"])
        except UsageError as error:
            self._limit_bad = str(error)
        else:
            self._limit_bad = ""
            self.upload.set_limits(max_bandwidth=rate)
        self._note.value = say(self._limit_bad, "error", "alert")

    # --- stopping it -------------------------------------------------------------------------

    def _ask(self) -> None:
        hide(self._question, False)
        hide(self._tools, True)

    def _unask(self) -> None:
        hide(self._question, True)
        hide(self._tools, False)

    def _stop(self) -> None:
        self._end(self.upload.stop)

    def _cancel(self, delete: bool) -> None:
        self._end(lambda: self.upload.cancel(delete))

    def _end(self, how: Callable[[], None]) -> None:
        """It waits until no byte follows, so it is called from another thread."""
        self._stopping = True
        hide(self._question, True)
        self._note.value = say("Stopping…", "busy")
        background.start(to_thread.run_sync, how)

    # --- when it is over ---------------------------------------------------------------------

    def _over(self, done: Future[Uploaded]) -> None:
        error = done.exception()
        ending = outcome_of(self.upload, None if error else done.result(), error)
        self._tasks.close()
        with self._lock:
            self.ended = ending
            self._drop_bars()
        self._show_ending(ending)

    def _show_ending(self, ending: Outcome) -> None:
        end = [ipywidgets.HTML(ending.html()), *self._after()]
        for widget in self._body.children:
            close_all(widget)
        self._body.children = end
        if self._handle is not None:
            self._handle.update(self._still_bundle(), raw=True)

    def _after(self) -> list[ipywidgets.Widget]:
        goes_on = self.ended is not None and self.ended.mood != "done" and not self.upload.cancelled
        buttons = []
        if self._again and goes_on:
            buttons.append(button("Go on", f"Go on with {self.upload.name}", self._go_on))
        if self._dismiss:
            buttons.append(button("Close", f"Take {self.upload.name} away", self._dismiss))
        return [box(ipywidgets.HBox, buttons, "cnbu-tools")] if buttons else []

    def _go_on(self) -> None:
        if self._again is not None:
            self._again()

    def still_html(self) -> str:
        """The snapshot as HTML that needs no widget and no kernel."""
        return self.ended.html() if self.ended else _line_html(self.upload)

    def close(self) -> None:
        """Stop watching; the upload goes on."""
        self._tasks.close()
        self._drop_bars()
        close_all(self._body)
        super().close()

    # --- being displayed ---------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        """Live while it runs; then text and HTML in its place, which a saved notebook keeps."""
        show: Any = display  # IPython's is not typed
        if self.ended is not None:
            show(self._still_bundle(), raw=True)
            return
        bundle = live_bundle(self, repr(self.upload))
        self._handle = show(bundle, raw=True, display_id=True)

    def _still_bundle(self) -> dict[str, str]:
        return {"text/plain": summary(self.upload.state), "text/html": self.still_html()}

    def __repr__(self) -> str:
        return f"<UploadView of {self.upload!r}>"


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


def _line_html(upload: Upload) -> str:
    """The whole upload in one line, and a thin bar."""
    state = upload.state
    line = whole_line(Moment(state))
    share = line.percent.replace(" ", "")
    return (
        f'{STYLE}<div class="cnbu"><span class="cnbu-name"><bdi>{escape(clean(upload.name))}</bdi>'
        f'</span> <span class="cnbu-words">{escape(line.percent)}, {escape(line.text)}</span>'
        f'<div class="cnbu-bar"><b style="width:{share}"></b></div></div>'
    )
