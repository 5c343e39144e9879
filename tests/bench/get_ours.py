"""`client.files.download` of this package, with its checks, its record and its bar."""

from __future__ import annotations

import asyncio
import io

from meter import arguments, measured

from cognite_nb_upload import AsyncCogniteClient, ClientConfig, Token
from cognite_nb_upload.progress import bars


async def main() -> None:
    """Ask for the size, so that everything is loaded; then what is measured."""
    options = arguments()
    config = ClientConfig(
        client_name="bench", project="bench", base_url=options.url, credentials=Token("x")
    )
    async with AsyncCogniteClient(config) as client:
        size = await client.files.size(id=options.file_id)

        async def get() -> None:
            download = client.files.start_download(options.path, id=options.file_id)
            with bars(download, disable=False, file=io.StringIO()):
                await download

        await measured(get, size or 0)


asyncio.run(main())
