"""Uploads with faults that are stopped at random, for minutes: `make soak [MINUTES=15]`.

Every file's SHA-256 is compared with what the emulator holds; memory, descriptors and threads have
to stay flat. It ends by itself, prints its figures, and fails (exit 1) where something is wrong.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import os
import random
import sys
import tempfile
import threading
import time
import warnings
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import psutil

sys.path[:0] = [str(Path(__file__).parents[1] / "upload"), str(Path(__file__).parents[1])]

from upload_rig import PART, config_for, content_of  # noqa: E402

from cognite_nb_upload import CogniteClient, UploadStopped, UploadToolkitError  # noqa: E402
from cognite_nb_upload.emulator import Emulator, Fault, emulator  # noqa: E402

FAULTS = {
    "part": "reset_before reset_mid close_before lost_answer close_answer half_answer".split(),
    "complete": ["lost_answer", "close_answer", "half_answer"],
    "byids": ["lost_answer", "reset_before"],
    "downloadlink": ["reset_before", "half_answer"],
}
# Growth, from the first quarter of the rounds to the last, that is a leak.
MOST_MIB, MOST_DESCRIPTORS, MOST_THREADS = 32, 6, 6
TRIES = 30
_LIBC = ctypes.CDLL(None)


@dataclass
class Figures:
    """What was done, and what it took. `samples`: MiB, descriptors, threads after each round."""

    rounds: int = 0
    stops: int = 0
    fired: int = 0
    wrong: list[str] = field(default_factory=list)
    samples: list[tuple[float, int, int]] = field(default_factory=list)


def sample() -> tuple[float, int, int]:
    """What is in use: what was freed stays with glibc's arenas, up to 50 MiB, now here, now not."""
    gc.collect()
    if hasattr(_LIBC, "malloc_trim"):
        _LIBC.malloc_trim(0)
    me = psutil.Process()
    return me.memory_info().rss / 2**20, me.num_fds(), threading.active_count()


def one_round(client: CogniteClient, cdf: Emulator, path: Path, luck: random.Random) -> int:
    """One file, stopped again and again until it is there; returns how often it was stopped."""
    content = content_of(luck.randint(1, 4), luck.randrange(10**8))
    path.write_bytes(content)
    for _ in range(luck.randint(0, 3)):
        route = luck.choice(list(FAULTS))
        cdf.inject(Fault(luck.choice(FAULTS[route]), route))
    stops = 0
    for _ in range(TRIES):
        upload = client.files.start_upload(path, part_size=PART)
        if luck.random() < 0.7:
            time.sleep(luck.uniform(0, 0.4))  # the random moment is the test
            if luck.random() < 0.2:
                upload.pause()
                upload.resume()
            upload.stop()
            stops += 1
        try:
            done = upload.result(120)
        except UploadStopped:
            continue
        except UploadToolkitError as error:
            if not cdf.fired():
                raise AssertionError(f"failed without a fault: {error}") from error
            continue  # the same call goes on
        if cdf.sha256(done.id or 0) != sha256(content).hexdigest():
            raise AssertionError(f"wrong bytes in {done!r}")
        client.files.delete(id=done.id)
        return stops
    raise AssertionError(f"{path.name} was not done in {TRIES} tries")


def soak(minutes: float, seed: int, most_stops: int) -> Figures:
    luck, figures, ends_s = random.Random(seed), Figures(), time.monotonic() + 60 * minutes
    with tempfile.TemporaryDirectory() as folder, emulator(process=True, faults=True) as cdf:
        os.environ["COGNITE_NB_UPLOAD_STATE"] = f"{folder}/state"
        with CogniteClient(config_for(cdf)) as client:
            while time.monotonic() < ends_s and figures.stops < most_stops:
                figures.rounds += 1
                path = Path(folder) / f"{figures.rounds}.bin"
                try:
                    figures.stops += one_round(client, cdf, path, luck)
                except AssertionError as error:
                    figures.wrong.append(str(error))
                path.unlink(missing_ok=True)
                figures.fired = len(cdf.fired())
                figures.samples.append(sample())
    return figures


def growth(figures: Figures) -> tuple[float, float, float]:
    """How much more there is in the last quarter of the rounds than in the first: medians."""
    quarter = max(1, len(figures.samples) // 4)
    early, late = figures.samples[:quarter], figures.samples[-quarter:]
    middle = [
        (sorted(one)[len(one) // 2], sorted(two)[len(two) // 2])
        for one, two in zip(zip(*early, strict=True), zip(*late, strict=True), strict=True)
    ]
    memory, descriptors, threads = (two - one for one, two in middle)
    return memory, descriptors, threads


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=15)
    options.add_argument("--stops", type=int, default=10**9, help="end after so many, too")
    options.add_argument("--seed", type=int, default=time.time_ns() % 10**6)
    given = options.parse_args()
    warnings.simplefilter("error")
    figures = soak(given.minutes, given.seed, given.stops)
    memory, descriptors, threads = growth(figures)
    flat = memory <= MOST_MIB and descriptors <= MOST_DESCRIPTORS and threads <= MOST_THREADS
    last = figures.samples[-1]
    print(
        f"seed {given.seed}: {figures.rounds} files, {figures.stops} stops, {figures.fired} faults "
        f"fired, {len(figures.wrong)} wrong; growth {memory:+.1f} MiB, {descriptors:+} descriptors,"
        f" {threads:+} threads (at the end {last[0]:.0f} MiB, {last[1]}, {last[2]})"
    )
    print("\n".join(figures.wrong))
    return 0 if flat and not figures.wrong and figures.fired else 1


if __name__ == "__main__":
    sys.exit(main())
