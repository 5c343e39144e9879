"""Tasks, other event loops, listeners and workers: what people start an upload with, and from."""

from __future__ import annotations

import asyncio
import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest
from support import config_of, seen, until

from cognite_nb_upload import (
    AsyncCogniteClient,
    CogniteClient,
    Token,
    UploadStopped,
    UsageError,
    background,
)
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, Fault


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))


# --- tasks ----------------------------------------------------------------------------------


def test_every_way_of_asyncio_to_run_things_side_by_side(cdf: Emulator, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"many")

    async def main() -> None:
        async with AsyncCogniteClient(config_of(cdf)) as client:

            def start(no: int) -> Any:
                return client.files.upload(b"x%d" % no, name=f"{no}.bin")

            ids = [(await asyncio.create_task(start(0))).id]
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(start(no)) for no in (1, 2)]
            ids += [task.result().id for task in tasks]
            ids += [one.id for one in await asyncio.gather(start(3), start(4))]
            ids.append((await asyncio.wait_for(start(5), 60)).id)
            ids.append((await asyncio.shield(start(6))).id)
            ids.append((await asyncio.ensure_future(start(7))).id)
            for done in asyncio.as_completed([start(8)]):
                ids.append((await done).id)
            done, _ = await asyncio.wait([asyncio.create_task(start(9))])
            ids.append(done.pop().result().id)
            async with anyio.create_task_group() as group:
                group.start_soon(asyncio.wait_for, last := start(10), None)
            ids.append(last.result().id)
            assert [cdf.content(id) for id in ids] == [b"x%d" % no for no in range(11)]

            batch = client.files.start_many([tmp_path / "a.bin"])
            assert list((await asyncio.create_task(batch))["status"]) == ["done"]
            download = client.files.start_download(tmp_path / "back", id=ids[0])
            paths = await asyncio.gather(download, asyncio.shield(download))
            assert [path.read_bytes() for path in paths] == [b"x0", b"x0"]
            opening = client.files.multipart_upload_session("session", 1)
            async with await asyncio.create_task(opening) as session:
                await asyncio.create_task(session.upload_part_async(0, b"x"))

    asyncio.run(main())


def test_an_upload_is_what_asyncio_runs(client: CogniteClient, cdf: Emulator) -> None:
    upload = client.files.start_upload(b"x", name="a")
    assert cdf.content(asyncio.run(upload).id) == b"x"


def test_two_tasks_may_wait_for_one_upload(client: CogniteClient) -> None:
    async def main() -> None:
        upload = client.files.start_upload(b"x", name="a")
        one, two = asyncio.create_task(upload), asyncio.create_task(upload)
        assert await one == await two == await upload
        assert "upload" in repr(one).lower()

    asyncio.run(main())


def test_a_task_that_is_cancelled_pauses_its_upload_and_another_goes_on(
    client: CogniteClient, cdf: Emulator
) -> None:
    cdf.inject(Fault("stall_answer", "put"))

    async def main() -> None:
        upload = client.files.start_upload(b"x", name="a")
        task = asyncio.create_task(upload)
        await asyncio.to_thread(until, cdf.fired)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not upload.done()
        assert cdf.content((await asyncio.create_task(upload)).id) == b"x"

    asyncio.run(main())


def test_an_upload_that_fails_fails_its_task(client: CogniteClient, cdf: Emulator) -> None:
    cdf.inject(Fault("stall_answer", "put"))

    async def main() -> None:
        upload = client.files.start_upload(b"x", name="a")
        task = asyncio.create_task(upload)
        await asyncio.to_thread(until, cdf.fired)
        upload.cancel()
        with pytest.raises(UploadStopped):
            await task

    asyncio.run(main())


# --- other loops ----------------------------------------------------------------------------


def test_trio_is_told_what_to_do(client: CogniteClient, cdf: Emulator) -> None:
    trio = pytest.importorskip("trio")
    native = AsyncCogniteClient(config_of(cdf))
    upload = client.files.start_upload(b"x", name="a")

    async def waits() -> None:
        await upload

    async def asks() -> None:
        await native.files.list()

    for one in (waits, asks):
        with pytest.raises(UsageError, match=r"outside of asyncio.*trio\.to_thread\.run_sync"):
            trio.run(one)

    async def as_told() -> Any:
        return await trio.to_thread.run_sync(client.files.size, upload.result(60).id)

    assert trio.run(as_told) == 1


def test_an_upload_begun_under_another_library_is_not_run_by_it(client: CogniteClient) -> None:
    pytest.importorskip("trio")

    async def begins() -> Any:
        return client.files.start_upload(b"x" * 6 * MIB, name="a").result(60)

    assert anyio.run(begins, backend="trio").size == 6 * MIB


