"""The switches of an emulator: what differs by cloud, what is unknown, what tests turn."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from . import rules

WEEK_S = 7 * 86400.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of it is JSON, so that it can be handed to another process.

    Durations are seconds, sizes bytes.
    """

    project: str = "demo"
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    faults: bool = False
    strict_storage: bool = True
    repeated_complete: Literal["ok", "refuse"] = "ok"
    uploaded_delay_s: float = 0.0
    relative_urls: bool = False
    url_life_s: float = WEEK_S
    file_life_s: float = WEEK_S
    token_life_s: float | None = None
    write_scope: list[int] | None = None
    quota_bytes: int = 64 * 1024**3
    min_part_size: int = rules.MIN_PART_SIZE
    max_part_size: int = rules.MAX_PART_SIZE
    store: Literal["s3", "gcs", "azure"] = "s3"
    checksums: bool = True
    cors: bool = False
    storage: str | None = field(default=None, repr=False)  # it holds a secret
    tls: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if self.store not in ("s3", "gcs", "azure"):
            raise ValueError(f"store is s3, gcs or azure, not {self.store!r}.")
        if self.repeated_complete not in ("ok", "refuse"):
            raise ValueError(f"repeated_complete is ok or refuse, not {self.repeated_complete!r}.")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Settings:
        tls = data.get("tls")
        return cls(**data | {"tls": (tls[0], tls[1]) if tls else None})
