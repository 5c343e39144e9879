"""A script that ends while uploads run: it waits, and its exit code tells of a failure.

Rules of this file: the wait comes before the interpreter gives up its threads, the exit code after
all other exit handlers; a notebook's kernel does not wait, since its journals go on later.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

from cognite_nb_upload.errors import UploadStopped, UsageError
from cognite_nb_upload.process import PerProcess
from cognite_nb_upload.say import say
from cognite_nb_upload.transfer.upload import Upload

_FAILED: Final = 1
_INTERRUPTED: Final = 130  # what shells give to a program that Ctrl+C has ended
# Who interrupts the wait waits so long, in seconds, for parts that are nearly done.
_PAUSE_S: Final = 12.0


class Job(Protocol):
    """Many files on their way, as one, or a download."""

    @property
    def title(self) -> str:
        """How a sentence about it begins."""
        ...

    @property
    def failed(self) -> int:
        """How many of its files did not arrive."""
        ...

    def until_over(self) -> None:
        """Block until it has ended; an interrupt leaves it as it is."""
        ...

    def result(self) -> object:
        """What it ended with; raises what ended it."""
        ...

    def stop(self) -> None:
        """End it; what is not done is left to the same call."""
        ...


class _Watch:
    """What this process's end waits for; for the process that imported this or a child."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.begun = self.leaving = False
        self.jobs: list[Job] = []
        self.uploads: Callable[[], list[Upload]] = list


_watch: PerProcess[_Watch] = globals().get("_watch") or PerProcess(_Watch)


def wait_at_exit(running: Callable[[], list[Upload]]) -> None:
    """From the first call on, the end of this process waits for the uploads that `running` tells.

    Args:
        running: returns the uploads of this process that have not ended.
    """
    refuse_at_the_end()
    _watch.get().uploads = running
    _begin()


def refuse_at_the_end() -> None:
    """See that there is time left for what is about to begin.

    Raises:
        UsageError: the main thread is over, and with it the wait for what runs.
    """
    if getattr(threading, "_SHUTTING_DOWN", False) and not _watch.get().leaving:
        raise UsageError(
            "The main thread of this program has ended, and Python with it: nothing can be begun "
            "now. Have it wait for the thread that uploads, with thread.join()."
        )


def wait_for_job(job: Job) -> Callable[[], None]:
    """The end of this process waits for `job`, until what is returned is called."""
    refuse_at_the_end()
    # Planning imports these, each of which registers an end of its own: that is too late once this
    # waits.
    for name in ("concurrent.futures.thread", "concurrent.futures.process", "pandas"):
        importlib.import_module(name)
    return wait_for(job)


def wait_for(job: Job) -> Callable[[], None]:
    """As `wait_for_job`, for one that imports nothing while it runs."""
    refuse_at_the_end()
    watch = _watch.get()
    with watch.lock:
        watch.jobs.append(job)
    _begin()

    def over() -> None:
        with watch.lock:
            watch.jobs = [one for one in watch.jobs if one is not job]

    return over


def _begin() -> None:
    watch = _watch.get()
    with watch.lock:
        if watch.begun or _in_kernel():
            return
        watch.begun = True
    # An atexit handler would come too late: by then no thread can be had to look up a host with.
    register: Any = getattr(threading, "_register_atexit", atexit.register)
    with suppress(RuntimeError):  # the interpreter is ending already
        register(_leave, os.getpid(), watch)


def _in_kernel() -> bool:
    ipython = sys.modules.get("IPython")
    return hasattr(ipython.get_ipython(), "kernel") if ipython is not None else False


def _leave(pid: int, watch: _Watch) -> None:
    if pid == os.getpid():
        watch.leaving = True
        try:
            _wait(watch)
        finally:
            watch.leaving = False


def _wait(watch: _Watch) -> None:
    code = 0
    interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt
    for job in tuple(watch.jobs):  # before its own uploads
        if not interrupted:
            try:
                code = max(code, _await_job(job))
                continue
            except KeyboardInterrupt:
                interrupted, code = True, _INTERRUPTED
        job.stop()
        _say(f"Stopped {job!r}. The same call goes on with what is not done.")
    for upload in watch.uploads():
        if interrupted or upload.paused:  # nobody is left who could let it go on
            _put_down_gently(upload)
            continue
        try:
            code = max(code, _await(upload))
        except KeyboardInterrupt:
            interrupted, code = True, _INTERRUPTED
            _pause(upload)
    if code:
        atexit.register(_exit_at_last, code)


def _await_job(job: Job) -> int:
    """Wait for many files; returns the exit code that they call for."""
    _say(f"Waiting for {job!r}; Ctrl+C stops it.")
    job.until_over()
    try:
        job.result()
    except Exception as error:
        _tell_failure(job.title, error)
        return _FAILED
    _say(repr(job))
    return _FAILED if job.failed else 0


def _await(upload: Upload) -> int:
    """Wait for one upload; returns the exit code that it calls for."""
    _say(f"Waiting for {upload!r}; Ctrl+C pauses it.")
    try:
        upload.until_over()
        result = upload.result()
    except UploadStopped as error:
        _say(str(error))
        return _FAILED
    except Exception as error:
        _tell_failure(f"The upload of {upload.name}", error)
        return _FAILED
    _say(repr(result))
    return 0


def _tell_failure(what: str, error: Exception) -> None:
    _say(f"{what} failed: {str(error) or type(error).__name__}")
    for note in getattr(error, "__notes__", ()):
        _say(note)


def _pause(upload: Upload) -> None:
    upload.pause("interrupted")
    _put_down_gently(upload)


def _put_down_gently(upload: Upload) -> None:
    """Let parts finish that are nearly done, unless there is another Ctrl+C."""
    with suppress(KeyboardInterrupt):
        if upload.paused:
            upload.wait_until_paused(_PAUSE_S)
    _put_down(upload)


def _put_down(upload: Upload) -> None:
    upload.stop()
    _say(
        f"Stopped {upload!r}. The same call goes on with it, also in another process, and so does "
        f"`resume({upload.id!r})`."
    )


def _say(text: str) -> None:
    say(text, error=True)


def _exit_at_last(code: int) -> None:
    """Run the other exit handlers, flush, and leave: a SystemExit from here would be ignored."""
    atexit.unregister(_exit_at_last)
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)
