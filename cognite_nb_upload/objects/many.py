"""Many files in other stores: found by prefix or pattern, looked at, and opened when their turn is.

Rules of this file: one store object for each container, whatever the number of files; a listing
tells sizes and versions, so that nothing is asked of each file.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from cognite_nb_upload import http
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.objects import cloud
from cognite_nb_upload.objects.address import Address
from cognite_nb_upload.objects.filesystem import FilesystemWay, facts_of_info
from cognite_nb_upload.objects.find import (
    Spooled,
    address_of,
    checked_options,
    filesystem_of,
    looked_at,
    opened,
    origin_of,
    way_of,
)
from cognite_nb_upload.objects.given import address_in, path_in
from cognite_nb_upload.objects.port import ObjectFacts, Way
from cognite_nb_upload.objects.source import ObjectSource
from cognite_nb_upload.sources import Source, as_source


class Place:
    """One file in another store.

    Attributes:
        address: where it is.
        told: what its store has told of it; None before it was looked at.
    """

    def __init__(
        self,
        address: Address,
        way: Callable[[], Way | Spooled],
        options: Mapping[str, Any],
        told: ObjectFacts | None = None,
    ) -> None:
        self.address, self.told = address, told
        self._way, self._options = way, options
        self._in_ranges = True

    def look(self, retry: Retry) -> tuple[int, int]:
        """Its size in bytes, and its time in ns since 1970; asks its store, if need be.

        Where the store tells no time, the number tells versions apart; it is negative.

        Raises:
            UsageError: there is nothing, it may not be read, or it does not tell its size.
        """
        if self.told is None:
            with http.Sealed():
                self.told = self._looked(retry)
        if self.told.size is None:
            raise UsageError(f"{self.address.shown} does not tell its size.")
        return self.told.size, _stamp(self.told)

    def open(self, retry: Retry) -> Source:
        """The source, as `_opened` gives it, and what another process opens it by."""
        found = self._opened(retry)
        if isinstance(found, ObjectSource):
            found.origin = origin_of(self.address, self._options)
        return found

    def _opened(self, retry: Retry) -> Source:
        """The source; what can only be read from its beginning is copied to this disk now.

        Raises:
            UsageError: it may not be read.
        """
        address = self.address
        with http.Sealed():
            way = self._way()
            if not isinstance(way, Spooled):
                if self.told is not None and self.told.is_exact and self._in_ranges:
                    shown, name = address.shown, address.name
                    return ObjectSource(way, self.told, address=shown, name=name, retry=retry)
                # A listing writes times otherwise than who is asked of the one file.
                found = opened(way, address, retry=retry)
                if isinstance(found, ObjectSource):
                    return found
                way = found
            return as_source(way.pieces, name=address.name)

    def _looked(self, retry: Retry) -> ObjectFacts:
        way = self._way()
        if isinstance(way, Spooled):
            return ObjectFacts(way.size)
        try:
            return looked_at(way, self.address, retry)
        finally:
            self._in_ranges = getattr(way, "ranges", True)
            way.close()


def _stamp(told: ObjectFacts) -> int:
    if told.modified_ns:
        return told.modified_ns
    token = told.token.encode() or secrets.token_bytes(8)
    return -1 - (int.from_bytes(hashlib.sha256(token).digest()[:8], "big") >> 2)


class Stores:
    """The other stores that one job reads from.

    Args:
        options: what all of them want to know.
    """

    def __init__(self, options: Mapping[str, Any] | None = None) -> None:
        self._options = checked_options(options)
        self._of_containers: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def place(self, content: object) -> Place | None:
        """The file behind an address or a `UPath`; None where it is on this machine."""
        text, more = address_in(content)
        if not text or path_in(text) is not None:
            return None
        address, options = Address(text), {**(more or {}), **self._options}
        if more is None and address.scheme in cloud.SCHEMES and cloud.installed():
            return Place(address, lambda: self._cloud_way(address), options)
        return Place(address, lambda: way_of(address, options), options)

    def below(self, address: Address, top: str, *, deep: bool) -> Iterator[tuple[str, Place]]:
        """The files below a prefix, by their paths from there; `deep`: those of its folders too.

        Raises:
            UsageError: its store does not list it.
        """
        with http.Sealed():
            store = self._store(address) if address.scheme in cloud.SCHEMES else None
            if store is None:
                yield from self._in_filesystem(address, top, deep)
                return
            for facts, key in cloud.listed(store, top, address, deep=deep):
                one = address.beside(key)
                yield (
                    _below(key, top),
                    Place(one, partial(self._cloud_way, one), self._options, facts),
                )

    def _in_filesystem(self, address: Address, top: str, deep: bool) -> Iterator[tuple[str, Place]]:
        fs, root = filesystem_of(address.beside(top), self._options)
        try:
            depth = {} if deep else {"maxdepth": 1}
            found: Mapping[str, Any] = fs.find(root, detail=True, **depth)
        except Exception as error:
            raise UsageError(f"{address.shown} cannot be listed: {type(error).__name__}.") from None
        for path, info in sorted(found.items()):
            if info.get("type", "file") == "file":
                place = Address(address_of(fs, path))
                way = partial(FilesystemWay, fs, path)
                yield _below(path, root), Place(place, way, self._options, facts_of_info(info))

    def _cloud_way(self, address: Address) -> Way | Spooled:
        store = self._store(address)
        if store is None:
            return way_of(address, self._options)
        return cloud.CloudWay(store, address.key)

    def _store(self, address: Address) -> Any | None:
        """The store of a container; None where obstore cannot be used."""
        if not cloud.installed():
            return None
        key = address.scheme, address.container
        with self._lock:
            if key not in self._of_containers:
                self._of_containers[key] = cloud.store_of(address, self._options)
            return self._of_containers[key]


def _below(path: str, top: str) -> str:
    return path.removeprefix(top.rstrip("/")).lstrip("/")
