"""What CDF lists for pickers, as choices: a first page at once, then all the rest.

Rules of this file: no widgets; what a list cannot say is an `Offer` without choices and a reason.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from cognite_nb_upload.client import AsyncCogniteClient
from cognite_nb_upload.errors import APIError, UploadToolkitError
from cognite_nb_upload.models import Asset, DataSet, NodeId, TokenInspection, ViewId
from cognite_nb_upload.models.catalog import FoundNode
from cognite_nb_upload.models.show import plain

Key = int | str


def node_key(space: str, external_id: str) -> str:
    """A node as one key, as one types it: a space has no slash."""
    return f"{space}/{external_id}"


# What CDF gives in one answer: shown at once, while the rest is on its way.
_FIRST: Final = 1000


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing to pick: what is stored of it, its title, what else is known, and a doubt."""

    key: Key
    title: str
    detail: str = ""
    doubt: str = ""

    @property
    def text(self) -> str:
        """All of it on one line, safe to look at, of at most 160 characters."""
        return shortened(
            " · ".join(one for one in (self.title, self.detail, self.doubt) if one), 160
        )

    def fits(self, words: Sequence[str]) -> bool:
        """Whether all of these casefolded words are in it."""
        text = f"{self.title} {self.detail} {self.key}".casefold()
        return all(word in text for word in words)


@dataclass(frozen=True, slots=True)
class ChoiceList:
    """Choices, and what is worth knowing of them.

    Attributes:
        note: one sentence under the field.
        complete: False while more are on their way.
        allowed: the only keys that may be picked without a doubt; None is all.
        why: what is said of a key that is not allowed.
        unknown: what is said of a key that is not allowed and has no name.
        named: what else has a name, and is not offered.
    """

    choices: tuple[Choice, ...] = ()
    note: str = ""
    complete: bool = True
    allowed: frozenset[Key] | None = None
    why: str = ""
    unknown: str = ""
    named: tuple[Choice, ...] = ()


def shortened(text: str, most: int = 60) -> str:
    """Text on one line, safe to look at, of at most `most` characters."""
    line = plain(text[: 2 * most])
    return line if len(line) <= most else f"{line[: most - 1]}…"


Source = Callable[[], AsyncIterator[ChoiceList]]
Search = Callable[[str], Awaitable[ChoiceList]]
Names = Callable[[Sequence[Any]], Awaitable[tuple[Choice, ...]]]


