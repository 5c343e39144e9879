"""A server that says whatever a test wants, on a raw socket: what no real one would."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress

Speak = Callable[[socket.socket], None]


class Speaker:
    """For each connection: waits for the head of a request, then lets `speak` answer.

    Attributes:
        heard: the first lines of the requests.
        gone: is set each time that a client has hung up on an answer.
    """

    def __init__(self, speak: Speak) -> None:
        self.heard: list[str] = []
        self.gone = threading.Event()
        self._speak = speak
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Speaker:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        for sock in self._open:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._open.append(sock)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (piece := sock.recv(65536)):
                    return
                head += piece
            self.heard.append(head.split(b"\r\n")[0].decode())
            try:
                self._speak(sock)
            except OSError:
                self.gone.set()
