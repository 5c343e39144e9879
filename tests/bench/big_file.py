"""A file above 5 GiB through the project's own emulator, and back: the same bytes, flat memory.

    python tests/bench/big_file.py [--gib 6] [--part-mib 64]

Starts `python -m cognite_nb_upload emulator`, uploads a sparse file in parts of more than 50 MiB in
a process of its own, downloads it, and prints one JSON line: the memory added in the client and in
the emulator, and whether the SHA-256 is the same.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
from rig import BUILD, GIB, HERE, MIB, Reading, run, sparse_file


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gib", type=float, default=6)
    parser.add_argument("--part-mib", type=int, default=64)
    options = parser.parse_args()
    BUILD.mkdir(exist_ok=True)
    path = sparse_file(int(options.gib * GIB))
    print(json.dumps(there_and_back(path, options.part_mib)))


def there_and_back(path: Path, part_mib: int) -> Reading:
    """Upload, download, compare."""
    with tempfile.TemporaryDirectory(dir=BUILD) as root, emulator(root) as (process, cdf):
        before = rss_mib(process.pid, "VmRSS")
        words = ["--token", cdf["token"], "--project", cdf["project"], "--part-mib", str(part_mib)]
        sent = run([sys.executable, HERE / "send_ours.py", cdf["base_url"], path, *words], None)
        grown = rss_mib(process.pid, "VmHWM") - before
        same = asyncio.run(downloaded_sha256(cdf, sent["file_id"])) == file_sha256(path)
    return {**sent, "emulator_rss_added_mib": round(grown, 1), "same_sha256": same}


@contextmanager
def emulator(root: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """The emulator in a process of its own."""
    command = [sys.executable, "-m", "cognite_nb_upload", "emulator", "--root", root]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.terminate()


async def downloaded_sha256(cdf: dict[str, str], file_id: int) -> str:
    """The SHA-256 of what the download link gives."""
    digest = hashlib.sha256()
    url = f"{cdf['base_url']}/api/v1/projects/{cdf['project']}/files/downloadlink"
    headers = {"authorization": f"Bearer {cdf['token']}"}
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        reply = await client.post(url, json={"items": [{"id": file_id}]}, headers=headers)
        link = reply.json()["items"][0]["downloadUrl"]
        async with client.stream("GET", link) as content:
            async for piece in content.aiter_bytes(MIB):
                digest.update(piece)
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def rss_mib(pid: int, field: str) -> float:
    """Resident memory of a process: `VmRSS` now, `VmHWM` at most."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition(field + ":")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
