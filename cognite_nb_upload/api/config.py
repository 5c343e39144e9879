"""Where CDF is, who asks, and how patiently: the settings of a client."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cognite_nb_upload.api.auth import Credentials, OAuthClientCredentials, Token
from cognite_nb_upload.api.values import (
    checked_cluster,
    checked_project,
    cleaned,
    cleaned_header,
    cleaned_token,
    trimmed,
)
from cognite_nb_upload.core.numbers import as_seconds
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.core.secret import REDACTED
from cognite_nb_upload.errors import ConfigError, UsageError
from cognite_nb_upload.http import checked_base_url, redacted

_TOKENS: Final = frozenset({"CDF_TOKEN", "COGNITE_TOKEN"})
_MAY_HAVE_SPACES: Final = frozenset({"IDP_CLIENT_SECRET", "IDP_SCOPES", "IDP_AUDIENCE"})


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """Settings of a client.

    Attributes:
        client_name: your application's name, as CDF's logs show it (`x-cdp-app`).
        project: the CDF project.
        credentials: `Token`, `OAuthClientCredentials`, a provider of the official SDK, or any
            object with `authorization_header() -> (name, value)`.
        base_url: e.g. `https://westeurope-1.cognitedata.com`; give this or `cluster`.
        cluster: e.g. `westeurope-1`.
        timeout_s: how long CDF may take to answer, in seconds.
        transfer_timeout_s: how long a store may take to answer once it has a part, in seconds.
        stall_timeout_s: a part that moves less than 64 KiB in this long, in seconds, is sent again.
        uploaded_wait_s: after completion, wait this long, in seconds, for CDF to say `uploaded`.
        retry: how often and how patiently requests and parts are tried again.
        headers: sent to CDF with every request, never to a store.
    """

    client_name: str
    project: str
    credentials: Credentials
    base_url: str = ""
    cluster: str | None = None
    timeout_s: float = 60.0
    transfer_timeout_s: float = 600.0
    stall_timeout_s: float = 60.0
    uploaded_wait_s: float = 90.0
    retry: Retry = field(default_factory=Retry)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Check what can be checked without asking CDF."""
        object.__setattr__(self, "client_name", trimmed(self.client_name))
        if not self.client_name:
            raise ConfigError("client_name is empty; give your application's name.")
        if not self.client_name.isprintable():
            raise ConfigError("client_name has a line break or another invisible character.")
        if not self.client_name.isascii():
            raise ConfigError(f"client_name {self.client_name!r} goes into a header: use ASCII.")
        object.__setattr__(self, "project", checked_project(self.project))
        if not isinstance(self.credentials, Credentials):
            raise ConfigError(
                f"credentials is a {type(self.credentials).__name__}; give Token(...), "
                "OAuthClientCredentials(...) or a credential provider of the official SDK."
            )
        if bool(self.base_url) == bool(self.cluster):
            raise ConfigError("Give either base_url or cluster, and not both.")
        url = self.base_url or _url_of_cluster(checked_cluster(self.cluster))
        object.__setattr__(self, "base_url", _checked_root(url, "base_url"))
        for name in ("timeout_s", "transfer_timeout_s", "stall_timeout_s"):
            object.__setattr__(self, name, _seconds(name, getattr(self, name)))
        headers = dict(cleaned_header(name, value) for name, value in self.headers.items())
        object.__setattr__(self, "headers", headers)

    @property
    def project_url(self) -> str:
        """`{base_url}/api/v1/projects/{project}`."""
        return f"{self.base_url}/api/v1/projects/{self.project}"

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **settings: Any) -> ClientConfig:
        """Read the variables that the official tools share.

        CDF-hosted notebooks: COGNITE_PROJECT, COGNITE_BASE_URL and COGNITE_TOKEN (the last is read
        anew at every request); else CDF_PROJECT, CDF_URL or CDF_CLUSTER, and CDF_TOKEN or
        IDP_CLIENT_ID, IDP_CLIENT_SECRET and IDP_TENANT_ID or IDP_TOKEN_URL.

        Raises:
            ConfigError: names every variable that is missing; never shows a value.
        """
        env = _Variables(os.environ if env is None else env)
        hosted = bool(env.get("COGNITE_TOKEN") and env.get("COGNITE_PROJECT"))
        base_url = _base_url(env, "COGNITE_BASE_URL" if hosted else "CDF_URL")
        project = env.get("COGNITE_PROJECT" if hosted else "CDF_PROJECT")
        if project:
            checked_project(project, "COGNITE_PROJECT" if hosted else "CDF_PROJECT")
        missing = [] if project else ["CDF_PROJECT"]
        missing += [] if base_url else ["CDF_CLUSTER (or CDF_URL)"]
        credentials = _credentials(env, hosted, missing)
        if missing or credentials is None:
            raise ConfigError(f"Missing in the environment: {', '.join(missing)}.").hint(
                "Or give the settings: CogniteClient(ClientConfig(...)), or an official client: "
                "CogniteClient.from_sdk(client)."
            )
        given: dict[str, Any] = {"client_name": "cognite_nb_upload", **settings}
        found = {"project": project, "base_url": base_url, "credentials": credentials}
        return cls(**{**found, **given})


