"""An HTTP server that a test has to itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: object) -> None:
        """A client that has heard enough hangs up."""


@contextmanager
def served(handler: type[BaseHTTPRequestHandler], **known: object) -> Iterator[int]:
    """The port of 127.0.0.1 where `handler`, which knows these by name, answers in the block."""
    server = _Server(("127.0.0.1", 0), type("Handler", (handler,), known))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
