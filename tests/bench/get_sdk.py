"""The official SDK's `files.download_to_path`."""

from __future__ import annotations

import asyncio

from cognite.client import AsyncCogniteClient, ClientConfig, global_config
from cognite.client.credentials import Token
from meter import arguments, measured


async def main() -> None:
    """Look the file up, so that everything is loaded; then what is measured."""
    options = arguments()
    global_config.disable_pypi_version_check = True
    client = AsyncCogniteClient(
        ClientConfig("bench", project="bench", base_url=options.url, credentials=Token("x"))
    )
    await client.files.retrieve(id=options.file_id)

    async def get() -> None:
        await client.files.download_to_path(options.path, id=options.file_id)

    await measured(get, 0, path=options.path)


asyncio.run(main())
