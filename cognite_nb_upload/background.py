"""The package's own event loop, in one daemon thread: where blocking calls and uploads run.

Rules of this file: the loop starts when it is first needed, and anew after a fork; interrupting the
one who waits stops the work, not only the wait.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import sys
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from functools import partial
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from anyio import CancelScope, CapacityLimiter, create_task_group, run, to_thread
from anyio.abc import TaskGroup, TaskStatus
from anyio.from_thread import BlockingPortal

from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.process import PerProcess, told
from cognite_nb_upload.text import plain

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
_Work = Callable[[], Coroutine[Any, Any, None]]
# Whether this is the context of work that was started here.
_within: ContextVar[bool] = ContextVar("within", default=False)

# How long what was interrupted may take to put its house in order, in seconds.
_GRACE_S: Final = 5.0
# A kernel does not see an interrupt before its loop wakes up, which nothing else may make it do:
# ipykernel's handler only schedules a callback. So who waits wakes it, every so many seconds.
_WAKES_S: Final = 0.25
# Work that waits for its caller's loop to go on begins after so many seconds in which none was
# added, in a cell that does not return; and after a few such waits at most.
_HELD_S: Final = 0.05
_HELD_TIMES: Final = 20
_NAME: Final = "cognite_nb_upload"


class _Loop:
    """The loop of one process."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.portal: BlockingPortal | None = None
        self.thread: int | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.queue: deque[tuple[Context, _Work]] = deque()
        self.woken = self.held = False

    def start(self) -> BlockingPortal:
        ready: Future[BlockingPortal] = Future()
        # Not anyio's start_blocking_portal: a forked child would close its generator when it ends,
        # and wait for ever for a loop that only its parent has.
        thread = threading.Thread(target=_serve, args=(ready,), name=_NAME, daemon=True)
        try:
            thread.start()
            portal = ready.result()
        except RuntimeError as error:
            if "thread" not in str(error):
                raise
            raise UsageError(
                "No thread can be started here, as in a notebook that runs in the browser "
                "(Pyodide), and uploads need some: use a Jupyter with a kernel of its own."
            ) from error
        self.thread = portal.call(threading.get_ident)
        Context().run(portal.start_task, self._start_each)  # that of the first caller is its own
        self.portal = portal
        atexit.register(_end, os.getpid(), portal, thread)
        return portal

    async def _start_each(self, *, task_status: TaskStatus[None]) -> None:
        """Start what is put into the queue, for as long as the loop runs."""
        self.loop, self._wake = asyncio.get_running_loop(), asyncio.Event()
        async with create_task_group() as group:
            task_status.started()
            while True:
                await self._wake.wait()
                self._wake.clear()
                self.woken = self.held = False  # before the queue is emptied: no work is overlooked
                while self.queue:
                    _run_in(*self.queue.popleft(), group)  # a name here would keep it alive

    def begin(self) -> None:
        """Have the loop start what is in the queue; many calls in a row wake it once."""
        if not self.woken:
            self.woken = True
            assert self.loop is not None  # noqa: S101 # it was started
            self.loop.call_soon_threadsafe(self._wake.set)

    def begin_after(self, caller: asyncio.AbstractEventLoop) -> None:
        """The same, once the caller's loop goes on, or has stood still for a while."""
        if not self.held:
            self.held = True
            assert self.loop is not None  # noqa: S101 # it was started
            caller.call_soon(self.begin)
            self.loop.call_soon_threadsafe(self._hold, 0, _HELD_TIMES)

    def _hold(self, known: int, times: int) -> None:
        """Look again after a while, until nothing is added any more."""
        if len(self.queue) == known or not times:
            self._wake.set()
        elif self.held:
            assert self.loop is not None  # noqa: S101 # this runs on it
            self.loop.call_later(_HELD_S, self._hold, len(self.queue), times - 1)


# Reloading this module keeps the loop that runs: its namespace stays.
_loop: PerProcess[_Loop] = globals().get("_loop") or PerProcess(_Loop)


def portal() -> BlockingPortal:
    """The portal into the package's loop; starts it when there is none in this process."""
    if sys.is_finalizing():  # its thread runs no more, and would be waited for
        raise UsageError("Python is ending: CDF can no longer be asked, as from a `__del__`.")
    loop = _loop.get()
    with loop.lock:
        try:
            return loop.portal or loop.start()
        except OSError as error:
            raise told(error) from None


def _started() -> _Loop:
    portal()
    return _loop.get()


def start(function: Callable[..., Awaitable[T]], *args: object) -> Future[T]:
    """Run `function(*args)` on the package's loop, and return its future at once.

    It does not wait for that loop, as a portal would: the loop may be busy, and the caller's own
    is not to stand still for it. Cancelling the future cancels the work.
    """
    future, loop = _queued(function, *args)
    loop.begin()
    return future