NESTED = """
import asyncio, importlib, sys
from pathlib import Path
importlib.import_module({module!r}).apply()
from cognite_nb_upload import AsyncCogniteClient, Token
from cognite_nb_upload.api.config import ClientConfig

async def main():
    token = Token(lambda: {token!r})  # asked in a thread
    config = ClientConfig(client_name="a", project={project!r}, base_url={url!r}, credentials=token)
    async with AsyncCogniteClient(config) as client:
        async with client.files.multipart_upload_session("s", 1) as session:
            await session.upload_part_async(0, iter([b"abc"]))
        await client.files.download("back", id=session.file_metadata.id)
        await client.files.upload(Path("back"))
    print("sent", flush=True)

asyncio.run(main())
"""


def test_a_script_that_nests_loops_ends(cdf: Emulator, tmp_path: Path) -> None:
    module = next((name for name in ("nest_asyncio", "nest_asyncio2") if _is_there(name)), None)
    if module is None:
        pytest.skip("needs nest_asyncio")
    code = NESTED.format(module=module, token=cdf.token, project=cdf.project, url=cdf.base_url)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.stdout == b"sent\n", done.stderr
    assert done.returncode == 0


def _is_there(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(name) is not None


# --- listeners ------------------------------------------------------------------------------


def test_an_upload_may_be_started_by_a_listener(client: CogniteClient, cdf: Emulator) -> None:
    cdf.inject(Fault("stall_answer", "put"))  # until it listens
    followers: list[Any] = []

    def listener(state: object, event: object) -> None:
        if isinstance(event, ev.Completed):
            followers.append(client.files.start_upload(b"two", name="two"))

    first = client.files.start_upload(b"one", name="one")
    first.listen(listener)
    cdf.clear_faults()
    first.result(60)
    until(lambda: followers)
    assert cdf.content(followers[0].result(60).id) == b"two"


def test_what_would_wait_for_itself_says_so(client: CogniteClient, cdf: Emulator) -> None:
    async def on_the_packages_loop() -> None:
        client.files.list()

    with pytest.raises(UsageError, match=r"would wait for itself.*start_upload"):
        background.call(on_the_packages_loop)
    assert seen(cdf, "list") == []


# --- workers --------------------------------------------------------------------------------


def test_what_holds_a_token_says_what_a_worker_needs(cdf: Emulator) -> None:
    config = config_of(cdf)
    blocking, native = CogniteClient(config), AsyncCogniteClient(config)
    connected = (
        blocking, native, blocking.files, native.files, blocking.catalog, native.catalog
    )  # fmt: skip
    settings = config, Token("planted"), Token(lambda: "planted")
    tried = [(way, one) for way in (pickle.dumps, copy.deepcopy) for one in (*connected, *settings)]
    for way, one in tried + [(copy.copy, one) for one in connected]:
        with pytest.raises(TypeError, match=r"neither pickled nor .*from_env\(\)") as refused:
            way(one)  # type: ignore[operator]
        assert "planted" not in str(refused.value)


def test_what_runs_here_says_how_it_goes_on_elsewhere(cdf: Emulator, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"x")
    with CogniteClient(config_of(cdf)) as client:
        upload = client.files.start_upload(b"x", name="a")
        batch = client.files.start_many([tmp_path / "a.bin"])
        session = client.files.multipart_upload_session("b", 1)
        opening = AsyncCogniteClient(config_of(cdf)).files.multipart_upload_session("c", 1)
        download = client.files.start_download(tmp_path / "b", id=upload.result(60).id)
        for one, said in (
            (upload, r"Upload is neither pickled nor copied: .*resume\(id\)"),
            (batch, r"Batch is neither pickled nor copied: .*the same call goes on elsewhere"),
            (session, "FileMultipartUploadSession is neither pickled nor copied: it holds signed"),
            (opening, "Opening is neither pickled nor copied: it holds signed"),
            (download, "Download is neither pickled nor copied: it runs in this process"),
            (client.files.limits, "SharedLimits is neither .*: all uploads of one client share it"),
        ):
            for way in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match=said):
                    way(one)
        download.result(60)
        result, frame = upload.result(60), batch.result()
        assert pickle.loads(pickle.dumps(result)) == result
        assert pickle.loads(pickle.dumps(frame)).equals(frame)


def test_where_no_thread_can_be_started_it_is_said_at_the_first_use(cdf: Emulator) -> None:
    code = (
        "import threading\n"
        'def start(self): raise RuntimeError("can\'t start new thread")\n'
        "threading.Thread.start = start\n"  # as Python for the browser has it
        "from cognite_nb_upload import CogniteClient\n"
        f"env = {{'CDF_PROJECT': 'a', 'CDF_URL': {cdf.base_url!r}, 'CDF_TOKEN': 't'}}\n"
        "client = CogniteClient.from_env(env)\n"
        "for use in (client.files.list, lambda: client.files.upload(b'x', name='a')):\n"
        "    try:\n"
        "        use()\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__, error)\n"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    lines = done.stdout.splitlines()
    said = "UsageError No thread can be started here"
    assert [line.startswith(said) for line in lines] == [True, True], done.stderr
