"""An object in S3, Google Cloud Storage or Azure through obstore: one streaming GET for each part.

Rules of this file: each request demands the ETag that was looked at (`If-Match`); obstore itself
tries nothing again, because it passes over `Retry-After`: that is decided where reads are tried.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cognite_nb_upload import http
from cognite_nb_upload.core.plan import KIB
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.objects.address import Address
from cognite_nb_upload.objects.port import Changed, Gone, ObjectFacts, Unreadable
from cognite_nb_upload.objects.web import WebWay, retry_after_at

_S3: Final = frozenset({"s3", "s3a"})
_GOOGLE: Final = frozenset({"gs", "gcs"})
_AZURE: Final = frozenset({"az", "abfs", "abfss", "azure", "adl"})
SCHEMES: Final = _S3 | _GOOGLE | _AZURE
_STATUS: Final = re.compile(r"status code: (\d{3})")
# What came of a block when the connection breaks is lost: it is asked for again.
_BLOCK: Final = 64 * KIB
# Nothing arrives for so long: then the read is begun again from where it stopped.
_STALL: Final = timedelta(seconds=30)
_WHOLE: Final = timedelta(hours=12)
# How often a listing is tried.
_LISTS: Final = 4
_SIGNED: Final = timedelta(minutes=5)

# What fsspec's filesystems call the options of obstore; None: not needed there.
_S3_NAMES: Final[Mapping[str, str | None]] = {
    "key": "access_key_id", "username": "access_key_id", "secret": "secret_access_key",
    "password": "secret_access_key", "token": "session_token", "anon": "skip_signature",
    "endpoint_url": "endpoint", "region_name": "region", "requester_pays": "request_payer",
    "use_ssl": None, "default_block_size": None, "default_fill_cache": None,
}  # fmt: skip
_GOOGLE_NAMES: Final[Mapping[str, str | None]] = {
    "project": None, "endpoint_url": "base_url", "anon": "skip_signature",
}  # fmt: skip
_AZURE_NAMES: Final[Mapping[str, str | None]] = {
    "sas_token": "sas_key", "anon": "skip_signature",
}  # fmt: skip
_OWN: Final = frozenset({
    "access_key_id", "secret_access_key", "session_token", "region", "endpoint", "skip_signature",
    "request_payer", "virtual_hosted_style_request", "role_arn", "web_identity_token_file",
    "service_account", "service_account_key", "application_credentials", "base_url",
    "bearer_token", "account_name", "account_key", "client_id", "client_secret", "tenant_id",
    "sas_key", "use_emulator", "use_azure_cli", "token", "authority_host", "federated_token_file",
    "use_fabric_endpoint", "msi_endpoint", "object_id",
})  # fmt: skip


def installed() -> bool:
    """True where obstore is there."""
    return find_spec("obstore") is not None


class CloudWay:
    """Reads one key of a store of obstore."""

    def __init__(self, store: Any, key: str) -> None:
        self._obstore: Any = import_module("obstore")
        self._store, self._key = store, key
        self.compares = True

    def look(self) -> ObjectFacts:
        """What HEAD tells."""
        with _InWords():
            found = facts_of_meta(self._obstore.head(self._store, self._key))
        self.compares = bool(found.token)
        return found

    def stream(self, start: int, end: int, facts: ObjectFacts) -> Iterator[bytes]:
        """Bytes `[start, end)` of one GET."""
        options: dict[str, Any] = {"range": (start, end)}
        if facts.strong_etag:
            options["if_match"] = facts.strong_etag
        with _InWords(self._asks_to_wait):
            answer = self._obstore.get(self._store, self._key, options=options)
            if how := facts.difference(facts_of_meta(answer.meta)):
                raise Changed(how)
            blocks = iter(answer.stream(min_chunk_size=_BLOCK))
        while True:
            with _InWords(self._asks_to_wait):
                block = next(blocks, None)
            if block is None:
                return
            yield bytes(block) if not isinstance(block, bytes) else block

    def _asks_to_wait(self) -> str | None:
        """How long a busy store wants to be left alone, which obstore does not tell."""
        with suppress(Exception):  # its credentials cannot sign
            return retry_after_at(self._signed())
        return None

    def sums(self) -> ObjectFacts | None:
        """What it tells at a signed address, checksums among it, which obstore passes over."""
        with suppress(Exception):  # its credentials cannot sign
            way = WebWay(self._signed())
            try:
                return way.look()
            finally:
                way.close()
        return None

    def _signed(self) -> str:
        return str(self._obstore.sign(self._store, "GET", self._key, _SIGNED))

    def close(self) -> None:
        """Connections end with the store."""


def facts_of_meta(meta: Mapping[str, Any]) -> ObjectFacts:
    """The facts in obstore's description of an object."""
    moment = meta["last_modified"]
    etag = meta["e_tag"] or ""
    return ObjectFacts(
        size=meta["size"],
        etag=etag,
        version=meta["version"] or "",
        modified=moment.isoformat(),
        modified_ns=round(moment.timestamp() * 1e6) * 1000,
    )


