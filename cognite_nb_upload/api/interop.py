"""From an official Cognite SDK client (7 or 8, blocking or async) to our settings.

Rule of this file: it is the only one that knows the official SDK, and it knows it by its shape
alone: nothing of the SDK is imported.
"""

from __future__ import annotations

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
    theirs: Any = client.config  # type: ignore[attr-defined] # is_sdk_client has looked
    given: dict[str, Any] = {
        "client_name": theirs.client_name or "cognite_nb_upload",
        "project": theirs.project,
        "base_url": theirs.base_url,
        "credentials": theirs.credentials,
        "headers": dict(getattr(theirs, "headers", None) or {}),
    }
    return ClientConfig(**{**given, **settings})
