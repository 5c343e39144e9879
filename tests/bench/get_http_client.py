"""Four ranges by the standard library's `http.client`: what Python can do."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import ssl
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

from meter import arguments, measured

AT_ONCE = 4
MIB = 2**20


async def main() -> None:
    """Ask for the link; then what is measured."""
    options = arguments()
    body = json.dumps({"items": [{"id": options.file_id}]}).encode()
    ask = f"{options.url}/api/v1/projects/bench/files/downloadlink"
    context = ssl.create_default_context()
    request = urllib.request.Request(ask, body, {"content-type": "application/json"})
    with urllib.request.urlopen(request, context=context) as reply:  # noqa: ASYNC210 # not yet
        url = urlsplit(json.loads(reply.read())["items"][0]["downloadUrl"])
    target = f"{url.path}?{url.query}"

    def connected() -> http.client.HTTPConnection:
        if url.scheme == "https":
            return http.client.HTTPSConnection(url.netloc, context=context)
        return http.client.HTTPConnection(url.netloc)

    first = connected()
    first.request("GET", target, headers={"Range": "bytes=0-0"})
    size = int(first.getresponse().headers["Content-Range"].rpartition("/")[2])
    fd = os.open(options.path, os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, size)

    def get(number: int) -> None:
        start, end = (size * n // AT_ONCE for n in (number, number + 1))
        connection, room = connected(), memoryview(bytearray(MIB))
        connection.request("GET", target, headers={"Range": f"bytes={start}-{end - 1}"})
        reply = connection.getresponse()
        while start < end:
            came = reply.readinto(room)
            os.pwrite(fd, room[:came], start)
            start += came

    async def all_of_it() -> None:
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            await asyncio.gather(*(loop.run_in_executor(pool, get, n) for n in range(AT_ONCE)))

    await measured(all_of_it, size)


asyncio.run(main())