def store_of(address: Address, options: Mapping[str, Any]) -> Any | None:
    """The store of an address; None where obstore cannot be told all of the options.

    Raises:
        UsageError: an option cannot be.
    """
    config = _config_of(address.scheme, options)
    if config is None:
        return None
    if address.scheme in _S3:
        more = _from_profile(config)
    else:
        more = {}
    endpoint = str(config.get("endpoint") or config.get("base_url") or _endpoint_of_env(address))
    host = urlsplit(endpoint).hostname or ""
    if http.is_link_local(host):
        raise UsageError(f"The endpoint {host} is a link-local address; none is read from.")
    client: dict[str, Any] = {
        "timeout": _WHOLE, "read_timeout": _STALL, "connect_timeout": _STALL,
        "allow_http": endpoint.startswith("http://") or bool(config.get("use_emulator")),
    }  # fmt: skip
    scheme = {"s3a": "s3", "gcs": "gs", "azure": "az"}.get(address.scheme, address.scheme)
    place = address.container.rpartition("@")[2] if scheme in ("s3", "gs") else address.container
    with _InWords(opening=True):
        return import_module("obstore.store").from_url(
            f"{scheme}://{place}", config=config or None, client_options=client,
            retry_config={"max_retries": 0, "retry_timeout": _WHOLE}, **more,
        )  # fmt: skip


def listed(store: Any, top: str, address: Address, *, deep: bool) -> list[tuple[ObjectFacts, str]]:
    """The objects below a prefix, by their keys, with what the listing tells of each.

    Raises:
        UsageError: the store does not list them.
    """
    obstore, prefix = import_module("obstore"), top.rstrip("/") or None

    def ask() -> list[Any]:
        with _InWords():
            if not deep:
                return list(obstore.list_with_delimiter(store, prefix)["objects"])
            return [one for several in obstore.list(store, prefix) for one in several]

    retry = Retry(attempts=_LISTS)
    for attempt in range(1, _LISTS + 1):
        try:
            found = [(facts_of_meta(one), one["path"]) for one in ask() if one["path"] != prefix]
            return sorted(found, key=lambda one: one[1])
        except Gone:
            raise UsageError(f"{address.shown} is not there.") from None
        except Unreadable as error:
            wait_s = retry.wait_s(attempt, status=error.status, retry_after=error.retry_after)
            if wait_s is None or not error.retry:
                raise UsageError(f"{address.shown} cannot be listed: {error.reason}.") from None
            time.sleep(wait_s)
    raise AssertionError  # the last try gives up


def _endpoint_of_env(address: Address) -> str:
    names = {"s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")}
    found = names.get(
        address.scheme.removesuffix("a"), ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")
    )
    return next((os.environ[one] for one in found if os.environ.get(one)), "")


