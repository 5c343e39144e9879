"""Nodes: written through views, read through views, and the files that some of them are.

A node's document keeps properties by the container that they are in, so that a view and one that
extends it show the same. A node with data in the container of CogniteFile is a file: the file
service has a file of its instance id, which it knows a while after the node was written.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from .. import rules
from ..content import Content
from ..project import Project
from ..rules import Json, Refused, need
from . import schema
from .values import check_of

_FILE = json.dumps(schema.FILE_CONTAINER)
#: What the file service shows of a node: by its own field, the container and the property.
_SHOWN = {
    "name": (json.dumps((schema.CORE, "CogniteDescribable")), "name"),
    "mimeType": (_FILE, "mimeType"),
    "directory": (_FILE, "directory"),
}


def key_of(item: Json) -> str:
    return json.dumps([item["space"], item["externalId"]])


class Nodes:
    """The nodes of a project. It remembers nothing itself."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._table, self._content = project.nodes, Content(project)

    # ---- what is there ------------------------------------------------------------------------

    def get(self, item: Json) -> Json | None:
        return self._table.get(key_of(item))

    def after(self, no: int) -> Iterable[tuple[int, Json]]:
        return self._table.after(no)

    def view(self, source: Json) -> Json:
        """The view that `source` names, with all properties; the latest version if it says none."""
        found = self._views.get(key_of(source))
        if found is None or source.get("version", found["version"]) != found["version"]:
            raise Refused("One or more views do not exist", missing=[source])
        return found

    @cached_property
    def _views(self) -> dict[str, Json]:
        """All views by their keys. The first start makes them, and nothing changes them."""
        known = {(doc["space"], doc["externalId"]): doc for doc in self._project.views}
        whole = [doc | {"properties": schema.inherited(doc, known)} for doc in known.values()]
        return {key_of(doc): doc for doc in whole}

    def has_data(self, node: Json, views: Sequence[Json]) -> bool:
        """Whether a node has data in every container of every one of the views."""
        return all(_containers(view) <= node["data"].keys() for view in views)

    def shown(self, node: Json, views: Sequence[Json]) -> Json:
        """A node as the API shows it, with its properties in the views."""
        fields = ("space", "externalId", "version", "createdTime", "lastUpdatedTime", "type")
        item: Json = {"instanceType": "node"} | {
            name: node[name] for name in fields if name in node
        }
        properties: Json = {}
        for view in views:
            values = {name: self.value(node, prop) for name, prop in view["properties"].items()}
            given = {name: value for name, value in values.items() if value is not None}
            label = f"{view['externalId']}/{view['version']}"
            properties.setdefault(view["space"], {})[label] = given
        return item | {"properties": properties}

    def value(self, node: Json, prop: Json) -> Any:
        container, name = _container(prop), prop["containerPropertyIdentifier"]
        if container == _FILE and name in schema.READ_ONLY:
            return self._from_file(node, name)
        return node["data"].get(container, {}).get(name)

    def _from_file(self, node: Json, name: str) -> Any:
        """What the file service writes to the node, some time after it knows it itself."""
        doc = self._file_of(node)
        meta = doc["meta"] if doc else {}
        late_ms = self._project.settings.node_uploaded_delay_s * 1000
        at = meta.get("uploadedTime")
        if at is None or self._project.now() < at + late_ms:
            return False if name == "isUploaded" and _FILE in node["data"] else None
        return True if name == "isUploaded" else _iso(at)

    def _file_of(self, node: Json) -> Json | None:
        found = self._project.files.by("meta.instanceId", _id_of(node))
        return self._content.alive(found[0]) if found else None

    # ---- writing ------------------------------------------------------------------------------

    def apply(self, item: Json, *, replace: bool, skip: bool, create: bool) -> Json:
        """One item of an apply: an upsert, or an insert where `existingVersion` is 0.

        `replace` drops the properties that are not named; `skip` leaves a newer node as it is;
        `create` makes nodes for direct relations to what does not exist.
        """
        old = self.get(item)
        if old is not None and old["version"] > item.get("existingVersion", old["version"]):
            if skip:
                return self._result(old, modified=False)
            text = f"The node {item['space']}/{item['externalId']} has version {old['version']}"
            raise Refused(f"{text}, which is newer than existingVersion", status=409)
        now = self._project.now()
        known = old or {"version": 0, "createdTime": now, "data": {}}
        new = known | {"space": item["space"], "externalId": item["externalId"]}
        if "type" in item:
            new["type"] = item["type"]
        for source in item.get("sources", ()):
            new = new | {"data": self._written(new["data"], source, replace, create)}
        if old is not None and new == old:
            return self._result(old, modified=False)
        new |= {"version": known["version"] + 1, "lastUpdatedTime": now}
        self._table.put(key_of(item), new)
        self._tell_file_service(new)
        return self._result(new, modified=True)

    def _written(self, data: Json, source: Json, replace: bool, create: bool) -> Json:
        """Data by container, after one of an item's `sources`."""
        view, given = self.view(source["source"]), source.get("properties", {})
        where = f"{view['externalId']}/{view['version']}"
        for name in given:
            need(name in view["properties"], f"Unknown property '{name}' in {where}")
        touched = {name: {} if replace else data.get(name, {}) for name in _containers(view)}
        new = data | {name: dict(values) for name, values in touched.items()}
        for name, prop in view["properties"].items():
            container, key = _container(prop), prop["containerPropertyIdentifier"]
            if name in given:
                self._check(f"{where}.{name}", prop, given[name], create)
                new[container][key] = given[name]
                if given[name] is None:
                    del new[container][key]
            elif "defaultValue" in prop:
                new[container].setdefault(key, prop["defaultValue"])
            if not prop["nullable"]:
                need(key in new[container], f"{where}.{name} is required, and is not given")
        return new

    def _check(self, name: str, prop: Json, value: Any, create: bool) -> None:
        container, key = _container(prop), prop["containerPropertyIdentifier"]
        service = container == _FILE and key in schema.READ_ONLY
        need(not service, f"{name} is set by the service alone")
        if value is None:
            return
        check_of(prop)(name, value)
        if prop["type"]["type"] == "direct":
            for target in value if prop["type"]["list"] else [value]:
                self._target(target, create)

    def _target(self, target: Json, create: bool) -> None:
        """The node of a direct relation: an empty one is made where it is missing."""
        if self.get(target) is not None:
            return
        self.space_exists(target["space"])
        if not create:
            raise Refused("One or more direct relations do not exist", missing=[target])
        now = self._project.now()
        empty = target | {"version": 1, "createdTime": now, "lastUpdatedTime": now, "data": {}}
        self._table.put(key_of(target), empty)

    def space_exists(self, space: str) -> None:
        if self._project.spaces.get(space) is None:
            raise Refused("One or more spaces do not exist", missing=[{"space": space}])

    def _tell_file_service(self, node: Json) -> None:
        """A node that has become a file gets one, which is known after the propagation delay."""
        if _FILE not in node["data"]:
            return
        shown = {
            field: node["data"].get(container, {}).get(name)
            for field, (container, name) in _SHOWN.items()
        }
        given = {field: value for field, value in shown.items() if value is not None}
        found = self._project.files.by("meta.instanceId", _id_of(node))
        if found:
            # Whether CDF's file service follows later changes is not known; this one does.
            self._project.put_file(found[0] | {"meta": found[0]["meta"] | given})
            return
        given = {"name": node["externalId"]} | given | {"instanceId": _id_of(node)}
        known_ms = self._project.now() + round(self._project.settings.node_delay_s * 1000)
        self._project.put_file(self._content.add(given) | {"known": known_ms})

    def _result(self, node: Json, *, modified: bool) -> Json:
        fields = ("space", "externalId", "version", "createdTime", "lastUpdatedTime")
        result = {"instanceType": "node"} | {name: node[name] for name in fields}
        return result | {"wasModified": modified}

    def delete(self, item: Json) -> bool:
        """A node goes, with its file; False if there was none."""
        if self.get(item) is None:
            return False
        self._table.drop(key_of(item))
        for doc in self._project.files.by("meta.instanceId", _id_of(item)):
            self._content.forget(doc)
        return True


def _id_of(node: Json) -> Json:
    return {"space": node["space"], "externalId": node["externalId"]}


def _container(prop: Json) -> str:
    return json.dumps([prop["container"]["space"], prop["container"]["externalId"]])


def _containers(view: Json) -> set[str]:
    return {_container(prop) for prop in view["properties"].values()}


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


def repeated_ids(items: Sequence[Json]) -> None:
    """Refuses a request that names one node twice."""
    rules.refuse_repeated([_id_of(item) for item in items], "instances")
