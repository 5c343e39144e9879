"""What forms pick from, as CDF lists it, and what the caller may write to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from cognite_nb_upload.models.wire import camel


class _Row:
    """A row of a list; what CDF leaves out keeps its default, what is unknown is ignored."""

    __slots__ = ()

    @classmethod
    def from_cdf(cls, item: Mapping[str, Any]) -> Self:
        """The row from CDF's JSON."""
        values = {one.name: item.get(camel(one.name)) for one in fields(cls)}  # type: ignore[arg-type] # each row is a dataclass
        return cls(**{name: value for name, value in values.items() if value is not None})

    @property
    def title(self) -> str:
        """What a reader knows it by: its name, else its external id, else its id."""
        known = (getattr(self, field, None) for field in ("name", "external_id", "id"))
        return str(next((one for one in known if one), ""))


@dataclass(frozen=True, slots=True)
class DataSet(_Row):
    """A data set: a file belongs to at most one."""

    id: int
    external_id: str | None = None
    name: str | None = None
    description: str | None = None
    write_protected: bool = False


@dataclass(frozen=True, slots=True)
class Asset(_Row):
    """An asset: a file may be linked to up to 1000."""

    id: int
    external_id: str | None = None
    name: str | None = None
    description: str | None = None
    parent_id: int | None = None


@dataclass(frozen=True, slots=True)
class LabelDefinition(_Row):
    """A label that exists in CDF; the official SDK and `Label.of` take it as a label."""

    external_id: str
    name: str | None = None
    description: str | None = None
    data_set_id: int | None = None


@dataclass(frozen=True, slots=True)
class SecurityCategory(_Row):
    """A security category: whoever reads the file must be a member of all it has."""

    id: int
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Space(_Row):
    """A space of the data model: rights are given by it."""

    space: str
    name: str | None = None
    description: str | None = None

    @property
    def external_id(self) -> str:
        """What it is known by."""
        return self.space


@dataclass(frozen=True, slots=True)
class FoundNode:
    """A node that a search has found."""

    space: str
    external_id: str
    name: str | None = None
    description: str | None = None

    @classmethod
    def from_cdf(cls, item: Mapping[str, Any]) -> Self:
        """A node from CDF's JSON, with the name and description of any of its views."""
        views = [
            one
            for space in (item.get("properties") or {}).values()
            for one in (space.values() if isinstance(space, Mapping) else ())
        ]
        texts = [
            next((one[key] for one in views if isinstance(one.get(key), str)), None)
            for key in ("name", "description")
        ]
        return cls(item["space"], item["externalId"], *texts)

    @property
    def title(self) -> str:
        """What a reader knows it by."""
        return self.name or self.external_id


@dataclass(frozen=True, slots=True)
class TokenInspection:
    """What CDF says of the caller's token (GET /token/inspect)."""

    subject: str = ""
    projects: tuple[str, ...] = ()
    capabilities: tuple[Mapping[str, Any], ...] | None = None

    @classmethod
    def from_cdf(cls, reply: Mapping[str, Any]) -> Self:
        """The inspection from CDF's JSON; `capabilities` is None where CDF told none."""
        projects = (one.get("projectUrlName") for one in _dicts(reply.get("projects")))
        told = reply.get("capabilities")
        return cls(
            subject=str(reply.get("subject", "")),
            projects=tuple(name for name in projects if isinstance(name, str)),
            capabilities=tuple(_dicts(told)) if isinstance(told, list) else None,
        )

    def can_write_files(self, project: str) -> bool | None:
        """Whether the token may write files in `project`; None where it cannot be told."""
        if self.capabilities is None:
            return None
        data_sets = [_data_sets(scope) for scope in self._write_scopes(project)]
        if any(one is _ALL or one for one in data_sets):
            return True
        return None if None in data_sets else False

    def writable_data_sets(self, project: str) -> frozenset[int] | None:
        """Ids of the data sets that files may be written to.

        None is all, and also where it cannot be told: CDF has the last word. Empty is none.
        """
        if self.capabilities is None:
            return None
        found: frozenset[int] = frozenset()
        for scope in self._write_scopes(project):
            ids = _data_sets(scope)
            if ids is None or ids is _ALL:
                return None
            found |= ids
        return found

    def writable_spaces(self, project: str) -> frozenset[str] | None:
        """The spaces whose nodes may be written (`dataModelInstancesAcl`).

        None is all, and also where it cannot be told: CDF has the last word. Empty is none.
        """
        if self.capabilities is None:
            return None
        found: frozenset[str] = frozenset()
        for scope in self._write_scopes(project, "dataModelInstancesAcl"):
            within = scope.get("spaceIdScope")
            if "all" in scope or not isinstance(within, Mapping):
                return None
            found |= {str(one) for one in within.get("spaceIds") or ()}
        return found

    def lacks(self, project: str) -> tuple[str, ...]:
        """The capabilities that an upload needs and the token has not: `filesAcl:WRITE`.

        Empty also where it cannot be told: CDF has the last word.
        """
        if self.capabilities is None:
            return ()
        lacking = [] if [*self._scopes(project, "READ")] else ["filesAcl:READ"]
        lacking += ["filesAcl:WRITE"] if self.can_write_files(project) is False else []
        return tuple(lacking)

    def _write_scopes(self, project: str, right: str = "filesAcl") -> Iterator[Mapping[str, Any]]:
        return self._scopes(project, "WRITE", right)

    def _scopes(
        self, project: str, action: str, right: str = "filesAcl"
    ) -> Iterator[Mapping[str, Any]]:
        for one in self.capabilities or ():
            acl = one.get(right)
            if not isinstance(acl, Mapping) or action not in acl.get("actions", ()):
                continue
            if self._reaches(one.get("projectScope"), project):
                scope = acl.get("scope")
                yield scope if isinstance(scope, Mapping) else {}

    def _reaches(self, scope: object, project: str) -> bool:
        if self.projects and project not in self.projects:
            return False
        if not isinstance(scope, Mapping) or "allProjects" in scope:
            return True  # without a scope of its own a capability is taken to hold everywhere
        return project in (scope.get("projects") or ())


_ALL = frozenset({-1})


def _data_sets(scope: Mapping[str, Any]) -> frozenset[int] | None:
    """Ids of a scope, `_ALL`, or None where the scope is of a kind not known here."""
    if "all" in scope:
        return _ALL
    within = scope.get("datasetScope")
    if not isinstance(within, Mapping):
        return None
    ids: Iterable[Any] = within.get("ids") or ()
    return frozenset(int(one) for one in ids if str(one).isdecimal())


def _dicts(items: object) -> list[Mapping[str, Any]]:
    return [one for one in items if isinstance(one, Mapping)] if isinstance(items, list) else []
