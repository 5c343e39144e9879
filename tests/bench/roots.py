"""What it costs to trust what the system trusts: making a TLS context, and a connection of it.

python tests/bench/roots.py
"""

from __future__ import annotations

import ssl
import sys
import time
from collections.abc import Callable

import truststore

from cognite_nb_upload.http import system_roots


def ms(work: Callable[[], object], rounds: int = 20) -> float:
    work()
    began = time.perf_counter()
    for _ in range(rounds):
        work()
    return (time.perf_counter() - began) / rounds * 1000


def main() -> None:
    kinds: dict[str, Callable[[], ssl.SSLContext]] = {
        "truststore": lambda: truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        "loaded once": lambda: system_roots("linux"),
    }
    for name, make in kinds.items():
        context = make()

        def connect(context: ssl.SSLContext = context) -> object:
            return context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="a.example")

        print(f"{name:12} context {ms(make):6.2f} ms, each connection {ms(connect):6.2f} ms")


if __name__ == "__main__":
    sys.exit(main())
