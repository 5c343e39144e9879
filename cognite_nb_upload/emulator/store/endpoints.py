"""The store's endpoints: parts and files come in, files go out. Errors are XML."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import secrets
from collections.abc import Generator
from urllib.parse import quote
from xml.sax.saxutils import escape

from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from ..content import Content
from ..project import Project
from ..routes import Family, plain
from ..rules import MAX_SINGLE_PUT, number
from ..uploads import Uploads
from .disk import PartWriter
from .signing import StoreRefused, mismatch

TWO_MECHANISMS = (
    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
    "string parameter or the Authorization header should be specified"
)
NO_UPLOAD = (
    "The specified upload does not exist. The upload ID may be invalid, or the upload may have "
    "been aborted or completed."
)
CHUNK = (
    "A header or a query parameter you provided implies functionality that is not implemented. A "
    "body is sent whole, or in the parts of a multipart upload."
)


class StoreObjects(Family):
    """PUT of parts and of whole files, GET with ranges."""

    def __init__(self, project: Project) -> None:
        super().__init__(project)
        self._uploads, self._content = Uploads(project), Content(project)
        self._settings, self._local = project.settings, project.local

    # ---- bytes in

    @plain("part", "/store/parts/{upload}/{part}", "PUT")
    async def put_part(self, request: Request) -> Response:
        upload_id = request.path_params["upload"]
        no = number(request.path_params, "part", 0, 10**6)
        size = self._checked_size(request, self._settings.max_part_size)
        if self._settings.strict_storage and "content-type" in request.headers:
            raise mismatch(self._settings.store)
        if no >= self._uploads.open_parts(upload_id):
            raise _no_upload()
        with self._local.part(upload_id, no, size or 0) as writer:
            await self._received(request, writer, size, self._settings.max_part_size)
            # It may have been completed meanwhile.
            writer.wanted = self._uploads.open_parts(upload_id) > 0
        return self._stored(writer)

    @plain("put", "/store/files/{upload}", "PUT")
    async def put_file(self, request: Request) -> Response:
        upload_id = request.path_params["upload"]
        size = self._checked_size(request, MAX_SINGLE_PUT)
        doc = self._uploads.single_file(upload_id)
        if doc is None:
            raise _no_upload()
        mime, signed = request.headers.get("content-type"), doc["meta"].get("mimeType")
        if self._settings.strict_storage and mime and signed and mime != signed:
            raise mismatch(self._settings.store)
        # A place of its own for each PUT: the content stays until the next one has come whole.
        blob = secrets.token_hex(16)
        arrived = False
        try:
            with self._local.part(blob, 0, size or 0) as writer:
                await self._received(request, writer, size, MAX_SINGLE_PUT)
                writer.wanted = True
            content = {"upload": blob, "sizes": [writer.size]}
            arrived = writer.wanted = self._uploads.single_arrived(upload_id, content)
        finally:
            if not arrived:
                self._local.delete({"upload": blob})
        return self._stored(writer)

    def _checked_size(self, request: Request, most: int) -> int | None:
        """The size that the body claims, if the store would take it; None if only its end tells."""
        store, strict = self._settings.store, self._settings.strict_storage
        self.project.signer.check("PUT", request.url.path, request.query_params, store)
        if strict and "authorization" in request.headers:
            raise StoreRefused(400, "InvalidArgument", TWO_MECHANISMS)
        others = request.query_params.keys() - {"expires", "signature"}  # such as Azure's `comp`
        if "content-range" in request.headers or others:
            raise StoreRefused(501, "NotImplemented", CHUNK)
        length = request.headers.get("content-length")
        if length is None and strict:
            text = "You must provide the Content-Length HTTP header."
            raise StoreRefused(411, "MissingContentLength", text)
        if length is not None and int(length) > most:
            raise too_large(most)
        return None if length is None else int(length)

    async def _received(
        self, request: Request, writer: PartWriter, size: int | None, most: int
    ) -> None:
        """Writes the body; raises StoreRefused if it is not what its headers say."""
        try:
            await _write(request, writer, most)
        except OSError as error:
            text = f"The emulator's disk says: {error.strerror}."
            raise StoreRefused(507, "InsufficientStorage", text) from error
        if size is not None and writer.size != size:
            text = "You did not provide the number of bytes specified by Content-Length."
            raise StoreRefused(400, "IncompleteBody", text)
        claimed, digest = request.headers.get("content-md5"), writer.digest()
        if claimed and digest and claimed != base64.b64encode(digest).decode():
            text = "The Content-MD5 you specified did not match what we received."
            raise StoreRefused(400, "BadDigest", text)

    def _stored(self, writer: PartWriter) -> Response:
        if not writer.wanted:
            raise _no_upload()
        headers = checksum_headers(self._settings.store, writer.digest())
        return Response(None, 201 if self._settings.store == "azure" else 200, headers)

    # ---- bytes out

    @plain("download", "/store/blobs/{file}/{upload}", "GET", "HEAD")
    async def download(self, request: Request) -> Response:
        store, query = self._settings.store, request.query_params
        self.project.signer.check("GET", request.url.path, query, store)
        with self.project.state.change():
            doc = self._content.alive(self.project.files.get(request.path_params["file"]))
        content = doc["content"]["content"] if doc and doc["content"] else {}
        if doc is None or content.get("upload") != request.path_params["upload"]:
            raise StoreRefused(404, "NoSuchKey", "The specified key does not exist.")
        meta, total = doc["meta"], sum(content["sizes"])
        start, end, partial = byte_range(request.headers.get("range"), total)
        headers = {
            "accept-ranges": "bytes",
            "content-length": str(end - start),
            "content-type": _as_header(meta.get("mimeType", "")) or "application/octet-stream",
            "content-disposition": f"attachment; filename*=UTF-8''{quote(meta['name'], safe='')}",
            "etag": f'"{content["upload"]}-{len(content["sizes"])}"',
        }
        if partial:
            headers["content-range"] = f"bytes {start}-{end - 1}/{total}"
        end = start if request.method == "HEAD" else end
        pieces = self._local.slice(content, start, end)
        return Download(pieces, 206 if partial else 200, headers)


async def _write(request: Request, writer: PartWriter, most: int) -> None:
    """Writes a body of at most `most` bytes: each piece in a thread, while the next arrives."""
    loop, job = asyncio.get_running_loop(), None
    try:
        async for chunk in request.stream():
            await _done(job)
            if writer.size + len(chunk) > most:
                raise too_large(most)
            job = loop.run_in_executor(None, writer.write, chunk)
    finally:
        await _done(job)  # also of a request that is cancelled: its file is closed then


async def _done(job: asyncio.Future[None] | None) -> None:
    if job:
        await asyncio.wait([job])
        job.result()


class Download(StreamingResponse):
    """Pieces that are read in threads; the file is closed when the client leaves in between."""

    def __init__(self, pieces: Generator[bytes], status: int, headers: dict[str, str]) -> None:
        self._pieces = pieces
        super().__init__(iterate_in_threadpool(pieces), status, headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            with contextlib.suppress(ValueError):  # a thread still reads; the end of it closes
                self._pieces.close()


def _as_header(text: str) -> str:
    """The text where it can be a header's value; nothing else."""
    return text.strip() if text.isascii() and text.isprintable() else ""


