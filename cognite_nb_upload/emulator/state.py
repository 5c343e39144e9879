"""What an emulator remembers: JSON documents in one SQLite file.

The changes of one request are written together or not at all, also when the process is killed. The
file is locked while it is open, so that no two emulators use one folder.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
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

    A numeric key is its text.
    """

    def __init__(self, state: State, kind: str, fields: tuple[str, ...]) -> None:
        self._state, self._kind = state, kind
        for field in fields:
            state.ask(
                f'CREATE INDEX IF NOT EXISTS "{kind}.{field}" ON documents (field(doc, '
                f"'{field}')) WHERE kind = '{kind}'"
            )

    def __len__(self) -> int:
        return len(self._rows("TRUE"))

    def __iter__(self) -> Iterator[Json]:
        """All documents; it bears changes while it runs."""
        return (doc for _, doc in self.after(0))

    def after(self, no: int) -> Iterator[tuple[int, Json]]:
        """The documents that were made after the one numbered `no`, with their numbers."""
        return ((no, json.loads(doc)) for no, doc in self._rows("no > ? ORDER BY no", no))

    def get(self, key: Key) -> Json | None:
        return next((json.loads(doc) for _, doc in self._rows("key = ?", str(key))), None)

    def by(self, field: str, value: Any) -> list[Json]:
        """The documents whose `field`, one of the indexed ones, is `value`."""
        rows = self._rows(f"field(doc, '{field}') = ? ORDER BY no", _text(value))
        return [json.loads(doc) for _, doc in rows]

    def put(self, key: Key, doc: Json) -> None:
        """The document takes the place of the one that had its key."""
        self._state.write(
            "INSERT INTO documents (no, kind, key, doc) VALUES (?, ?, ?, ?) "
            "ON CONFLICT (kind, key) DO UPDATE SET doc = excluded.doc",
            *(self._state.next_no(), self._kind, str(key), json.dumps(doc)),
        )

    def drop(self, key: Key) -> None:
        self._state.write("DELETE FROM documents WHERE kind = ? AND key = ?", self._kind, str(key))

    def _rows(self, where: str, *values: Key) -> list[tuple[int, str]]:
        # The kind is in the text, so that the indexes of this kind alone are found.
        query = f"SELECT no, doc FROM documents WHERE kind = '{self._kind}' AND {where}"  # noqa: S608 - ours
        return self._state.ask(query, *values)


def _field(doc: str, path: str) -> str | None:
    """A field of a document, as JSON; `meta.externalId` is one of its part `meta`."""
    value: Any = json.loads(doc)
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return None if value is None else _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


class State:
    """The documents of one folder, by kind."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        self._changing = False
        self._after: list[Callable[[], None]] = []
        self._db = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            self._open()
        except sqlite3.DatabaseError as error:
            self._db.close()
            if "locked" in str(error):
                raise StateError(f"Another emulator uses the folder {path.parent}.") from None
            text = f"{path} is damaged ({error}): move it away, or use another folder."
            raise StateError(text) from error
        path.chmod(0o600)

    def _open(self) -> None:
        self._db.create_function("field", 2, _field, deterministic=True)
        # Exclusive: it locks the file until it is closed, and needs no shared memory beside it.
        # Trusted: the indexes are made with our function.
        settings = "locking_mode=EXCLUSIVE journal_mode=WAL synchronous=NORMAL trusted_schema=ON"
        for pragma in settings.split():
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._db.execute("BEGIN EXCLUSIVE")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS documents "
            "(no INTEGER PRIMARY KEY, kind TEXT NOT NULL, key TEXT NOT NULL, doc TEXT NOT NULL)"
        )
        self._db.execute("CREATE UNIQUE INDEX IF NOT EXISTS keys ON documents (kind, key)")
        self._db.execute("CREATE INDEX IF NOT EXISTS kinds ON documents (kind)")
        self._db.execute("COMMIT")
        ((last,),) = self._db.execute("SELECT max(no) FROM documents")
        self._last = last or 0

    def table(self, kind: str, *fields: str) -> Table:
        """The documents of `kind`; by the values of `fields` they are found without a search."""
        return Table(self, kind, fields)

    @contextmanager
    def change(self) -> Iterator[None]:
        """All that is put and dropped inside is kept, or, if it raises, nothing of it."""
        with self._lock:
            if self._changing:  # a part of the change around it
                yield
                return
            self._changing = True
            try:
                yield
                self._end("COMMIT")
            except BaseException:
                self._after.clear()
                self._end("ROLLBACK")
                raise
            finally:
                self._changing = False
            while self._after:
                self._after.pop(0)()

    def afterwards(self, work: Callable[..., None], *given: Any) -> None:
        """Calls `work` once the change is written: then no document names the bytes to remove."""
        self._after.append(partial(work, *given))

    def _end(self, how: str) -> None:
        if self._db.in_transaction:
            self._db.execute(how)

    def next_no(self) -> int:
        """A number that no document had, not even one that is gone: cursors point to them."""
        self._last += 1
        return self._last

    def ask(self, query: str, *values: Key) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def write(self, statement: str, *values: Key) -> None:
        """One document, or its end, within `change()`."""
        if not self._changing:
            raise RuntimeError("Documents are changed within `with state.change():`.")
        if not self._db.in_transaction:
            self._db.execute("BEGIN")
        self._db.execute(statement, values)

    def close(self) -> None:
        with self._lock:
            self._db.close()
