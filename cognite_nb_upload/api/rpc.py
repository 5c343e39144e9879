"""One JSON request to CDF: who asks, gzip, retry, and an error that says what CDF said.

Rules of this file: a request that may have been carried out is repeated only where repeating it is
harmless; one 401 earns one refresh of the token; httpx's exceptions do not leave this file.
"""

from __future__ import annotations

import gzip
import json
import math
import platform
import time
import weakref
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from datetime import datetime
from numbers import Real
from typing import Any, Final
from urllib.parse import urlencode

import anyio
import httpx

from cognite_nb_upload import http, process
from cognite_nb_upload._version import __version__
from cognite_nb_upload.api.answer import HEADERS, Answer, NoAnswer, NotInTime, ask_async
from cognite_nb_upload.api.auth import Token
from cognite_nb_upload.api.config import ClientConfig
from cognite_nb_upload.api.direct import Direct, FirstTry
from cognite_nb_upload.api.oauth.held import TokenSource
from cognite_nb_upload.api.oauth.person import PersonCredentials, SignInPrompt, result_of
from cognite_nb_upload.api.oauth.provider import TokenNotInTime
from cognite_nb_upload.api.pool import Pool
from cognite_nb_upload.api.values import cleaned_header
from cognite_nb_upload.background import run_sync, running_loop, ticking, until_done
from cognite_nb_upload.core.cancel import CancelToken
from cognite_nb_upload.core.numbers import whole
from cognite_nb_upload.core.secret import NotPickled, Secret
from cognite_nb_upload.errors import APIError, CDFUnreachable, ConfigError, SignInFailed, UsageError
from cognite_nb_upload.models.wire import to_ms
from cognite_nb_upload.process import PerProcess

# These statuses are an answer of CDF's front door: the request was not carried out.
_NOT_DONE: Final = frozenset({429, 503})
_GZIP_FROM: Final = 1024
_SIGN_IN: Final = "Has the token expired? Is it for this project and this cluster?"
_JSON: Final = {"content-type": "application/json"}
_PAGE: Final = 1000
_ACCESS: Final = frozenset({"uploadId", "uploadUrl", "uploadUrls", "downloadUrl"})
_USER_AGENT: Final = f"cognite_nb_upload/{__version__} Python/{platform.python_version()}"


# Is told what a person has to do, and "" when it is over, where a request waits for a sign-in as
# long as that takes: set by uploads, which would otherwise be lost over night.
# What it is told begins with this.
SIGN_IN: Final = "sign in"
signing_in: ContextVar[Callable[[str], object] | None] = ContextVar("signing_in", default=None)

# By event loop.
_Pools = weakref.WeakKeyDictionary[object, Pool]


class Unanswered(CDFUnreachable):
    """No answer that tells whether the request was carried out; repeating it may do harm."""