def _config_of(scheme: str, options: Mapping[str, Any]) -> dict[str, Any] | None:
    names = _S3_NAMES if scheme in _S3 else _GOOGLE_NAMES if scheme in _GOOGLE else _AZURE_NAMES
    given = {**options, **dict(options.get("client_kwargs") or {})}
    given.pop("client_kwargs", None)
    if scheme in _GOOGLE and "token" in given:
        given |= _google_token(given.pop("token"))
    if scheme in _AZURE and "connection_string" in given:
        given |= _connection_string(str(given.pop("connection_string")))
    config: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or (name in names and names[name] is None):
            continue
        known = names.get(name) or (name if name in _OWN else None)
        if known is None and re.match(r"(aws|azure|google)_", name):
            known = name
        if known is None:
            return None
        config[known] = value
    if config.get("skip_signature") is False:
        del config["skip_signature"]
    return config


def _google_token(token: object) -> dict[str, Any]:
    if token == "anon":  # noqa: S105 # a word of gcsfs
        return {"skip_signature": True}
    if isinstance(token, Mapping):
        return {"service_account_key": json.dumps(dict(token))}
    return {"application_credentials": str(token)} if isinstance(token, str) else {}


def _connection_string(text: str) -> dict[str, Any]:
    parts = dict(one.partition("=")[::2] for one in text.split(";") if one)
    names = {"AccountName": "account_name", "AccountKey": "account_key",
             "BlobEndpoint": "endpoint", "SharedAccessSignature": "sas_key"}  # fmt: skip
    return {ours: parts[theirs] for theirs, ours in names.items() if theirs in parts}


def _from_profile(config: Mapping[str, Any]) -> dict[str, Any]:
    """Credentials of a profile, which obstore does not read, through boto3 where it is there."""
    if any(name in config for name in ("access_key_id", "skip_signature", "aws_access_key_id")):
        return {}
    files = [Path("~/.aws/credentials"), Path("~/.aws/config")]
    has_profile = "AWS_PROFILE" in os.environ or any(one.expanduser().exists() for one in files)
    if os.environ.get("AWS_ACCESS_KEY_ID") or not has_profile or find_spec("boto3") is None:
        return {}
    provider = import_module("obstore.auth.boto3").Boto3CredentialProvider
    with suppress(Exception):  # the profile has none: obstore looks elsewhere
        return {"credential_provider": provider()}
    return {}


class _InWords:
    """obstore's error, as `Gone`, `Changed` or `Unreadable`; its text may hold a signed address."""

    def __init__(self, retry_after: Any = lambda: None, *, opening: bool = False) -> None:
        self._retry_after, self._opening = retry_after, opening

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, frames: object) -> None:
        if error is None or not isinstance(error, Exception):
            return
        if isinstance(error, Changed | Unreadable):
            return
        name, found = type(error).__name__, _STATUS.search(str(error))
        status = int(found.group(1)) if found else None
        if isinstance(error, FileNotFoundError):
            raise Gone("is no longer there") from None
        if name == "PreconditionError":
            raise Changed("was replaced") from None
        if self._opening:
            raise UsageError(f"The store cannot be opened: {_first(error)}.") from None
        if name in ("PermissionDeniedError", "UnauthenticatedError") or status in (401, 403):
            raise Unreadable("its store refuses to show it", retry=False, status=status) from None
        if status is None:
            raise Unreadable(_network(error)) from None
        asked = self._retry_after() if status in (429, 503) else None
        raise Unreadable(
            f"its store answered {status}", status=status, retry_after=asked,
            retry=status >= 500 or status in (408, 429),
        ) from None  # fmt: skip


def _first(error: Exception) -> str:
    """The first line of a complaint about options, without values."""
    text = str(error).strip().partition("\n")[0]
    return re.sub(r"['\"`][^'\"`]*['\"`]", "...", text)[:200].rstrip(".")


def _network(error: Exception) -> str:
    text = str(error)
    if "missing" in text.lower() and "credential" in text.lower():
        return "there are no credentials for its store"
    if "Connect" in text:
        return "no connection to its store"
    return "the connection to its store broke or timed out"
