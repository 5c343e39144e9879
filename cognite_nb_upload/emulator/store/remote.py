"""Real object stores behind the emulator: part URLs lead to S3 or Azure, which do the refusing.

`s3://ACCESS:SECRET@host:port/bucket` · `azure://ACCOUNT:KEY@host:port/container`, both over plain
HTTP. Every request, our own ones too, carries its right in its URL; nothing but stdlib is needed.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import http.client
import re
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from urllib.parse import quote, unquote, urlencode

from .disk import READ_SIZE, Json, Storage
from .signing import ISO

TIMEOUT_S = 600.0
OWN_LIFE_S = 900.0  # of the URLs of our own requests
AZURE_VERSION = "2021-08-06"
S3_REGION = "us-east-1"


class StoreFailed(RuntimeError):
    """The store behind the emulator answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"The store behind the emulator answered {status}: {text[:500]}")
        self.status = status


def open_store(url: str, clock: Callable[[], float] = time.time) -> Storage:
    """The store that `url` names; its bucket or container is made if it is not there."""
    scheme, _, rest = url.partition("://")
    rights, _, place = rest.rpartition("@")
    name, _, secret = rights.partition(":")
    host, _, bucket = place.partition("/")
    kinds: dict[str, type[S3] | type[Azure]] = {"s3": S3, "azure": Azure}
    if scheme not in kinds or not (name and secret and host and bucket):
        raise ValueError(
            "storage is s3://KEY:SECRET@host/bucket or azure://ACCOUNT:KEY@host/container."
        )
    return kinds[scheme](host, unquote(name), unquote(secret), bucket, clock)


class _Remote:
    """What both stores share: plain HTTP requests, and reading back."""

    def __init__(
        self, host: str, name: str, secret: str, bucket: str, clock: Callable[[], float]
    ) -> None:
        self._host, self._name, self._secret, self._bucket = host, name, secret, bucket
        self._clock = clock
        self._make_bucket()

    def _make_bucket(self) -> None:
        raise NotImplementedError

    def _get_url(self, key: str, life_s: float) -> str:
        raise NotImplementedError

    def download_url(self, content: Json, file_id: int, *, origin: str, life_s: float) -> str:
        return self._get_url(content["key"], life_s)

    def read(self, content: Json) -> Iterator[bytes]:
        with self._open("GET", self._get_url(content["key"], OWN_LIFE_S)) as response:
            _check(response.status, "")
            while piece := response.read(READ_SIZE):
                yield piece

    def _ask(self, method: str, url: str, body: bytes = b"", fine: tuple[int, ...] = ()) -> str:
        with self._open(method, url, body) as response:
            text = response.read().decode()
        if response.status not in fine:
            _check(response.status, text)
        return text

    @contextmanager
    def _open(
        self, method: str, url: str, body: bytes | None = None
    ) -> Iterator[http.client.HTTPResponse]:
        with closing(http.client.HTTPConnection(self._host, timeout=TIMEOUT_S)) as connection:
            connection.request(method, url.removeprefix(f"http://{self._host}"), body)
            yield connection.getresponse()

    def _time(self, life_s: float, form: str = ISO) -> str:
        return time.strftime(form, time.gmtime(self._clock() + life_s))


class S3(_Remote):
    """Presigned URLs of UploadPart; Signature Version 4 with an unsigned payload."""

    def begin(self, upload_id: str, parts: int) -> Json:
        answer = self._ask("POST", self._url("POST", upload_id, {"uploads": ""}))
        return {"key": upload_id, "id": _found(answer, "UploadId")[0]}

    def part_url(self, upload: Json, no: int, *, origin: str, life_s: float) -> str:
        query = {"partNumber": str(no + 1), "uploadId": upload["id"]}
        return self._url("PUT", upload["key"], query, life_s)

    def part_sizes(self, upload: Json) -> dict[int, int]:
        rows = self._parts(upload)
        return {no: max(size for other, size, _ in rows if other == no) for no, _, _ in rows}

    def complete(self, upload: Json) -> Json:
        rows = "".join(
            f"<Part><PartNumber>{no + 1}</PartNumber><ETag>{html.escape(tag)}</ETag></Part>"
            for no, _, tag in self._parts(upload)
        )
        body = f"<CompleteMultipartUpload>{rows}</CompleteMultipartUpload>".encode()
        url = self._url("POST", upload["key"], {"uploadId": upload["id"]})
        answer = self._ask("POST", url, body)
        if "<Error>" in answer:  # S3 may say so after a 200
            raise StoreFailed(400, answer)
        return {"key": upload["key"]}

    def delete(self, content: Json) -> None:
        self._ask("DELETE", self._url("DELETE", content["key"], {}), fine=(404,))

    def abandon(self, upload: Json) -> None:
        url = self._url("DELETE", upload["key"], {"uploadId": upload["id"]})
        self._ask("DELETE", url, fine=(404,))

    def _parts(self, upload: Json) -> list[tuple[int, int, str]]:
        """Number, size and ETag of the parts. At most 250, so that they come on one page.

        S3 lists the newest of several PUTs of a part; SeaweedFS lists them all, in no order, and
        takes the newest of those that are named on completion.
        """
        answer = self._ask("GET", self._url("GET", upload["key"], {"uploadId": upload["id"]}))
        numbers, sizes, tags = (_found(answer, tag) for tag in ("PartNumber", "Size", "ETag"))
        rows = zip(numbers, sizes, tags, strict=True)
        return sorted((int(no) - 1, int(size), tag) for no, size, tag in rows)

    def _make_bucket(self) -> None:
        self._ask("PUT", self._url("PUT", "", {}), fine=(409,))

    def _get_url(self, key: str, life_s: float) -> str:
        return self._url("GET", key, {}, life_s)

    def _url(self, method: str, key: str, query: Json, life_s: float = OWN_LIFE_S) -> str:
        """A presigned URL: docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html."""
        life = max(round(life_s), 1)
        stamp = self._time(min(life_s - life, 0), "%Y%m%dT%H%M%SZ")  # the past, if expired at once
        scope = f"{stamp[:8]}/{S3_REGION}/s3/aws4_request"
        signed = query | {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{self._name}/{scope}",
            "X-Amz-Date": stamp,
            "X-Amz-Expires": str(life),
            "X-Amz-SignedHeaders": "host",
        }
        path = quote(f"/{self._bucket}/{key}")
        text = urlencode(sorted(signed.items()), quote_via=quote, safe="")
        request = f"{method}\n{path}\n{text}\nhost:{self._host}\n\nhost\nUNSIGNED-PAYLOAD"
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = self._sign(scope, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}")
        return f"http://{self._host}{path}?{text}&X-Amz-Signature={signature}"

    def _sign(self, scope: str, text: str) -> str:
        key = b"AWS4" + self._secret.encode()
        for step in scope.split("/"):
            key = hmac.digest(key, step.encode(), "sha256")
        return hmac.digest(key, text.encode(), "sha256").hex()


