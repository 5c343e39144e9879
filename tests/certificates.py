"""A certificate authority for tests of TLS."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme


@dataclass
class Authority:
    """A certificate authority, and what it has issued, as files in `folder`."""

    folder: Path
    ca: trustme.CA = field(default_factory=trustme.CA)

    @property
    def file(self) -> str:
        """Its own certificate, for whoever is to trust it."""
        path = self.folder / "ca.pem"
        self.ca.cert_pem.write_to_path(path)
        return str(path)

    def issue(self, *names: str, **how: Any) -> tuple[str, str]:
        """The files of a certificate for these hosts, and of its key."""
        made = self.ca.issue_cert(*names, **how)
        certificate, key = self.folder / "cert.pem", self.folder / "key.pem"
        certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
        made.private_key_pem.write_to_path(key)
        return str(certificate), str(key)
