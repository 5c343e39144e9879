from __future__ import annotations

import asyncio
import threading

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
