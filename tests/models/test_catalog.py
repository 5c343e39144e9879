from __future__ import annotations

from typing import Any

import pytest

from cognite_nb_upload.models import (
    Asset,
    DataSet,
    LabelDefinition,
    SecurityCategory,
    TokenInspection,
)


def test_rows_come_from_cdfs_json():
    reply = {"id": 7, "externalId": "s", "name": "Surveys", "description": "d", "createdTime": 1}
    assert DataSet.from_cdf(reply | {"writeProtected": True}) == DataSet(
        7, "s", "Surveys", "d", write_protected=True
    )
    assert Asset.from_cdf(reply | {"parentId": 3, "rootId": 1}) == Asset(7, "s", "Surveys", "d", 3)
    assert LabelDefinition.from_cdf(reply | {"dataSetId": 9}) == LabelDefinition(
        "s", "Surveys", "d", 9
    )
    assert SecurityCategory.from_cdf(reply) == SecurityCategory(7, "Surveys")


def test_what_cdf_leaves_out_has_its_default():
    assert DataSet.from_cdf({"id": 7, "name": None}) == DataSet(7, write_protected=False)


@pytest.mark.parametrize(
    ("row", "title"),
    [
        (DataSet(7, "s", "Surveys"), "Surveys"),
        (Asset(7, "s"), "s"),
        (Asset(7), "7"),
        (LabelDefinition("raw"), "raw"),
        (SecurityCategory(3, "secret"), "secret"),
    ],
)
def test_a_row_is_titled_by_what_people_know_it_by(row: Any, title: str):
    assert row.title == title


# ---- token/inspect -------------------------------------------------------------------------------

ALL = {"all": {}}
HERE = {"projects": ["here"]}


def data_sets(*ids: object) -> dict[str, Any]:
    return {"datasetScope": {"ids": list(ids)}}


def files(scope: object, actions: object = ("READ", "WRITE"), project: object = None) -> Any:
    acl = {"actions": list(actions), "scope": scope}  # type: ignore[call-overload]
    return {"filesAcl": acl, "projectScope": project or HERE}


def inspection(*capabilities: object) -> TokenInspection:
    return TokenInspection.from_cdf(
        {
            "subject": "me",
            "projects": [{"projectUrlName": "here", "groups": [1]}],
            "capabilities": list(capabilities),
        }
    )


@pytest.mark.parametrize(
    ("capabilities", "can", "where"),
    [
        ([files(ALL)], True, None),
        ([files(ALL, project={"allProjects": {}})], True, None),
        ([files(data_sets(1, 2))], True, {1, 2}),
        ([files(data_sets("1"))], True, {1}),
        ([files(data_sets(1)), files(data_sets(2))], True, {1, 2}),
        ([files(data_sets(1)), files(ALL)], True, None),
        ([files(data_sets())], False, set()),
        ([files(ALL, ["READ"]), files(data_sets(1))], True, {1}),
        ([files(ALL, ["READ"])], False, set()),
        ([files(ALL, project={"projects": ["there"]})], False, set()),
        ([{"assetsAcl": {"actions": ["WRITE"], "scope": ALL}, "projectScope": HERE}], False, set()),
        ([], False, set()),
        ([files({"newScope": {}})], None, None),
        ([files({"newScope": {}}), files(data_sets(1))], True, None),
        ([files(ALL, ["READ"]), "garbage", {"filesAcl": 3}], False, set()),
        ([{"filesAcl": {"actions": ["WRITE"], "scope": ALL}}], True, None),
    ],
)
def test_where_files_may_be_written(
    capabilities: list[Any], can: bool | None, where: set[int] | None
):
    told = inspection(*capabilities)
    assert told.can_write_files("here") is can
    assert told.writable_data_sets("here") == where


def test_a_project_the_token_does_not_reach_takes_nothing():
    told = inspection(files(ALL, project={"allProjects": {}}))
    assert told.can_write_files("there") is False
    assert told.writable_data_sets("there") == frozenset()


@pytest.mark.parametrize("reply", [{}, {"capabilities": None}, {"capabilities": "?"}])
def test_where_cdf_tells_nothing_it_has_the_last_word(reply: dict[str, Any]):
    told = TokenInspection.from_cdf(reply)
    assert told.can_write_files("here") is None
    assert told.writable_data_sets("here") is None


def test_who_and_where_are_told():
    told = inspection()
    assert (told.subject, told.projects) == ("me", ("here",))