def byte_range(header: str | None, total: int) -> tuple[int, int, bool]:
    """[start, end) of one `Range: bytes=...`, and whether it was asked for."""
    asked = re.fullmatch(r"bytes=([0-9]{0,19})-([0-9]{0,19})", header or "")
    if not asked or asked[0] == "bytes=-":
        return 0, total, False
    first, last = asked[1], asked[2]
    if first:
        start, end = int(first), min(int(last) + 1 if last else total, total)
    else:
        start, end = max(total - int(last), 0), total
    if start >= end:
        text = "The requested range is not satisfiable"
        raise StoreRefused(416, "InvalidRange", text, ActualObjectSize=str(total))
    return start, end, True


def checksum_headers(store: str, digest: bytes | None) -> dict[str, str]:
    """What a store says of the bytes it has got. Without a checksum the ETag is a mere name."""
    name = {"etag": f'"0x{secrets.token_hex(7).upper()}"'}
    if digest is None:
        return name
    encoded = base64.b64encode(digest).decode()
    if store == "azure":
        return name | {"content-md5": encoded}
    tag = {"etag": f'"{digest.hex()}"'}
    return tag | {"x-goog-hash": f"md5={encoded}"} if store == "gcs" else tag


def _no_upload() -> StoreRefused:
    return StoreRefused(404, "NoSuchUpload", NO_UPLOAD)


def too_large(most: int) -> StoreRefused:
    return StoreRefused(400, "EntityTooLarge", f"A body may have at most {most} bytes.")


def xml_error(refusal: StoreRefused) -> Response:
    """The refusal as stores write it."""
    details = {"Code": refusal.code, "Message": refusal.message, **refusal.details}
    inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in details.items())
    size = refusal.details.get("ActualObjectSize")
    headers = {"content-range": f"bytes */{size}"} if size else {}
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{inner}</Error>'
    return Response(text, refusal.status, headers, media_type="application/xml")
