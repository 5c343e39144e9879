"""What a benchmark stands on: C programs, certificates, files, a sink, contenders, the machine."""

from __future__ import annotations

import json
import os
import platform
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import trustme
from filelock import FileLock

HERE = Path(__file__).parent
BUILD = HERE / "build"
MIB = 2**20
GIB = 2**30

Reading = dict[str, Any]
"""What a contender printed: seconds, bytes, cpu_s, rss_added_mib, loop_lag_p99_ms."""


@dataclass(frozen=True)
class Sink:
    """A running sink: the base URLs of its API and of its store, and the CA file that it needs."""

    api: str
    storage: str
    process: subprocess.Popen[str]
    ca: Path | None

    def received(self) -> int:
        """Bytes of all bodies that arrived whole so far."""
        context = ssl.create_default_context(cafile=self.ca) if self.ca else None
        with urllib.request.urlopen(self.api + "/received", context=context) as reply:
            return int(reply.read())

    def cpu_s(self) -> float:
        """Seconds of CPU that it took so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def build() -> None:
    """Compile the C programs, and make the certificates, where they are missing."""
    BUILD.mkdir(exist_ok=True)
    with FileLock(BUILD / "lock"):  # two tests may do so at once
        subprocess.run(["bash", HERE / "build.sh"], check=True)
        if not (BUILD / "cert.pem").exists():
            _make_certificates()


def _make_certificates() -> None:
    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1")
    authority.cert_pem.write_to_path(str(BUILD / "ca.pem"))
    server.private_key_pem.write_to_path(str(BUILD / "key.pem"))
    for number, part in enumerate(server.cert_chain_pems):
        part.write_to_path(str(BUILD / "cert.pem"), append=number > 0)


@contextmanager
def sink(
    *, tls: bool, api_latency_ms: int = 0, storage_latency_ms: int = 0, decrypt: bool = False
) -> Iterator[Sink]:
    """A sink, until the block ends."""
    command: list[str | Path] = [BUILD / "sink"]
    command += ["--api-latency-ms", str(api_latency_ms)]
    command += ["--storage-latency-ms", str(storage_latency_ms)]
    if tls:
        command += ["--cert", BUILD / "cert.pem", "--key", BUILD / "key.pem"]
    if decrypt:
        command += ["--decrypt"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin
        assert process.stdout
        urls = json.loads(process.stdout.readline())
        try:
            yield Sink(urls["api"], urls["storage"], process, BUILD / "ca.pem" if tls else None)
        finally:
            process.stdin.close()


def random_file(size: int) -> Path:
    """`size` bytes that nothing can compress, in the page cache."""
    path = BUILD / f"random-{size // MIB}-mib.bin"
    if not path.exists() or path.stat().st_size != size:
        with path.open("wb") as file:
            for start in range(0, size, 16 * MIB):
                file.write(os.urandom(min(16 * MIB, size - start)))
    warm(path)
    return path


def sparse_file(size: int) -> Path:
    """`size` bytes, nearly all of them a hole: no disk, and no page cache worth the name.

    1 MiB of random bytes at the start, in the middle and at the end make it a file of its own.
    """
    path = BUILD / f"sparse-{size // MIB}-mib.bin"
    if not path.exists() or path.stat().st_size != size:
        with path.open("wb") as file:
            for start in (0, size // 2, size - MIB):
                file.seek(start)
                file.write(os.urandom(MIB))
    return path


def small_files(count: int, size: int) -> Path:
    """A folder of `count` files of `size` random bytes."""
    folder = BUILD / f"small-{count}-of-{size}"
    folder.mkdir(exist_ok=True)
    for number in range(count):
        path = folder / f"{number:04}.bin"
        if not path.exists():
            path.write_bytes(os.urandom(size))
    return folder


def warm(path: Path) -> None:
    """Read a file once, so that no run pays for the disk."""
    with path.open("rb", buffering=0) as file:
        while file.read(4 * MIB):
            pass


def run(command: Sequence[str | Path], ca: Path | None) -> Reading:
    """Run a contender in a process of its own, and read the JSON line that it prints."""
    env = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    if ca:
        env["SSL_CERT_FILE"] = str(ca)
    done = subprocess.run(command, env=env, stdout=subprocess.PIPE, text=True, check=True)
    reading: Reading = json.loads(done.stdout.splitlines()[-1])
    return reading


def script(name: str, url: str, path: Path, ca: Path | None, **options: int | str) -> Reading:
    """Run `send_<name>.py`."""
    words = [
        word
        for option, value in options.items()
        for word in (f"--{option.replace('_', '-')}", str(value))
    ]
    return run([sys.executable, HERE / f"send_{name}.py", url, path, *words], ca)


def c_client(url: str, path: Path, ca: Path | None, **options: int) -> Reading:
    """Run the C client."""
    words = ["--threads", str(options["at_once"]), "--part-mib", str(options["part_mib"])]
    if ca:
        words += ["--ca", str(ca)]
    return run([BUILD / "client", url.replace("127.0.0.1", "localhost"), path, *words], ca)


def machine() -> dict[str, str]:
    """What the numbers were measured on, without names of hosts or places."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = next(x for x in cpuinfo.splitlines() if x.startswith("model name")).partition(": ")[2]
    memory_kib = int(Path("/proc/meminfo").read_text().split()[1])
    packages = ("cognite-sdk", "httpx2", "httpx", "httpcore", "h11", "anyio")
    return {
        "CPU": f"{model}, {os.cpu_count()} cores, shared by sink and contender",
        "memory": f"{memory_kib / MIB:.0f} GiB",
        "system": f"Linux {platform.release().partition('-')[0]}",
        "Python": f"{platform.python_version()}, {ssl.OPENSSL_VERSION}",
        "packages": ", ".join(f"{name} {version(name)}" for name in packages),
        "load before": f"{os.getloadavg()[0]:.1f}",
    }
