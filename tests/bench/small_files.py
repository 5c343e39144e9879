"""Small files as one job, against the official SDK's folder upload: with latency, and without.

    python tests/bench/small_files.py [--rounds 9] [--files 300] [--link "no latency"]

Beside both, h11 in as many threads as fit the link sends the two requests of each file and does
nothing else (`send_plain.py`): more than that Python cannot reach.
"""

from __future__ import annotations

import argparse
import statistics
import sys

import rig

SIZE = 20 * 1024
# Milliseconds of the API and of the store, and how many threads do best there.
LINKS = {"60/40 ms": (60, 40, 48), "no latency": (0, 0, 2)}


def main() -> None:
    """Measure, and print a line for each link."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--link", choices=LINKS, action="append")
    options = parser.parse_args()
    rig.build()
    folder = rig.small_files(options.files, SIZE)
    for name in options.link or LINKS:
        api_ms, storage_ms, threads = LINKS[name]
        readings: dict[str, list[rig.Reading]] = {"sdk": [], "ours": [], "plain": []}
        with rig.sink(tls=True, api_latency_ms=api_ms, storage_latency_ms=storage_ms) as sink:
            for _ in range(options.rounds):
                for who, found in readings.items():
                    at_once = threads if who == "plain" else 5
                    found.append(rig.script(who, sink.api, folder, sink.ca, at_once=at_once))
                    print(name, who, found[-1], file=sys.stderr, flush=True)
        seconds = {who: [one["seconds"] for one in found] for who, found in readings.items()}
        each, most = (
            [a / b for a, b in zip(seconds["sdk"], seconds[who], strict=True)]
            for who in ("ours", "plain")
        )
        ours = readings["ours"]
        cpu_ms = 1000 * statistics.median(one["cpu_s"] for one in ours) / options.files
        print(
            f"{name}: {statistics.median(each):.2f} times the SDK ({min(each):.2f} to "
            f"{max(each):.2f}), {options.files / statistics.median(seconds['ours']):.0f} files/s, "
            f"{cpu_ms:.2f} ms CPU a file, h11 alone {statistics.median(most):.2f} times, lag p99 "
            f"{statistics.median(one['loop_lag_p99_ms'] for one in ours):.1f} ms"
        )


if __name__ == "__main__":
    main()
