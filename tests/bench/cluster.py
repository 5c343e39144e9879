"""What an engine costs and brings: workers of a Dask cluster against one process, and small files.

python tests/bench/cluster.py [--seconds 60] [--files 10000] [--workers 1 2 4]

Each worker's link is capped at 20 MiB/s by its share of `max_bandwidth`; one process is capped at
as much. All share this machine's cores, so only ratios count.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import rig
from distributed import Client, LocalCluster

from cognite_nb_upload import ClientConfig, CogniteClient, Token
from cognite_nb_upload.cluster.cluster import Cluster
from cognite_nb_upload.cluster.dask import DaskBackend
from cognite_nb_upload.cluster.orders import WHOLE, Order, SourceRef, Terms
from cognite_nb_upload.core.plan import KIB, MIB
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.store.bandwidth import Bandwidth

LINK = 20 * MIB
SMALL = 20 * KIB


def client_of(sink: rig.Sink) -> CogniteClient:
    """A client of the sink."""
    return CogniteClient(
        ClientConfig(
            client_name="bench", project="bench", credentials=Token("t"), base_url=sink.api
        )
    )


@contextmanager
def workers(count: int) -> Iterator[Client]:
    """A cluster of processes with one thread each."""
    with (
        LocalCluster(
            n_workers=count, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        Client(cluster) as dask,
    ):
        yield dask


def memory(dask: Client) -> int:
    """The largest resident memory of a worker, in bytes."""
    return max(dask.run(lambda: psutil.Process().memory_info().rss).values())


def one_file(sink: rig.Sink, seconds: float, count: int) -> dict[str, float]:
    """Upload a file that takes so many seconds with `count` workers; 0 is this process alone."""
    size = int(max(1, count) * LINK * seconds)
    path = rig.sparse_file(size)
    how: dict[str, Any] = {"max_bandwidth": max(1, count) * LINK, "resume": False}
    with client_of(sink) as client:
        if not count:
            done = client.files.upload(path, verify="none", progress=False, **how)
            return {"rate": size / done.seconds}
        with workers(count) as dask:
            idle, most = memory(dask), 0
            ended = threading.Event()

            def watch() -> None:
                nonlocal most
                while not ended.wait(1.0):
                    most = max(most, memory(dask))

            watcher = threading.Thread(target=watch)
            watcher.start()
            done = client.files.upload(path, verify="none", progress=False, engine=dask, **how)
            ended.set()
            watcher.join()
    return {"rate": size / done.seconds, "memory": most - idle, "again": done.retries}


def small_files(sink: rig.Sink, files: int) -> float:
    """Milliseconds of CPU that the engine costs this process for each small file."""
    folder = Path(tempfile.mkdtemp())
    path = folder / "small.bin"
    path.write_bytes(os.urandom(SMALL))
    ref = SourceRef(str(path), SMALL, path.stat().st_mtime_ns)
    with workers(2) as dask:
        terms = Terms("bench", sink.api, 30.0, 60.0, 600.0, Terms.retry_of(Retry()))
        backend = DaskBackend(dask.scheduler.address, dask.security, "bench", trust_network=False)
        cluster = Cluster(backend, terms, Bandwidth())
        cluster.start()
        began_s = time.process_time()
        errands = [
            cluster.send(
                Order("", WHOLE, ref, no, size=SMALL, url=Secret(f"{sink.storage}/small/{no}"))
            )
            for no in range(files)
        ]
        wait([one.receipt for one in errands])
        spent_s = time.process_time() - began_s
        stored = sum(one.receipt.result().stored for one in errands)
        cluster.close()
    assert stored == files, f"{stored} of {files}: {errands[0].receipt.result()}"
    return 1000 * spent_s / files


def main() -> None:
    """Measure, and print a line for each number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4])
    options = parser.parse_args()
    os.environ["COGNITE_NB_UPLOAD_STATE"] = tempfile.mkdtemp()
    rig.build()
    with rig.sink(tls=False) as sink:
        alone = one_file(sink, options.seconds, 0)["rate"]
        print(f"one process: {alone / MIB:.1f} MiB/s", flush=True)
        for count in options.workers:
            found = one_file(sink, options.seconds, count)
            print(
                f"{count} workers: {found['rate'] / MIB:.1f} MiB/s, "
                f"{found['rate'] / alone / count:.2f} n of one process, memory of a worker "
                f"+{found['memory'] / MIB:.0f} MiB, {found['again']:.0f} parts sent again",
                flush=True,
            )
        each_ms = small_files(sink, options.files)
        print(f"{options.files} small files: {each_ms:.2f} ms CPU of the engine for each")


if __name__ == "__main__":
    main()
