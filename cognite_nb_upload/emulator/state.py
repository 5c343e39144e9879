"""What an emulator remembers: JSON documents, in memory and in one SQLite file.

The changes of one request are written together or not at all, also when the process is killed. The
file is locked while it is open, so that no two emulators use one folder.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

Json = dict[str, Any]
Key = str | int


class StateError(RuntimeError):
    """The folder cannot be used: another emulator has it, or its file is damaged."""


class Table:
    """Documents of one kind by key, in the order in which they were made.

    A document that was put is not to be changed: put another one. A numeric key is its text.
    """

    def __init__(self, state: State, kind: str, fields: tuple[str, ...]) -> None:
        self._state, self._kind = state, kind
        self._docs: dict[str, tuple[int, Json]] = {}
        # By field and value: the keys of the documents that have it.
        self._index: dict[str, dict[str, dict[str, None]]] = {field: {} for field in fields}

    def __len__(self) -> int:
        return len(self._docs)

    def __iter__(self) -> Iterator[Json]:
        """All documents; it bears changes while it runs."""
        return (doc for _, doc in list(self._docs.values()))

    def after(self, no: int) -> Iterator[tuple[int, Json]]:
        """The documents that were made after the one numbered `no`, with their numbers."""
        return (pair for pair in list(self._docs.values()) if pair[0] > no)

    def get(self, key: Key) -> Json | None:
        found = self._docs.get(str(key))
        return found[1] if found else None

    def by(self, field: str, value: Any) -> list[Json]:
        """The documents whose `field`, one of the indexed ones, is `value`."""
        keys = self._index[field].get(_text(value), ())
        return [self._docs[key][1] for key in keys]

    def put(self, key: Key, doc: Json) -> None:
        key = str(key)
        no = self._docs[key][0] if key in self._docs else self._state.next_no()
        self._state.write(no, self._kind, key, doc)
        self._unindex(key)
        self._remember(no, key, doc)

    def drop(self, key: Key) -> None:
        key = str(key)
        if key in self._docs:
            self._state.write(self._docs[key][0], self._kind, key, None)
            self._unindex(key)
            del self._docs[key]

    def load(self, rows: Iterable[tuple[int, str, str]]) -> None:
        """Number, key and JSON of all documents, in the order of their numbers."""
        self._docs.clear()
        for index in self._index.values():
            index.clear()
        for no, key, doc in rows:
            self._remember(no, key, json.loads(doc))

    def _remember(self, no: int, key: str, doc: Json) -> None:
        self._docs[key] = (no, doc)  # a key that is there keeps its place
        for field, index in self._index.items():
            if (value := _field(doc, field)) is not None:
                index.setdefault(_text(value), {})[key] = None

    def _unindex(self, key: str) -> None:
        if key not in self._docs:
            return
        for field, index in self._index.items():
            if (value := _field(self._docs[key][1], field)) is not None:
                keys = index[_text(value)]
                del keys[key]
                if not keys:
                    del index[_text(value)]


def _field(doc: Json, path: str) -> Any:
    """A field of a document; `meta.externalId` is one of its part `meta`."""
    value: Any = doc
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


class State:
    """The documents of one folder, by kind."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._tables: dict[str, Table] = {}
        self._depth, self._dirty, self._last = 0, False, 0
        self._after: list[Callable[[], None]] = []
        self._db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self._open(path)
        except sqlite3.DatabaseError as error:
            self._db.close()
            if "locked" in str(error):
                raise StateError(f"Another emulator uses the folder {path.parent}.") from None
            text = f"{path} is damaged ({error}): move it away, or use another folder."
            raise StateError(text) from error
        path.chmod(0o600)

    def _open(self, path: Path) -> None:
        # Exclusive: it locks the file until it is closed, and needs no shared memory beside it.
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=NORMAL"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._db.execute("BEGIN EXCLUSIVE")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS documents "
            "(no INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, doc TEXT NOT NULL)"
        )
        self._db.execute("COMMIT")
        for (last,) in self._db.execute("SELECT max(no) FROM documents"):
            self._last = last or 0

    def table(self, kind: str, *fields: str) -> Table:
        """The documents of `kind`; by the values of `fields` they are found without a search."""
        if kind not in self._tables:
            self._tables[kind] = Table(self, kind, fields)
            self._load(kind)
        return self._tables[kind]

    def _load(self, kind: str) -> None:
        query = "SELECT no, key, doc FROM documents WHERE kind = ? ORDER BY no"
        self._tables[kind].load(self._db.execute(query, (kind,)))

    @contextmanager
    def change(self) -> Iterator[None]:
        """All that is put and dropped inside is kept, or, if it raises, nothing of it."""
        with self._lock:
            self._depth += 1
            try:
                yield
            except BaseException:
                if self._depth == 1:
                    self._after.clear()
                    self._end("ROLLBACK")
                raise
            else:
                if self._depth == 1:
                    self._end("COMMIT")
            finally:
                self._depth -= 1
            while not self._depth and self._after:
                self._after.pop(0)()

    def afterwards(self, work: Callable[..., None], *given: Any) -> None:
        """Calls `work` once the change is written: then no document names the bytes to remove."""
        self._after.append(partial(work, *given))

    def _end(self, how: str) -> None:
        if not self._dirty:
            return
        self._dirty = False
        try:
            self._db.execute(how)
        except sqlite3.Error:  # such as a full disk
            how = "ROLLBACK"
            self._after.clear()
            if self._db.in_transaction:
                self._db.execute(how)
            raise
        finally:
            if how == "ROLLBACK":
                for kind in self._tables:
                    self._load(kind)

    def next_no(self) -> int:
        self._last += 1
        return self._last

    def write(self, no: int, kind: str, key: str, doc: Json | None) -> None:
        """One document, or its end (None), within `change()`."""
        if not self._depth:
            raise RuntimeError("Documents are changed within `with state.change():`.")
        if not self._dirty:
            self._db.execute("BEGIN")
            self._dirty = True
        if doc is None:
            self._db.execute("DELETE FROM documents WHERE no = ?", (no,))
        else:
            row = (no, kind, key, json.dumps(doc))
            self._db.execute("INSERT OR REPLACE INTO documents VALUES (?, ?, ?, ?)", row)

    def close(self) -> None:
        with self._lock:
            self._db.close()
