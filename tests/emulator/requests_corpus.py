"""A good request for each route, as a seed for bad ones."""

from __future__ import annotations

from typing import Any

RING = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
POLYGON = {"type": "Polygon", "coordinates": [RING]}
FEATURE = {"type": "Feature", "geometry": POLYGON, "properties": {"a": [1]}}
LABELS = [{"externalId": "raw"}]
RELATED = {
    "externalIdPrefix": "x",
    "metadata": {"k": "v"},
    "createdTime": {"min": 0, "max": 10},
    "labels": {"containsAny": LABELS},
    "geoLocation": {"relation": "INTERSECTS", "shape": POLYGON},
    "dataSetIds": [{"id": 7}, {"externalId": "lidar-2026"}],
    "source": "s",
}
FILE_FILTER = RELATED | {
    "name": "a",
    "directoryPrefix": "/a",
    "uploaded": True,
    "mimeType": "a/b",
    "assetIds": [1000],
    "assetExternalIds": ["nordvik"],
    "assetSubtreeIds": [{"id": 1000}],
    "rootAssetIds": [1000, {"externalId": "nordvik"}],
    "uploadedTime": {"min": 1},
}
ASSET_FILTER = RELATED | {
    "name": "a",
    "root": False,
    "parentIds": [1000],
    "parentExternalIds": ["nordvik"],
    "rootIds": [{"id": 1000}],
    "assetSubtreeIds": [{"externalId": "nordvik"}],
}
FILE = {
    "name": "a.bin",
    "externalId": "mutant",
    "directory": "/a",
    "source": "s",
    "mimeType": "text/plain",
    "metadata": {"k": "v"},
    "assetIds": [1000],
    "dataSetId": 7,
    "sourceCreatedTime": 1,
    "sourceModifiedTime": 2,
    "securityCategories": [1],
    "labels": LABELS,
    "geoLocation": FEATURE,
}
FILE_UPDATE = {
    "externalId": {"set": "mutant"},
    "directory": {"set": "/b"},
    "source": {"setNull": True},
    "metadata": {"add": {"l": "2"}, "remove": ["k"]},
    "assetIds": {"add": [1001], "remove": [1000]},
    "labels": {"add": [{"externalId": "draft"}], "remove": LABELS},
    "securityCategories": {"set": [1, 2]},
    "geoLocation": {"set": FEATURE},
    "sourceCreatedTime": {"set": 5},
}
ASSET = {
    "name": "Bolt",
    "externalId": "bolt",
    "parentExternalId": "nordvik",
    "description": "d",
    "dataSetId": 7,
    "metadata": {"k": "v"},
    "source": "s",
    "labels": LABELS,
    "geoLocation": FEATURE,
}
IDS = {"items": [{"id": 7}, {"externalId": "raw"}], "ignoreUnknownIds": True}
FILE_IDS = {
    "items": [
        {"externalId": "mutant"},
        {"instanceId": {"space": "scans", "externalId": "deck_1"}},
        {"id": 5},
    ],
    "ignoreUnknownIds": True,
}
_VIEW = {"type": "view", "space": "field", "externalId": "SeismicFile", "version": "v3"}
_NODE = {"instanceType": "node", "space": "field", "externalId": "n"}
_REFERENCE = {"space": "field", "externalId": "nordvik"}
_PROPERTIES = {
    "name": "n",
    "tags": ["a"],
    "assets": [_REFERENCE],
    "survey": "s",
    "line": 1,
    "traces": 2,
    "sampleInterval": 0.5,
    "processed": True,
    "acquired": "2026-01-02",
    "recordedTime": "2026-01-02T03:04:05.000+00:00",
    "parameters": {"a": [1]},
    "domain": "time",
}
_FILTER = {
    "and": [
        {"equals": {"property": ["node", "space"], "value": "field"}},
        {"or": [{"prefix": {"property": ["field", "SeismicFile/v3", "name"], "value": "n"}}]},
        {"not": {"in": {"property": ["node", "externalId"], "values": ["x"]}}},
        {"range": {"property": ["field", "SeismicFile/v3", "line"], "gte": 0, "lt": 5}},
        {"containsAny": {"property": ["field", "SeismicFile/v3", "tags"], "values": ["a"]}},
        {"hasData": [_VIEW]},
        {"exists": {"property": ["field", "SeismicFile/v3", "survey"]}},
    ]
}
_SORT = [{"property": ["field", "SeismicFile/v3", "line"], "direction": "descending"}]
PAGE = {"limit": 3, "cursor": "YWZ0ZXI6MA==", "partition": "1/2"}
#: Body and query by the route's name.
CORPUS: dict[str, tuple[Any, dict[str, str]]] = {
    "init": (FILE, {"parts": "2", "overwrite": "true"}),
    "create": (FILE, {"overwrite": "True"}),
    "multiuploadlink": ({"items": [{"externalId": "mutant"}]}, {"parts": "1"}),
    "uploadlink": ({"items": [{"externalId": "mutant"}]}, {}),
    "complete": ({"externalId": "mutant", "uploadId": "0" * 32}, {}),
    "byids": (FILE_IDS, {}),
    "list": ({"filter": FILE_FILTER} | PAGE, {}),
    "list_get": (
        None,
        {"name": "a", "assetIds": "[1000]", "uploaded": "true", "minCreatedTime": "5"}
        | {"limit": "3", "assetSubtreeExternalIds": '["nordvik"]', "dataSetIds": '[{"id": 7}]'},
    ),
    "search": ({"filter": FILE_FILTER, "search": {"name": "a"}, "limit": 5}, {}),
    "aggregate": ({"filter": FILE_FILTER}, {}),
    "downloadlink": (
        {"items": [{"externalId": "mutant"}]},
        {"extendedExpiration": "true"},
    ),
    "delete": (IDS, {}),
    "update": ({"items": [{"externalId": "mutant", "update": FILE_UPDATE}]}, {}),
    "datasets_create": (
        {"items": [{"externalId": "ds", "name": "n", "description": "d", "metadata": {"a": "b"}}]},
        {},
    ),
    "datasets_list": (
        {"filter": {"writeProtected": False, "metadata": {}, "createdTime": {"min": 1}}} | PAGE,
        {},
    ),
    "datasets_byids": (IDS, {}),
    "datasets_aggregate": ({"filter": {"externalIdPrefix": "s"}}, {}),
    "datasets_update": (
        {"items": [{"id": 7, "update": {"name": {"set": "n"}, "metadata": {"add": {"a": "b"}}}}]},
        {},
    ),
    "labels_create": ({"items": [{"externalId": "l", "name": "n", "dataSetId": 7}]}, {}),
    "labels_list": ({"filter": {"name": "Raw", "dataSetIds": [{"id": 7}]}} | PAGE, {}),
    "labels_byids": ({"items": LABELS, "ignoreUnknownIds": True}, {}),
    "labels_delete": ({"items": [{"externalId": "l"}], "ignoreUnknownIds": True}, {}),
    "assets_create": ({"items": [ASSET, {"name": "Nut", "parentExternalId": "bolt"}]}, {}),
    "assets_list": ({"filter": ASSET_FILTER, "aggregatedProperties": ["path"]} | PAGE, {}),
    "assets_byids": (IDS | {"aggregatedProperties": ["childCount", "depth"]}, {}),
    "assets_search": ({"filter": ASSET_FILTER, "search": {"query": "pump"}, "limit": 5}, {}),
    "assets_aggregate": ({"filter": ASSET_FILTER, "aggregate": "count"}, {}),
    "assets_update": (
        {
            "items": [
                {
                    "id": 1002,
                    "update": {
                        "name": {"set": "n"},
                        "parentId": {"set": 1001},
                        "metadata": {"set": {"a": "b"}},
                        "labels": {"add": LABELS},
                    },
                }
            ]
        },
        {},
    ),
    "assets_delete": (
        {"items": [{"externalId": "bolt"}], "recursive": True, "ignoreUnknownIds": True},
        {},
    ),
    "spaces": (None, {"limit": "5", "includeGlobal": "true", "cursor": "YWZ0ZXI6MA=="}),
    "spaces_byids": ({"items": [{"space": "field"}]}, {}),
    "spaces_create": ({"items": [{"space": "mine", "name": "n", "description": "d"}]}, {}),
    "views": (None, {"limit": "5", "includeGlobal": "true", "space": "field"}),
    "views_byids": ({"items": [_VIEW]}, {"includeInheritedProperties": "false"}),
    "instances_apply": (
        {
            "items": [
                _NODE
                | {"existingVersion": 9, "type": _REFERENCE}
                | {"sources": [{"source": _VIEW, "properties": _PROPERTIES}]}
            ],
            "autoCreateDirectRelations": True,
            "replace": False,
        },
        {},
    ),
    "instances_byids": ({"items": [_NODE], "sources": [{"source": _VIEW}]}, {}),
    "instances_list": (
        {"instanceType": "node", "sources": [{"source": _VIEW}], "filter": _FILTER}
        | {"sort": _SORT, "limit": 3, "cursor": "YWZ0ZXI6MA=="},
        {},
    ),
    "instances_search": (
        {"view": _VIEW, "query": "n", "instanceType": "node", "properties": ["name"]}
        | {"filter": _FILTER, "limit": 3, "operator": "OR"},
        {},
    ),
    "instances_delete": ({"items": [_NODE]}, {}),
    "models_statistics": (None, {}),
    "securitycategories": (None, {"limit": "5", "sort": "DESC", "cursor": "YWZ0ZXI6MA=="}),
    "securitycategories_create": ({"items": [{"name": "c"}]}, {}),
    "sessions_create": ({"items": [{"clientId": "a", "clientSecret": "b"}]}, {}),
    "sessions": (None, {"limit": "5", "status": "ready"}),
    "sessions_byids": ({"items": [{"id": 7}], "ignoreUnknownIds": True}, {}),
    "sessions_revoke": ({"items": [{"id": 7}], "ignoreUnknownIds": True}, {}),
}
#: What stands for a parameter of a path.
PARAMETERS = {"project": "demo", "id": "1000", "upload": "0" * 32, "part": "0", "file": "7"}
