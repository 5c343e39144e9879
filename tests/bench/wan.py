"""Uploads over a long link with delay, loss and a queue, against the official SDK and a C client.

    python tests/bench/wan.py [--rounds 1] [--only loss-1] [--old FOLDER]

Needs root, /dev/net/tun and `ip netns`; skips with a sentence where it cannot. The link is made in
two network namespaces, whose TCP is cubic, which is what users have.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import rig
import trustme

HERE = Path(__file__).parent
CLIENT, SERVER = "10.98.0.1", "10.98.0.2"
MIB = 2**20


@dataclass(frozen=True)
class Link:
    """A link: Mbit/s, round trip and queue in ms, loss in percent."""

    rate: float
    rtt_ms: float
    loss: float = 0.0
    queue_ms: float = 100.0

    @property
    def payload(self) -> float:
        """Mbit/s of the bytes that TCP carries: 1448 of each 1500."""
        return self.rate * 1448 / 1500


@dataclass(frozen=True)
class Case:
    """What is sent over which link, by whom: `ours` by its options, else a name."""

    link: Link
    mib: int
    contenders: dict[str, Sequence[str]] = field(default_factory=dict)


LOSSES = {"0": 0.0, "0.1": 0.1, "1": 1.0}
OURS = {
    "auto": ["--congestion", "auto"],
    "system": ["--congestion", "system"],
    "bbr": ["--congestion", "bbr"],
}
CASES: dict[str, Case] = {
    **{
        f"loss-{name}": Case(Link(300, 50, loss), 1024, {"C client, 32": ["c", "32"], **OURS})
        for name, loss in LOSSES.items()
    },
    **{
        f"short-{name}": Case(
            Link(300, 50, loss), 256, {"auto": [*OURS["auto"], "--times", "2"]}
        )
        for name, loss in LOSSES.items()
    },
    **{f"sdk-{name}": Case(Link(300, 50, loss), 64, {"SDK": ["sdk"]})
       for name, loss in LOSSES.items()},
    "far": Case(Link(1000, 100), 1024, {"C client, 32": ["c", "32"], "auto": OURS["auto"]}),
    "bloated": Case(
        Link(20, 200, 0, 1000), 96,
        {"C client, 1": ["c", "1"], "auto": OURS["auto"], "one": ["--at-once", "1"]},
    ),
}  # fmt: skip


class Namespaces:
    """Two network namespaces with a link between them, and a sink at its other end."""

    def __init__(self, link: Link) -> None:
        self.client, self.server = (f"bench{side}{os.getpid()}" for side in "cs")
        self._devices = [f"wan{side}{os.getpid() % 100000}" for side in "ab"]
        self._link = link

    @contextmanager
    def made(self) -> Iterator[rig.Sink]:
        """The sink at the other end, until the block ends."""
        link = self._link
        words = [link.rate, link.rtt_ms / 2, link.loss, link.queue_ms]
        with ExitStack() as ending:
            for name in (self.client, self.server):
                _do("ip", "netns", "add", name)
                ending.callback(_do, "ip", "netns", "del", name)
            emulator = subprocess.Popen(
                [rig.BUILD / "wanemu", *self._devices, *map(str, words)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            ending.callback(_ended, emulator)
            assert emulator.stdout
            if emulator.stdout.readline() != b"ready\n":
                raise OSError("the link could not be made")
            for name, device, address in zip(
                (self.client, self.server), self._devices, (CLIENT, SERVER), strict=True
            ):
                _do("ip", "link", "set", device, "netns", name)
                for words_of in (
                    f"ip addr add {address}/24 dev {device}",
                    f"ip link set {device} up mtu 1500 txqueuelen 10000",
                    "ip link set lo up",
                    f"ip route change 10.98.0.0/24 dev {device} congctl cubic",
                ):
                    _do(*self.within(name), *words_of.split())
            yield ending.enter_context(self._sink())

    @staticmethod
    def within(name: str) -> list[str]:
        """The words that run a command in a namespace."""
        return ["ip", "netns", "exec", name]

    @contextmanager
    def _sink(self) -> Iterator[rig.Sink]:
        command = [*self.within(self.server), str(rig.BUILD / "sink"), "--bind", SERVER]
        command += ["--cert", str(rig.BUILD / "wan-cert.pem")]
        command += ["--key", str(rig.BUILD / "wan-key.pem")]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
            assert process.stdin
            assert process.stdout
            urls = json.loads(process.stdout.readline())
            try:
                yield rig.Sink(urls["api"], urls["storage"], process, rig.BUILD / "wan-ca.pem")
            finally:
                process.stdin.close()

    def run(self, words: Sequence[str], sink: rig.Sink, path: Path, old: str) -> rig.Reading:
        """One upload, or several, by a contender at this end."""
        command: list[str | Path] = [*self.within(self.client)]
        if old:
            command += ["env", f"PYTHONPATH={old}"]
        if words[0] == "c":
            command += [rig.BUILD / "client", sink.storage, path, "--ca", rig.BUILD / "wan-ca.pem"]
            command += ["--threads", words[1], "--part-mib", "8"]
        elif words[0] == "sdk":
            command += [sys.executable, HERE / "send_sdk.py", sink.api, path, "--at-once", "5"]
        else:
            command += [sys.executable, HERE / "send_wan.py", sink.api, path, *words]
        return rig.run(command, sink.ca)


def _do(*words: str) -> None:
    subprocess.run(words, check=True)


def _ended(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin
    process.stdin.close()
    process.wait()


def _certificates() -> None:
    if (rig.BUILD / "wan-cert.pem").exists():
        return
    authority = trustme.CA()
    server = authority.issue_cert("localhost", SERVER)
    authority.cert_pem.write_to_path(str(rig.BUILD / "wan-ca.pem"))
    server.private_key_pem.write_to_path(str(rig.BUILD / "wan-key.pem"))
    for number, part in enumerate(server.cert_chain_pems):
        part.write_to_path(str(rig.BUILD / "wan-cert.pem"), append=number > 0)


def why_not() -> str:
    """Why no link can be made here; "" where it can."""
    if os.geteuid() != 0:
        return "A link is made in network namespaces, which needs root."
    if not Path("/dev/net/tun").exists():
        return "A link needs /dev/net/tun, which this machine does not have."
    for words in (["ip", "netns", "list"], ["cc", "--version"]):
        try:
            subprocess.run(words, check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            return f"A link needs `{words[0]}`, which does not run here."
    return ""


def main() -> int:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--contenders", nargs="*", help="only these")
    parser.add_argument("--mib", type=int, help="another size of the file")
    parser.add_argument("--old", default="", help="a folder with another version of this package")
    options = parser.parse_args()
    if why := why_not():
        print(why)
        return 0
    rig.build()
    _certificates()
    for name in options.only:
        _measure(name, CASES[name], options)
    return 0


def _measure(name: str, case: Case, options: argparse.Namespace) -> None:
    path = rig.random_file((options.mib or case.mib) * MIB)
    spaces = Namespaces(case.link)
    rates: dict[str, list[list[float]]] = {}
    with spaces.made() as sink:
        for _ in range(options.rounds):
            for who, words in case.contenders.items():
                if options.contenders and who not in options.contenders:
                    continue
                reading = spaces.run(words, sink, path, options.old)
                each = reading.get("each_s") or [reading["seconds"]]
                rates.setdefault(who, []).append([8e-6 * reading["bytes"] / one for one in each])
                print(name, who, reading, file=sys.stderr, flush=True)
                time.sleep(1)  # what is in the queue of the link is over
    link = case.link
    print(f"{name}: {link.rate:g} Mbit/s, {link.rtt_ms:g} ms, {link.loss:g} % loss")
    for who, rounds in rates.items():
        for number, column in enumerate(zip(*rounds, strict=True), 1):
            share = median(column) / link.payload
            spread = f"{min(column):.0f}-{max(column):.0f}"
            print(
                f"  {who:14} upload {number}: {median(column):5.0f} Mbit/s ({spread}), {share:.2f}"
            )


if __name__ == "__main__":
    sys.exit(main())
