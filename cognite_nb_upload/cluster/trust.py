"""Which networks may carry orders: one's own machine, and what is encrypted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.http import is_loopback

_ENCRYPTED: Final = frozenset({"tls", "wss"})


def is_trusted(address: str) -> bool:
    """True for `tls://` and `inproc://`, and for what stays on this machine."""
    scheme, _, rest = address.rpartition("://")
    if scheme in _ENCRYPTED or scheme == "inproc":
        return True
    return is_loopback(urlsplit(f"//{rest}").hostname or "")


def check_trusted(addresses: Iterable[str]) -> None:
    """See that orders are read by nobody on the way.

    Raises:
        UsageError: an address is of a network, without TLS.
    """
    open_ones = [one for one in addresses if not is_trusted(one)]
    if open_ones:
        raise UsageError(
            f"{open_ones[0]} is neither encrypted nor on this machine, and the orders have upload "
            "URLs: use a cluster with TLS, or say trust_network=True."
        )
