"""Endpoints that families share: to list, name, count, search and change their documents.

    class Labels(Collection):
        kind = "labels"
        byids = byids("labels_byids", "/labels/byids", ids("externalId"))

Each function makes one endpoint, with its route and the check of its body, for such a class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from . import listing, rules
from .listing import Filters
from .routes import Call, Family, api
from .rules import Check, Json, identifier, items, obj, patch

Endpoint = Callable[[Any, Call], Json]


class Collection(Family):
    """A family of the documents of one list; files, which are kept otherwise, override all."""

    kind = ""

    def rows(self, after: int = 0) -> Iterator[tuple[int, Json]]:
        """The documents that were made after the one numbered `after`, with their numbers."""
        return self.project.lists[self.kind].after(after)

    def found(self, body: Json) -> list[Json]:
        """The documents that a body's items name, each once."""
        rules.refuse_repeated(body["items"])
        if not body.get("ignoreUnknownIds"):
            self.project.require("ids", self.kind, body["items"])
        docs = [self.project.one(self.kind, item) for item in body["items"]]
        return [doc for doc in docs if doc is not None]

    def shown(self, docs: list[Json], body: Json) -> list[Json]:
        """The documents as a body asks to see them."""
        return docs

    def changed(self, old: Json, new: Json) -> Json:
        """`new`, if `old` may become it; it is kept."""
        if new.get("externalId") not in (None, old.get("externalId")):
            self.project.new_external_ids(self.kind, [new])
        self.project.lists[self.kind].put(new["id"], new)
        return new

    def updated(self, body: Json, fields: Mapping[str, Check]) -> list[Json]:
        """The documents after the `update` of each item, each of which is checked as a whole."""
        named = [{k: v for k, v in item.items() if k != "update"} for item in body["items"]]
        docs = self.found({"items": named})
        rules.refuse_repeated([{"id": doc["id"]} for doc in docs])
        made = []
        for old, item in zip(docs, body["items"], strict=True):
            new = rules.patched(old, item["update"])
            obj(fields)("", {name: new[name] for name in item["update"] if name in new})
            made.append(self.changed(old, new | {"lastUpdatedTime": self.project.now()}))
        return made

    def chosen(self, body: Json, fields: Filters, after: int = 0) -> Iterator[tuple[int, Json]]:
        """The rows that pass a body's filter."""
        passes = listing.condition(fields, body.get("filter", {}), self.project)
        return (row for row in self.rows(after) if passes(row[1]))


def lists(name: str, path: str, fields: Filters, **more: Check) -> Endpoint:
    """A page of the documents that pass a filter."""

    @api(name, "POST", path, body=listing.list_check(fields, **more))
    def endpoint(self: Collection, call: Call) -> Json:
        rows = self.chosen(call.body, fields, listing.start(call.body))
        page = listing.page(rows, call.body)
        return page | {"items": self.shown(page["items"], call.body)}

    return endpoint


def counts(name: str, path: str, fields: Filters, **more: Check) -> Endpoint:
    """How many documents pass a filter."""

    @api(name, "POST", path, body=obj({"filter": listing.filter_check(fields), **more}))
    def endpoint(self: Collection, call: Call) -> Json:
        return {"items": [{"count": sum(1 for _ in self.chosen(call.body, fields))}]}

    return endpoint


def searches(
    name: str, path: str, fields: Filters, texts: Sequence[str], /, **words: Check
) -> Endpoint:
    """The documents that pass a filter and whose `texts` answer the words, the best first."""

    @api(name, "POST", path, body=listing.search_check(fields, **words))
    def endpoint(self: Collection, call: Call) -> Json:
        docs = (doc for _, doc in self.chosen(call.body, fields))
        return {"items": listing.best(docs, call.body, texts)}

    return endpoint


def byids(name: str, path: str, body: Check) -> Endpoint:
    """The documents that the items of a body name."""

    @api(name, "POST", path, body=body)
    def endpoint(self: Collection, call: Call) -> Json:
        return {"items": self.shown(self.found(call.body), call.body)}

    return endpoint


def gets(name: str, path: str) -> Endpoint:
    """The document whose id is in the path."""

    @api(name, "GET", path)
    def endpoint(self: Collection, call: Call) -> Json:
        return self.found({"items": [{"id": rules.number(call.path, "id", 1, rules.MAX_ID)}]})[0]

    return endpoint


def updates(
    name: str,
    path: str,
    named_by: Sequence[str],
    fields: Mapping[str, Check],
    fixed: Sequence[str] = (),
) -> Endpoint:
    """The documents after the `update` of each item; those of `fixed` cannot be cleared."""

    @api(name, "POST", path, body=items(identifier(*named_by, update=patch(fields, fixed))))
    def endpoint(self: Collection, call: Call) -> Json:
        return {"items": self.updated(call.body, fields)}

    return endpoint
