"""One file of 1 MiB alone, against the official SDK, over a link with latency.

    python tests/bench/one_file.py [--rounds 9] [--api-ms 60] [--store-ms 40]

Both have their connections already. The SDK asks CDF to begin, sends, and asks it to complete: it
knows neither whether CDF has the file nor how large it is there. "PUT" is `start_many` of this one
file, which is sent in one request and compared by the store's answer.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys

import rig

VERIFY = ("size", "none")


def main() -> None:
    """Measure, and print a line for each contender."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--api-ms", type=int, default=60)
    parser.add_argument("--store-ms", type=int, default=40)
    options = parser.parse_args()
    rig.build()
    file = rig.random_file(rig.MIB)
    folder = rig.small_files(1, rig.MIB)
    took: dict[str, list[float]] = {}
    with rig.sink(
        tls=True, api_latency_ms=options.api_ms, storage_latency_ms=options.store_ms
    ) as sink:
        for _ in range(options.rounds):
            readings = {"SDK": rig.script("sdk", sink.api, file, sink.ca)}
            for verify in VERIFY:
                name = f"verify={verify}"
                readings[name] = rig.script("ours", sink.api, file, sink.ca, verify=verify)
            readings["PUT"] = rig.script("ours", sink.api, folder, sink.ca)
            for who, reading in readings.items():
                took.setdefault(who, []).append(1000 * reading["seconds"])
                print(who, reading, file=sys.stderr, flush=True)
    for who, each in took.items():
        ratios = [ours / sdk for ours, sdk in zip(each, took["SDK"], strict=True)]
        print(
            f"{who}: {statistics.median(each):.0f} ms ({min(each):.0f} to {max(each):.0f}), "
            f"{statistics.median(ratios):.2f} times the SDK's"
        )
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
