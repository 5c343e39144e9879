"""RESULTS.md: the table, what it stands on, and how to measure it again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median

from measures import LIMIT, SDKS, Rounds, Row, cpu_per_gib, rate
from rig import GIB, Reading

# Load average of a machine that has nothing else to do.
_IDLE = 0.7

_HEAD = """\
# Benchmarks

Measured on {date} by `{command}`; `make bench` runs it again, on any Linux with a C compiler.

| measure | measured | rounds | must reach | aim for | |
|---|---|---|---|---|---|
"""

_METHOD = """
## How it was measured

- Contenders run one at a time, each in a process of its own, in turn ({contenders}),
  {rounds} rounds. The table holds ratios of medians, and under "rounds" the lowest and the
  highest of a single round. Ratios are against the better of the SDK's two settings.
- The file has {size} of random bytes and is in the page cache. Parts have 64 MiB (the SDK: its own
  50 MiB). Each process first uploads a few bytes, so that code, certificates and threads are
  loaded.
- This package runs as its users run it: journal on disk, progress bars drawn (into memory), size
  verified at the end by asking the store, adaptive concurrency and rate limit in place.
- The sink (`sink.c`) is no bottleneck: over TLS it spends {sink_cpu:.2f} CPU s/GiB on the C client
  (`client.c`: pread 1 MiB, SSL_write: the most this machine can do); that spends {limit_cpu:.2f}.
  OpenSSL shakes the sink's hands and sends its answers, but the TLS records of a body are dropped
  still encrypted: a store on another machine would not take this one's CPU either. After each run
  it was asked how many bytes had arrived: all.
- Memory added: the highest resident set during the transfer (VmHWM) less that before it.
- Event-loop lag: by how much a 10 ms sleep in the caller's loop overshoots; 99th percentile.
- Small files: {small}. The delay stands for the round trip to CDF (60 ms) and to the store (40 ms).
  It is slept before each answer, once more after a connection is made (TCP), and once more for its
  TLS handshake. Each runs as it is: the SDK's `files.upload` and our `files.start_many` (the
  engine of `upload_many`) of the folder, with their own number at once.

## The machine

"""


def results(
    rows: Sequence[Row],
    tables: Mapping[str, Rounds],
    facts: Mapping[str, str],
    big: Reading | None,
    **words: object,
) -> str:
    """The whole text of RESULTS.md."""
    limit = tables["TLS"][LIMIT]
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    text = _HEAD.format(date=date, **words) + "".join(map(_row, rows))
    text += _busy(float(facts["load before"])) + _big(big)
    for name, rounds in tables.items():
        text += f"\n## {name}: medians\n\n" + _medians(rounds)
    names = ", ".join((*SDKS, "this package", "the C client"))
    text += _METHOD.format(
        contenders=names,
        limit_cpu=median(map(cpu_per_gib, limit)),
        sink_cpu=median(reading["sink_cpu_s"] * GIB / reading["bytes"] for reading in limit),
        **words,
    )
    return text + "".join(f"- {name}: {value}\n" for name, value in facts.items())


def _busy(load: float) -> str:
    if load < _IDLE:
        return ""
    return (
        f"\n**The machine was busy with other work (load {load}): throughput and lag are not to be "
        "trusted, ratios little more.**\n"
    )


def _row(row: Row) -> str:
    spread = f"{_number(row.spread[0])} to {_number(row.spread[1])}" if row.spread else ""
    mark = {"aim": "aim reached", "must": "reached", "missed": "**missed**"}[row.verdict]
    sign = "" if row.more_is_better else "at most "
    marks = " | ".join(f"{sign}{value:g}{_unit(row)}" for value in (row.must, row.aim))
    return f"| {row.name} | **{_number(row.value)}{_unit(row)}** | {spread} | {marks} | {mark} |\n"


def _unit(row: Row) -> str:
    return row.unit if row.unit in ("", "x") else f" {row.unit}"


def _number(value: float) -> str:
    return f"{value:.1f}" if abs(value) >= 3 else f"{value:.2f}"


def _medians(rounds: Rounds) -> str:
    lines = [
        "| | GiB/s | CPU s/GiB | memory added, MiB | loop lag p99, ms |",
        "|---|---|---|---|---|",
    ]
    for name, readings in rounds.items():
        cells = [f"{median(map(rate, readings)):.2f}", f"{median(map(cpu_per_gib, readings)):.2f}"]
        for key in ("rss_added_mib", "loop_lag_p99_ms"):
            known = [reading[key] for reading in readings if reading.get(key) is not None]
            cells.append(f"{median(known):.1f}" if known else "-")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _big(big: Reading | None) -> str:
    if big is None:
        return ""
    same = "the same" if big["same_sha256"] else "**NOT the same**"
    return (
        f"\nA sparse file of {big['gib']:.1f} GiB in parts of {big['part_mib']} MiB through the "
        f"package's own emulator and back (`big_file.py`): {big['seconds']:.0f} s for the upload, "
        f"{big['rss_added_mib']:.1f} MiB added in the client, "
        f"{big['emulator_rss_added_mib']:.1f} MiB in the emulator; "
        f"SHA-256 of the download: {same}.\n"
    )
