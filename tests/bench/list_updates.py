"""What the bars of a job cost a notebook: messages and bytes to the page, CPU, lag of the loop.

    python tests/bench/list_updates.py [--rows 10000]

The job's rows are one small file under external ids of their own, sent to a sink that answers at
once. The messages are those that ipywidgets would send to the page, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import comm
import comm.base_comm
import meter
import pandas as pd
import rig

from cognite_nb_upload import AsyncCogniteClient, ClientConfig, Token
from cognite_nb_upload.progress import many
from cognite_nb_upload.progress.notebook import BoxOfLines


class Counted(comm.base_comm.BaseComm):
    """A comm that counts what would go to the page."""

    messages = size = 0

    def publish_msg(self, msg_type: str, data: Any = None, *rest: Any, **named: Any) -> None:
        """Count it."""
        Counted.messages += 1
        Counted.size += len(json.dumps(data, default=str))


class Face(BoxOfLines):
    """The bars of a notebook, without the text that a cell's output keeps at the end."""

    def finish(self, text: str) -> None:
        """Leave nothing: there is no cell."""


def main() -> None:
    """Measure with bars and without, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    options = parser.parse_args()
    rig.build()
    comm.create_comm = lambda *given, **named: Counted(*given, **named)
    many._face = lambda disable: Face()
    with tempfile.TemporaryDirectory() as folder, rig.sink(tls=False) as sink:
        os.environ["COGNITE_NB_UPLOAD_STATE"] = folder
        for shown in (False, True):
            asyncio.run(_measure(sink, Path(folder), options.rows, shown))


async def _measure(sink: rig.Sink, folder: Path, rows: int, shown: bool) -> None:
    file = folder / "f.bin"
    file.write_bytes(b"x" * 1000)
    config = ClientConfig(
        client_name="bench", project="bench", base_url=sink.api, credentials=Token("x")
    )
    frame = pd.DataFrame({"path": [str(file)] * rows})
    frame["external_id"] = [f"file-{shown}-{no}" for no in range(rows)]
    async with AsyncCogniteClient(config) as client:
        await client.files.start_many([file])
        lags = list[float]()
        ticker = asyncio.create_task(meter._tick(lags))
        Counted.messages = Counted.size = 0
        start, cpu = time.perf_counter(), time.process_time()
        batch = client.files.start_many(frame)
        if shown:
            with many.BatchBar(batch, disable=False):
                await batch
        else:
            await batch
        took, used = time.perf_counter() - start, time.process_time() - cpu
        ticker.cancel()
    print(
        f"{'bars' if shown else 'no bars'}: {rows} rows in {took:.1f} s ({rows / took:.0f}/s), "
        f"{Counted.messages / took:.1f} messages/s, {Counted.size / took / 1024:.1f} KiB/s, "
        f"{1000 * used / rows:.2f} ms of CPU a row, loop lag p99 "
        f"{1000 * meter.percentile(lags, 0.99):.0f} ms, most {1000 * max(lags):.0f} ms"
    )


if __name__ == "__main__":
    main()
