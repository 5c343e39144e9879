"""`bars`: watch an upload, and draw it now and then from a thread of its own.

Rules of this file: a listener only keeps the newest snapshot, so that no transfer waits for a
screen; who waits for the end also waits for its last picture, at most `_LAST_S`; all drawing
happens in one thread; an error in it ends the drawing and nothing else.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, Protocol, Self, TextIO

from cognite_nb_upload import background
from cognite_nb_upload.core.events import Event, PartLost
from cognite_nb_upload.core.feed import Observable
from cognite_nb_upload.core.state import PartPhase, UploadState
from cognite_nb_upload.progress.lines import Moment
from cognite_nb_upload.progress.terminal import Log, Terminal
from cognite_nb_upload.progress.words import summary
from cognite_nb_upload.say import is_screen, is_terminal
from cognite_nb_upload.text import plain

_log = logging.getLogger(__name__)

# Drawn at most this often: about what an eye can follow in numbers.
_EVERY_S: Final = 0.2
# Drawn at least this often: waits count down, and a stalled rate goes down, without any event.
_TICK_S: Final = 1.0
# The longest that the end of an upload waits for its last picture.
_LAST_S: Final = 2.0


def bars(
    observed: Observable,
    *,
    slots: int = 8,
    disable: bool | None = None,
    file: TextIO | None = None,
    leave: bool = True,
    ncols: int | None = None,
    display: bool = True,
) -> Bars:
    """A tqdm bar per part in flight, one for the whole, and a strip of every part.

    They are drawn from a thread of their own, up to five times a second, and also while a cell is
    busy; when the upload is over, or at `close`, a line of text (in a notebook: text and HTML) is
    left. In a notebook all bars together send about eight messages a second.

    Args:
        observed: an `Upload`, or a `multipart_upload_session`.
        slots: the most parts that have a bar of their own; with more parts, those in flight do.
        disable: True draws nothing; False draws bars even where nobody watches; None (the default)
            draws widgets in a notebook, bars in a terminal, and writes about twenty lines to a log.
        file: where text goes instead, also in a notebook; stderr when None.
        leave: keep the bar of the whole in a terminal, and there and in a log a line of the end.
        ncols: columns of a terminal; its own width when None.
        display: show the widgets at once. Otherwise place `.widget` yourself.

    Returns:
        What ends it: a context manager (`with`, `async with`), or call it.
    """
    stream = file if file is not None else sys.stderr
    if disable or (disable is None and os.environ.get("TQDM_DISABLE")):
        return Bars(observed, None)
    if file is None and in_notebook():
        return _notebook_bars(observed, slots, display)
    if stream is None:  # a program without a console
        return Bars(observed, None)
    if disable is None and not is_screen(stream):
        return Bars(observed, Log(stream, leave=leave))
    return Bars(observed, Terminal(slots=slots, file=stream, leave=leave, ncols=ncols))


def in_notebook() -> bool:
    """True where tqdm would show widgets: in a Jupyter kernel."""
    from tqdm.auto import tqdm

    if not any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__):
        return False
    from IPython import get_ipython

    return get_ipython() is not None


def has_an_audience() -> bool:
    """True where bars are seen as they move: in a notebook, and in a terminal."""
    return in_notebook() or is_terminal(sys.stderr)


def _notebook_bars(observed: Observable, slots: int, display: bool) -> Bars:
    from cognite_nb_upload.progress.notebook import Notebook

    face = Notebook(slots=slots)
    if display:
        face.show()
    return Bars(observed, face)


class Face(Protocol):
    """Where bars are drawn."""

    def paint(self, moment: Moment) -> bool:
        """Draw the moment; True where something is left to draw."""
        ...

    def finish(self, moment: Moment) -> None:
        """Draw the moment so that it stays; `paint` may begin anew after it."""
        ...


class Bars:
    """The bars of one upload: a context manager, and a function that ends them."""

    def __init__(
        self,
        observed: Observable,
        face: Face | None,
        *,
        every_s: float = _EVERY_S,
        clock: Callable[[], float] = time.monotonic,
        aside: bool = False,
    ) -> None:
        self._face = face
        self._every_s = every_s
        self._clock = clock
        self._news = threading.Condition()  # guards all that follows
        self._thread: threading.Thread | None = None
        self._closed = self._settled = self._idle = False
        self._heard = 0
        self._again_at_s: dict[int, float] = {}
        self._state, self._state_s = observed.state, clock()
        self._stop = observed.listen(self._hear) if face else lambda: None
        before_end = getattr(observed, "before_end", None)
        if face and before_end is not None:
            before_end(self._last_picture)
        # An upload that somebody watches shows no bars of its own; those aside do not count.
        self._watches = getattr(observed, "watched", None) if face and not aside else None
        self._tell_watched(1)
        self._begin(observed)

    @property
    def widget(self) -> Any:
        """In a notebook the widget that holds the bars, to be placed elsewhere; otherwise None."""
        return getattr(self._face, "container", None)

    def close(self) -> None:
        """Stop watching, and leave the last picture behind. May be called again."""
        self._stop()
        with self._news:
            if not self._closed:
                self._closed = True
                self._tell_watched(-1)
                self._settle()

    __call__ = close

    def forget(self) -> None:
        """Stop watching, and draw nothing more."""
        self._stop()
        with self._news:
            if not self._closed:
                self._closed = self._settled = True
                self._tell_watched(-1)
                self._face = None
                self._news.notify_all()

    def redraw(self) -> None:
        """Draw soon, though nothing has happened."""
        with self._news:
            if not self._closed:
                self._heard += 1
                self._wake()

    def _tell_watched(self, change: int) -> None:
        if self._watches is not None:
            self._watches(change)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return plain(f"<Bars of {summary(self._state)}>")

    def _ipython_display_(self) -> None:
        """As the last line of a cell: shown now, unless they are on the screen already."""
        show = getattr(self._face, "show", None)
        if show is not None:
            show()

    # -- what is heard, in whatever thread it happens; each holds `_news` ------------------------

    def _begin(self, observed: Observable) -> None:
        with self._news:
            if not self._heard:  # something may have happened between looking and listening
                self._state, self._state_s = observed.state, self._clock()
            self._wake()

    def _hear(self, state: UploadState, event: Event) -> None:
        with self._news:
            self._heard += 1
            self._state, self._state_s = state, self._clock()
            if isinstance(event, PartLost) and event.wait_s is not None:
                self._again_at_s[event.no] = self._state_s + event.wait_s
            self._settled = False
            self._wake()

    def _wake(self) -> None:
        wanted = not self._settled if self._last else self._idle or self._thread is None
        if wanted:
            self._start()
        if self._last and not background.in_any_loop():
            self._settle()

    def _last_picture(self) -> None:
        """Wait a little for the picture of the end, if that has come."""
        with self._news:
            if self._last:
                self._settle()

    def _settle(self) -> None:
        """Have the last picture drawn, and wait a little for it."""
        if self._face is not None and not self._settled:
            self._start()
            self._news.wait_for(lambda: self._settled, _LAST_S)

    def _start(self) -> None:
        self._idle = False
        if self._thread is None and self._face is not None:
            self._thread = threading.Thread(target=self._run, name="upload-bars", daemon=True)
            self._thread.start()
        self._news.notify_all()

    @property
    def _last(self) -> bool:
        return self._closed or self._state.phase.over

    # -- what is drawn, in one thread ------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._face and self._draw(self._face):
                pass
        except Exception as error:
            _log.warning("The bars of an upload cannot be drawn (%r); it goes on.", error)
            _log.debug("Why bars could not be drawn", exc_info=True)
            with self._news:
                self._face = None
                self._end()
            self._stop()

    def _draw(self, face: Face) -> bool:
        """Draw, and wait until it is time to draw again; False where there is no more to come."""
        with self._news:
            moment, heard, last = self._moment(), self._heard, self._last
        more = False
        if last:
            face.finish(moment)
        else:
            more = face.paint(moment)
        with self._news:
            if last and heard == self._heard:
                return self._end()
            self._news.wait_for(lambda: self._last, self._every_s)
            self._idle = not (more or heard != self._heard)
            self._news.wait_for(lambda: not self._idle or self._last, _TICK_S)
        return True

    def _end(self) -> bool:
        self._thread, self._settled = None, True
        self._news.notify_all()
        return False

    def _moment(self) -> Moment:
        now_s = self._clock()
        again_s = {
            part.no: max(0.0, self._again_at_s.get(part.no, now_s) - now_s)
            for part in self._state.parts
            if part.phase is PartPhase.LOST and part.wait_s is not None
        }
        return Moment(self._state, now_s - self._state_s, again_s)
