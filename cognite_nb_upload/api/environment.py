"""The variables that the official tools share, of the process or of a `.env` file.

Rules of this file: nothing of a value that may be secret is shown; what is missing is named, by the
way of signing in that was chosen; a variable of the process wins over one of a file.
"""

from __future__ import annotations

import os
import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from cognite_nb_upload.api.auth import Credentials, OAuthClientCredentials, Token
from cognite_nb_upload.api.values import (
    checked_cluster,
    checked_project,
    checked_tenant,
    cleaned,
    cleaned_text,
    cleaned_token,
    is_page,
)
from cognite_nb_upload.core.secret import REDACTED
from cognite_nb_upload.errors import ConfigError
from cognite_nb_upload.http import checked_base_url, host_of, redacted

FLOWS: Final = ("client_credentials", "interactive", "device_code", "token")
# The public client that the toolkit signs in with by device code at Entra ID, and so does not
# write into its `.env`: TOOLKIT_CLIENT_ENTRA_ID in the `constants.py` of cognite-toolkit.
TOOLKIT_CLIENT: Final = "fb9d503b-ac25-44c7-a75d-8fbcd3a206bd"
_CDF_TOKEN_URL: Final = "https://auth.cognite.com/oauth2/token"  # noqa: S105 # an address
_TOKENS: Final = frozenset({"CDF_TOKEN", "COGNITE_TOKEN"})
_MAY_HAVE_SPACES: Final = frozenset({"IDP_CLIENT_SECRET", "IDP_SCOPES", "IDP_AUDIENCE"})
_LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*")
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


