"""What an endpoint is: a method of a family, with its route and the check of its body beside it.

    class Labels(Family):
        @api("labels_delete", "POST", "/labels/delete", body=ids("externalId"))
        def delete(self, call: Call) -> Json: ...

A family is a class with such methods, made with the `Project`; `families.py` lists them all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import Request

from .rules import Check, Json, obj

if TYPE_CHECKING:
    from .project import Project

PREFIX = "/api/v1/projects/{project}"
NOTHING = obj({})
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Call:
    """One request of the JSON API. Its body has passed the check of its route."""

    body: Json
    query: Mapping[str, str]
    path: Mapping[str, str]
    origin: str  # where the client reached the API: scheme, host and port as it wrote them
    store_origin: str  # where it will reach the store


@dataclass(frozen=True)
class Route:
    """Where an endpoint is found. `name` is what faults and the request log call it."""

    name: str
    methods: frozenset[str]
    path: str
    status: int = 200
    body: Check | None = None  # None: a plain endpoint, which reads its own request
    lane: str = ""  # of which only so many requests are answered at once

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", self.path))


def api(
    name: str,
    method: str,
    path: str,
    *,
    status: int = 200,
    body: Check = NOTHING,
    prefix: str = PREFIX,
    lane: str = "",
) -> Callable[[F], F]:
    """A method `(call) -> Json` of the API, below the project's path.

    It is called with a good token, under the project's lock, in one change of its state.
    """
    return _marked(Route(name, frozenset((method,)), prefix + path, status, body, lane))


def plain(name: str, path: str, *methods: str) -> Callable[[F], F]:
    """An async method `(request) -> Response` at any path; it checks all rights itself."""
    return _marked(Route(name, frozenset(methods), path))


def _marked(route: Route) -> Callable[[F], F]:
    def mark(function: F) -> F:
        function.route = route  # type: ignore[attr-defined]
        return function

    return mark


class Family:
    """Endpoints that belong together, and by `acl` what the run's token may do there."""

    acl: tuple[tuple[str, str], ...] = ()

    def __init__(self, project: Project) -> None:
        self.project = project

    @classmethod
    def routes(cls) -> Iterator[tuple[Route, str]]:
        """Each route with the name of the method that answers it."""
        for name, member in vars(cls).items():
            if isinstance(route := getattr(member, "route", None), Route):
                yield route, name

    def capabilities(self) -> list[Json]:
        """What the run's token may do here, for `token/inspect`: `{"filesAcl": {...}}`."""
        return [granted(name, actions) for name, actions in self.acl]


def granted(acl: str, actions: str, scope: Json | None = None) -> Json:
    return {acl: {"actions": actions.split(), "scope": scope or {"all": {}}}}


async def read_body(request: Request, too_large: Exception, most: int) -> bytes:
    """All of a body of at most `most` bytes; of a larger one no more is read."""
    raw = bytearray()
    async for chunk in request.stream():
        raw += chunk
        if len(raw) > most:
            raise too_large
    return bytes(raw)
