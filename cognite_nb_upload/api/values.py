"""Settings as people paste them: cleaned of what nobody sees, or refused in a sentence.

Rules of this file: what stands around a value (line breaks, spaces, zero-width characters, quotes)
is dropped; inside it, it is refused by the name of the setting; no sentence shows a value that may
be secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from cognite_nb_upload.core.unseen import is_unseen, trimmed
from cognite_nb_upload.errors import ConfigError

_QUOTES: Final = frozenset("\"'")
_CLUSTER: Final = re.compile(r"(?i)[a-z0-9][a-z0-9-]*(\.[a-z0-9][a-z0-9-]*)*")
_DOMAIN: Final = ".cognitedata.com"
_END: Final = re.compile(r"(\.cognitedata(\.com)?)+$")
_IN_BROWSER: Final = "fusion.cognite.com"
# Microsoft's addresses, which are the same for every tenant: no discovery is needed.
ENTRA_HOST: Final = "login.microsoftonline.com"


def unquoted(text: str) -> str:
    """`trimmed`, and what stands in a pair of quotes without it."""
    word = trimmed(text)
    if len(word) >= 2 and word[0] == word[-1] and word[0] in _QUOTES:
        word = trimmed(word[1:-1])
    return word


def cleaned(name: str, text: object) -> str:
    """One word: what is around it is dropped, a pair of quotes too.

    Args:
        name: of the setting or environment variable, for the sentence.
        text: the value.

    Raises:
        ConfigError: it is no text, or has a space, a line break or an invisible character inside.
    """
    if not isinstance(text, str):
        raise ConfigError(f"{name} is text, not {type(text).__name__}.")
    word = unquoted(text)
    for at, char in enumerate(word):
        if is_unseen(char):
            raise ConfigError(f"{name} has {_called(char)} after its character {at}: remove it.")
    return word


def cleaned_text(name: str, text: object) -> str:
    """Text that may have spaces inside: what is around it is dropped, a pair of quotes too.

    Raises:
        ConfigError: it is no text, or has a line break inside; it is not shown.
    """
    if not isinstance(text, str):
        raise ConfigError(f"{name} is text, not {type(text).__name__}.")
    found = unquoted(text)
    if len(found.splitlines()) > 1:
        raise ConfigError(f"{name} has a line break: remove it.")
    return found


def cleaned_scopes(name: str, given: object) -> str:
    """Scopes, as text parted by spaces or several texts, in one text.

    Raises:
        ConfigError: they are neither.
    """
    several = [given] if isinstance(given, str) else given
    if not isinstance(several, Iterable) or isinstance(several, bytes):
        raise ConfigError(f"{name} is a list of text, not {type(given).__name__}.")
    words = list(several)
    if wrong := next((one for one in words if not isinstance(one, str)), None):
        raise ConfigError(f"{name} is a list of text, and {type(wrong).__name__} is in it.")
    return " ".join(word for one in words for word in one.split())


def cleaned_token(text: object, name: str = "The token") -> str:
    """A bearer token as a header can carry it, without `Bearer`; it may be empty.

    Raises:
        ConfigError: it holds what no token has.
    """
    if not isinstance(text, str):
        raise ConfigError(f"{name} is text, not {type(text).__name__}.")
    word = cleaned(name, re.sub(r"(?i)^bearer\s+", "", trimmed(text)))
    if not word.isascii():
        raise ConfigError(f"{name} has a letter that is not ASCII: no token has one.")
    return word


def cleaned_header(name: object, value: object) -> tuple[str, str]:
    """A header of a request.

    Raises:
        ConfigError: HTTP cannot carry it. The value is not shown.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ConfigError(f"{name!r} cannot be a header's name.")
    if not isinstance(value, str):
        raise ConfigError(f"The header {name} is text, not {type(value).__name__}.")
    value = trimmed(value)
    if not value.isascii() or not value.isprintable():
        raise ConfigError(f"The header {name} has a line break or a letter that is not ASCII.")
    return name, value


def checked_project(project: object, name: str = "project") -> str:
    """The name of a CDF project, which is a part of every address.

    Raises:
        ConfigError: it is empty, or no name.
    """
    word = cleaned(name, project)
    if not word:
        raise ConfigError(f"{name} is empty; give the CDF project's name.")
    if re.search(r"[/?#%\\]", word) or word in (".", ".."):
        raise ConfigError(
            f"{name} is {word!r}; give the CDF project's name alone, as 'my-project'."
        )
    return word


def checked_tenant(tenant: str, name: str) -> str:
    """A tenant of Entra ID, an id or a domain; it may be empty.

    Raises:
        ConfigError: it is neither.
    """
    if tenant and not re.fullmatch(r"[A-Za-z0-9._-]+", tenant):
        raise ConfigError(
            f"{name} is the id of a tenant or its domain, such as 'company.onmicrosoft.com', not "
            f"{tenant!r}."
        )
    return tenant


def entra_authority(tenant_id: object) -> str:
    """The authority of a tenant of Microsoft Entra ID.

    Raises:
        ConfigError: it is empty, or neither an id nor a domain.
    """
    tenant = checked_tenant(cleaned("tenant_id", tenant_id), "tenant_id")
    if not tenant:
        raise ConfigError("tenant_id is empty; give the id of the tenant or its domain.")
    return f"https://{ENTRA_HOST}/{tenant}"


def is_page(host: str) -> bool:
    """True of a host that shows CDF to people, and has no API."""
    return host == _IN_BROWSER or host.endswith(f".{_IN_BROWSER}")


def checked_cluster(cluster: object, name: str = "cluster", url_name: str = "base_url") -> str:
    """The name of a cluster, such as `westeurope-1`.

    Raises:
        ConfigError: it is an address; the sentence says what to write instead.
    """
    word = cleaned(name, cluster)
    host = re.sub(r"(?i)^[a-z]+://", "", word).partition("/")[0].partition(":")[0]
    host = host.rstrip(".").lower()
    short = _END.sub("", host)
    if _CLUSTER.fullmatch(short) and short != _DOMAIN.lstrip(".") and not is_page(short):
        if short == word.lower():
            return word
        if short != host or short == word.lower().rstrip("./"):
            raise ConfigError(
                f"{name} is a name such as 'westeurope-1', not an address: use {short!r}."
            )
    raise ConfigError(
        f"{name} is a name such as 'westeurope-1'; for an address of another form use {url_name}."
    )


def _called(char: str) -> str:
    if char in "\r\n\u2028\u2029":
        return "a line break"
    if char.isspace():
        return "a space"
    return f"an invisible character (U+{ord(char):04X})"
