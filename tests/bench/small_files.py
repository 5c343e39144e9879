"""Small files as one job, against the official SDK's folder upload: with latency, and without.

python tests/bench/small_files.py [--rounds 9] [--files 300]

"""

from __future__ import annotations

import argparse
import statistics
import sys

import rig

SIZE = 20 * 1024
# Milliseconds of the API and of the store.
LINKS = {"60/40 ms": (60, 40), "no latency": (0, 0)}


def main() -> None:
    """Measure, and print a line for each link."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--files", type=int, default=300)
    options = parser.parse_args()
    rig.build()
    folder = rig.small_files(options.files, SIZE)
    for name, (api_ms, storage_ms) in LINKS.items():
        readings: dict[str, list[rig.Reading]] = {"sdk": [], "ours": []}
        with rig.sink(tls=True, api_latency_ms=api_ms, storage_latency_ms=storage_ms) as sink:
            for _ in range(options.rounds):
                for who, found in readings.items():
                    found.append(rig.script(who, sink.api, folder, sink.ca, at_once=5))
                    print(name, who, found[-1], file=sys.stderr, flush=True)
        seconds = {who: [one["seconds"] for one in found] for who, found in readings.items()}
        each = [a / b for a, b in zip(seconds["sdk"], seconds["ours"], strict=True)]
        ours = readings["ours"]
        cpu_ms = 1000 * statistics.median(one["cpu_s"] for one in ours) / options.files
        print(
            f"{name}: {statistics.median(each):.2f} times the SDK ({min(each):.2f} to "
            f"{max(each):.2f}), {options.files / statistics.median(seconds['ours']):.0f} files/s, "
            f"{cpu_ms:.2f} ms CPU a file, loop lag p99 "
            f"{statistics.median(one['loop_lag_p99_ms'] for one in ours):.1f} ms"
        )


if __name__ == "__main__":
    main()