@dataclass(slots=True)
class ChoiceLists:
    """The lists of one project. Each is asked for anew; nothing is kept.

    Attributes:
        on_rights: is told what the token may do, as soon as CDF says it.
    """

    client: AsyncCogniteClient
    on_rights: Callable[[TokenInspection], None] = field(default=lambda _: None)

    async def data_sets(self) -> AsyncIterator[ChoiceList]:
        """Data sets that one may write files to, where the token tells."""
        writable = await self._writable()
        async for rows, complete in _in_pages(self.client.catalog.data_sets):
            named = tuple(map(_data_set, rows))
            choices = tuple(one for one in named if writable is None or one.key in writable)
            yield ChoiceList(
                choices,
                note=_of_them(len(choices), len(rows)) if complete else "",
                complete=complete,
                allowed=_allowed(writable, named if complete else None),
                unknown="CDF lists no such data set for this token; it may refuse an upload to it.",
                why="This token may not write files to that data set; CDF would refuse.",
                named=named,
            )

    async def labels(self) -> AsyncIterator[ChoiceList]:
        """All labels."""
        async for rows, complete in _in_pages(self.client.catalog.labels):
            choices = tuple(
                Choice(one.external_id, one.title, _details(one, "external_id", "description"))
                for one in rows
            )
            yield ChoiceList(
                choices,
                complete=complete,
                allowed=frozenset(one.key for one in choices) if complete else None,
                why="CDF lists no such label for this token; an upload with it may be refused.",
            )

    async def security_categories(self) -> AsyncIterator[ChoiceList]:
        """All security categories."""
        async for rows, complete in _in_pages(self.client.catalog.security_categories):
            choices = tuple(Choice(one.id, one.title, f"id {one.id}") for one in rows)
            yield ChoiceList(
                choices,
                complete=complete,
                allowed=frozenset(one.key for one in choices) if complete else None,
                why="CDF lists no such security category for this token; it may refuse an upload "
                "with it.",
            )

    async def find_assets(self, query: str) -> ChoiceList:
        """Assets that resemble `query`, best first; by id too where it is a number."""
        rows: list[Asset] = []
        if query.isdecimal():
            rows = await self.client.catalog.assets([int(query)])
        rows += await self.client.catalog.find_assets(query)
        return ChoiceList(tuple({one.id: _asset(one) for one in rows}.values()))

    async def assets(self, ids: Sequence[int]) -> tuple[Choice, ...]:
        """The assets with these ids."""
        return tuple(_asset(one) for one in await self.client.catalog.assets(ids))

    async def spaces(self) -> AsyncIterator[ChoiceList]:
        """Spaces of the data model that one may write nodes to, where the token tells."""
        writable: frozenset[str] | None = None
        with suppress(UploadToolkitError):
            rights = await self.client.catalog.inspect()
            writable = rights.writable_spaces(self.client.config.project)
        rows = await self.client.files.instances.spaces()
        named = tuple(
            Choice(one.space, one.name or one.space, _details(one, "space", "description"))
            for one in rows
        )
        choices = tuple(one for one in named if writable is None or one.key in writable)
        note = "" if choices else "This token may not write nodes to any space it can see."
        if choices and len(choices) < len(named):
            note = f"{len(choices)} of {len(named)}: those that this token may write nodes to."
        yield ChoiceList(
            choices,
            note=note,
            allowed=frozenset(one.key for one in choices),
            why="This token may not write nodes to that space; CDF would refuse.",
            unknown="CDF lists no such space for this token; it may refuse the node.",
            named=named,
        )

    async def find_nodes(self, view: ViewId, query: str) -> ChoiceList:
        """Nodes of a view that resemble `query`, best first."""
        rows = await self.client.files.instances.search(view, query)
        return ChoiceList(tuple(map(_node, rows)))

    async def nodes(self, view: ViewId, keys: Sequence[str]) -> tuple[Choice, ...]:
        """What the nodes with these keys are called."""
        ids = [NodeId(*key.split("/", 1)) for key in keys]
        found = await self.client.files.instances.retrieve(ids, [view])
        return tuple(_node(FoundNode.from_cdf(one)) for one in found.values())

    async def _writable(self) -> frozenset[int] | None:
        try:
            rights = await self.client.catalog.inspect()
        except UploadToolkitError:
            return None  # it cannot be told; CDF has the last word
        self.on_rights(rights)
        ids: frozenset[int] | None = rights.writable_data_sets(self.client.config.project)
        return ids


async def _in_pages(
    listed: Callable[..., Awaitable[list[Any]]],
) -> AsyncIterator[tuple[list[Any], bool]]:
    rows = await listed(limit=_FIRST)
    yield rows, len(rows) < _FIRST
    if len(rows) >= _FIRST:
        yield await listed(), True


def why_not(error: Exception) -> str:
    """Why something could not be listed, in one sentence."""
    if isinstance(error, APIError) and error.code in (401, 403):
        return f"This token may not list them ({error.code}: {error.message})."
    return str(error) if isinstance(error, UploadToolkitError) else f"{type(error).__name__}."


def _of_them(shown: int, all_of_them: int) -> str:
    if shown == all_of_them:
        return ""
    if not shown:
        return "This token may not write files to any data set it can see."
    return f"{shown} of {all_of_them}: those that this token may write files to."


def _allowed(writable: frozenset[int] | None, named: Sequence[Choice] | None) -> Any:
    """The keys of which nothing is doubted; None where that cannot be told yet."""
    if writable is not None:
        return frozenset[Key](writable)
    return None if named is None else frozenset(one.key for one in named)


def _data_set(row: DataSet) -> Choice:
    doubt = "write-protected: only its owners may change it" if row.write_protected else ""
    return Choice(row.id, row.title, _details(row, "external_id", "id", "description"), doubt)


def _asset(row: Asset) -> Choice:
    return Choice(row.id, row.title, _details(row, "external_id", "id", "description"))


def _node(row: FoundNode) -> Choice:
    return Choice(
        node_key(row.space, row.external_id),
        row.title,
        _details(row, "external_id", "space", "description"),
    )


def _details(row: Any, *names: str) -> str:
    known = ((name, getattr(row, name)) for name in names)
    return " · ".join(
        f"id {value}" if name == "id" else str(value)
        for name, value in known
        if value and value != row.title
    )
