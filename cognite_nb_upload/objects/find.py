"""Which way leads to what was given: an address, or a file of a filesystem of fsspec."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

from cognite_nb_upload import http
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import TransferError, UsageError
from cognite_nb_upload.objects import cloud
from cognite_nb_upload.objects.address import WEB, Address
from cognite_nb_upload.objects.filesystem import FilesystemWay
from cognite_nb_upload.objects.port import Gone, ObjectFacts, Unreadable, Way
from cognite_nb_upload.objects.source import ObjectSource
from cognite_nb_upload.objects.web import WebWay

# To read in the middle of these is to unpack from their beginning: they are read once, and spooled.
_ARCHIVES: Final = frozenset({"zip", "tar", "libarchive"})
# How often it is asked for size and version, before somebody is told that it does not answer.
_LOOKS: Final = 3
_EXTRA: Final = "pip install 'cognite_nb_upload[objects]'"


@dataclass(frozen=True, slots=True)
class Spooled:
    """What can be read once, from its beginning: it goes to disk first.

    Attributes:
        name: its own.
        pieces: all of its bytes.
        size: bytes; None where only reading tells.
    """

    name: str
    pieces: Iterator[bytes]
    size: int | None = None


def open_address(
    text: str, options: Mapping[str, Any] | None = None, retry: Retry | None = None
) -> ObjectSource | Spooled:
    """What is behind an address; asks its store for size and version.

    Args:
        text: `s3://`, `gs://`, `az://`, `abfs://`, `http(s)://` or any scheme of fsspec.
        options: what the store wants to know, by the names of fsspec or obstore.
        retry: how often a read is tried.

    Raises:
        UsageError: there is nothing, it may not be read, or what reads it is not installed.
    """
    address = Address(text)
    with http.Sealed():
        way = way_of(address, checked_options(options))
        if isinstance(way, Spooled):
            return way
        found = opened(way, address, retry=retry)
        if isinstance(found, ObjectSource):
            found.origin = origin_of(address, options or {})
        return found


def origin_of(address: Address, options: Mapping[str, Any]) -> Secret | None:
    """An address and its options as text; None where an option is no plain value."""
    try:
        return Secret(json.dumps([address.reveal(), dict(options)]))
    except (TypeError, ValueError):
        return None


def open_origin(origin: Secret) -> ObjectSource:
    """What `origin_of` tells of, in another process.

    Raises:
        UsageError: there is nothing, or it may not be read from here.
    """
    text, options = json.loads(origin.reveal())
    found = open_address(text, options)
    if isinstance(found, Spooled):
        raise UsageError(f"{Address(text).shown} cannot be read in parts.")
    return found


def open_path(
    fs: Any, path: str, start: int = 0, size: int | None = None, retry: Retry | None = None
) -> ObjectSource:
    """A path of a filesystem of fsspec, from byte `start` on.

    Raises:
        UsageError: there is nothing, or it may not be read.
    """
    check_filesystem(fs)
    with http.Sealed():
        way = FilesystemWay(fs, path)
        found = opened(way, Address(address_of(fs, path)), start, size, retry)
    assert isinstance(found, ObjectSource)  # noqa: S101 # what has no ranges is on the web
    return found


def open_web_path(
    fs: Any, path: str, start: int = 0, retry: Retry | None = None
) -> ObjectSource | Spooled:
    """A path of fsspec's filesystem of the web, read as any address there is.

    Raises:
        UsageError: there is nothing, or it may not be read.
    """
    given = getattr(fs, "kwargs", None) or {}
    headers = {**(given.get("headers") or {})}
    if (login := given.get("auth")) is not None and hasattr(login, "encode"):
        headers["authorization"] = login.encode()
    with http.Sealed():
        way = WebWay(path, _headers({"headers": headers}))
        return opened(way, Address(path), start, retry=retry)


def opened(
    way: Way,
    address: Address,
    start: int = 0,
    size: int | None = None,
    retry: Retry | None = None,
) -> ObjectSource | Spooled:
    """The source behind a way, once it was looked at."""
    retry = retry or Retry()
    try:
        facts = looked_at(way, address, retry)
        if isinstance(way, WebWay) and not way.ranges:
            return Spooled(address.name, _all(way, address), facts.size)
        if facts.size is None:
            raise UsageError(f"{address.shown} does not tell its size.")
    except BaseException:
        way.close()
        raise
    if size is not None and size > facts.size - start:
        raise UsageError(
            f"{address.shown} has {facts.size - start} bytes left; length asks for {size}."
        )
    return ObjectSource(
        way, facts, address=address.shown, name=address.name, start=start, size=size, retry=retry
    )


def looked_at(way: Way, address: Address, retry: Retry) -> ObjectFacts:
    """What its store tells of it now; a few tries are enough before a person is told.

    Raises:
        UsageError: there is nothing, or it may not be read.
    """
    shown, name = address.shown, address.name
    retry = replace(retry, attempts=min(_LOOKS, retry.attempts))
    try:
        return ObjectSource(way, ObjectFacts(0), address=shown, name=name, retry=retry).looked()
    except Gone as error:
        how = "is not there" if "no longer" in str(error) else str(error)
        raise UsageError(f"{address.shown} {how}.") from None
    except TransferError as error:
        raise UsageError(str(error)) from None


def way_of(address: Address, options: Mapping[str, Any]) -> Way | Spooled:
    """What reads an address; asks nothing.

    Raises:
        UsageError: nothing can.
    """
    if address.scheme in WEB:
        return WebWay(address.reveal(), _headers(options))
    if address.scheme in cloud.SCHEMES and cloud.installed():
        store = cloud.store_of(address, options)
        if store is not None:
            return cloud.CloudWay(store, address.key)
    fs, path = filesystem_of(address, options)
    if is_archive(fs):
        return _packed(fs, path, address)
    return FilesystemWay(fs, path)


def filesystem_of(address: Address, options: Mapping[str, Any]) -> tuple[Any, str]:
    """The filesystem of fsspec that an address belongs to, and the path there.

    Raises:
        UsageError: it is not installed, or knows no such options.
    """
    if find_spec("fsspec") is None:
        raise UsageError(f"{address.shown} is read through fsspec: {_EXTRA}.")
    try:
        fs, path = import_module("fsspec.core").url_to_fs(address.reveal(), **options)
    except ImportError as error:
        raise UsageError(f"{address.shown}: {_first(error)}").hint(
            f"For s3, gs and az there is {_EXTRA}."
        ) from None
    except ValueError:
        raise UsageError(
            f"{address.scheme}:// is no scheme that can be read; s3, gs, abfs, az, http, https "
            "and those of fsspec can."
        ) from None
    except TypeError:
        names = ", ".join(options)
        cannot = f"cannot be: {names}" if names else f"are missing; {address.scheme}:// needs some"
        shown = address.shown
        if address.scheme == "dbfs":  # as Databricks writes it: no host stands in it
            path = shown.removeprefix("dbfs://").lstrip("/")
            shown = f"dbfs:/{path}"
            cannot += f"; on Databricks, /dbfs/{path} is that file"
        raise UsageError(f"storage_options of {shown} {cannot}.") from None
    except Exception as error:
        raise UsageError(f"{address.shown} cannot be opened: {type(error).__name__}.") from None
    check_filesystem(fs)
    return fs, path


def check_filesystem(fs: Any) -> None:
    """Refuse one that belongs to another event loop."""
    if getattr(fs, "asynchronous", False):
        raise UsageError(
            "The filesystem was made with asynchronous=True, and belongs to its event loop; make "
            "it without."
        )


def is_archive(fs: Any) -> bool:
    """True for what is read from its beginning alone."""
    return bool(_ARCHIVES & set(_protocols(fs)))


def is_local(fs: Any) -> bool:
    """True for files of this machine."""
    return bool({"file", "local"} & set(_protocols(fs)))


def address_of(fs: Any, path: str) -> str:
    """The address of a path, without credentials."""
    protocol = _protocols(fs)[0]
    return path if "://" in path else f"{protocol}://{_host(fs)}{path.lstrip('/')}"


def _host(fs: Any) -> str:
    """The server, where paths do not begin with it."""
    host = getattr(fs, "host", None) or getattr(fs, "_host", None)
    return f"{host}/" if isinstance(host, str) and host else ""


def _protocols(fs: Any) -> tuple[str, ...]:
    given = getattr(fs, "protocol", "file")
    return (given,) if isinstance(given, str) else tuple(given) or ("file",)


def _packed(fs: Any, path: str, address: Address) -> Spooled:
    size = None
    with suppress(Exception):  # what is wrong with it is said when it is read
        size = fs.info(path).get("size")
    return Spooled(address.name, _member(fs, path, address), size)


def _member(fs: Any, path: str, address: Address) -> Iterator[bytes]:
    try:
        with fs.open(path, "rb") as file:
            while piece := file.read(1 << 20):
                yield piece
    except FileNotFoundError:
        raise UsageError(f"{address.shown} is not there.") from None


def _all(way: WebWay, address: Address) -> Iterator[bytes]:
    try:
        yield from way.all()
    except Unreadable as error:
        raise TransferError(f"{address.shown} cannot be read: {error.reason}.") from None
    finally:
        way.close()


def checked_options(options: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """`storage_options`; none are an empty mapping.

    Raises:
        UsageError: it is no mapping by name.
    """
    if options is None:
        return {}
    if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
        raise UsageError("storage_options is a dict, such as {'key': ..., 'secret': ...}.")
    return options


def _headers(options: Mapping[str, Any]) -> Mapping[str, str]:
    left = {name: value for name, value in options.items() if name != "headers"}
    if left:
        names = ", ".join(left)
        raise UsageError(f"storage_options of http(s) are {{'headers': {{...}}}}, not {names}.")
    given = options.get("headers") or {}
    if not isinstance(given, Mapping):
        raise UsageError(
            f"The headers in storage_options are a dict of text, not {type(given).__name__}."
        )
    return dict(_header(name, value) for name, value in given.items())


def _header(name: object, value: object) -> tuple[str, str]:
    """A header as a request can carry it; its value may be secret, and is not shown."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    text = value.strip() if isinstance(value, str) else value
    named = isinstance(name, str) and re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name)
    if not named or not isinstance(text, str) or not (text.isascii() and text.isprintable()):
        raise UsageError(
            f"The header {name!r} in storage_options is no name and text of one line, in ASCII."
        )
    return str(name).lower(), text


def _first(error: Exception) -> str:
    return str(error).partition("\n")[0]
