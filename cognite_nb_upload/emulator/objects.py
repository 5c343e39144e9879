"""The store's endpoints: parts and files come in, files go out. Errors are XML."""

from __future__ import annotations

import base64
import contextlib
import re
import secrets
from collections.abc import Awaitable, Callable, Generator
from urllib.parse import quote
from xml.sax.saxutils import escape

from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .intake import take_body
from .project import Project
from .rules import MAX_SINGLE_PUT
from .signing import StoreRefused, mismatch
from .storage import PartWriter
from .uploads import Uploads

TWO_MECHANISMS = (
    "Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query "
    "string parameter or the Authorization header should be specified"
)
Endpoint = Callable[[Request], Awaitable[Response]]
NO_UPLOAD = (
    "The specified upload does not exist. The upload ID may be invalid, or the upload may have "
    "been aborted or completed."
)


class Objects:
    """PUT of parts and of whole files, GET with ranges, and preflights of browsers."""

    def __init__(self, project: Project, uploads: Uploads) -> None:
        self._project = project
        self._uploads = uploads
        self._settings = project.settings
        self.routes = [
            self._route("part", "/store/parts/{upload}/{part:int}", self.put_part, "PUT"),
            self._route("put", "/store/files/{upload}", self.put_file, "PUT"),
            self._route("download", "/store/blobs/{upload}", self.download, "GET", "HEAD"),
        ]

    def _route(self, name: str, path: str, endpoint: Endpoint, *methods: str) -> Route:
        return Route(path, endpoint, methods=[*methods, "OPTIONS"], name=name)

    # ---- bytes in

    async def put_part(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return self._preflight(request)
        upload_id, no = request.path_params["upload"], request.path_params["part"]
        size = self._checked_size(request, self._settings.max_part_size)
        if self._settings.strict_storage and "content-type" in request.headers:
            raise mismatch(self._settings.store)
        if no >= self._uploads.open_parts(upload_id):
            raise StoreRefused(404, "NoSuchUpload", NO_UPLOAD)
        return await self._stored(request, upload_id, no, size, self._settings.max_part_size)

    async def put_file(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return self._preflight(request)
        upload_id = request.path_params["upload"]
        size = self._checked_size(request, MAX_SINGLE_PUT)
        meta = self._uploads.single_file(upload_id)
        if meta is None:
            raise StoreRefused(404, "NoSuchUpload", NO_UPLOAD)
        mime, signed = request.headers.get("content-type"), meta.get("mimeType")
        if self._settings.strict_storage and mime and signed and mime != signed:
            raise mismatch(self._settings.store)
        response = await self._stored(request, upload_id, 0, size, MAX_SINGLE_PUT)
        self._uploads.single_arrived(upload_id)
        return response

    def _checked_size(self, request: Request, most: int) -> int | None:
        """The size that the body claims, if the store would take it; None if only its end tells."""
        store, strict = self._settings.store, self._settings.strict_storage
        self._project.signer.check("PUT", request.url.path, request.query_params, store)
        if strict and "authorization" in request.headers:
            raise StoreRefused(400, "InvalidArgument", TWO_MECHANISMS)
        length = request.headers.get("content-length")
        if length is None and strict:
            text = "You must provide the Content-Length HTTP header."
            raise StoreRefused(411, "MissingContentLength", text)
        if length is not None and int(length) > most:
            raise too_large(most)
        return None if length is None else int(length)

    async def _stored(
        self, request: Request, upload_id: str, no: int, size: int | None, most: int
    ) -> Response:
        local = self._project.local
        writer = local.open_part(upload_id, no, size or 0)
        keep = False
        try:
            await take_body(request, writer, size)
            self._check_body(request, writer, size, most)
            keep = self._is_wanted(upload_id)
        except OSError as error:
            text = f"The emulator's disk says: {error.strerror}."
            raise StoreRefused(507, "InsufficientStorage", text) from error
        finally:
            local.close_part(writer, keep=keep)
        if not keep:
            raise StoreRefused(404, "NoSuchUpload", NO_UPLOAD)
        headers = checksum_headers(self._settings.store, writer.digest())
        status = 201 if self._settings.store == "azure" else 200
        return Response(status_code=status, headers=headers)

    def _is_wanted(self, upload_id: str) -> bool:
        """Whether the upload is still open now that the body has come."""
        return bool(self._uploads.open_parts(upload_id) or self._uploads.single_file(upload_id))

    def _check_body(
        self, request: Request, writer: PartWriter, size: int | None, most: int
    ) -> None:
        if writer.size > most:
            raise too_large(most)
        if size is not None and writer.size != size:
            text = "You did not provide the number of bytes specified by Content-Length."
            raise StoreRefused(400, "IncompleteBody", text)
        claimed, digest = request.headers.get("content-md5"), writer.digest()
        if claimed and digest and claimed != base64.b64encode(digest).decode():
            text = "The Content-MD5 you specified did not match what we received."
            raise StoreRefused(400, "BadDigest", text)

    # ---- bytes out

    async def download(self, request: Request) -> Response:
        if request.method == "OPTIONS":
            return self._preflight(request)
        store, query = self._settings.store, request.query_params
        self._project.signer.check("GET", request.url.path, query, store)
        found = self._project.blob(request.path_params["upload"])
        if found is None:
            raise StoreRefused(404, "NoSuchKey", "The specified key does not exist.")
        meta, content = found
        total = sum(content["sizes"])
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
        pieces = self._project.local.slice(content, start, end)
        return Download(pieces, 206 if partial else 200, headers)

    def _preflight(self, request: Request) -> Response:
        if not self._settings.cors or "origin" not in request.headers:
            text = "CORSResponse: CORS is not enabled for this bucket."
            raise StoreRefused(403, "AccessForbidden", text)
        asked = request.headers.get("access-control-request-headers", "")
        headers = {
            "access-control-allow-methods": "PUT, GET, HEAD",
            "access-control-allow-headers": asked,
            "access-control-max-age": "600",
        }
        return Response(status_code=200, headers=headers)


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
    return text if text.isascii() and text.isprintable() else ""


def byte_range(header: str | None, total: int) -> tuple[int, int, bool]:
    """[start, end) of one `Range: bytes=...`, and whether it was asked for."""
    asked = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
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
