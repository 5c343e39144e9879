"""A page that holds files, without a browser: it says and does what `browser.js` does.

It answers from a thread of its own, as messages do, and loses, delays and spoils answers when told.
"""

from __future__ import annotations

import http.client
import itertools
import queue
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from cognite_nb_upload.widgets.browser.link import LARGEST

Hear = Callable[[Mapping[str, Any], Sequence[memoryview]], None]
_pages = itertools.count(1)


class Page:
    """Files by key, and how it behaves.

    Attributes:
        asked: how many slices it was asked for.
        reads: every piece of a slice it was asked for, as `(at, size)`.
        most_at_once: how many unanswered ones there were at most, once they were more than small.
        most_bytes: and how many bytes they had.
        lose: answers to lose from now on.
        lose_above: loses every answer of more bytes than this.
        spoil: answers to spoil.
        hold: while set, slices are read but not answered, and it says that it is at work on them.
        hold_from: slices, but samples, that reach beyond this place are held like that.
        deaf: hears nothing at all, as when its connection is lost.
        unreadable: the error that reading a file gives.
        cors: whether it may send to stores; `stuck` sends that never end.
    """

    def __init__(self, hear: Hear) -> None:
        self.hear = hear
        self.name = f"page{next(_pages)}"
        self.files: dict[str, bytes] = {}
        self.reads: list[tuple[int, int]] = []
        self.puts: list[tuple[int, int]] = []
        self.most_at_once = self.most_bytes = 0
        self.asked = self.pings = self.lose = self.spoil = self.lost = 0
        self._asked: list[int] = []
        self.lose_above = self.hold_from = 1 << 40
        self.deaf = self.cors = False
        self.hold = threading.Event()
        self.stuck = False
        self.aborted: list[int] = []
        self.unreadable = ""
        self._working: dict[int, Mapping[str, Any]] = {}
        self._inbox: queue.Queue[Mapping[str, Any]] = queue.Queue()
        self._numbers = itertools.count(1)
        threading.Thread(target=self._run, daemon=True).start()

    # --- what a person does ------------------------------------------------------------------

    def choose(self, data: bytes, name: str = "big.segy", modified: int = 1_700_000_000_123) -> str:
        """Pick or drop a file."""
        key = f"{self.name}-{next(self._numbers)}"
        self.files[key] = data
        file = {"key": key, "name": name, "size": len(data), "modified": modified}
        self.hear({"kind": "chosen", "page": self.name, "files": [file]}, [])
        return key

    def reload(self, *, leaving: bool = True) -> None:
        """Load the page anew: it has another name, and forgets its files."""
        if leaving:
            self.tell("leaving", holds=[])
        self.files.clear()
        self._working.clear()
        self.hold_from = 1 << 40
        self.name = f"page{next(_pages)}"
        self.tell("hello")

    def let_go(self) -> None:
        """Answer what was held, in its own thread like everything else."""
        self._inbox.put({"kind": "let_go"})

    def _on_let_go(self, _: Mapping[str, Any]) -> None:
        self.hold.clear()
        self.hold_from = 1 << 40
        for message in list(self._working.values()):
            self._answer(message)

    # --- what the page does ------------------------------------------------------------------

    def send(self, message: Mapping[str, Any]) -> None:
        """What the kernel sends arrives here."""
        if message["kind"] == "read":
            self._asked.append(_size(message))
            self.most_bytes = max(self.most_bytes, sum(self._asked))
            if sum(self._asked) > LARGEST:
                self.most_at_once = max(self.most_at_once, len(self._asked))
        self._inbox.put(message)

    def tell(self, kind: str, **more: Any) -> None:
        about = {"page": self.name, "holds": list(self.files), "working": list(self._working)}
        self.hear({"kind": kind, **about, **more}, [])

    def _run(self) -> None:
        while True:
            message = self._inbox.get()
            if not self.deaf:
                getattr(self, f"_on_{message['kind']}")(message)

    def _on_ping(self, message: Mapping[str, Any]) -> None:
        self.pings += 1
        self.tell("pong", no=message["no"])

    def _on_release(self, message: Mapping[str, Any]) -> None:
        self.files.pop(message["key"], None)

    def _on_read(self, message: Mapping[str, Any]) -> None:
        if message["key"] not in self.files:
            return
        self.asked += 1
        self.reads.extend(message["pieces"])
        self._working[message["no"]] = message
        at, size = message["pieces"][0]
        beyond = at + size > self.hold_from and size > 65536
        if not (self.hold.is_set() or beyond):
            self._answer(message)

    def _answer(self, message: Mapping[str, Any]) -> None:
        self._asked.remove(_size(message))
        self._tell_slice(message)
        self._working.pop(message["no"], None)  # so late: a ping may come in between

    def _tell_slice(self, message: Mapping[str, Any]) -> None:
        no, size = message["no"], _size(message)
        if self.unreadable:
            told = {"kind": "unreadable", "no": no, "key": message["key"]}
            self.hear({**told, "error": self.unreadable}, [])
            return
        if self.lose or size > self.lose_above:
            self.lose = max(0, self.lose - 1)
            self.lost += 1
            return
        whole = self.files[message["key"]]
        data = b"".join(whole[at : at + size] for at, size in message["pieces"])
        crc = zlib.crc32(data)
        if self.spoil:
            self.spoil -= 1
            data = bytes([data[0] ^ 1]) + data[1:]
        self.hear({"kind": "slice", "no": no, "crc": crc}, [memoryview(data)])

    # --- sending parts by itself -------------------------------------------------------------

    def _on_put(self, message: Mapping[str, Any]) -> None:
        if message["key"] in self.files:
            self._working[message["no"]] = message
            at, size = message["at"], message["size"]
            data = self.files[message["key"]][at : at + size]
            threading.Thread(target=self._put, args=(message, data), daemon=True).start()

    def _on_abort(self, message: Mapping[str, Any]) -> None:
        self.aborted.append(message["no"])

    def _put(self, message: Mapping[str, Any], data: bytes) -> None:
        """Send a part, until the page is loaded anew: what works for it ends there."""
        no, at, size = message["no"], message["at"], message["size"]
        self.puts.append((at, size))
        told: dict[str, Any] = {"status": 0, "headers": {}, "text": "", "redirected": False}
        if self.stuck:
            self.hear({"kind": "sent", "sent": [[no, size // 2]]}, [])
            while no in self._working and no not in self.aborted:
                time.sleep(0.01)
        elif self.cors and no in self._working:
            with suppress(OSError, http.client.HTTPException):
                told |= _really_put(message["url"], data)
            if told["status"]:
                self.hear({"kind": "sent", "sent": [[no, size]]}, [])
        if no in self._working:
            about = {"kind": "put", "no": no, "key": message["key"], "error": ""}
            self.hear({**about, **told}, [])
            self._working.pop(no, None)


def _size(asked: Mapping[str, Any]) -> int:
    return sum(size for _, size in asked["pieces"])


def _really_put(url: str, data: bytes) -> dict[str, Any]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("PUT", f"{parts.path}?{parts.query}", data)
        reply = connection.getresponse()
        headers = {name.lower(): value for name, value in reply.getheaders()}
        return {"status": reply.status, "headers": headers, "text": reply.read().decode()}
    finally:
        connection.close()
