"""The switches of an emulator: what differs by cloud, what is unknown, what tests turn."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from . import rules

WEEK_S = 7 * 86400.0


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All of it is JSON, so that it can be handed to another process. Sizes are bytes.

    Attributes:
        project: The only project there is.
        token: The bearer token, also the secret of `/oauth/token` and of the control routes.
        faults: Whether faults may be injected.
        strict_storage: Whether a part is refused for a missing Content-Length (411), an
            Authorization header (400) or a Content-Type (403), as S3 and Azure may do. Official
            clients send their token to the store; with this a test finds out that one does.
        store: Whose replies the built-in store imitates: ETag, Content-MD5 or x-goog-hash; how a
            bad signature is refused.
        storage: A real store for the parts: see `stores`.
        checksums: Whether the MD5 of each part is computed; it bounds the speed to about 500 MB/s.
        cors: Whether web pages of this machine may use store URLs.
        repeated_complete: Whether completing twice is harmless ("ok") or an error ("refuse").
        uploaded_delay_s: From completion until the file counts as uploaded.
        relative_urls: Whether the store's URLs are paths, to be joined to the base URL.
        url_life_s: Of upload URLs. 0: they are expired when they are handed out.
        file_life_s: After which a file without content is deleted.
        token_life_s: Of tokens from `/oauth/token`; an hour unless given.
        refresh_life_s: Of refresh tokens, which are good once; without end unless given.
        device_life_s: Of device codes. 0: they are expired when they are handed out.
        device_interval_s: Who polls more often is told to slow down.
        other_projects: What `token/inspect` names besides; they answer nothing.
        write_scope: Ids of the data sets that may be written to; no list: all, and none.
        space_scope: The spaces whose instances may be written; all unless given.
        node_delay_s: From the writing of a node until the file service knows its file.
        node_uploaded_delay_s: From `uploaded` of a file until its node says `isUploaded`.
        instances_s: How long a request to `/models/instances` takes.
        apply_limit: How many applies are answered at once in the whole project; more get 429.
        delete_limit: The same for deletes of instances.
        query_limit: The same for reads of instances.
        quota_bytes: Of the built-in store.
        min_part_size: Of all parts but the last; CDF's 5 MiB unless given.
        max_part_size: CDF's 4000 MiB unless given.
        tls: Paths of a certificate and its key.
        host: The address to listen on. Another one than loopback is for containers: the token is
            then all that guards the emulator.
        allowed_hosts: Names in Host and Origin that are answered besides loopback's.
        own_store: Whether the store listens on a port of its own, as CDF's stores are at other
            hosts than its API.
        patience_s: A request that sends nothing for so long is cut.
    """

    project: str = "demo"
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    faults: bool = False
    strict_storage: bool = False
    repeated_complete: Literal["ok", "refuse"] = "ok"
    uploaded_delay_s: float = 0.0
    relative_urls: bool = False
    url_life_s: float = WEEK_S
    file_life_s: float = WEEK_S
    token_life_s: float | None = None
    refresh_life_s: float | None = None
    device_life_s: float = 900.0
    device_interval_s: float = 5.0
    other_projects: tuple[str, ...] = ()
    write_scope: list[int] | None = None
    space_scope: list[str] | None = None
    node_delay_s: float = 0.0
    node_uploaded_delay_s: float = 0.0
    instances_s: float = 0.0
    apply_limit: int = 4
    delete_limit: int = 2
    query_limit: int = 8
    quota_bytes: int = 64 * 1024**3
    min_part_size: int = rules.MIN_PART_SIZE
    max_part_size: int = rules.MAX_PART_SIZE
    store: Literal["s3", "gcs", "azure"] = "s3"
    checksums: bool = True
    cors: bool = False
    storage: str | None = field(default=None, repr=False)  # it holds a secret
    tls: tuple[str, str] | None = None
    host: str = "127.0.0.1"
    allowed_hosts: tuple[str, ...] = ()
    own_store: bool = True
    patience_s: float = 60.0

    def __post_init__(self) -> None:
        if self.store not in ("s3", "gcs", "azure"):
            raise ValueError(f"store is s3, gcs or azure, not {self.store!r}.")
        if self.repeated_complete not in ("ok", "refuse"):
            raise ValueError(f"repeated_complete is ok or refuse, not {self.repeated_complete!r}.")

    @property
    def reached_at(self) -> str:
        """The address at which this machine reaches the emulator."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104

    def url(self, port: int) -> str:
        """Scheme, host and port."""
        host = f"[{self.reached_at}]" if ":" in self.reached_at else self.reached_at
        return f"{'https' if self.tls else 'http'}://{host}:{port}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Settings:
        arrays = {"tls", "allowed_hosts", "other_projects"} & data.keys()
        return cls(**data | {name: tuple(data[name]) for name in arrays if data[name]})
