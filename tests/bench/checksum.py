"""What `verify="checksum"` costs beside `verify="none"`, and what one MD5 of the bytes costs alone.

    python tests/bench/checksum.py [--mib 512] [--rounds 3]

Over TLS to the sink, whose ETags look like MD5s. The second row is to be at most 1.1: the CPU that
the comparing adds, over that of one digest of the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path
from statistics import median

from measures import cpu_per_gib
from rig import GIB, MIB, build, random_file, script, sink


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    build()
    path, ratios, found = random_file(options.mib * MIB), [], []
    with sink(tls=True) as server:
        for _ in range(options.rounds):
            none, checksum = (
                cpu_per_gib(script("ours", server.api, path, server.ca, verify=verify))
                for verify in ("none", "checksum")
            )
            alone = md5_alone(path)
            found.append((none, checksum, alone))
            ratios.append((checksum - none) / alone)
    none, checksum, alone = (median(column) for column in zip(*found, strict=True))
    print(f"CPU s/GiB: none {none:.2f}, checksum {checksum:.2f}, one MD5 alone {alone:.2f}")
    print(f"what comparing adds, over one MD5: {median(ratios):.2f} ({min(ratios):.2f}-", end="")
    print(f"{max(ratios):.2f})")


def md5_alone(path: Path) -> float:
    """CPU seconds per GiB of one MD5 over the file's bytes, a MiB at a time from one buffer."""
    digest, room = hashlib.md5(usedforsecurity=False), memoryview(bytearray(MIB))
    spent_s, size = 0.0, 0
    with path.open("rb", buffering=0) as file:
        while came := file.readinto(room):
            began_s = time.process_time()
            digest.update(room[:came])
            spent_s += time.process_time() - began_s
            size += came
    return spent_s / (size / GIB)


if __name__ == "__main__":
    main()
