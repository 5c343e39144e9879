"""What a new emulator holds: a small offshore field, for demos and tests."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

DATA_SETS: list[tuple[int, str, str, str, bool]] = [
    (7, "seismic", "Seismic surveys", "SEG-Y volumes, pre-stack and post-stack", False),
    (11, "well-logs", "Well logs", "LAS and DLIS files of all wellbores", False),
    (23, "p-and-id", "P&IDs and drawings", "Engineering drawings as PDF and DWG", False),
    (42, "lidar-2026", "LiDAR scans 2026", "Point clouds of the summer campaign", False),
    (58, "inspection", "Inspection media", "Drone video and photos", False),
    (99, "authority", "Authority reports", "Approved reports; changed by their owners alone", True),
]
LABELS: list[tuple[str, str, str]] = [
    ("seismic", "Seismic", "A seismic survey or a part of one"),
    ("seismic:3d", "3D seismic", "A three-dimensional survey"),
    ("well-log", "Well log", "A log of a wellbore"),
    ("drawing", "Drawing", "An engineering drawing"),
    ("drawing:pid", "P&ID", "A piping and instrumentation diagram"),
    ("point-cloud", "Point cloud", "A laser scan"),
    ("video", "Video", "Moving pictures"),
    ("photo", "Photo", "A single picture"),
    ("report", "Report", "A written report"),
    ("raw", "Raw", "As it came from the instrument"),
    ("processed", "Processed", "After at least one processing step"),
    ("approved", "Approved", "Approved by its owner"),
    ("draft", "Draft", "Not approved yet"),
    ("confidential", "Confidential", "Not to be shared outside of the licence"),
    ("archive", "Archive", "Kept for the record"),
]
SECURITY_CATEGORIES = ["Licence partners", "Vendor A", "Management", "HSE"]
PLATFORMS = [("nordvik", "Nordvik A", 7), ("sorland", "Sorland B", 23)]
SYSTEMS = ["Oil export", "Gas compression", "Water injection", "Power"]
EQUIPMENT = ["Pump", "Compressor", "Heat exchanger", "Valve", "Flow meter", "Transformer"]


def catalog(now: int) -> dict[str, list[Json]]:
    """The four lists that files refer to."""
    return {
        "dataSets": [_data_set(now, *row) for row in DATA_SETS],
        "labels": [
            {"externalId": key, "name": name, "description": text, "createdTime": now}
            for key, name, text in LABELS
        ],
        "assets": _assets(now),
        "securityCategories": [
            {"id": n, "name": name} for n, name in enumerate(SECURITY_CATEGORIES, 1)
        ],
    }


def data_model_files(now: int) -> list[Json]:
    """Files of a data model that have no content yet; it is uploaded by their instance id."""
    names = ["Scan of deck 1.e57", "Scan of deck 2.e57"]
    return [
        {
            "id": 8_000_000_000_001 + n,
            "name": name,
            "uploaded": False,
            "createdTime": now,
            "lastUpdatedTime": now,
            "instanceId": {"space": "scans", "externalId": f"deck_{n + 1}"},
        }
        for n, name in enumerate(names)
    ]


def _data_set(now: int, key: int, external_id: str, name: str, text: str, protected: bool) -> Json:
    return {
        "id": key,
        "externalId": external_id,
        "name": name,
        "description": text,
        "metadata": {},
        "writeProtected": protected,
        "createdTime": now,
        "lastUpdatedTime": now,
    }


def _assets(now: int) -> list[Json]:
    """Two platforms, four systems on each, six pieces of equipment in each system."""
    made: list[Json] = []

    def add(name: str, external_id: str, text: str, parent: Json | None) -> Json:
        new_id = 1000 + len(made)
        asset: Json = {
            "id": new_id,
            "externalId": external_id,
            "name": name,
            "description": text,
            "metadata": {},
        }
        asset |= {
            "createdTime": now,
            "lastUpdatedTime": now,
            "rootId": parent["rootId"] if parent else new_id,
        }
        if parent:
            asset |= {"parentId": parent["id"], "parentExternalId": parent["externalId"]}
        made.append(asset)
        return asset

    for key, name, first in PLATFORMS:
        platform = add(name, key, f"Production platform {name}", None)
        for n, system_name in enumerate(SYSTEMS, first):
            system = add(
                f"{n} {system_name}", f"{key}:{n}", f"{system_name} system of {name}", platform
            )
            for m, kind in enumerate(EQUIPMENT, 1):
                tag = f"{n}-{''.join(word[0] for word in kind.upper().split())}-{m:03d}"
                add(tag, f"{key}:{tag}", f"{kind} of the {system_name.lower()} system", system)
    return made