def start_after(function: Callable[..., Awaitable[T]], *args: object) -> Future[T]:
    """As `start`, but the work begins when the caller's own event loop goes on.

    So a statement that starts two hundred uploads is over before the first one begins. Otherwise
    each system call of the caller would give the interpreter to their threads, for up to 5 ms.
    Whoever blocks until the work is done calls `begin()` first; without an event loop in the
    calling thread the work begins at once.
    """
    future, loop = _queued(function, *args)
    caller = None if in_own_loop() else asyncio._get_running_loop()
    if caller is None:
        loop.begin()
    else:
        loop.begin_after(caller)
    return future


def begin() -> None:
    """Have begin what `start_after` holds back: the caller is about to wait for it."""
    loop = _loop.get()
    if loop.queue:
        loop.begin()


def _queued(function: Callable[..., Awaitable[T]], *args: object) -> tuple[Future[T], _Loop]:
    future: Future[T] = Future()
    loop = _started()
    loop.queue.append((_context(), partial(_fulfil, future, function, *args)))
    return future, loop


def _run_in(context: Context, work: _Work, group: TaskGroup) -> None:
    for name, value in copy_context().items():  # which library runs here: the caller's may be trio
        context.run(name.set, value)
    context.run(group.start_soon, work)


def _context() -> Context:
    """That of the caller: what the work prints then belongs to the cell that has called.

    Work that other work starts may outlive it, and has no context: it would keep that one's alive.
    """
    context = Context() if _within.get() else copy_context()
    context.run(_within.set, True)
    return context


async def _fulfil(future: Future[T], function: Callable[..., Awaitable[T]], *args: object) -> None:
    """Put into the future what becomes of the work; its errors end there."""
    loop, scopes = asyncio.get_running_loop(), deque[CancelScope]()

    def cancel(ended: Future[T]) -> None:
        if ended.cancelled():
            for one in tuple(scopes):
                with suppress(RuntimeError):  # that loop is gone, and the work with it
                    loop.call_soon_threadsafe(one.cancel)

    with CancelScope() as scope:
        scopes.append(scope)
        future.add_done_callback(cancel)
        if future.cancelled():  # it begins all the same, and ends at once: who waits is told
            scope.cancel()
        try:
            result = await function(*args)
        except asyncio.CancelledError:
            future.cancel()
            raise
        except Exception as error:
            with suppress(InvalidStateError):  # it was cancelled meanwhile
                future.set_exception(error)
        except BaseException as error:
            with suppress(InvalidStateError):
                future.set_exception(error)
            raise
        else:
            with suppress(InvalidStateError):
                future.set_result(result)
        finally:
            # A future keeps what was to be called at its end, and so this task with all it holds:
            # a circle that only Python's collector would free, which stops all threads.
            scopes.clear()


def call(function: Callable[..., Awaitable[T]], *args: object) -> T:
    """Run `function(*args)` on the package's loop, and wait for its result.

    An interrupt of the waiting thread cancels the work and lets it clean up (5 s at most).
    """
    if in_own_loop():
        raise UsageError(
            "A blocking call was made on the package's own event loop, as by a listener, and would "
            "wait for itself: start an upload with start_upload(...), or call it from a thread."
        )
    began, ended = threading.Event(), threading.Event()

    async def body() -> T:
        began.set()
        try:
            return await function(*args)
        finally:
            ended.set()

    future = start(body)
    try:
        return future.result()
    except BaseException as error:
        future.cancel()
        if began.is_set():
            ended.wait(_GRACE_S)
        if (sentence := told(error)) is not error:
            raise sentence from None
        raise


def is_running() -> bool:
    """True where the loop has been started in this process."""
    return _loop.get().portal is not None


def in_own_loop() -> bool:
    """True in the thread of the package's loop, which must never be blocked."""
    return threading.get_ident() == _loop.get().thread


def in_any_loop() -> bool:
    """True in a thread that runs an event loop now, which must not be blocked."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def running_loop() -> asyncio.AbstractEventLoop:
    """The loop of the caller.

    Raises:
        UsageError: the caller awaits outside of asyncio, as under trio.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise UsageError(
            "This is awaited outside of asyncio, which it needs: under trio, call a blocking "
            "CogniteClient by trio.to_thread.run_sync."
        ) from None


def wait_for(future: Future[Any], timeout_s: float | None, what: str) -> None:
    """Block until it has ended, well or not.

    Raises:
        TimeoutError: it still runs.
    """
    try:
        future.exception(timeout_s)
    except TimeoutError:
        waited = f"{plain(what)} still runs after {timeout_s or 0:g} s, and goes on."
        raise TimeoutError(waited) from None


