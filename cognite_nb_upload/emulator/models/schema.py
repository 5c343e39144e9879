"""Spaces and views that an emulator begins with: those of CDF that files need, and a field's own.

A view's document holds only its own properties; `inherited` adds those of the views that it
implements, as CDF does unless it is asked not to.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

CORE = "cdf_cdm"
FIELD = "field"
FILE_CONTAINER = (CORE, "CogniteFile")
#: The service sets these; whoever writes one is refused.
READ_ONLY = ("isUploaded", "uploadedTime")

#: Space, name, description, and whether it is CDF's own.
SPACES = [
    (CORE, "Core data model", "The views that CDF itself has", True),
    ("scans", "Laser scans", "Point clouds of the summer campaign", False),
    (FIELD, "The field", "Platforms, systems, equipment and their files", False),
]


def _text(*, many: bool = False, **more: Any) -> Json:
    return _property({"type": "text", "collation": "ucs_basic", "list": many}, **more)


def _plain(kind: str, *, many: bool = False, **more: Any) -> Json:
    return _property({"type": kind, "list": many}, **more)


def _direct(space: str, view: str, *, many: bool = False, **more: Any) -> Json:
    source = {"type": "view", "space": space, "externalId": view, "version": "v1"}
    return _property({"type": "direct", "list": many, "source": source}, **more)


def _property(kind: Json, **more: Any) -> Json:
    known = {"nullable": True, "immutable": False, "autoIncrement": False}
    if kind["list"]:
        kind = kind | {"maxListSize": 100 if kind["type"] == "direct" else 1000}
    return {"type": kind} | known | more


DESCRIBABLE: Json = {
    "name": _text(name="Name", description="Name of the instance"),
    "description": _text(name="Description", description="Description of the instance"),
    "tags": _text(many=True, name="Tags", description="Text based labels for generic use"),
    "aliases": _text(many=True, name="Aliases", description="Alternative names"),
}
SOURCEABLE: Json = {
    "sourceId": _text(name="Source id", description="Identifier from the source system"),
    "sourceContext": _text(name="Source context", description="Context of the source id"),
    "source": _direct(CORE, "CogniteSourceSystem", name="Source", description="The source system"),
    "sourceCreatedTime": _plain("timestamp", name="Source created time"),
    "sourceUpdatedTime": _plain("timestamp", name="Source updated time"),
    "sourceCreatedUser": _text(name="Source created user"),
    "sourceUpdatedUser": _text(name="Source updated user"),
}
#: By space and external id: version, name, what it implements, its own properties.
VIEWS: dict[tuple[str, str], tuple[str, str, list[tuple[str, str]], Json]] = {
    (CORE, "CogniteDescribable"): ("v1", "Describable", [], DESCRIBABLE),
    (CORE, "CogniteSourceable"): ("v1", "Sourceable", [], SOURCEABLE),
    (CORE, "CogniteSourceSystem"): (
        "v1",
        "Source system",
        [(CORE, "CogniteDescribable")],
        {"version": _text(name="Version"), "manufacturer": _text(name="Manufacturer")},
    ),
    (CORE, "CogniteFileCategory"): (
        "v1",
        "File category",
        [(CORE, "CogniteDescribable")],
        {
            "code": _text(nullable=False, name="Code", description="An identified category code"),
            "standard": _text(name="Standard"),
            "standardReference": _text(name="Standard reference"),
        },
    ),
    (CORE, "CogniteAsset"): (
        "v1",
        "Asset",
        [(CORE, "CogniteDescribable"), (CORE, "CogniteSourceable")],
        {"parent": _direct(CORE, "CogniteAsset", name="Parent")},
    ),
    (CORE, "CogniteFile"): (
        "v1",
        "File",
        [(CORE, "CogniteDescribable"), (CORE, "CogniteSourceable")],
        {
            "assets": _direct(CORE, "CogniteAsset", many=True, name="Assets"),
            "mimeType": _text(name="MIME type"),
            "directory": _text(name="Directory"),
            "isUploaded": _plain("boolean", name="Is uploaded"),
            "uploadedTime": _plain("timestamp", name="Uploaded time"),
            "category": _direct(CORE, "CogniteFileCategory", name="Category"),
        },
    ),
    (FIELD, "SeismicFile"): (
        "v3",
        "Seismic file",
        [(CORE, "CogniteFile")],
        {
            "survey": _text(nullable=False, name="Survey", description="The survey's short name"),
            "line": _plain("int32", name="Line", description="Number of the seismic line"),
            "traces": _plain("int64", name="Traces", description="How many traces it has"),
            "sampleInterval": _plain("float64", name="Sample interval", description="In ms"),
            "processed": _plain("boolean", name="Processed", defaultValue=False),
            "acquired": _plain("date", name="Acquired", description="The day of the recording"),
            "recordedTime": _plain("timestamp", name="Recorded", description="Of the first shot"),
            "parameters": _plain("json", name="Parameters", description="Of the processing"),
            "domain": _property(
                {
                    "type": "enum",
                    "list": False,
                    "values": {"time": {"name": "Two-way time"}, "depth": {"name": "Depth"}},
                },
                name="Domain",
            ),
            "vessels": _text(many=True, name="Vessels", description="Ships that took part"),
            "well": _direct(CORE, "CogniteAsset", name="Well", description="The tie-in well"),
        },
    ),
}


def spaces(now: int) -> list[Json]:
    """The documents of the spaces."""
    times = {"createdTime": now, "lastUpdatedTime": now}
    return [
        {"space": space, "name": name, "description": text, "isGlobal": own} | times
        for space, name, text, own in SPACES
    ]


def views(now: int) -> list[Json]:
    """The documents of the views, each after those that it implements."""
    made = []
    for (space, key), (version, name, above, own) in VIEWS.items():
        implements = [view_id(up, up_key, VIEWS[up, up_key][0]) for up, up_key in above]
        doc: Json = {"space": space, "externalId": key, "version": version, "name": name}
        doc |= {"createdTime": now, "lastUpdatedTime": now, "implements": implements}
        doc |= {"writable": True, "usedFor": "node", "isGlobal": space == CORE}
        container = {"type": "container", "space": space, "externalId": key}
        doc["properties"] = {
            name: prop | {"container": container, "containerPropertyIdentifier": name}
            for name, prop in own.items()
        }
        made.append(doc)
    return made


def view_id(space: str, external_id: str, version: str) -> Json:
    return {"type": "view", "space": space, "externalId": external_id, "version": version}


def nodes(classic_assets: list[Json], files: list[Json]) -> list[Json]:
    """What the first start writes, as items of an apply: assets, categories, systems, files."""
    made = [
        _node(FIELD, "CogniteSourceSystem", key, name=name, manufacturer=maker)
        for key, name, maker in (
            ("sap", "SAP", "SAP SE"),
            ("petrel", "Petrel", "SLB"),
            ("doc-store", "Document store", "The licence"),
        )
    ]
    made += [
        _node(FIELD, "CogniteFileCategory", code, code=code, name=name)
        for code, name in (("SEGY", "Seismic volume"), ("LAS", "Well log"), ("PID", "P&ID"))
    ]
    for asset in classic_assets:
        above = asset.get("parentExternalId")
        parent = {"parent": {"space": FIELD, "externalId": above}} if above else {}
        texts = {"name": asset["name"], "description": asset["description"]}
        made.append(_node(FIELD, "CogniteAsset", asset["externalId"], **texts, **parent))
    for meta in files:
        known = meta["instanceId"]
        made.append(_node(known["space"], "CogniteFile", known["externalId"], name=meta["name"]))
    return made


def _node(space: str, view: str, external_id: str, **properties: Any) -> Json:
    source = {"source": view_id(CORE, view, "v1"), "properties": properties}
    return {
        "instanceType": "node",
        "space": space,
        "externalId": external_id,
        "sources": [source],
    }


def inherited(view: Json, of: Mapping[tuple[str, str], Json]) -> Json:
    """All properties of a view: those of the views that it implements first."""
    found: Json = {}
    for above in view["implements"]:
        found |= inherited(of[above["space"], above["externalId"]], of)
    return found | dict(view["properties"])