class Azure(_Remote):
    """Put Block and Put Block List with a shared access signature."""

    def begin(self, upload_id: str, parts: int) -> Json:
        return {"key": upload_id, "parts": parts}

    def part_url(self, upload: Json, no: int, *, origin: str, life_s: float) -> str:
        query = {"comp": "block", "blockid": _block(no)}
        return self._url(upload["key"], "w", query, life_s)

    def part_sizes(self, upload: Json) -> dict[int, int]:
        query = {"comp": "blocklist", "blocklisttype": "uncommitted"}
        answer = self._ask("GET", self._url(upload["key"], "r", query), fine=(404,))
        names, sizes = _found(answer, "Name"), _found(answer, "Size")
        found = dict(zip(names, map(int, sizes), strict=False))  # an error has neither
        return {no: found[_block(no)] for no in range(upload["parts"]) if _block(no) in found}

    def complete(self, upload: Json) -> Json:
        rows = "".join(f"<Latest>{_block(no)}</Latest>" for no in range(upload["parts"]))
        body = f'<?xml version="1.0" encoding="utf-8"?><BlockList>{rows}</BlockList>'.encode()
        self._ask("PUT", self._url(upload["key"], "cw", {"comp": "blocklist"}), body)
        return {"key": upload["key"]}

    def delete(self, content: Json) -> None:
        self._ask("DELETE", self._url(content["key"], "d", {}), fine=(404,))

    def abandon(self, upload: Json) -> None:
        """Nothing to be done: Azure forgets blocks that are not committed after a week."""

    def _make_bucket(self) -> None:
        end = self._time(OWN_LIFE_S)
        rights = ["rwdlac", "b", "sco", "", end, "", "", AZURE_VERSION, "", ""]
        names = ("sp", "ss", "srt", "st", "se", "sip", "spr", "sv")
        query = {name: value for name, value in zip(names, rights, strict=False) if value}
        query |= {"restype": "container", "sig": self._sign([self._name, *rights])}
        url = f"http://{self._host}/{self._name}/{self._bucket}?{urlencode(query)}"
        self._ask("PUT", url, fine=(409,))

    def _get_url(self, key: str, life_s: float) -> str:
        return self._url(key, "r", {}, life_s)

    def _url(self, key: str, rights: str, query: Json, life_s: float = OWN_LIFE_S) -> str:
        """A service SAS: learn.microsoft.com/rest/api/storageservices/create-service-sas."""
        end = self._time(life_s)
        resource = f"/blob/{self._name}/{self._bucket}/{key}"
        fields = [rights, "", end, resource, "", "", "", AZURE_VERSION, "b", *[""] * 7]
        sas = {"sp": rights, "se": end, "sv": AZURE_VERSION, "sr": "b", "sig": self._sign(fields)}
        return f"http://{self._host}/{self._name}/{self._bucket}/{key}?{urlencode(query | sas)}"

    def _sign(self, fields: list[str]) -> str:
        key, text = base64.b64decode(self._secret), "\n".join(fields)
        return base64.b64encode(hmac.digest(key, text.encode(), "sha256")).decode()


def _block(no: int) -> str:
    """The block id of a part; all have the same length, as Azure wants it."""
    return base64.b64encode(f"{no:06d}".encode()).decode()


def _found(text: str, tag: str) -> list[str]:
    """What stands in each `<tag>` of a store's XML."""
    return [html.unescape(each) for each in re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)]


def _check(status: int, text: str) -> None:
    if status >= 300:
        raise StoreFailed(status, text)
