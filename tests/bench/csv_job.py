"""A job larger than memory: a CSV of many rows, really sent, and what the process holds meanwhile.

    python tests/bench/csv_job.py [--rows 200000]

The rows are one small file under external ids of their own. The sink answers at once. Printed are
the resident memory each so many seconds, and how the caller's loop was held.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import csv
import io
import os
import tempfile
import time
from pathlib import Path

import meter
import rig

from cognite_nb_upload import AsyncCogniteClient, ClientConfig, Token
from cognite_nb_upload.progress.many import BatchBar


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--tell-s", type=float, default=10.0)
    options = parser.parse_args()
    rig.build()
    with tempfile.TemporaryDirectory() as folder, rig.sink(tls=False) as sink:
        os.environ["COGNITE_NB_UPLOAD_STATE"] = str(Path(folder) / "state")
        asyncio.run(_measure(sink, Path(folder), options))


def _table(folder: Path, rows: int) -> Path:
    """A CSV of so many rows, all of one file."""
    file, table = folder / "f.bin", folder / "rows.csv"
    file.write_bytes(b"x" * 1000)
    with table.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["path", "external_id"])
        writer.writerows([str(file), f"file-{no}"] for no in range(rows))
    return table


async def _measure(sink: rig.Sink, folder: Path, options: argparse.Namespace) -> None:
    table, config = (
        _table(folder, options.rows),
        ClientConfig(
            client_name="bench", project="bench", base_url=sink.api, credentials=Token("x")
        ),
    )
    async with AsyncCogniteClient(config) as client:
        await client.files.start_many([folder / "f.bin"])
        lags, told = list[float](), list[float]()
        before = meter._status_mib("VmRSS")
        ticker = asyncio.create_task(meter._tick(lags))
        start, cpu = time.perf_counter(), time.process_time()
        batch = client.files.start_many(table, result=folder / "result.csv")
        with contextlib.redirect_stderr(io.StringIO()), BatchBar(batch, disable=False):
            watch = asyncio.create_task(_watch(batch, options.tell_s, start, told))
            counts = await batch
        watch.cancel()
        ticker.cancel()
        seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    written = sum(1 for _ in (folder / "result.csv").open()) - 1
    print(counts.to_string(index=False))
    print(
        f"{written} rows in {seconds:.0f} s, {1000 * cpu_s / options.rows:.2f} ms CPU a row; "
        f"{before:.0f} MiB before, {min(told):.0f} to {max(told):.0f} MiB each second; loop lag "
        f"p99 {1000 * meter.percentile(lags, 0.99):.1f} ms, most {1000 * max(lags):.1f} ms; "
        f"load {os.getloadavg()[0]:.1f}"
    )


async def _watch(batch: object, tell_s: float, start: float, told: list[float]) -> None:
    """Note what the process holds each second; print it now and then."""
    printed_s = 0.0
    while True:
        now = meter._status_mib("VmRSS")
        told.append(now)
        if (at := time.perf_counter() - start) - printed_s >= tell_s:
            printed_s = at
            print(f"{at:6.0f} s {now:6.0f} MiB {batch.state.done} done", flush=True)  # type: ignore[attr-defined]
        await asyncio.sleep(1)


if __name__ == "__main__":
    main()
