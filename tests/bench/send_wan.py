"""`client.files.upload` of this package over a long link, as often as asked, one after another.

Prints one JSON line: the seconds of each upload, what this process took, and what was seen on the
way: how many connections at each fifth look, Mbit/s from the tenth second to the end, round trips.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from meter import TICK_S, _forget_peak, _status_mib, percentile

from cognite_nb_upload import AsyncCogniteClient, ClientConfig, Token
from cognite_nb_upload.progress import bars


async def main() -> None:
    """Upload a few bytes, so that everything is loaded; then what is measured."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("path", type=Path)
    parser.add_argument("--congestion", default="")
    parser.add_argument("--at-once", type=int, default=0, help="0: as it decides by itself")
    parser.add_argument("--times", type=int, default=1)
    options = parser.parse_args()
    known = (
        hasattr(ClientConfig, "__dataclass_fields__")
        and "congestion" in ClientConfig.__dataclass_fields__
    )
    more = {"congestion": options.congestion} if options.congestion and known else {}
    config = ClientConfig(
        client_name="bench", project="bench", base_url=options.url, credentials=Token("x"), **more
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COGNITE_NB_UPLOAD_STATE"] = folder
        async with AsyncCogniteClient(config) as client:
            await client.files.upload(b"few bytes", name="few")
            print(json.dumps(await _measured(client, options)))


async def _measured(client: AsyncCogniteClient, options: argparse.Namespace) -> dict[str, Any]:
    before = _status_mib("VmRSS") if _forget_peak() else 0.0
    lags: list[float] = []
    seen: list[tuple[float, int, float, int]] = []
    tasks = [asyncio.create_task(_tick(lags)), asyncio.create_task(_watch(client, seen))]
    first_s, confirmed = time.perf_counter(), _confirmed(client)
    began_cpu_s, each_s = time.process_time(), []
    how = {"max_concurrency": options.at_once} if options.at_once else {}
    for _ in range(options.times):
        began_s = time.perf_counter()
        upload = client.files.upload(options.path, resume=False, **how)
        with bars(upload, disable=False, file=io.StringIO()):
            await upload
        each_s.append(round(time.perf_counter() - began_s, 3))
    ended_s = time.perf_counter() - first_s
    confirmed += options.times * options.path.stat().st_size  # it is over
    for task in tasks:
        task.cancel()
    return {
        "seconds": each_s[-1],
        "each_s": each_s,
        "bytes": options.path.stat().st_size,  # it is over
        "cpu_s": round(time.process_time() - began_cpu_s, 2),
        "rss_added_mib": round(_status_mib("VmHWM") - before, 1),
        "loop_lag_p99_ms": round(1000 * percentile(lags, 0.99), 1),
        "at_once": [(round(at_s, 1), limit) for at_s, limit, _, _ in seen[::5]],
        "rtt_ms": round(1000 * percentile([one[2] for one in seen], 0.5)) if seen else None,
        "mbit_later": _later(seen, ended_s, confirmed),
    }


def _later(seen: list[tuple[float, int, float, int]], ended_s: float, confirmed: int) -> int | None:
    """Mbit/s from the tenth second to the end."""
    for at_s, _, _, before in seen:
        if 10 <= at_s < ended_s:
            return round(8e-6 * (confirmed - before) / (ended_s - at_s))
    return None


def _confirmed(client: AsyncCogniteClient) -> int:
    return client.files.limits.lanes._seen.confirmed


async def _tick(lags: list[float]) -> None:
    while True:
        due = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        lags.append(time.perf_counter() - due)


async def _watch(client: AsyncCogniteClient, seen: list[tuple[float, int, float, int]]) -> None:
    """Once a second: how many parts may go at once, CDF's time to answer, and bytes confirmed."""
    began_s = time.perf_counter()
    while True:
        asked_s = time.perf_counter()
        await client.files.retrieve(id=1)
        now_s = time.perf_counter()
        limit = client.files.limits.lanes.limit
        seen.append((now_s - began_s, limit, now_s - asked_s, _confirmed(client)))
        await asyncio.sleep(1)


asyncio.run(main())
