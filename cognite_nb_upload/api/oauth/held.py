"""A token that is fetched once for all threads, and renewed before it ends.

Rules of this file: no lock is held while a provider is asked; a token is used until 30 s before its
end, and until its end while another thread fetches the next one.
"""

from __future__ import annotations

import copy
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final

from cognite_nb_upload.api.oauth.provider import Tokens
from cognite_nb_upload.core.secret import NotPickled, Secret
from cognite_nb_upload.errors import UploadToolkitError
from cognite_nb_upload.http import Sealed
from cognite_nb_upload.process import PerProcess

Header = tuple[str, str]

# The official SDK refreshes about 30 s early.
_EARLY_S: Final = 30.0


class Held:
    """The token of one process, and the fetch of the next one that is under way."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  # never held while the provider is asked
        self.token: Secret | None = None
        self.refresh: Secret | None = None
        self.ends_s = 0.0
        self.fetch: Future[Header] | None = None

    def header(self, until_s: float) -> Header | None:
        """The header with a token that lives until then; None: there is none."""
        token = self.token
        return None if token is None or until_s >= self.ends_s else bearer(token)


class TokenSource(NotPickled):
    """Credentials whose tokens come from an identity provider."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._mine = PerProcess(Held)

    def authorization_header(self) -> tuple[str, str]:
        """`("Authorization", "Bearer ...")`.

        The token is good for 30 s at least, or as long as its provider says. Where others fetch one
        already, this waits for theirs, and not at all while the last one is good.

        Raises:
            APIError: the provider refused.
            CDFUnreachable: it gave no answer in time.
        """
        mine = self._mine.get()
        header, theirs, ours = self._begin(mine)
        if header is not None:
            return header
        if ours is not None:
            return self._fetch(mine)
        assert theirs is not None  # noqa: S101 # one of the three
        error = theirs.exception()
        if error is None:
            return theirs.result()
        if not isinstance(error, Exception):  # the other one was interrupted; this one was not
            return self.authorization_header()
        raise own_copy(error)

    def _begin(
        self, mine: Held
    ) -> tuple[Header | None, Future[Header] | None, Future[Header] | None]:
        """A header that is good, or others' fetch to wait for, or one of our own to make."""
        now_s = self._clock()
        with mine.lock:
            if header := mine.header(now_s + _EARLY_S):
                return header, None, None
            if (others := mine.fetch) is None:
                mine.fetch = Future()
                return None, None, mine.fetch
            # Still good while others fetch the next one: then there is no need to wait.
            return mine.header(now_s), others, None

    def header_at_hand(self) -> Header | None:
        """The header where nothing has to be asked for it; else None. Never blocks."""
        return self._mine.get().header(self._clock() + _EARLY_S)

    def refresh(self) -> None:
        """Forget the token; the next header fetches another."""
        mine = self._mine.get()
        with mine.lock:
            mine.token = None

    @abstractmethod
    def _fetch_tokens(self, mine: Held) -> Tokens:
        """Ask the provider; `mine.refresh` is what it gave last to renew the token with."""

    def _fetch(self, mine: Held) -> Header:
        """Fetch a token, also for those who come meanwhile."""
        try:
            with Sealed():
                tokens = self._fetch_tokens(mine)
        except BaseException as error:
            _end(mine).set_exception(error)
            raise
        header = bearer(tokens.access)
        with mine.lock:
            mine.token, mine.ends_s = tokens.access, self._clock() + tokens.life_s
            mine.refresh = tokens.refresh
        _end(mine).set_result(header)
        return header


def bearer(token: Secret) -> Header:
    """The header for a token."""
    return "Authorization", f"Bearer {token.reveal()}"


def own_copy(error: Exception) -> Exception:
    """What several threads may raise: each its own, or their tracebacks would grow together."""
    return copy.copy(error) if isinstance(error, UploadToolkitError) else error


def _end(mine: Held) -> Future[Header]:
    """End the fetch that is under way; returns what those wait for who share it."""
    with mine.lock:
        fetch, mine.fetch = mine.fetch or Future(), None
    return fetch
