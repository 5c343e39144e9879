"""`AsyncCogniteClient`: one CDF project, in the caller's own event loop."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from cognite_nb_upload import background
from cognite_nb_upload.api.catalog import AsyncCatalog
from cognite_nb_upload.api.config import ClientConfig
from cognite_nb_upload.api.interop import checked_config, config_from_sdk
from cognite_nb_upload.api.rpc import Rpc
from cognite_nb_upload.batch.files import AsyncManyFiles
from cognite_nb_upload.core.secret import NotPickled
from cognite_nb_upload.store.connection import StoreTimeouts
from cognite_nb_upload.store.network import NetworkStore


class AsyncCogniteClient(NotPickled):
    """A client of one CDF project, for `await`.

    Without `config`, the settings are those of the official SDK's
    `global_config.default_client_config` where it is set, else of the environment (see
    `ClientConfig.from_env`).

    Args:
        config: the settings.

    Attributes:
        config: the settings.
        files: upload in parts, look up, download, delete.
        catalog: data sets, labels, assets, security categories, the token's rights.

    Raises:
        ConfigError: there is no `config`, and the environment lacks something; it is named.
    """

    def __init__(self, config: ClientConfig | None = None) -> None:
        self.config = config = checked_config(config)
        self._rpc = Rpc(config)
        waits = StoreTimeouts(
            connect_s=min(30.0, config.timeout_s),
            stall_s=config.stall_timeout_s,
            answer_s=config.transfer_timeout_s,
        )
        self._network = NetworkStore(config.base_url, waits, config.congestion)
        self.files = AsyncManyFiles(self._rpc, self._network)
        self.catalog = AsyncCatalog(self._rpc)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, **settings: Any) -> Self:
        """A client from the variables that the official tools share; see `ClientConfig.from_env`.

        Raises:
            ConfigError: names what is missing.
        """
        return cls(ClientConfig.from_env(env, **settings))

    @classmethod
    def from_sdk(cls, client: object, **settings: Any) -> Self:
        """A client for the project, and with the credentials, of an official SDK client (7 or 8).

        Raises:
            UsageError: it is not such a client.
        """
        return cls(config_from_sdk(client, **settings))

    async def close(self) -> None:
        """Close the connections to CDF and to the stores; the client may still be used after."""
        await self._rpc.close()
        if background.is_running():  # uploads ask CDF from there
            await background.until_done(background.start(self._rpc.close))
        self._network.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.config.project!r} at {self.config.base_url}>"