class Rpc(NotPickled):
    """JSON requests to one CDF project. Works in any event loop, with connections kept per loop."""

    def __init__(self, config: ClientConfig) -> None:
        self.config = config
        self._heard: tuple[datetime, float] | None = None
        self._direct = Direct(config.base_url, config.timeout_s)
        self._pools: PerProcess[_Pools] = PerProcess(weakref.WeakKeyDictionary)
        http.quiet_logs()

    async def post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        params: Mapping[str, Any] | None = None,
        repeatable: bool = True,
        what: str = "to answer",
        waiting: Callable[[str], None] | None = None,
        first: FirstTry | None = None,
    ) -> dict[str, Any]:
        """POST `body` to `path` below the project, and return the answer's JSON object.

        Args:
            path: e.g. `/files/byids`.
            body: the JSON body.
            params: the query.
            repeatable: False where a second time could do harm; then a lost answer is `Unanswered`.
            what: the request in words, for errors.
            waiting: is told what is waited for, and "" when it is over.
            first: what came of the first try, which `try_post` has made.

        Raises:
            APIError: CDF answered, and said no.
            CDFUnreachable: no answer for longer than the retries last.
        """
        url = self.config.project_url + path
        send = _Send("POST", url, params, body, repeatable, what, waiting, first)
        with ticking():
            return await self._until_answered(send)

    def try_post(
        self,
        path: str,
        body: Mapping[str, Any],
        *,
        params: Mapping[str, str],
        what: str,
        cancel: CancelToken | None = None,
    ) -> dict[str, Any] | FirstTry | None:
        """`post` in one try by the calling thread, at a fifth of its CPU; blocks.

        Returns:
            The answer's JSON object; else what `post(first=...)` goes on from. None where nothing
            was sent.
        """
        url = f"{self.config.project_url}{path}?{urlencode(params)}"
        with http.Sealed():
            if (header := self._header_at_hand()) is None:
                return None
            content, headers = _packed(body)
            tried = self._direct.post(
                url, {**self._headers(), **headers, **dict([header])}, content, cancel
            )
        if tried is None or not isinstance(tried.came, Answer) or not tried.came.is_success:
            return tried
        self._hear(tried.came)
        return _object(tried.came, what)

    def connect(self, cancel: CancelToken) -> None:
        """Have a connection for a `try_post` that comes soon; blocks."""
        with http.Sealed():
            self._direct.connect(cancel)

    async def get(
        self,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        what: str = "to answer",
        in_project: bool = True,
    ) -> dict[str, Any]:
        """GET `path` below the project (or below the base URL), and return its JSON object."""
        root = self.config.project_url if in_project else self.config.base_url
        send = _Send("GET", root + path, params, None, True, what, None)
        with ticking():
            return await self._until_answered(send)

    async def pages(
        self,
        path: str,
        body: Mapping[str, Any] | None,
        limit: int | None,
        params: Mapping[str, Any] | None = None,
    ) -> list[dict[str, Any]]:
        """All items behind `path`, page by page, at most `limit`; GET where there is no body."""
        limit = _checked_limit(limit)
        found: list[dict[str, Any]] = []
        cursor: str | None = None
        while limit is None or len(found) < limit:
            page: dict[str, Any] = {"limit": min(_PAGE, _PAGE if limit is None else limit)}
            if cursor:
                page["cursor"] = cursor
            what = f"to list {path.strip('/').removeprefix('models/').split('/')[0]}"
            if body is None:
                reply = await self.get(path, params={**(params or {}), **page}, what=what)
            else:
                reply = await self.post(path, {**body, **page}, what=what)
            found += reply["items"]
            cursor = reply.get("nextCursor")
            if not cursor:
                break
        return found if limit is None else found[:limit]

    async def _until_answered(self, send: _Send) -> dict[str, Any]:
        attempt, began, refreshed = 0, time.monotonic(), False
        while True:
            attempt += 1
            try:
                reply = await self._once(send)
            except OSError as error:
                raise process.told(error) from None
            except NoAnswer as error:
                raise _not_cdfs(error, send.what) from None
            except (httpx.RequestError, CDFUnreachable) as error:
                elapsed_s = time.monotonic() - began - send.signing_in_s
                wait_s = self._wait_after(error, send, attempt, elapsed_s)
                reason = http.in_words(error) if isinstance(error, httpx.HTTPError) else str(error)
            else:
                if reply.status_code == 401 and not refreshed and await self._refresh():
                    refreshed = True
                    continue
                if reply.is_success:
                    self._hear(reply)
                    return _object(reply, send.what)
                wait_s = self._wait_after_status(reply, send, attempt)
                reason = f"CDF says {reply.status_code}"
            send.tell(f"{reason}; trying again in {wait_s:.0f} s")
            await anyio.sleep(wait_s)
            send.tell("")

    def _hear(self, reply: Answer) -> None:
        """Remember CDF's clock, as it answers."""
        if (now := http.server_time(reply.headers)) is not None and now.tzinfo is not None:
            self._heard = now, time.monotonic()

    def cdf_ms(self, at_s: float | None = None) -> int | None:
        """CDF's clock, in milliseconds since 1970; never ahead of it.

        Args:
            at_s: the moment, by this process's monotonic clock; that of the last answer when None.
        """
        if self._heard is None:
            return None
        date, heard_s = self._heard
        return to_ms(date) - round(1000 * max(0.0, heard_s - (heard_s if at_s is None else at_s)))

    async def _once(self, send: _Send) -> Answer:
        if (first := send.take_first()) is not None:
            if isinstance(first.came, Answer):
                return first.came
            raise first.came
        with http.Sealed():
            name, value = await self._authorization(send)
            content, packing = (None, {}) if send.body is None else _packed(send.body)
            headers = {**self._headers(), **packing, name: value}
            async with self._pool().client() as client:
                request = client.build_request(
                    send.method, send.url, params=send.params, content=content, headers=headers
                )
                return await ask_async(client, request, self.config.timeout_s)

    def _headers(self) -> dict[str, str]:
        return {
            **HEADERS,
            "cdf-version": "20230101",
            "x-cdp-sdk": f"CogniteNbUpload:{__version__}",
            "x-cdp-app": self.config.client_name,
            "user-agent": _USER_AGENT,
            **self.config.headers,
        }

    def _pool(self) -> Pool:
        loop = running_loop()
        pools = self._pools.get()
        pool = pools.get(loop)
        if pool is None:
            pool = pools[loop] = Pool(self.config.base_url, self.config.timeout_s)
        return pool

    async def close(self) -> None:
        """Close the connections that this event loop holds."""
        pool = self._pools.get().pop(running_loop(), None)
        if pool is not None:
            await pool.close()
        self._direct.close()

    def _header_at_hand(self) -> tuple[str, str] | None:
        credentials = self.config.credentials
        if isinstance(credentials, Token | TokenSource):
            return credentials.header_at_hand()
        return None

    async def _authorization(self, send: _Send) -> tuple[str, str]:
        if (header := self._header_at_hand()) is not None:
            return header
        credentials = self.config.credentials
        if isinstance(credentials, PersonCredentials):
            return await self._of_person(credentials, send)
        given = await run_sync(
            credentials.authorization_header,
            abandon_on_cancel=True,
            limiter=self._pool().signing_in,
        )
        if not isinstance(given, tuple | list) or len(given) != 2:
            raise ConfigError(
                f"{type(credentials).__name__}.authorization_header() gives a header's name and "
                f"value, as ('Authorization', 'Bearer ...'), not {type(given).__name__}."
            )
        return cleaned_header(*given)

    async def _of_person(self, person: PersonCredentials, send: _Send) -> tuple[str, str]:
        """The header; where an upload asks, however long it takes a person to come."""
        tell = signing_in.get()
        if tell is None:
            await until_done(fetch := person.header_soon())
            return result_of(fetch)
        began_s, told, pause_s = time.monotonic(), False, 1.0

        def show(prompt: SignInPrompt | None) -> None:
            nonlocal told
            if prompt is not None:
                told = True
                tell(f"{SIGN_IN}{' again' if person.was_in else ''}: {prompt.words}")

        try:
            with person.listened_by(show):
                while True:
                    await until_done(fetch := person.header_soon(again=told))
                    try:
                        return result_of(fetch)
                    except SignInFailed:  # nobody came in time, or a no that may be a mistake
                        await anyio.sleep(pause_s)  # a provider that says no at once is not flooded
                        pause_s = min(60.0, 2 * pause_s)
        finally:
            send.signing_in_s += time.monotonic() - began_s
            if told:
                tell("")

    async def _refresh(self) -> bool:
        """Have the credentials fetch another token, where they can."""
        refresh = getattr(self.config.credentials, "refresh", None)
        if callable(refresh):
            await run_sync(refresh, limiter=self._pool().signing_in)
        return True

    def _wait_after(self, error: Exception, send: _Send, attempt: int, elapsed_s: float) -> float:
        """Seconds until the next try after no answer; raises where there is none."""
        if (problem := http.certificate_problem(error)) is not None:
            raise CDFUnreachable(f"{self._host} could not be trusted: {problem}.").hint(
                http.certificate_hint()
            ) from None
        if http.proxy_refused(error):
            raise CDFUnreachable("The proxy refused the connection with 407.").hint(
                http.PROXY_HINT
            ) from None
        if isinstance(error, NotInTime):
            kind = CDFUnreachable if send.repeatable else Unanswered
            raise kind(
                f"{self._host} gave no whole answer within {self.config.timeout_s:g} s, asked "
                f"{send.what}."
            ).hint("Something answered too slowly: a proxy? timeout_s is a setting.") from None
        if isinstance(error, TokenNotInTime):
            raise error
        retry = self.config.retry
        unsent = isinstance(error, CDFUnreachable) or http.never_connected(error)
        said = str(error) if isinstance(error, CDFUnreachable) else http.in_words(error)
        if not unsent and not send.repeatable:
            raise Unanswered(f"CDF did not answer when asked {send.what}: {said}.") from None
        if unsent:  # offline: waited out by time, not by tries
            patient = elapsed_s < retry.offline_s
            wait_s = retry.jitter.uniform(0, retry.ceiling_s(attempt)) if patient else None
        else:
            wait_s = retry.wait_s(attempt)
        if wait_s is None:
            raise CDFUnreachable(
                f"{self._host} gave no answer in {_tries(attempt)}, asked {send.what}: {said}."
            ).hint("Check the network, the proxy and base_url.") from None
        return wait_s

    def _wait_after_status(self, reply: Answer, send: _Send, attempt: int) -> float:
        """Seconds until the next try after a refusal; raises where there is none."""
        status = reply.status_code
        asked = reply.headers.get("cdf-is-auto-retryable", "").lower() == "true"
        unclear = status == 408 or (status >= 500 and status not in _NOT_DONE)
        if unclear and not send.repeatable and not asked:
            raise Unanswered(
                f"CDF said {status} when asked {send.what}, which leaves open what was done."
            )
        retry_after, now = reply.headers.get("retry-after"), http.server_time(reply.headers)
        wait_s = self.config.retry.wait_s(
            attempt, status=status, retryable=asked, retry_after=retry_after, now=now
        )
        if wait_s is None:
            too_much = http.asks_too_much(self.config.retry, retry_after, now)
            hint = _SIGN_IN if status == 401 else too_much and f"It says {status}{too_much}."
            raise _api_error(reply, send.what).hint(hint)
        return wait_s

    @property
    def _host(self) -> str:
        return httpx.URL(self.config.base_url).host


