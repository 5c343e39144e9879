"""What forms pick from, and how files are found: lists, pages, filters, search, changes."""

from __future__ import annotations

import pytest


def pages(api, path, body, most=100):
    """All items of a list, and how many pages they came on."""
    found, count, cursor = [], 0, {}
    while count < most:
        answer = api.ok(path, body | cursor)
        found += answer["items"]
        count += 1
        if "nextCursor" not in answer:
            break
        cursor = {"cursor": answer["nextCursor"]}
    return found, count


@pytest.mark.parametrize(
    ("path", "total", "key"),
    [("/datasets/list", 6, "id"), ("/labels/list", 15, "externalId"), ("/assets/list", 58, "id")],
)
def test_lists_come_in_pages_that_together_are_the_whole(api, path, total, key):
    found, count = pages(api, path, {"limit": 4})
    assert len({item[key] for item in found}) == len(found) == total
    assert count == -(-total // 4)
    assert pages(api, path, {"limit": 1000}) == (found, 1)


def test_security_categories_come_25_at_a_time(api):
    names = [{"name": f"category {n}"} for n in range(40)]
    assert api.post("/securitycategories", {"items": names}).status_code == 201
    first = api.get("/securitycategories").json()
    assert len(first["items"]) == 25
    rest = api.get("/securitycategories", cursor=first["nextCursor"], limit=100).json()
    assert len(rest["items"]) == 19
    assert "nextCursor" not in rest
    backwards = api.get("/securitycategories", sort="DESC", limit=1).json()
    assert backwards["items"] == [rest["items"][-1]]
    api.no(400, "/securitycategories", {"items": names[:1]})


def test_a_limit_or_a_cursor_that_is_not_ours_is_refused(api):
    for body in ({"limit": 0}, {"limit": 1001}, {"cursor": "x"}, {"cursor": "bm90OnVz"}):
        api.no(400, "/files/list", body)
    api.no(400, "/files/list", {"partition": "2/1"})
    api.no(400, "/files/list", {"filter": {"colour": "red"}})
    api.no(400, "/files/list", {"filter": {"createdTime": 7}})
    api.no(400, "/files/list", {"filter": []})
    assert api.get("/securitycategories", limit="many").status_code == 400


def test_what_is_asked_for_by_id_comes_in_that_order(api):
    asked = [{"id": 42}, {"externalId": "seismic"}]
    found = api.ok("/datasets/byids", {"items": asked})["items"]
    assert [item["id"] for item in found] == [42, 7]
    asked = [{"externalId": "raw"}, {"externalId": "no"}]
    assert api.no(400, "/labels/byids", {"items": asked})["missing"] == [{"externalId": "no"}]
    body = {"items": asked, "ignoreUnknownIds": True}
    assert len(api.ok("/labels/byids", body)["items"]) == 1
    (asset,) = api.ok("/assets/byids", {"items": [{"id": 1002}]})["items"]
    assert (asset["parentId"], asset["rootId"]) == (1001, 1000)


def test_labels_are_filtered(api):
    def names(**filter):
        found = api.ok("/labels/list", {"filter": filter})["items"]
        return [item["externalId"] for item in found]

    assert names(name="Raw") == ["raw"]
    assert names(externalIdPrefix="seismic") == ["seismic", "seismic:3d"]
    made = {"externalId": "mine", "name": "Mine", "dataSetId": 7}
    assert api.post("/labels", {"items": [made]}).status_code == 201
    assert names(dataSetIds=[{"externalId": "seismic"}]) == ["mine"]
    api.no(409, "/labels", {"items": [made]})
    api.ok("/labels/delete", {"items": [{"externalId": "mine"}]})
    api.no(400, "/labels/delete", {"items": [{"externalId": "mine"}]})


def test_data_sets_are_filtered_counted_and_made(api):
    (only,) = api.ok("/datasets/list", {"filter": {"writeProtected": True}})["items"]
    assert only["id"] == 99
    api.ok("/datasets", {"items": [{"externalId": "new", "name": "New"}]})
    assert api.no(409, "/datasets", {"items": [{"externalId": "new"}]})["duplicated"]
    assert api.ok("/datasets/aggregate", {})["items"] == [{"count": 7}]


def test_assets_are_searched_the_best_first(api):
    found = api.ok("/assets/search", {"search": {"query": "nordvik gas"}, "limit": 3})["items"]
    assert found[0]["name"] == "8 Gas compression"
    assert len(found) == 3
    assert api.ok("/assets/search", {"search": {"query": "zeppelin"}})["items"] == []
    tag = found[0]["name"].split()[0] + "-p"
    (first, *_) = api.ok("/assets/search", {"search": {"name": tag}})["items"]
    assert first["name"] == "8-P-001"


def test_assets_hang_together(api):
    children = api.ok("/assets/list", {"filter": {"parentExternalIds": ["nordvik"]}})["items"]
    assert len(children) == 4
    tree = {"filter": {"assetSubtreeIds": [{"externalId": "nordvik:7"}]}}
    assert len(api.ok("/assets/list", tree)["items"]) == 7
    made = {"name": "Bolt", "parentExternalId": "nordvik:7"}
    (bolt,) = api.post("/assets", {"items": [made]}).json()["items"]
    assert bolt["rootId"] == 1000
    assert len(api.ok("/assets/list", tree)["items"]) == 8
    api.no(400, "/assets", {"items": [made | {"parentExternalId": "nowhere"}]})


@pytest.fixture
def files(api):
    """Three files that differ in everything, and their ids."""
    fields = [
        {"name": "north 3d.segy", "source": "ship", "directory": "/a/b", "metadata": {"k": "1"}},
        {"name": "south.las", "mimeType": "text/plain", "labels": [{"externalId": "raw"}]},
        {"name": "scan.e57", "assetIds": [1002], "dataSetId": 42, "sourceCreatedTime": 1000},
    ]
    ids = [api.init(externalId=f"x{n}", **each)["id"] for n, each in enumerate(fields)]
    api.upload(b"x", externalId="done", name="done")
    return ids


@pytest.mark.parametrize(
    ("wanted", "which"),
    [
        ({"name": "south.las"}, [1]),
        ({"source": "ship"}, [0]),
        ({"mimeType": "text/plain"}, [1]),
        ({"directoryPrefix": "/a"}, [0]),
        ({"directoryPrefix": "/b"}, []),
        ({"externalIdPrefix": "x"}, [0, 1, 2]),
        ({"metadata": {"k": "1"}}, [0]),
        ({"metadata": {"k": "2"}}, []),
        ({"labels": {"containsAny": [{"externalId": "raw"}, {"externalId": "seismic"}]}}, [1]),
        ({"labels": {"containsAll": [{"externalId": "raw"}, {"externalId": "seismic"}]}}, []),
        ({"assetIds": [1002]}, [2]),
        ({"assetExternalIds": ["nordvik:7-P-001"]}, [2]),
        ({"assetSubtreeIds": [{"id": 1001}]}, [2]),
        ({"rootAssetIds": [1000]}, [2]),
        ({"rootAssetIds": [1029]}, []),
        ({"dataSetIds": [{"externalId": "lidar-2026"}]}, [2]),
        ({"sourceCreatedTime": {"min": 1000, "max": 1000}}, [2]),
        ({"sourceCreatedTime": {"min": 1001}}, []),
        ({"uploaded": False, "externalIdPrefix": "x"}, [0, 1, 2]),
        ({"uploaded": True}, []),
    ],
)
def test_files_are_filtered(api, files, wanted, which):
    found = {meta["id"] for meta in api.ok("/files/list", {"filter": wanted})["items"]}
    assert found & set(files) == {files[n] for n in which}
    assert api.ok("/files/aggregate", {"filter": wanted})["items"] == [{"count": len(found)}]


def test_files_are_searched_by_the_words_of_their_names(api, files):
    def names(words, **filter):
        body = {"search": {"name": words}, "filter": filter}
        return [meta["name"] for meta in api.ok("/files/search", body)["items"]]

    assert names("3D north") == ["north 3d.segy"]
    assert names("deck 2")[0] == "Scan of deck 2.e57"
    assert names("las", mimeType="text/plain") == ["south.las"]
    assert names("las", mimeType="other") == []


def test_partitions_together_are_the_whole(api, files):
    found = [
        meta["id"]
        for n in (1, 2, 3)
        for meta in api.ok("/files/list", {"partition": f"{n}/3"})["items"]
    ]
    assert sorted(found) == sorted(meta["id"] for meta in api.cdf.files())


def test_a_file_by_its_id_alone(api, files):
    assert api.get(f"/files/{files[0]}").json()["name"] == "north 3d.segy"
    assert api.get("/files/1").status_code == 400
    assert api.get("/files/nonsense").status_code == 400


def test_ids_are_unique_and_of_one_kind(api, files):
    assert api.no(400, "/files/byids", {"items": [{"id": files[0]}] * 2})["duplicated"]
    for item in ({}, {"id": 1, "externalId": "a"}, {"id": "1"}, {"name": "a"}):
        api.no(400, "/files/byids", {"items": [item]})
    api.no(400, "/files/byids", {"items": []})
    api.no(400, "/files/byids", {"items": [{"id": 1}], "colour": "red"})
    body = {"items": [{"id": 1}, {"id": files[1]}], "ignoreUnknownIds": True}
    assert [meta["id"] for meta in api.ok("/files/byids", body)["items"]] == [files[1]]


def change(api, file_id, **update):
    body = {"items": [{"id": file_id, "update": update}]}
    return api.ok("/files/update", body)["items"][0]


def test_fields_are_set_cleared_added_to_and_removed_from(api, files):
    north, south, scan = files
    assert change(api, north, source={"set": "plane"})["source"] == "plane"
    assert "source" not in change(api, north, source={"setNull": True})
    add = {"add": {"l": "2"}, "remove": ["k"]}
    assert change(api, north, metadata=add)["metadata"] == {"l": "2"}
    swap = {"add": [{"externalId": "draft"}], "remove": [{"externalId": "raw"}]}
    assert change(api, south, labels=swap)["labels"] == [{"externalId": "draft"}]
    assert change(api, scan, assetIds={"add": [1000]})["assetIds"] == [1002, 1000]
    assert "assetIds" not in change(api, scan, assetIds={"set": []})
    assert change(api, scan, directory={"set": "/d"})["directory"] == "/d"


@pytest.mark.parametrize(
    "update",
    [
        {"name": {"set": "b"}},
        {"source": {"set": "x" * 129}},
        {"source": {"add": "x"}},
        {"source": "x"},
        {"source": {"set": "x", "setNull": True}},
        {"labels": {"add": [{"externalId": "nowhere"}]}},
        {"assetIds": {"set": [12345]}},
        {"dataSetId": {"set": 12345}},
        {"externalId": {"set": "x" * 256}},
    ],
)
def test_a_change_that_cannot_be_is_refused_and_changes_nothing(api, files, update):
    before = api.meta(files[0])
    items = [{"id": files[0], "update": {"source": {"set": "half"}}}]
    api.no(400, "/files/update", {"items": [*items, {"id": files[1], "update": update}]})
    assert api.meta(files[0]) == before


def test_an_external_id_stays_with_one_file(api, files):
    body = {"items": [{"id": files[0], "update": {"externalId": {"set": "x1"}}}]}
    assert api.no(409, "/files/update", body)["duplicated"] == [{"externalId": "x1"}]


def test_deleting_is_all_or_nothing(api, files):
    body = {"items": [{"id": files[0]}, {"externalId": "nowhere"}]}
    assert api.no(400, "/files/delete", body)["missing"] == [{"externalId": "nowhere"}]
    assert api.meta(files[0])
    assert api.ok("/files/delete", body | {"ignoreUnknownIds": True}) == {}
    api.no(400, "/files/byids", {"items": [{"id": files[0]}]})


def shape(kind, *coordinates):
    return {"type": kind, "coordinates": [*coordinates]}


def box(low, high):
    return [[low, low], [high, low], [high, high], [low, high], [low, low]]


BOW = shape("Polygon", [[0, 0], [4, 4], [4, 0], [0, 4], [0, 0]])  # it crosses itself at 2, 2
INSIDE = shape("Polygon", box(2, 3))
HOLED = shape("Polygon", box(0, 10), box(4, 6))


@pytest.mark.parametrize(
    ("own", "relation", "other", "passes"),
    [
        (shape("Point", 5, 1), "WITHIN", HOLED, True),
        (shape("Point", 5, 5), "within", HOLED, False),
        (shape("Point", 4, 5), "WITHIN", HOLED, True),  # on the hole's edge
        (shape("Point", 11, 5), "DISJOINT", HOLED, True),
        (INSIDE, "WITHIN", HOLED, True),
        (HOLED, "WITHIN", INSIDE, False),
        (shape("Polygon", box(3, 7)), "WITHIN", HOLED, False),  # around the hole
        (shape("Polygon", box(3, 7)), "INTERSECTS", HOLED, True),
        (shape("Polygon", box(4.5, 5.5)), "DISJOINT", HOLED, True),  # in the hole
        (HOLED, "INTERSECTS", INSIDE, True),
        (shape("LineString", [-1, 5], [11, 5]), "INTERSECTS", INSIDE, False),
        (shape("LineString", [-1, 2.5], [11, 2.5]), "INTERSECTS", INSIDE, True),
        (shape("LineString", [1, 5], [9, 5]), "WITHIN", HOLED, False),  # through the hole
        (shape("LineString", [0, 0], [10, 0]), "WITHIN", HOLED, True),  # along the edge
        (shape("MultiPoint", [1, 1], [5, 5]), "INTERSECTS", HOLED, True),
        (shape("MultiPoint", [1, 1], [5, 5]), "WITHIN", HOLED, False),
        (shape("MultiPolygon", [box(1, 2)], [box(7, 8)]), "WITHIN", HOLED, True),
        (shape("MultiLineString", [[20, 0], [20, 5]], [[1, 1], [2, 2]]), "DISJOINT", HOLED, False),
        (shape("Point", 10**300, 1e308), "DISJOINT", HOLED, True),
        (shape("Point", 3, 2), "WITHIN", BOW, True),
        (BOW, "DISJOINT", shape("Point", 2, 3), True),
    ],
)
def test_files_and_assets_are_found_by_where_they_are(api, own, relation, other, passes):
    location = {"type": "Feature", "geometry": own}
    api.init(externalId="there", geoLocation=location)
    api.ok("/assets", {"items": [{"name": "there", "geoLocation": location}]})
    wanted = {"filter": {"geoLocation": {"relation": relation, "shape": other}}}
    for path in ("/files/list", "/assets/list"):
        assert [each["name"] for each in api.ok(path, wanted)["items"]] == (
            [] if not passes else ["a.bin"] if path == "/files/list" else ["there"]
        )


def test_a_tree_of_assets_comes_in_one_request_in_any_order(api):
    tree = [
        {"name": "leaf", "externalId": "leaf", "parentExternalId": "twig"},
        {"name": "root", "externalId": "root"},
        {"name": "twig", "externalId": "twig", "parentExternalId": "root"},
    ]
    leaf, root, twig = api.ok("/assets", {"items": tree})["items"]
    assert (leaf["parentId"], leaf["rootId"]) == (twig["id"], root["id"])
    asked = {"items": [{"externalId": "leaf"}, {"externalId": "root"}]}
    asked["aggregatedProperties"] = ["childCount", "depth", "path"]
    below, above = (each["aggregates"] for each in api.ok("/assets/byids", asked)["items"])
    assert (below["childCount"], below["depth"], above["childCount"]) == (0, 2, 1)
    assert below["path"] == [{"id": each["id"]} for each in (root, twig, leaf)]
    circle = [{"name": n, "externalId": n, "parentExternalId": m} for n, m in ("xy", "yx")]
    assert "circle" in api.no(400, "/assets", {"items": circle})["message"]
    assert api.no(409, "/assets", {"items": tree})["duplicated"]
    twice = [{"name": "a", "externalId": "a"}] * 2
    assert api.no(409, "/assets", {"items": twice})["duplicated"] == [{"externalId": "a"}]


def test_assets_are_changed_moved_counted_and_deleted(api):
    def change(external_id, **update):
        body = {"items": [{"externalId": external_id, "update": update}]}
        return api.ok("/assets/update", body)["items"][0]

    moved = change("nordvik:7-P-001", parentExternalId={"set": "nordvik:8"}, name={"set": "P"})
    (eighth,) = api.ok("/assets/byids", {"items": [{"externalId": "nordvik:8"}]})["items"]
    assert (moved["parentId"], moved["name"]) == (eighth["id"], "P")
    change("nordvik:8", externalId={"set": "eight"})
    (child,) = api.ok("/assets/byids", {"items": [{"externalId": "nordvik:7-P-001"}]})["items"]
    assert child["parentExternalId"] == "eight"
    for update in ({"parentId": {"set": 1029}}, {"parentId": {"set": child["id"]}}):
        api.no(400, "/assets/update", {"items": [{"id": eighth["id"], "update": update}]})
    count = {"filter": {"assetSubtreeIds": [{"externalId": "nordvik"}]}}
    assert api.ok("/assets/aggregate", count)["items"] == [{"count": 29}]
    named = {"items": [{"externalId": "eight"}]}
    api.no(400, "/assets/delete", named)
    api.ok("/assets/delete", named | {"recursive": True})
    assert api.ok("/assets/aggregate", count)["items"] == [{"count": 29 - 8}]


def test_data_sets_are_changed(api):
    update = {
        "name": {"set": "New"},
        "metadata": {"add": {"k": "v"}},
        "description": {"setNull": True},
    }
    (changed,) = api.ok("/datasets/update", {"items": [{"id": 7, "update": update}]})["items"]
    assert (changed["name"], changed["metadata"]) == ("New", {"k": "v"})
    assert "description" not in changed
    taken = {"items": [{"id": 7, "update": {"externalId": {"set": "lidar-2026"}}}]}
    assert api.no(409, "/datasets/update", taken)["duplicated"] == [{"externalId": "lidar-2026"}]
    api.ok("/datasets/update", {"items": [{"id": 7, "update": {"writeProtected": {"set": True}}}]})
    assert "protected" in api.no(403, "/files", {"name": "a", "dataSetId": 7})["message"]


def test_a_file_whose_label_was_deleted_can_still_be_changed(api, files):
    _, south, _ = files
    api.ok("/labels/delete", {"items": [{"externalId": "raw"}]})
    assert change(api, south, source={"set": "ship"})["labels"] == [{"externalId": "raw"}]
    swapped = change(api, south, labels={"add": [{"externalId": "draft"}]})
    assert len(swapped["labels"]) == 2
    back = {"labels": {"set": [{"externalId": "raw"}, {"externalId": "archive"}]}}
    change(api, south, labels={"remove": [{"externalId": "raw"}]})
    api.no(400, "/files/update", {"items": [{"id": south, "update": back}]})


def test_files_are_listed_by_a_query_too(api, files):
    def names(**query):
        return [each["name"] for each in api.get("/files", **query).json()["items"]]

    assert names(source="ship") == ["north 3d.segy"]
    assert names(assetIds="[1002]", maxSourceCreatedTime=1000) == ["scan.e57"]
    assert names(assetSubtreeExternalIds='["nordvik:7"]', limit=1) == ["scan.e57"]
    assert names(dataSetIds='[{"externalId": "lidar-2026"}]', uploaded="false") == ["scan.e57"]
    for query in ({"colour": "red"}, {"assetIds": "1002"}, {"limit": "many"}, {"assetIds": "[{]"}):
        assert api.get("/files", **query).status_code == 400


@pytest.mark.parametrize("path", ["/files/delete", "/datasets/byids", "/labels/byids"])
def test_one_request_names_a_thing_once(api, path):
    body = {"items": [{"externalId": "raw"}] * 2, "ignoreUnknownIds": True}
    assert api.no(400, path, body)["duplicated"] == [{"externalId": "raw"}]
