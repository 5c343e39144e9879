"""Where CDF is, who asks, and how patiently: the settings of a client."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from cognite_nb_upload.api.auth import Credentials
from cognite_nb_upload.api.environment import checked_root, settings_of, url_of_cluster, variables
from cognite_nb_upload.api.values import (
    checked_cluster,
    checked_project,
    cleaned_header,
    cleaned_text,
)
from cognite_nb_upload.core.congestion import Congestion, checked_congestion
from cognite_nb_upload.core.numbers import check_seconds, checked_seconds
from cognite_nb_upload.core.retry import Retry
from cognite_nb_upload.errors import ConfigError, UsageError


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """Settings of a client.

    Attributes:
        client_name: your application's name, as CDF's logs show it (`x-cdp-app`).
        project: the CDF project.
        credentials: `Token`, `OAuthClientCredentials`, `OAuthDeviceCode`, `OAuthInteractive`, a
            provider of the official SDK, or any object with
            `authorization_header() -> (name, value)`.
        base_url: e.g. `https://westeurope-1.cognitedata.com`; give this or `cluster`.
        cluster: e.g. `westeurope-1`.
        timeout_s: how long CDF may take to answer, in seconds.
        transfer_timeout_s: how long a store may take to answer once it has a part, in seconds.
        stall_timeout_s: a part that moves less than 64 KiB in this long, in seconds, is sent again.
        uploaded_wait_s: after completion, wait this long, in seconds, for CDF to say `uploaded`.
        congestion: how TCP decides what it sends to a store, where the system (Linux) lets it be
            chosen: "auto" sends by BBR once packets are seen to be lost at random, and an upload's
            last parts where a long way has room, "bbr" always, "system" never.
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
    congestion: Congestion = "auto"
    retry: Retry = field(default_factory=Retry)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Check what can be checked without asking CDF."""
        object.__setattr__(self, "client_name", cleaned_text("client_name", self.client_name))
        if not self.client_name:
            raise ConfigError("client_name is empty; give your application's name.")
        if not self.client_name.isprintable():
            raise ConfigError("client_name has a line break or another invisible character.")
        if not self.client_name.isascii():
            raise ConfigError(f"client_name {self.client_name!r} goes into a header: use ASCII.")
        object.__setattr__(self, "project", checked_project(self.project))
        given: Any = self.credentials
        is_class = isinstance(given, type)
        if is_class or not isinstance(given, Credentials):
            what = f"the class {given.__name__}" if is_class else f"a {type(given).__name__}"
            raise ConfigError(
                f"credentials is {what}; give Token(...), "
                "OAuthClientCredentials(...), OAuthDeviceCode(...), OAuthInteractive(...) or a "
                "credential provider of the official SDK."
            )
        if bool(self.base_url) == bool(self.cluster):
            raise ConfigError("Give either base_url or cluster, and not both.")
        url = self.base_url or url_of_cluster(checked_cluster(self.cluster))
        object.__setattr__(self, "base_url", checked_root(url, "base_url"))
        for name in ("timeout_s", "transfer_timeout_s", "stall_timeout_s"):
            object.__setattr__(self, name, checked_seconds(name, getattr(self, name)))
        object.__setattr__(self, "congestion", _congestion(self.congestion))
        for name, kind in (("retry", Retry), ("headers", Mapping)):
            given = getattr(self, name)
            if not isinstance(given, kind):
                raise ConfigError(f"{name} is a {kind.__name__}, not {type(given).__name__}.")
        check_seconds("uploaded_wait_s", self.uploaded_wait_s)
        headers = dict(cleaned_header(name, value) for name, value in self.headers.items())
        object.__setattr__(self, "headers", headers)

    @property
    def project_url(self) -> str:
        """`{base_url}/api/v1/projects/{project}`."""
        return f"{self.base_url}/api/v1/projects/{self.project}"

    @classmethod
    def from_env(
        cls,
        env: Mapping[str, str] | None = None,
        *,
        dotenv: str | os.PathLike[str] | bool | None = None,
        cache: bool | str | os.PathLike[str] = False,
        **settings: Any,
    ) -> ClientConfig:
        """Read the variables that the official tools share.

        CDF-hosted notebooks: COGNITE_PROJECT, COGNITE_BASE_URL and COGNITE_TOKEN (the last is read
        at every request); else CDF_PROJECT, CDF_URL or CDF_CLUSTER, and by LOGIN_FLOW:

        - `token`: CDF_TOKEN.
        - `client_credentials`: IDP_CLIENT_ID, IDP_CLIENT_SECRET, and IDP_TENANT_ID or
          IDP_TOKEN_URL.
        - `device_code`: IDP_TENANT_ID, or IDP_DISCOVERY_URL and IDP_CLIENT_ID.
        - `interactive`: IDP_CLIENT_ID, and IDP_TENANT_ID or IDP_AUTHORITY_URL.

        IDP_SCOPES, IDP_AUDIENCE and PROVIDER are read as the toolkit reads them. Without LOGIN_FLOW
        it is `token` where CDF_TOKEN is set, else `client_credentials`.

        Args:
            env: the variables; those of the process when None.
            dotenv: a file of more variables, such as the toolkit writes; those of `env` win. True:
                `.env` in the current folder or the nearest one above it.
            cache: as of `OAuthDeviceCode`, where a person signs in.
            **settings: fields of this class, which win over all variables.

        Raises:
            ConfigError: names every variable that is missing; never shows a value.
        """
        if wrong := settings.keys() - {one.name for one in fields(cls)}:
            raise ConfigError(f"There is no setting {', '.join(sorted(wrong))}.")
        found = settings_of(variables(env, dotenv), cache)
        return cls(**{**found, "client_name": "cognite_nb_upload", **settings})


def _congestion(value: object) -> Congestion:
    try:
        return checked_congestion(value)
    except UsageError as error:
        raise ConfigError(str(error)) from None
