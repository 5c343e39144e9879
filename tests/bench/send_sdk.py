"""The official SDK's `files.upload` of a file, or of a folder."""

from __future__ import annotations

import asyncio
import tempfile

from cognite.client import AsyncCogniteClient, ClientConfig, global_config
from cognite.client.credentials import Token
from meter import arguments, measured, size_of


async def main() -> None:
    """Upload a few bytes, so that everything is loaded; then what is measured."""
    options = arguments()
    global_config.disable_pypi_version_check = True
    global_config.concurrency_settings.files.upload = options.at_once
    client = AsyncCogniteClient(
        ClientConfig("bench", project="bench", base_url=options.url, credentials=Token("x"))
    )
    with tempfile.NamedTemporaryFile() as few:
        few.write(b"few bytes")
        few.flush()
        await client.files.upload(few.name)
    await measured(lambda: client.files.upload(options.path), size_of(options.path))


asyncio.run(main())