def _seconds(name: str, value: object) -> float:
    try:
        return as_seconds(name, value)
    except UsageError as error:
        raise ConfigError(str(error)) from None


class _Variables(Mapping[str, str]):
    """The environment, cleaned; no repr shows it, as a traceback may print what a frame holds."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def __getitem__(self, name: str) -> str:
        value = self._env[name]
        if name in _TOKENS:
            return cleaned_token(value, name)
        return trimmed(value) if name in _MAY_HAVE_SPACES else cleaned(name, value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._env)

    def __len__(self) -> int:
        return len(self._env)

    def __repr__(self) -> str:
        return REDACTED


def _base_url(env: Mapping[str, str], variable: str = "CDF_URL") -> str:
    """CDF's address by that variable, else by the cluster; "" where neither is set."""
    if url := env.get(variable):
        return _checked_root(url, variable)
    cluster = env.get("CDF_CLUSTER")
    return _url_of_cluster(checked_cluster(cluster, "CDF_CLUSTER", "CDF_URL")) if cluster else ""


def _url_of_cluster(cluster: str) -> str:
    return f"https://{cluster}.cognitedata.com"


def _checked_root(url: object, name: str) -> str:
    """CDF's address without a path to one of its endpoints."""
    found = checked_base_url(cleaned(name, url), name)
    if "?" in found or "#" in found or "/api/v1" in found:
        raise ConfigError(f"{name} {redacted(found)!r} goes on after the host; give https://host.")
    return found


def _credentials(env: Mapping[str, str], hosted: bool, missing: list[str]) -> Credentials | None:
    if hosted:
        return Token(lambda: env["COGNITE_TOKEN"])
    flow = env.get("LOGIN_FLOW", "").lower()
    if flow not in ("", "token", "client_credentials"):
        raise ConfigError(
            f"LOGIN_FLOW is {flow!r}; this package signs in by token or client_credentials."
        ).hint("For an interactive login, make an official CogniteClient and use from_sdk(client).")
    if flow == "token" or (not flow and env.get("CDF_TOKEN")):
        if not env.get("CDF_TOKEN"):
            missing.append("CDF_TOKEN")
            return None
        return Token(lambda: env["CDF_TOKEN"])
    return _client_credentials(env, missing)


def _client_credentials(env: Mapping[str, str], missing: list[str]) -> Credentials | None:
    provider = env.get("PROVIDER", "").lower()
    token_url = env.get("IDP_TOKEN_URL", "")
    tenant = env.get("IDP_TENANT_ID", "")
    if not token_url and provider == "cdf":
        token_url = "https://auth.cognite.com/oauth2/token"  # noqa: S105 # an address, not a secret
    if not token_url and tenant:
        token_url = f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
    lacking = [name for name in ("IDP_CLIENT_ID", "IDP_CLIENT_SECRET") if not env.get(name)]
    if not token_url:
        lacking.append("IDP_TENANT_ID (or IDP_TOKEN_URL)")
    if lacking:
        missing += [*lacking, "or CDF_TOKEN in their place"]
        return None
    scopes = [one.strip() for one in env.get("IDP_SCOPES", "").split(",") if one.strip()]
    base_url = _base_url(env)
    if not scopes and provider in ("", "entra_id") and base_url:
        scopes = [f"{base_url.rstrip('/')}/.default"]
    return OAuthClientCredentials(
        token_url,
        env["IDP_CLIENT_ID"],
        env["IDP_CLIENT_SECRET"],
        scopes,
        env.get("IDP_AUDIENCE"),
    )
