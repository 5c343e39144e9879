"""What was given to be uploaded, where it is in another store: as text, as a path, as a file.

Rule of this file: what this machine has itself is left to `sources`, and so is what unpacks.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.request import url2pathname

from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.objects.address import WEB, Address, is_address
from cognite_nb_upload.objects.find import (
    Spooled,
    address_of,
    is_archive,
    is_local,
    open_address,
    open_path,
    open_web_path,
)
from cognite_nb_upload.objects.source import ObjectSource
from cognite_nb_upload.sources import absolute, own_name

T = TypeVar("T")

_LOCAL: Final = frozenset({"", "file", "local"})


def open_elsewhere(
    content: object, options: Mapping[str, Any] | None = None, retry: Retry | None = None
) -> ObjectSource | Spooled | Path | None:
    """What is behind an address, a `UPath` or a file of fsspec; None where it is none of them.

    An address of a file on this machine (`file://`) gives its path. The store is asked for size
    and version, in a thread of its own: the caller's wait can be interrupted.

    Raises:
        UsageError: there is nothing, it may not be read, or options are given to what takes none.
    """
    text, more = address_in(content)
    if text:
        given = options if more is None else {**more, **(options or {})}
        return path_in(text) or _waited(lambda: open_address(text, given, retry))
    if options is not None:
        raise UsageError("storage_options are for an address, such as s3://bucket/key.")
    if _is_local_path(content):
        return Path(str(content.path))  # type: ignore[attr-defined] # seen by the question
    fs, path = _in_filesystem(content)
    if fs is None:
        return None
    if not hasattr(content, "read"):
        return _waited(lambda: _opened(fs, path, 0, retry))
    return _next_bytes(content, fs, path, retry)


def name_of(content: object) -> str:
    """The name that content has by itself; no query of an address is in it."""
    text, _ = address_in(content)
    if (local := path_in(text) if text else None) is not None:
        return local.name
    fs, path = (None, "") if text else _in_filesystem(content)
    if fs is not None:
        text = address_of(fs, path)
    return Address(text).name if text else own_name(content)


def shown_address(content: object) -> str:
    """The address in what was given, without its secrets; "" where there is none."""
    text, _ = address_in(content)
    try:
        return Address(text).shown if text else ""
    except UsageError:  # what is wrong with it is said where it is opened
        return f"{text.partition(':')[0]}://…"


def address_in(content: object) -> tuple[str, Mapping[str, Any] | None]:
    """An address as text, and the options that come with it; "" where it is none."""
    if is_address(content):
        return str(content), None
    if hasattr(content, "protocol") and hasattr(content, "storage_options"):  # a UPath
        if not _is_local_path(content) and is_address(str(content)):
            return str(content), dict(content.storage_options)
    return "", None


def _is_local_path(content: object) -> bool:
    return (
        hasattr(content, "storage_options")
        and getattr(content, "protocol", None) in _LOCAL
        and hasattr(content, "path")
    )


def path_in(text: str) -> Path | None:
    """The path in `file:///a/b`, or in `file:/a/b`."""
    scheme = text.partition(":")[0].lower()
    if scheme not in _LOCAL or "::" in text:
        return None
    rest = text.partition(":")[2]
    host, slash, path = (rest[2:] if rest.startswith("//") else rest).partition("/")
    if host not in ("", "localhost"):
        raise UsageError(f"{text} names a file of {host}; give file:///path/to/it.")
    as_written = Path(slash + path)
    return as_written if as_written.exists() else Path(url2pathname(slash + path))


def own_path(path: str | os.PathLike[str], what: str) -> Path:
    """Where something is written on this machine, whatever the current folder becomes.

    Raises:
        UsageError: it is an address, empty, or can be no path.
    """
    if not isinstance(path, str | bytes | os.PathLike):
        raise UsageError(f"{what} is written to a path, not to {type(path).__name__}.")
    text = os.fsdecode(path)
    if not text:
        raise UsageError(f"{what} is written to a path, which is empty; '.' is this folder.")
    if "\0" in text:
        raise UsageError(f"{text!r} holds a NUL, which no file's path has.")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        strange = ascii(text[error.start])
        raise UsageError(f"{text!a} holds {strange}, which no file's path has.") from None
    local = path_in(text) if is_address(path) else None
    if local is None and (address := shown_address(path)):
        raise UsageError(f"{what} is written to a file on this machine, not to {address}.")
    return absolute(local or path)


def _in_filesystem(content: object) -> tuple[Any, str]:
    """The filesystem of fsspec and the path of a file of it, read as it is there."""
    fs, path = getattr(content, "fs", None), getattr(content, "path", None)
    if fs is None or not isinstance(path, str) or not hasattr(fs, "cat_file"):
        return None, ""
    plain = not getattr(content, "compression", None) and not isinstance(content, io.BytesIO)
    reads = getattr(content, "mode", "rb") == "rb" and not getattr(content, "closed", False)
    if not plain or not reads or is_local(fs) or is_archive(fs):
        return None, ""
    return fs, path


def _opened(fs: Any, path: str, start: int, retry: Retry | None) -> ObjectSource | Spooled:
    if WEB & {path.partition("://")[0]}:
        return open_web_path(fs, path, start, retry)
    return open_path(fs, path, start, retry=retry)


def _next_bytes(
    file: Any, fs: Any, path: str, retry: Retry | None
) -> ObjectSource | Spooled | None:
    """From where the file stands, which then stands at its end; None where it has to be read."""
    start = file.tell()
    found = _waited(lambda: _opened(fs, path, start, retry))
    if isinstance(found, Spooled):
        return found if not start else None
    found.claimed_from(start)
    file.seek(start + found.size)
    return found


def _waited(call: Callable[[], T]) -> T:
    """The result of `call()` in another thread: what waits for it can be interrupted."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="looks an address up", daemon=True).start()
    return future.result()
