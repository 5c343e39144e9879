"""`make bench`: measures this package against the official SDK and a C client; writes RESULTS.md.

    python tests/bench/run.py [--quick] [--rounds 5] [--gib 2] [--output RESULTS.md]

Exit status 1 where a measure misses what it must reach. `--quick` takes a minute, and its numbers
are noise: it shows that everything runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import big_file
import measures
import rig
from report import results
from rig import GIB, HERE, Reading, Sink

Contender = Callable[[Sink, Path], Reading]

SMALL_FILES, SMALL_SIZE = 300, 20 * 1024
API_MS, STORAGE_MS = 60, 40


def main() -> int:
    """Measure, write, and say whether everything was reached."""
    options = _options()
    facts = rig.machine()
    rig.build()
    file = rig.random_file(int(options.gib * GIB))
    tables = {}
    for name, tls in (("TLS", True), ("plain HTTP", False)):
        with rig.sink(tls=tls) as sink:
            tables[name] = _rounds(CONTENDERS, sink, file, options.rounds)
    rows = _transfer_rows(tables)
    rows += _memory_rows(options)
    rows.append(_small_files_row(options))
    text = results(
        rows,
        tables,
        facts,
        _big_file(options),
        command=_command(),
        rounds=options.rounds,
        size=f"{options.gib:g} GiB",
        small=f"{options.small} files of {SMALL_SIZE // 1024} KiB",
    )
    options.output.write_text(text)
    print(text)
    return int(any(row.verdict == "missed" for row in rows))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small and short: does it run?")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gib", type=float, default=2, help="GiB of the file for throughput")
    parser.add_argument("--sparse-gib", type=float, default=8, help="GiB of the file for memory")
    parser.add_argument("--big-gib", type=float, default=6, help="GiB through the emulator")
    parser.add_argument("--small", type=int, default=SMALL_FILES, help="number of small files")
    parser.add_argument("--output", type=Path, default=HERE / "RESULTS.md")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.gib, options.small = 1, 0.25, 30
        options.sparse_gib, options.big_gib = 4.5, 0.5
        options.output = rig.BUILD / "quick.md"
    rig.BUILD.mkdir(exist_ok=True)
    return options


def _command() -> str:
    return " ".join(["python tests/bench/run.py", *sys.argv[1:]])


def _sdk(at_once: int) -> Contender:
    return lambda sink, file: rig.script("sdk", sink.api, file, sink.ca, at_once=at_once)


def _ours(sink: Sink, file: Path, part_mib: int = 64) -> Reading:
    return rig.script("ours", sink.api, file, sink.ca, at_once=4, part_mib=part_mib)


def _limit(sink: Sink, file: Path) -> Reading:
    return rig.c_client(sink.storage, file, sink.ca, at_once=4, part_mib=64)


CONTENDERS: dict[str, Contender] = {
    measures.SDKS[0]: _sdk(5),
    measures.OURS: _ours,
    measures.SDKS[1]: _sdk(4),
    measures.LIMIT: _limit,
}


def _rounds(
    contenders: dict[str, Contender], sink: Sink, path: Path, rounds: int
) -> dict[str, list[Reading]]:
    """A B C, A B C, ...: whatever else the machine does meets them all."""
    readings: dict[str, list[Reading]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, contender in contenders.items():
            readings[name].append(_one(contender, sink, path))
            _say(f"round {number + 1}", name, readings[name][-1])
    return readings


def _one(contender: Contender, sink: Sink, path: Path) -> Reading:
    """One run, what the sink spent on it, and the proof that every byte arrived."""
    received, cpu_s = sink.received(), sink.cpu_s()
    reading = contender(sink, path)
    arrived = sink.received() - received
    if arrived < reading["bytes"]:
        raise AssertionError(f"{arrived} of {reading['bytes']} bytes arrived: {reading}")
    return {**reading, "sink_cpu_s": round(sink.cpu_s() - cpu_s, 2)}


def _say(what: str, name: str, reading: Reading) -> None:
    print(f"{what}: {name}: {reading}", file=sys.stderr, flush=True)


def _transfer_rows(tables: dict[str, dict[str, list[Reading]]]) -> list[measures.Row]:
    tls, plain = tables["TLS"], tables["plain HTTP"]
    lags = [reading["loop_lag_p99_ms"] for reading in tls[measures.OURS]]
    sdk = "throughput over the official SDK's `files.upload`"
    return [
        measures.throughput(tls, f"{sdk}, TLS", 2.5, 4),
        measures.throughput(plain, f"{sdk}, plain HTTP", 5, 8),
        measures.share_of_limit(tls),
        measures.cpu_share(tls),
        measures.worst("event-loop lag p99 of the caller's loop, TLS", lags, 20, 8, "ms"),
    ]


def _memory_rows(options: argparse.Namespace) -> list[measures.Row]:
    """A sparse file, so that parts of 4000 MiB need no such disk."""
    file, rows = rig.sparse_file(int(options.sparse_gib * GIB)), []
    with rig.sink(tls=True) as sink:
        for part_mib in (64, 4000):
            ours: Contender = partial(_ours, part_mib=part_mib)
            contenders = {"this package": ours}
            readings = _rounds(contenders, sink, file, min(3, options.rounds))["this package"]
            added = [r["rss_added_mib"] for r in readings if r["rss_added_mib"] is not None]
            name = f"memory added, {options.sparse_gib:g} GiB in parts of {part_mib} MiB"
            rows.append(measures.worst(name, added, 16, 8, "MiB"))
    return rows


def _small_files_row(options: argparse.Namespace) -> measures.Row:
    folder = rig.small_files(options.small, SMALL_SIZE)
    contenders: dict[str, Contender] = {"SDK": _sdk(5), "this package": _ours}
    with rig.sink(tls=True, api_latency_ms=API_MS, storage_latency_ms=STORAGE_MS) as sink:
        readings = _rounds(contenders, sink, folder, options.rounds)
    link = f"{API_MS} ms / {STORAGE_MS} ms latency link"
    name = f"{options.small} small files over a {link}, files per second over the SDK, TLS"
    return measures.files_per_second(readings["this package"], readings["SDK"], name)


def _big_file(options: argparse.Namespace) -> Reading:
    file = rig.sparse_file(int(options.big_gib * GIB))
    reading = big_file.there_and_back(file, part_mib=64)
    _say("emulator", "this package", reading)
    return {**reading, "gib": options.big_gib, "part_mib": 64}


if __name__ == "__main__":
    sys.exit(main())
