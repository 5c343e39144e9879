"""Downloads: this package against the official SDK, and against four plain `http.client` ranges.

    python tests/bench/download.py [--mib 512] [--rounds 3] [--plain] [--folder /dev/shm]

All of them read the same file from the sink, over TLS unless `--plain`, into the same folder, one
after another in each round. Prints GiB/s and CPU seconds per GiB of each, and the ratios to the
SDK.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from measures import cpu_per_gib, rate
from rig import MIB, Reading, Sink, build, run, script, sink, sparse_file

HERE = Path(__file__).parent
CONTENDERS = ("sdk", "http_client", "ours")


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--plain", action="store_true", help="without TLS")
    parser.add_argument("--folder", type=Path, default=HERE / "build", help="what is written to")
    options = parser.parse_args()
    build()
    found: dict[str, list[Reading]] = {name: [] for name in CONTENDERS}
    with sink(tls=not options.plain) as server:
        sent = script("ours", server.api, sparse_file(options.mib * MIB), server.ca)
        for _ in range(options.rounds):
            for name in CONTENDERS:
                found[name].append(once(name, server, sent["file_id"], options))
    sdk = median(map(rate, found["sdk"]))
    for name, readings in found.items():
        rates = [rate(one) for one in readings]
        print(
            f"{name:12} {median(rates):5.2f} GiB/s ({min(rates):.2f}-{max(rates):.2f}), "
            f"{median(map(cpu_per_gib, readings)):5.2f} CPU s/GiB, "
            f"{median(rates) / sdk:4.2f} x the SDK"
        )


def once(name: str, server: Sink, file_id: int, options: argparse.Namespace) -> Reading:
    """One download by one contender, in a process of its own."""
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "back.bin"
        words: list[str | Path] = [sys.executable, HERE / f"get_{name}.py", server.api, path]
        reading = run([*words, "--file-id", str(file_id)], server.ca)
        assert path.stat().st_size == reading["bytes"] == options.mib * MIB
        subprocess.run(["sync"], check=True)  # no contender pays for the disk of another
    return reading


if __name__ == "__main__":
    main()
