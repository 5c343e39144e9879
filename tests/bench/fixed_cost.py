"""What one upload costs beside its bytes: `python tests/bench/fixed_cost.py [--tls]`.

A file of 1 KB, with journal, progress and verification on, to a sink on this machine. It prints the
median and quartiles of the time, and the median of the CPU time, in milliseconds, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import rig

from cognite_nb_upload import AsyncCogniteClient, ClientConfig, Token


async def costs(url: str, uploads: int) -> tuple[list[float], list[float]]:
    """Seconds, and seconds of CPU, of each upload, after three that load and connect."""
    config = ClientConfig(
        client_name="bench", project="bench", base_url=url, credentials=Token("bench")
    )
    took, cpu = [], []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COGNITE_NB_UPLOAD_STATE"] = folder
        path = Path(folder) / "small.bin"
        async with AsyncCogniteClient(config) as client:
            for number in range(uploads + 3):
                path.write_bytes(os.urandom(1000))
                cpu_s, began_s = time.process_time(), time.perf_counter()
                await client.files.upload(path, name=f"small-{number}")
                took.append(time.perf_counter() - began_s)
                cpu.append(time.process_time() - cpu_s)
    return took[3:], cpu[3:]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--uploads", type=int, default=40)
    options = parser.parse_args()
    rig.BUILD.mkdir(exist_ok=True)
    rig.build()
    with rig.sink(tls=options.tls) as sink:
        if sink.ca:
            os.environ["SSL_CERT_FILE"] = str(sink.ca)
        took, cpu = asyncio.run(costs(sink.api, options.uploads))
    low, median, high = (round(one * 1000, 1) for one in statistics.quantiles(took, n=4))
    facts = {"median_ms": median, "quartiles_ms": [low, high]}
    print(json.dumps({**facts, "cpu_ms": round(statistics.median(cpu) * 1000, 1)}))


if __name__ == "__main__":
    main()
