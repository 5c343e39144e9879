"""What a transfer costs the process and the event loop that it runs in."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

TICK_S = 0.01


def arguments() -> argparse.Namespace:
    """The command line that every contender has."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url", help="the base URL of a sink or an emulator")
    parser.add_argument("path", type=Path, help="a file; or a folder of small files")
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--part-mib", type=int, default=64)
    parser.add_argument("--project", default="bench")
    parser.add_argument("--token", default="x")
    parser.add_argument("--verify", default="size")
    parser.add_argument("--file-id", type=int, help="of the file to download")
    return parser.parse_args()


async def measured(
    send: Callable[[], Awaitable[object]], size: int, path: Path | None = None
) -> None:
    """Await `send()`, and print one JSON line of what it cost, and the id of what it gave.

    Where the size is known only once it is there, it is that of the file at `path`.
    """
    gc.collect()
    before = _status_mib("VmRSS") if _forget_peak() else None
    lags: list[float] = []
    ticker = asyncio.create_task(_tick(lags))
    await asyncio.sleep(TICK_S)
    start, cpu = time.perf_counter(), time.process_time()
    sent = await send()
    seconds, cpu_s = time.perf_counter() - start, time.process_time() - cpu
    ticker.cancel()
    peak = _status_mib("VmHWM")
    print(
        json.dumps(
            {
                "seconds": round(seconds, 4),
                "bytes": path.stat().st_size if path else size,  # noqa: ASYNC240 # it is over
                "file_id": getattr(sent, "id", None),
                "cpu_s": round(cpu_s, 4),
                "rss_added_mib": None if before is None else round(peak - before, 2),
                "loop_lag_p99_ms": round(1000 * percentile(lags, 0.99), 2),
            }
        )
    )


async def _tick(lags: list[float]) -> None:
    """Note by how much each sleep overshoots: what a widget or a heartbeat would wait."""
    while True:
        due = time.perf_counter() + TICK_S
        await asyncio.sleep(TICK_S)
        lags.append(time.perf_counter() - due)


def percentile(values: list[float], share: float) -> float:
    """The value that `share` of all values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _forget_peak() -> bool:
    """Let VmHWM start again from now; False where the kernel does not let us."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _status_mib(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


def files_of(path: Path) -> list[Path]:
    """The files of a folder; none of what is no folder."""
    return sorted(path.iterdir()) if path.is_dir() else []


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return sum(file.stat().st_size for file in files_of(path) or [path])
