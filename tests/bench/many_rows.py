"""A table of many rows: how long the caller's loop is held, when the first byte goes out, memory.

    python tests/bench/many_rows.py [--rows 100000] [--handles 200]

The rows are one small file under external ids of their own; the batch is stopped at its first file.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import tempfile
import time
from pathlib import Path

import meter
import pandas as pd
import rig

from cognite_nb_upload import AsyncCogniteClient, ClientConfig, Token


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--handles", type=int, default=200)
    options = parser.parse_args()
    rig.build()
    with tempfile.TemporaryDirectory() as folder, rig.sink(tls=False) as sink:
        os.environ["COGNITE_NB_UPLOAD_STATE"] = folder
        asyncio.run(_measure(sink, Path(folder), options))


async def _measure(sink: rig.Sink, folder: Path, options: argparse.Namespace) -> None:
    file = folder / "f.bin"
    file.write_bytes(b"x" * 1000)
    config = ClientConfig(
        client_name="bench", project="bench", base_url=sink.api, credentials=Token("x")
    )
    async with AsyncCogniteClient(config) as client:
        await client.files.start_many([file])
        frame = pd.DataFrame({"path": [str(file)] * options.rows})
        frame["external_id"] = [f"file-{no}" for no in range(options.rows)]
        await _rows(client, frame)
        del frame
        await _handles(client, folder, options.handles)


async def _rows(client: AsyncCogniteClient, frame: pd.DataFrame) -> None:
    gc.collect()
    meter._forget_peak()
    before, lags = meter._status_mib("VmRSS"), list[float]()
    ticker = asyncio.create_task(meter._tick(lags))
    start = time.perf_counter()
    batch = client.files.start_many(frame, max_bandwidth=1e6)
    called = time.perf_counter() - start
    while not batch.state.planned:  # noqa: ASYNC110 # a batch has no event for it
        await asyncio.sleep(0.01)
    planned = time.perf_counter() - start
    while not batch.state.sent:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    first = time.perf_counter() - start
    peak = meter._status_mib("VmHWM")
    batch.stop_switch.set("stopped")
    await batch
    ticker.cancel()
    print(
        f"{len(frame)} rows: the call took {called * 1000:.1f} ms, planned in {planned:.2f} s, "
        f"first byte {first - planned:.2f} s later, loop lag p99 "
        f"{1000 * meter.percentile(lags, 0.99):.1f} ms, most {1000 * max(lags):.1f} ms, "
        f"+{peak - before:.0f} MiB until the first byte"
    )


async def _handles(client: AsyncCogniteClient, folder: Path, count: int) -> None:
    paths = [folder / f"{no}.bin" for no in range(count)]
    for path in paths:
        path.write_bytes(os.urandom(1000))
    lags = list[float]()
    ticker = asyncio.create_task(meter._tick(lags))
    await asyncio.sleep(0.05)
    start = time.perf_counter()
    uploads = []
    for no in range(count):
        uploads.append(client.files.upload(b"x" * 1000, name=f"n{no}", verify="none"))
        await asyncio.sleep(0)
    _tell_of_handles(f"{count} uploads one by one", time.perf_counter() - start, lags)
    for one in uploads:
        await one
    _tell_of_handles("  until they were done", time.perf_counter() - start, lags)
    lags.clear()
    start = time.perf_counter()
    uploads = [client.files.upload(path, verify="none") for path in paths]
    _tell_of_handles(f"{count} uploads in one statement", time.perf_counter() - start, [0.0])
    for one in uploads:
        await one
    _tell_of_handles("  until they were done", time.perf_counter() - start, lags)
    ticker.cancel()


def _tell_of_handles(what: str, seconds: float, lags: list[float]) -> None:
    print(
        f"{what}: {seconds:.3f} s, loop lag p99 "
        f"{1000 * meter.percentile(lags, 0.99):.1f} ms, most {1000 * max(lags):.1f} ms"
    )


if __name__ == "__main__":
    main()
