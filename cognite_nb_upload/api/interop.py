"""From an official Cognite SDK client (7 or 8, blocking or async) to our settings.

Rule of this file: it is the only one that knows the official SDK, and it knows it by its shape
alone: nothing of the SDK is imported.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from cognite_nb_upload.api.auth import Credentials
from cognite_nb_upload.api.config import ClientConfig
from cognite_nb_upload.errors import UsageError


def is_sdk_client(client: object) -> bool:
    """True for what carries the settings of an official client."""
    config = getattr(client, "config", None)
    return isinstance(getattr(config, "credentials", None), Credentials) and hasattr(
        config, "project"
    )


def config_from_sdk(client: object, **settings: Any) -> ClientConfig:
    """Our settings from an official client's: project, base URL, credentials, name, headers.

    Args:
        client: an official `CogniteClient` or `AsyncCogniteClient`.
        settings: other fields of `ClientConfig`, such as `timeout_s`.

    Raises:
        UsageError: it is not such a client.
    """
    if not is_sdk_client(client):
        raise UsageError(
            f"{type(client).__name__} is not a Cognite client; give an official CogniteClient or "
            "AsyncCogniteClient."
        )
    return _of_sdk(client.config, settings)  # type: ignore[attr-defined] # is_sdk_client has looked


def checked_config(config: object | None) -> ClientConfig:
    """The settings that a client is made with: those given, else those found.

    Found are `cognite.client.global_config.default_client_config` where a program has set it (the
    SDK is not imported to look), else what `ClientConfig.from_env()` reads.

    Raises:
        ConfigError: nothing was given, and nothing found; names what is missing.
        UsageError: what was given is not a `ClientConfig`.
    """
    if isinstance(config, ClientConfig):
        return config
    if config is not None:
        raise UsageError(
            f"A client is made with a ClientConfig of cognite_nb_upload, not with a "
            f"{type(config).__module__}.{type(config).__qualname__}."
        ).hint("For the project and credentials of an official client, use from_sdk(client).")
    sdk = sys.modules.get("cognite.client")
    theirs = getattr(getattr(sdk, "global_config", None), "default_client_config", None)
    return ClientConfig.from_env() if theirs is None else _of_sdk(theirs, {})


def _of_sdk(theirs: Any, settings: Mapping[str, Any]) -> ClientConfig:
    given: dict[str, Any] = {
        "client_name": theirs.client_name or "cognite_nb_upload",
        "project": theirs.project,
        "base_url": theirs.base_url,
        "credentials": theirs.credentials,
        "headers": dict(getattr(theirs, "headers", None) or {}),
    }
    return ClientConfig(**{**given, **settings})
