"""A source that takes 10 ms for each read, over TLS to the sink: MB/s by the number of connections.

    python tests/bench/slow_source.py [--mib 128] [--rounds 3] [--old FOLDER]

`--old` measures another version of this package beside this one, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import rig

_SEND = """
import io, json, sys, time
from cognite_nb_upload import ClientConfig, CogniteClient, Token
from cognite_nb_upload.sources import FileSource
url, path, at_once = sys.argv[1], sys.argv[2], int(sys.argv[3])
class Slow:
    def __init__(self):
        self._file = FileSource.open(path)
        self.name, self.size = "slow", self._file.size
        self.check, self.facts, self.close = self._file.check, self._file.facts, self._file.close
    def read_at(self, offset, size):
        time.sleep(0.01)
        return self._file.read_at(offset, size)
config = ClientConfig(client_name="b", project="bench", base_url=url, credentials=Token("x"))
with CogniteClient(config) as client:
    client.files.upload(b"few", name="few", progress=False)
    began_s = time.perf_counter()
    client.files.upload(Slow(), name="slow", max_concurrency=at_once, progress=False)
    print(json.dumps({"seconds": time.perf_counter() - began_s}))
"""


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--old", default="")
    options = parser.parse_args()
    rig.build()
    path = rig.random_file(options.mib * rig.MIB)
    versions = {"this": "", **({"old": options.old} if options.old else {})}
    found: dict[tuple[str, int], list[float]] = {}
    with rig.sink(tls=True) as server:
        for _ in range(options.rounds):
            for at_once in (1, 4):
                for name, folder in versions.items():
                    seconds = _once(server, path, at_once, folder)
                    found.setdefault((name, at_once), []).append(options.mib * 1.048576 / seconds)
    for (name, at_once), rates in found.items():
        spread = f"{min(rates):.0f}-{max(rates):.0f}"
        print(f"{name:5} {at_once} at once: {median(rates):4.0f} MB/s ({spread})")


def _once(server: rig.Sink, path: Path, at_once: int, folder: str) -> float:
    env = dict(os.environ, SSL_CERT_FILE=str(server.ca))
    if folder:
        env["PYTHONPATH"] = folder
    words = [sys.executable, "-c", _SEND, server.api, str(path), str(at_once)]
    done = subprocess.run(words, env=env, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["seconds"])


if __name__ == "__main__":
    main()
