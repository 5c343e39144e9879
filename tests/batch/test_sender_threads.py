from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any

import anyio
import pytest

from cognite_nb_upload.batch.threads import SenderThreads
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.pace import Pace


@pytest.mark.anyio
async def test_who_is_cancelled_when_its_file_was_sent_does_not_wait_for_ever() -> None:
    send = threading.Event()
    with SenderThreads(Pace(1), CancelToken()) as threads:
        task = asyncio.create_task(threads.run(lambda _: send.wait(60)))
        await asyncio.sleep(0)
        send.set()
        while not threads._ended:  # the loop stands still until the thread has told
            pass
        asyncio.get_running_loop().call_later(0, task.cancel)
        with anyio.fail_after(60), pytest.raises(asyncio.CancelledError):
            await task


class Counting(asyncio.SelectorEventLoop):
    """Counts how often other threads wake it."""

    woken = 0

    def call_soon_threadsafe(self, *args: Any, **kwargs: Any) -> asyncio.Handle:
        self.woken += 1
        return super().call_soon_threadsafe(*args, **kwargs)


def run_in(loop: Counting, main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main)


def test_the_ends_of_many_files_wake_the_loop_a_few_times() -> None:
    loop, ended = Counting(), list[int]()

    async def main() -> None:
        with SenderThreads(Pace(4), CancelToken()) as threads:
            works = (threads.run(lambda _, no=no: ended.append(no)) for no in range(400))
            await asyncio.gather(*works)

    run_in(loop, main())
    assert sorted(ended) == list(range(400))
    assert loop.woken <= 40


def test_what_has_ended_is_told_while_the_others_take_long() -> None:
    """There is enough at hand, so no thread wakes the loop."""
    loop, queued, told = Counting(), threading.Event(), threading.Event()

    async def main() -> None:
        with SenderThreads(Pace(2), CancelToken()) as threads:
            works = [queued, *[told] * 60]
            first, *others = [
                asyncio.create_task(threads.run(lambda _, until=until: until.wait(60)))
                for until in works
            ]
            await asyncio.sleep(0)
            queued.set()
            with anyio.fail_after(30):
                await first
            assert loop.woken == 0
            told.set()
            await asyncio.gather(*others)

    run_in(loop, main())
