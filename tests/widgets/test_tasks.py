from __future__ import annotations

import threading

import anyio

from cognite_nb_upload import background
from cognite_nb_upload.widgets.tasks import Tasks


async def _event() -> anyio.Event:
    return anyio.Event()


def test_starting_returns_at_once_and_the_newest_of_a_name_wins() -> None:
    tasks, done = Tasks(), []
    gate = background.call(_event)

    async def work(no: int) -> None:
        await gate.wait()
        done.append(no)

    for no in range(3):
        tasks.start("search", lambda no=no: work(no))
    tasks.start("other", lambda: work(9))
    assert done == []
    background.portal().call(gate.set)
    assert tasks.wait()
    assert sorted(done) == [2, 9]


def test_waiting_has_an_end_and_closing_ends_the_work() -> None:
    tasks, ended = Tasks(), threading.Event()

    async def work() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    started = threading.Event()

    async def mark() -> None:
        started.set()
        await work()

    tasks.start("forever", mark)
    assert started.wait(60)
    assert not tasks.wait(0.01)
    tasks.close()
    assert ended.wait(60)
    assert tasks.wait(0)


def test_work_can_be_started_from_the_packages_own_loop() -> None:
    tasks, done = Tasks(), threading.Event()

    async def inner() -> None:
        done.set()

    async def outer() -> None:
        tasks.start("inner", inner)

    background.call(outer)
    assert done.wait(60)


def test_a_task_may_start_another_while_it_is_replaced() -> None:
    """Ending the one before waits for the loop, so it must not hold what the loop may want."""
    tasks = Tasks()
    rounds = 300

    async def starts_another() -> None:
        tasks.start("other", nothing)

    async def nothing() -> None: ...

    def replace() -> None:
        for _ in range(rounds):
            tasks.start("one", starts_another)

    threads = [threading.Thread(target=replace, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)
    assert tasks.wait()
