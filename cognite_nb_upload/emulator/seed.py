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
    times = {"createdTime": now, "lastUpdatedTime": now}
    names = ("id", "externalId", "name", "description", "writeProtected")
    data_sets = [dict(zip(names, row, strict=True)) for row in DATA_SETS]
    labels = [dict(zip(names[1:4], row, strict=True)) for row in LABELS]
    categories = [{"id": n, "name": name} for n, name in enumerate(SECURITY_CATEGORIES, 1)]
    return {
        "dataSets": [doc | {"metadata": {}} | times for doc in data_sets],
        "labels": [doc | {"createdTime": now} for doc in labels],
        "assets": [doc | {"metadata": {}} | times for doc in _assets()],
        "securityCategories": categories,
    }


def data_model_files(now: int) -> list[Json]:
    """Files of a data model that have no content yet; it is uploaded by their instance id."""
    times = {"createdTime": now, "lastUpdatedTime": now}
    return [
        {"id": 8_000_000_000_000 + n, "name": f"Scan of deck {n}.e57", "uploaded": False}
        | times
        | {"instanceId": {"space": "scans", "externalId": f"deck_{n}"}}
        for n in (1, 2)
    ]


def _assets() -> list[Json]:
    """Two platforms, four systems on each, six pieces of equipment in each system."""
    made: list[Json] = []

    def add(name: str, external_id: str, text: str, parent: Json | None = None) -> Json:
        asset: Json = {"id": 1000 + len(made), "externalId": external_id}
        asset |= {"name": name, "description": text, "rootId": 1000 + len(made)}
        if parent:
            asset |= {"rootId": parent["rootId"], "parentId": parent["id"]}
            asset |= {"parentExternalId": parent["externalId"]}
        made.append(asset)
        return asset

    for key, name, first in PLATFORMS:
        platform = add(name, key, f"Production platform {name}")
        for n, system_name in enumerate(SYSTEMS, first):
            text = f"{system_name} system of {name}"
            system = add(f"{n} {system_name}", f"{key}:{n}", text, platform)
            for m, kind in enumerate(EQUIPMENT, 1):
                tag = f"{n}-{''.join(word[0] for word in kind.upper().split())}-{m:03d}"
                text = f"{kind} of the {system_name.lower()} system"
                add(tag, f"{key}:{tag}", text, system)
    return made
