"""Who waits for something else than its bytes does not keep others from sending theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from support import until
from upload_rig import content_of, file_of

from cognite_nb_upload import CogniteClient
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.state import Phase, UploadState
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.transfer import places
from cognite_nb_upload.transfer.places import AT_WORK, Place, Places

WAITING = UploadState(phase=Phase.SENDING, waiting_for="somebody to sign in")
SENDING = UploadState(phase=Phase.SENDING)


def test_those_that_wait_for_cdf_do_not_hold_up_the_others(
    start: Callable[..., Emulator],
    clients: Callable[..., CogniteClient],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "_WAITS_S", 0.05)
    slow, cdf = clients(start(uploaded_delay_s=3600)), start()
    path = file_of(tmp_path, 1)
    uploads = [slow.files.start_upload(path, name=f"{no}") for no in range(AT_WORK)]
    until(lambda: all(one.state.phase is Phase.ASSEMBLING for one in uploads))
    done = clients(cdf).files.start_upload(path, name="the next").result(60)
    assert cdf.content(done.id) == content_of(1)
    for one in uploads:
        one.cancel()


def test_turns_come_in_order_and_one_that_leaves_the_queue_takes_none() -> None:
    async def main() -> list[int]:
        many, seen = Places(1), list[int]()

        async def work(no: int) -> None:
            await many.take()
            seen.append(no)
            await asyncio.sleep(0)
            many.give()

        many.take_now()
        tasks = [asyncio.create_task(work(no)) for no in range(4)]
        await asyncio.sleep(0)
        tasks[1].cancel()
        many.give()
        await asyncio.sleep(0)  # the first has its turn, and is cancelled before it knows
        tasks[2].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert not many.full
        return seen

    assert asyncio.run(main()) == [0, 3]


def test_a_wait_lends_the_place_and_its_end_takes_one_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(places, "_WAITS_S", 0.0)
    told: list[str] = []

    async def main() -> None:
        many = Places(1)
        first, second = Place(many), Place(many)
        await first.take(told.append)
        first.follow(WAITING, ev.Waiting("somebody to sign in"))
        await asyncio.wait_for(second.take(told.append), 30)
        assert told == [f"its turn, behind {AT_WORK} other uploads", ""]
        first.follow(SENDING, ev.WaitEnded())
        await asyncio.sleep(0.01)
        second.give()
        assert many.full, "the first is at work again, though the second was"
        first.give()
        first.give()
        assert not many.full

    asyncio.run(main())


def test_a_short_wait_keeps_the_place() -> None:
    async def main() -> None:
        many = Places(1)
        one = Place(many)
        await one.take(str)
        one.follow(WAITING, ev.Waiting("503"))
        one.follow(SENDING, ev.WaitEnded())
        await asyncio.sleep(0.01)
        assert many.full

    asyncio.run(main())
