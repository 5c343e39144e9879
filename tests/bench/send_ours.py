"""`client.files.upload` of this package, with journal, progress and verification on."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import tempfile

from meter import arguments, files_of, measured, size_of

from cognite_nb_upload import AsyncCogniteClient, ClientConfig, Token
from cognite_nb_upload.progress import bars
from cognite_nb_upload.progress.many import BatchBar
from cognite_nb_upload.transfer.upload import Uploaded

MIB = 2**20


async def main() -> None:
    """Upload a few bytes, so that everything is loaded; then what is measured."""
    options = arguments()
    config = ClientConfig(
        client_name="bench",
        project=options.project,
        base_url=options.url,
        credentials=Token(options.token),
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COGNITE_NB_UPLOAD_STATE"] = folder
        async with AsyncCogniteClient(config) as client:
            await client.files.upload(b"few bytes", name="few")
            if files_of(options.path):
                await client.files.start_many([__file__])
            await measured(lambda: _send(client, options), size_of(options.path))


async def _send(client: AsyncCogniteClient, options: argparse.Namespace) -> Uploaded | None:
    """One file with its progress bars; or all files of a folder with theirs."""
    if files_of(options.path):
        batch = client.files.start_many(options.path)
        with contextlib.redirect_stderr(io.StringIO()), BatchBar(batch, disable=False):
            frame = await batch
        assert set(frame["status"]) == {"done"}, frame["error"]
        return None
    part_size = options.part_mib * MIB
    upload = client.files.upload(
        options.path,
        max_concurrency=options.at_once,
        part_size=part_size,
        verify=options.verify,
    )
    with bars(upload, disable=False, file=io.StringIO()):
        return await upload


asyncio.run(main())