class _Send:
    """What is asked for. A `Secret` in the body is revealed only where it is sent."""

    def __init__(
        self,
        method: str,
        url: str,
        params: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
        repeatable: bool,
        what: str,
        waiting: Callable[[str], None] | None,
        first: FirstTry | None = None,
    ) -> None:
        self.method, self.url, self.params, self.body = method, url, params, body
        self.repeatable, self.what = repeatable, what
        self._waiting, self._first = waiting, first
        self.signing_in_s = 0.0  # spent on waiting for a person, who may be asleep

    def take_first(self) -> FirstTry | None:
        """What came of a first try that was made elsewhere; once."""
        first, self._first = self._first, None
        return first

    def tell(self, reason: str) -> None:
        if self._waiting is not None:
            self._waiting(reason)


def _packed(body: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
    """A body as it is sent, and the headers that say how it is packed."""
    content = json.dumps(body, separators=(",", ":"), allow_nan=False, default=_as_json).encode()
    if len(content) < _GZIP_FROM:
        return content, _JSON
    return gzip.compress(content, 6, mtime=0), {**_JSON, "content-encoding": "gzip"}


def _object(reply: Answer, what: str) -> dict[str, Any]:
    try:
        facts = reply.json()
    except NoAnswer as error:
        raise _not_cdfs(error, what) from None
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        why = NoAnswer("is not the JSON that CDF gives", reply.status_code)
        raise _not_cdfs(why, what)
    return _hidden(facts)


def _not_cdfs(error: NoAnswer, what: str) -> APIError:
    return APIError(str(error), code=error.code, what=what).hint(
        "Is base_url right, and is there a login page between you and CDF?"
    )


def _hidden(facts: dict[str, Any]) -> dict[str, Any]:
    """The answer, with what gives access to a file as `Secret`s from here on."""
    for one in (facts, *_dicts(facts.get("items"))):
        for key in _ACCESS & one.keys():
            many = isinstance(one[key], list)
            one[key] = [Secret(str(url)) for url in one[key]] if many else Secret(str(one[key]))
    return facts


def _as_json(value: object) -> object:
    """A secret in clear; a number of numpy's as Python has it."""
    if isinstance(value, Secret):
        return value.reveal()
    if (number := whole(value)) is not None:
        return number
    if isinstance(value, Real):
        return float(value)
    raise UsageError(
        f"A request holds a {type(value).__name__}, and CDF takes text, numbers, lists and dicts."
    )


def _api_error(reply: Answer, what: str) -> APIError:
    try:
        error = reply.json()["error"]
    except (ValueError, KeyError, TypeError):
        error = reply.reason_phrase or "no reason given"
    facts = error if isinstance(error, dict) else {"message": str(error)}
    return APIError(
        http.redacted(str(facts.get("message", "no reason given"))),
        code=reply.status_code,
        request_id=reply.headers.get("x-request-id"),
        missing=_dicts(facts.get("missing")),
        duplicated=_dicts(facts.get("duplicated")),
        what=what,
    )


def _checked_limit(limit: Any) -> int | None:
    """How many items at most; None, and what the official SDK takes for it, is all of them."""
    if limit is None or (isinstance(limit, Real) and limit in (-1, math.inf)):
        return None
    number = whole(limit)
    if number is None or number < 0:
        raise UsageError(f"limit is a whole number, or None for all, not {limit!r}.")
    return number


def _tries(count: int) -> str:
    return "1 try" if count == 1 else f"{count} tries"


def _dicts(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
