"""One request to CDF by a connection of ours, in the calling thread: for thousands of small files.

An asynchronous request of httpx takes four times the CPU. What is done by this one is only the case
where all goes well: its failures are told by what repeats the request.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.client import responses

import httpx

from cognite_nb_upload import process
from cognite_nb_upload.api.answer import Answer, NoAnswer, unpacked
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.errors import UploadToolkitError
from cognite_nb_upload.store.answer import NoAnswer as NoReply
from cognite_nb_upload.store.answer import NotConnected, ProxyRefused
from cognite_nb_upload.store.connection import StoreTimeouts
from cognite_nb_upload.store.network import Connections
from cognite_nb_upload.store.url import SignedURL, checked_upload_url


@dataclass(frozen=True, slots=True)
class FirstTry:
    """What came of a request: an answer, or why there is none although it may have arrived.

    Attributes:
        began_s: when it began, by this process's monotonic clock.
    """

    came: Answer | httpx.RequestError | NoAnswer
    began_s: float


class Direct:
    """Requests to one CDF, by any thread."""

    def __init__(self, base_url: str, timeout_s: float) -> None:
        self._base_url = base_url
        self._timeouts = StoreTimeouts(timeout_s, timeout_s, timeout_s)
        self._connections = process.PerProcess(Connections)
        self._urls: dict[str, SignedURL] = {}

    def connect(self, cancel: CancelToken) -> None:
        """Have a connection, for a request that comes soon; where there is none, it makes one."""
        with (
            suppress(NoReply, UploadToolkitError),
            self._connections.get().to(self._target(self._base_url), self._timeouts) as connection,
        ):
            connection.open(cancel)

    def post(
        self,
        url: str,
        headers: Mapping[str, str],
        content: bytes,
        cancel: CancelToken | None = None,
    ) -> FirstTry | None:
        """POST, once; None where nothing was sent."""
        headers = {**headers, "accept-encoding": "identity"}
        began_s = time.monotonic()
        try:
            target = self._target(url)
            with (
                self._connections.get().to(target, self._timeouts) as connection,
                connection.post(target, headers, content, cancel or CancelToken()) as reply,
            ):
                status, came = reply.status_code, reply.headers
                answer = unpacked(status, responses.get(status, ""), came, reply.pieces())
                return FirstTry(answer, began_s)
        except (NotConnected, ProxyRefused, UploadToolkitError):
            return None
        except NoAnswer as error:
            return FirstTry(error, began_s)
        except NoReply as error:
            return FirstTry(httpx.ReadError(str(error)), began_s)

    def _target(self, url: str) -> SignedURL:
        target = self._urls.get(url)
        if target is None:
            target = self._urls[url] = checked_upload_url(Secret(url), self._base_url)
        return target

    def close(self) -> None:
        """Close the connections that are idle."""
        self._connections.get().close()