async def until_done(future: Future[Any]) -> None:
    """Wait in the caller's own loop; giving up the wait leaves the future alone."""
    loop, ended = running_loop(), asyncio.Event()

    def wake(_: object) -> None:
        with suppress(RuntimeError):  # that loop is gone, and who waited with it
            loop.call_soon_threadsafe(ended.set)

    future.add_done_callback(wake)
    with ticking():
        await ended.wait()


class ticking:  # named as what it does in `with`
    """Within the block, the running event loop wakes up several times a second.

    Nothing of it is left as a cycle for Python's collector, which stops all threads.
    """

    def __enter__(self) -> None:
        self._loop = running_loop()
        self._tick()

    def __exit__(self, *_: object) -> None:
        self._handle.cancel()

    def _tick(self) -> None:
        self._handle = self._loop.call_later(_WAKES_S, self._tick)


async def run_sync(
    function: Callable[..., T],
    *args: object,
    abandon_on_cancel: bool = False,
    limiter: CapacityLimiter | None = None,
) -> T:
    """`anyio.to_thread.run_sync`, always in a worker thread of the package's own loop.

    Such threads end with their loop. Those of a caller's loop would outlive a script whose loop is
    run by nest_asyncio, and keep the interpreter from ending.
    """
    work = partial(
        to_thread.run_sync, function, *args, abandon_on_cancel=abandon_on_cancel, limiter=limiter
    )
    if in_own_loop():
        return await work()
    future = start(work)
    try:
        with CancelScope(shield=not abandon_on_cancel):
            await until_done(future)
    except BaseException:
        future.cancel()
        raise
    return future.result()


class Awaited(Coroutine[Any, Any, T_co]):
    """What runs already and can be awaited, also by `asyncio.create_task` and task groups.

    asyncio makes tasks of coroutines only, so it is one. Each task that it is given to has a wait
    of its own; cancelling the task cancels that wait. `asyncio.wait` refuses coroutines, and takes
    the task.
    """

    def send(self, value: Any, /) -> Any:
        """For the task: go on with its wait."""
        return self._step(lambda wait: wait.send(value))

    def throw(self, *error: Any) -> Any:
        """For the task: end its wait with an error, such as a cancellation."""
        return self._step(lambda wait: wait.throw(*error))

    def close(self) -> None:
        """For the task: nothing is held that has to be closed."""

    def _step(self, step: Callable[[Generator[Any, None, Any]], Any]) -> Any:
        task = asyncio.current_task(running_loop())
        assert task is not None  # noqa: S101 # only a task steps a coroutine
        if (wait := _waits.get(task)) is None:
            wait = _waits[task] = self.__await__()
        return step(wait)


# Each task's own wait; a task steps one coroutine alone.
_waits: Final[WeakKeyDictionary[asyncio.Task[Any], Generator[Any, Any, Any]]] = WeakKeyDictionary()


async def in_thread(
    work: Callable[[CancelToken], None],
    stop: CancelToken,
    limiter: CapacityLimiter | None = None,
    unused: Callable[[], None] | None = None,
) -> None:
    """Run `work(own)` in a worker thread; being cancelled sets `own`, and waits for the thread.

    `own` is set with `stop` too. The wait ends when the thread has let go of its socket. Cancelled
    while it waits for a thread, `unused()` is called in place of `work`.
    """
    own, begun, ended = CancelToken(), threading.Lock(), threading.Event()

    def body() -> None:
        if not begun.acquire(blocking=False):
            return  # it was cancelled a moment before
        try:
            with stop.waking(lambda: own.set(stop.reason)):
                work(own)
        finally:
            ended.set()

    try:
        with ticking():
            await run_sync(body, abandon_on_cancel=True, limiter=limiter)
    except BaseException:
        own.set(stop.reason or "cancelled")
        if not begun.acquire(blocking=False):
            with CancelScope(shield=True):
                await run_sync(ended.wait, _GRACE_S)
        elif unused is not None:
            unused()
        raise


async def apart(call: Callable[[], object]) -> None:
    """Call what may block, or calls others back, in a worker thread; being cancelled waits for it.

    At the interpreter's end, when no thread can be started, it is called here.
    """
    with CancelScope(shield=True):
        try:
            await to_thread.run_sync(call)
        except RuntimeError as error:
            if "thread" not in str(error):
                raise
            call()


def _serve(ready: Future[BlockingPortal]) -> None:
    """Run the loop in the calling thread until its portal is stopped."""

    async def serve() -> None:
        async with BlockingPortal() as portal:
            ready.set_result(portal)
            await portal.sleep_until_stopped()

    try:
        run(serve)
    except BaseException as error:
        if not ready.done():
            ready.set_exception(error)


def _end(pid: int, portal: BlockingPortal, thread: threading.Thread) -> None:
    """At exit: stop what still runs there. A forked child leaves its parent's loop alone."""
    if pid == os.getpid():
        with suppress(RuntimeError):  # it has stopped already
            portal.call(portal.stop, True)
        thread.join()