class Variables(Mapping[str, str]):
    """The environment, cleaned; no repr shows it, as a traceback may print what a frame holds."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env

    def __getitem__(self, name: str) -> str:
        value = self._env[name]
        if name in _TOKENS:
            return cleaned_token(value, name)
        return (cleaned_text if name in _MAY_HAVE_SPACES else cleaned)(name, value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._env)

    def __len__(self) -> int:
        return len(self._env)

    def __repr__(self) -> str:
        return REDACTED


def variables(
    env: Mapping[str, str] | None, dotenv: str | os.PathLike[str] | bool | None
) -> Variables:
    """Those of `env` (the process's when None), and those of a file that they leave open."""
    given = os.environ if env is None else env
    if not isinstance(given, Mapping):
        raise ConfigError(
            f"env is a mapping of variables, not {type(given).__name__}; for a file there is "
            "dotenv="
        )
    if dotenv is None or dotenv is False:
        return Variables(given)
    path = _dotenv_path(dotenv)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        is_text = not isinstance(error, UnicodeError)
        why = getattr(error, "strerror", None) or (
            "that is no path" if is_text else "it is not UTF-8 text"
        )
        raise ConfigError(f"The file {path} cannot be read: {why}.") from None
    # The two are merged when a value is read: a token of the process may be another one by then.
    return Variables(ChainMap(given, read_dotenv(text, given)))  # type: ignore[arg-type]


def _dotenv_path(given: str | os.PathLike[str] | bool) -> Path:
    if given is True:
        return _nearest()
    if not isinstance(given, str | os.PathLike):
        raise ConfigError(f"dotenv is the path of a file or True, not {type(given).__name__}.")
    return Path(os.path.expanduser(given))


def _nearest() -> Path:
    """`.env` in the current folder or the nearest one above it."""
    try:
        here = Path.cwd()
    except OSError:
        raise ConfigError("The current folder was deleted; give the path of the file.") from None
    found = next((one for one in (here, *here.parents) if (one / ".env").is_file()), None)
    if found is None:
        raise ConfigError(f"There is no .env in {here} or above it; give its path.")
    return found / ".env"


def read_dotenv(text: str, env: Mapping[str, str]) -> dict[str, str]:
    """The variables of a `.env` file: `NAME=value`, quoted or not, `${NAME}` replaced.

    Raises:
        ConfigError: a line is no such thing; its number is named, and nothing of it is shown.
    """
    found: dict[str, str] = {}

    def value_of(match: re.Match[str]) -> str:
        return env.get(match[1], found.get(match[1], ""))

    for no, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if (match := _LINE.fullmatch(line)) is None:
            raise ConfigError(f"Line {no} of the .env file is not of the form NAME=value.")
        name, value = match.groups()
        quoted = re.fullmatch(r"""(["'])(.*)\1(?:\s+#.*)?""", value)
        if quoted is None:
            value = re.sub(r"(^|\s+)#.*", "", value)
        else:
            value = quoted[2]
        found[name] = value if quoted and quoted[1] == "'" else _VARIABLE.sub(value_of, value)
    return found


Cache = bool | str | os.PathLike[str]


def settings_of(env: Variables, cache: Cache = False) -> dict[str, Any]:
    """`project`, `base_url` and `credentials`; `cache` is for those of a person.

    Raises:
        ConfigError: names every variable that is missing; never shows a value.
    """
    hosted = bool(env.get("COGNITE_TOKEN") and env.get("COGNITE_PROJECT"))
    base_url = base_url_of(env, "COGNITE_BASE_URL" if hosted else "CDF_URL")
    project = env.get("COGNITE_PROJECT" if hosted else "CDF_PROJECT")
    if project:
        checked_project(project, "COGNITE_PROJECT" if hosted else "CDF_PROJECT")
    missing = [] if project else ["CDF_PROJECT"]
    missing += [] if base_url else ["CDF_CLUSTER (or CDF_URL)"]
    credentials = _token(env, "COGNITE_TOKEN") if hosted else credentials_of(env, missing, cache)
    if missing or credentials is None:
        raise _missing(env, missing).hint(
            "Or give the settings: CogniteClient(ClientConfig(...)), or an official client: "
            "CogniteClient.from_sdk(client)."
        )
    return {"project": project, "base_url": base_url, "credentials": credentials}


def _token(env: Variables, name: str) -> Token:
    """Read at every request: a program may renew it, and may remove it."""

    def read() -> str:
        try:
            return env[name]
        except KeyError:
            gone = f"{name} is no longer in the environment; set it again."
            raise ConfigError(gone) from None

    return Token(read)


def _missing(env: Variables, missing: list[str]) -> ConfigError:
    flow = env.get("LOGIN_FLOW", "").lower()
    why = f" for LOGIN_FLOW={flow}" if flow else ""
    return ConfigError(f"Missing in the environment{why}: {', '.join(missing)}.")


def credentials_of(env: Variables, missing: list[str], cache: Cache) -> Credentials | None:
    """The credentials by LOGIN_FLOW; adds to `missing` what they lack, and is None then."""
    flow = env.get("LOGIN_FLOW", "").lower()
    provider = env.get("PROVIDER", "").lower()
    if flow and flow not in FLOWS:
        raise ConfigError(f"LOGIN_FLOW is {flow!r}; it is one of {', '.join(FLOWS)}.")
    if flow == "token" or (not flow and env.get("CDF_TOKEN")):
        if not env.get("CDF_TOKEN"):
            missing.append("CDF_TOKEN")
            return None
        return _token(env, "CDF_TOKEN")
    if flow == "device_code":
        return _device_code(env, provider, missing, cache)
    if flow == "interactive":
        return _interactive(env, provider, missing, cache)
    return _client_credentials(env, provider, missing)


def _client_credentials(
    env: Variables, provider: str, missing: list[str]
) -> OAuthClientCredentials | None:
    token_url = env.get("IDP_TOKEN_URL", "")
    tenant = _tenant(env)
    if not token_url and provider == "cdf":
        token_url = _CDF_TOKEN_URL
    if not token_url and tenant:
        token_url = f"https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
    lacking = [name for name in ("IDP_CLIENT_ID", "IDP_CLIENT_SECRET") if not env.get(name)]
    if not token_url:
        lacking.append("IDP_TENANT_ID (or IDP_TOKEN_URL)")
    if lacking:
        missing += [*lacking, *([] if env.get("LOGIN_FLOW") else ["or CDF_TOKEN in their place"])]
        return None
    return OAuthClientCredentials(
        token_url,
        env["IDP_CLIENT_ID"],
        env["IDP_CLIENT_SECRET"],
        _scopes(env, provider),
        env.get("IDP_AUDIENCE") or (base_url_of(env) if provider in ("auth0", "other") else None),
    )


def _device_code(
    env: Variables, provider: str, missing: list[str], cache: Cache
) -> Credentials | None:
    from cognite_nb_upload.api.oauth.device_code import OAuthDeviceCode  # seldom needed

    client_id = env.get("IDP_CLIENT_ID", "")
    by_discovery = bool(env.get("IDP_DISCOVERY_URL")) or provider not in ("", "entra_id")
    authority = "" if by_discovery else _authority(env)
    if by_discovery:
        lacking = [one for one in ("IDP_DISCOVERY_URL", "IDP_CLIENT_ID") if not env.get(one)]
    else:
        lacking = [] if authority else ["IDP_TENANT_ID"]
        client_id = client_id or TOOLKIT_CLIENT
    if lacking:
        missing += lacking
        return None
    root = base_url_of(env)
    return OAuthDeviceCode(
        authority or None,
        client_id,
        _given_scopes(env) or _person_scopes(root),
        None,
        env.get("IDP_DISCOVERY_URL") if by_discovery else None,
        audience=(env.get("IDP_AUDIENCE") or root) if by_discovery else env.get("IDP_AUDIENCE"),
        cache=cache,
    )


def _interactive(
    env: Variables, provider: str, missing: list[str], cache: Cache
) -> Credentials | None:
    from cognite_nb_upload.api.oauth.interactive import OAuthInteractive  # seldom needed

    lacking = [] if env.get("IDP_CLIENT_ID") else ["IDP_CLIENT_ID"]
    authority = _authority(env)
    discovery = "" if authority else env.get("IDP_DISCOVERY_URL", "")
    if not authority and not discovery:
        lacking.append(
            "IDP_TENANT_ID (or IDP_AUTHORITY_URL)"
            if provider in ("", "entra_id")
            else "IDP_AUTHORITY_URL (or IDP_DISCOVERY_URL)"
        )
    if lacking:
        missing += lacking
        return None
    return OAuthInteractive(
        authority or None,
        env["IDP_CLIENT_ID"],
        _scopes(env, provider),
        oauth_discovery_url=discovery or None,
        audience=env.get("IDP_AUDIENCE"),
        cache=cache,
    )


def _authority(env: Variables) -> str:
    """By its address, by the tenant, or by the token URL of the tenant; "" without them."""
    if url := env.get("IDP_AUTHORITY_URL"):
        return url
    if tenant := _tenant(env):
        return f"https://login.microsoftonline.com/{tenant}"
    url, end = env.get("IDP_TOKEN_URL", ""), "/oauth2/v2.0/token"
    return url.removesuffix(end) if url.endswith(end) else ""


def _tenant(env: Variables) -> str:
    return checked_tenant(env.get("IDP_TENANT_ID", ""), "IDP_TENANT_ID")


def _given_scopes(env: Variables) -> list[str]:
    return [one.strip() for one in env.get("IDP_SCOPES", "").split(",") if one.strip()]


def _scopes(env: Variables, provider: str) -> list[str]:
    """Those that are given, else those that the toolkit asks each provider for."""
    if given := _given_scopes(env):
        return given
    if provider == "auth0":
        return ["IDENTITY", "ADMIN", "user_impersonation"]
    root = base_url_of(env)
    return [f"{root}/.default"] if root and provider != "cdf" else []


def _person_scopes(root: str) -> list[str]:
    return [f"{root}/IDENTITY", f"{root}/user_impersonation", "openid", "profile"]


def base_url_of(env: Mapping[str, str], variable: str = "CDF_URL") -> str:
    """CDF's address by that variable, else by the cluster; "" where neither is set."""
    if url := env.get(variable):
        return checked_root(url, variable)
    cluster = env.get("CDF_CLUSTER")
    return url_of_cluster(checked_cluster(cluster, "CDF_CLUSTER", "CDF_URL")) if cluster else ""


def url_of_cluster(cluster: str) -> str:
    """The address of a cluster by its name."""
    return f"https://{cluster}.cognitedata.com"


def checked_root(url: object, name: str) -> str:
    """CDF's address without a path to one of its endpoints."""
    found = checked_base_url(cleaned(name, url), name)
    host = host_of(found)
    if host in ("http", "https"):  # https://https://host
        raise ConfigError(f"{name} {redacted(found)!r} has its https twice; give https://host.")
    if is_page(host):
        raise ConfigError(
            f"{name} {redacted(found)!r} is a page for people; the API is at "
            "https://<cluster>.cognitedata.com."
        )
    path = found.partition("://")[2].partition("/")[2]  # one of a proxy is part of the address
    is_cdf = host.endswith(".cognitedata.com")
    if "?" in found or "#" in found or "/api/v1" in found or (path and is_cdf):
        raise ConfigError(f"{name} {redacted(found)!r} goes on after the host; give https://host.")
    return found
