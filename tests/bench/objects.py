"""Files in a bucket: their upload against that of a local file, and against reading them alone.

    python tests/bench/objects.py [--mib 512] [--held-mib 256] [--rounds 3] [--write]

The bucket is SeaweedFS's, the target is the sink; both are on this machine and share its cores with
the contender, so only ratios count. Each contender runs in a process of its own, one after another.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import obstore
import rig
from foreign import Foreign
from fsspec.core import OpenFile
from measures import Row, rate
from meter import measured
from obstore.fsspec import FsspecStore
from obstore.store import S3Store
from report import _busy, _row
from rig import MIB, Reading

from cognite_nb_upload import AsyncCogniteClient, ClientConfig, Token
from cognite_nb_upload.emulator import bucket
from cognite_nb_upload.progress import bars

HERE = Path(__file__).parent
AT_ONCE, PART = 8, 16 * MIB
HELD = 50 * MIB
CONTENDERS = ("local", "obstore", "cat_file", "foreign", "alone")


# --- in the contender's process ---------------------------------------------------------------


def store_of(told: dict[str, Any]) -> dict[str, Any]:
    """What obstore wants to know of the bucket."""
    options = told["options"]
    return {
        "access_key_id": options["key"],
        "secret_access_key": options["secret"],
        "region": "us-east-1",
        "endpoint": options["endpoint_url"],
        "client_options": {"allow_http": True},
    }


def content_of(told: dict[str, Any], key: str) -> tuple[Any, dict[str, Any]]:
    """What is given to `upload`, and the options that go with it."""
    way = told["way"]
    if way == "local":
        return told["folder"] + "/" + key, {}
    if way == "obstore":
        return f"s3://bench/{key}", {"storage_options": told["options"]}
    fs = FsspecStore("s3", **store_of(told))
    if way == "cat_file":
        return OpenFile(fs, f"bench/{key}"), {}
    return Foreign(fs.open(f"bench/{key}")), {}


def read_alone(told: dict[str, Any]) -> None:
    """The same ranges at once, into nothing."""
    store, size = S3Store("bench", **store_of(told)), told["size"]

    def part(start: int) -> int:
        span = (start, min(start + PART, size))
        return sum(len(one) for one in obstore.get(store, "big", options={"range": span}).stream())

    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert sum(pool.map(part, range(0, size, PART))) == size


async def contend(told: dict[str, Any]) -> None:
    """Upload a small file, so that everything is loaded; then what is measured."""
    config = ClientConfig(
        client_name="bench", project="bench", base_url=told["url"], credentials=Token("x")
    )
    async with AsyncCogniteClient(config) as client:

        async def send(key: str) -> object:
            content, how = content_of(told, key)
            upload = client.files.upload(
                content,
                name="x",
                part_size=PART,
                max_concurrency=AT_ONCE,
                max_bandwidth=told["held"] or None,
                resume=False,
                **how,
            )
            with bars(upload, disable=False, file=io.StringIO()):
                return await upload

        async def alone() -> None:
            await asyncio.to_thread(read_alone, told)

        if told["way"] != "alone":
            await send("small")
        work: Callable[[], Awaitable[object]] = (
            alone if told["way"] == "alone" else lambda: send("big")
        )
        await measured(work, told["size"])


# --- in the process that measures -------------------------------------------------------------


def once(way: str, size: int, held: int, told: dict[str, Any]) -> Reading:
    """One run of one contender; what opens the bucket goes by its environment."""
    told = {**told, "way": way, "size": size, "held": held}
    with tempfile.TemporaryDirectory() as state:
        os.environ["COGNITE_NB_UPLOAD_STATE"] = state
        os.environ["BENCH"] = json.dumps(told)
        return rig.run([sys.executable, __file__, "--contend"], None)


def measure(size: int, held: int, rounds: int, ways: tuple[str, ...]) -> dict[str, list[Reading]]:
    """All contenders in turn, `rounds` times."""
    found: dict[str, list[Reading]] = {way: [] for way in ways}
    with (
        bucket("bench") as store,
        rig.sink(tls=False) as sink,
        tempfile.TemporaryDirectory(dir=rig.BUILD) as folder,
    ):
        told = {"url": sink.api, "folder": folder, "options": store.storage_options}
        target = S3Store("bench", **store_of(told))
        for key, path in (("big", rig.random_file(size)), ("small", rig.random_file(6 * MIB))):
            (Path(folder) / key).symlink_to(path)
            obstore.put(target, key, path)
        for _ in range(rounds):
            for way in ways:
                before = sink.received()
                found[way].append(once(way, size, held, told))
                assert way == "alone" or sink.received() - before >= size
    return found


def ratio(name: str, ours: list[Reading], theirs: list[Reading], must: float) -> Row:
    """The ratio of the median rates; its spread is that of the single rounds."""
    each = [rate(a) / rate(b) for a, b in zip(ours, theirs, strict=True)]
    value = median(map(rate, ours)) / median(map(rate, theirs))
    return Row(name, value, must, 1.0, "", spread=(min(each), max(each)))


def memory(name: str, found: list[Reading], must: float) -> Row:
    """Resident memory that was added, at most."""
    each = [one["rss_added_mib"] for one in found]
    return Row(
        name, median(each), must, must / 2, "MiB", more_is_better=False,
        spread=(min(each), max(each)),
    )  # fmt: skip


def main() -> None:
    """Measure, and print (or write) the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--held-mib", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true", help="RESULTS_OBJECTS.md")
    parser.add_argument("--contend", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contend:
        with contextlib.redirect_stderr(io.StringIO()):
            return asyncio.run(contend(json.loads(os.environ.pop("BENCH"))))
    rig.build()
    load = f"{os.getloadavg()[0]:.1f}"
    held = measure(options.held_mib * MIB, HELD, options.rounds, CONTENDERS[:4])
    free = measure(options.mib * MIB, 0, options.rounds, CONTENDERS)
    must = "of a local file's rate, target held to 50 MiB/s"
    rows = [
        ratio(f"through obstore: share {must}", held["obstore"], held["local"], 0.9),
        ratio(f"through `cat_file`: share {must}", held["cat_file"], held["local"], 0.9),
        ratio(f"a foreign object: share {must}", held["foreign"], held["local"], 0.9),
        ratio("share of obstore reading alone into nothing", free["obstore"], free["alone"], 0.8),
        memory("memory added, through obstore", free["obstore"], 64),
        memory("memory added, through `cat_file`", free["cat_file"], 24),
        memory("memory added, a foreign object", free["foreign"], 24),
    ]
    text = told_of(rows, {"held to 50 MiB/s": held, "not held": free}, options, load)
    print(text)
    if options.write:
        (HERE / "RESULTS_OBJECTS.md").write_text(text)


def told_of(
    rows: list[Row], tables: dict[str, dict[str, list[Reading]]], options: Any, load: str
) -> str:
    """The text of RESULTS_OBJECTS.md."""
    command = (
        f"python tests/bench/objects.py --mib {options.mib} --held-mib {options.held_mib} "
        f"--rounds {options.rounds} --write"
    )
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    text = f"# Files in a bucket\n\nMeasured on {date} by `{command}`.\n\n"
    text += "| measure | measured | rounds | must reach | aim for | |\n|---|---|---|---|---|---|\n"
    text += "".join(map(_row, rows)) + _busy(float(load))
    for name, rounds in tables.items():
        text += f"\n## The target {name}: medians\n\n"
        text += "| | MiB/s | CPU s/GiB | memory added, MiB |\n|---|---|---|---|\n"
        for way, found in rounds.items():
            speed = 1024 * median(map(rate, found))
            cpu = median(one["cpu_s"] / one["bytes"] * rig.GIB for one in found)
            added = median(one["rss_added_mib"] for one in found)
            text += f"| {way} | {speed:.0f} | {cpu:.2f} | {added:.1f} |\n"
    facts = {**rig.machine(), "readers": f"obstore {version('obstore')}", "load before": load}
    text += "\n## How it was measured\n\n"
    text += (
        f"- Parts of 16 MiB, up to {AT_ONCE} at once, over plain HTTP; journal on disk, bars drawn "
        "into memory, size verified.\n- `alone` reads the same ranges, as many at once, into "
        "nothing, by obstore alone.\n- The bucket is SeaweedFS on this machine: it, the sink and "
        "the contender share its cores.\n- Bytes read over size are counted at the stores by "
        "`tests/objects`.\n"
    )
    return text + "".join(f"- {name}: {value}\n" for name, value in facts.items())


if __name__ == "__main__":
    main()
