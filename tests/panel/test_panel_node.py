"""The panel's other kind of file: a node of the data model, with the fields of its view."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paneling import choose
from support import until

from cognite_nb_upload import CogniteClient, background
from cognite_nb_upload.emulator import Emulator, emulator
from cognite_nb_upload.models.ids import NodeId
from cognite_nb_upload.models.views import ViewId
from cognite_nb_upload.widgets.panel.panel import DATA_MODEL, UploadPanel

SEISMIC = ViewId("field", "SeismicFile", "v3")


def node_of(client: CogniteClient, external_id: str) -> dict[str, Any]:
    instances = client._twin.files.instances
    found = background.call(lambda: instances.node(NodeId("field", external_id), [SEISMIC]))
    assert found is not None
    return {**found, **found["properties"]["field"]["SeismicFile/v3"]}


@pytest.fixture
def ready_node(panel: UploadPanel, big: Path) -> UploadPanel:
    """A panel for a node of a view that extends CogniteFile; its own property is still missing."""
    choose(panel, big)
    panel.kind.value = DATA_MODEL
    form = panel.node_form
    assert form.tasks.wait()
    form.space.pick("field")
    form.view.pick(str(SEISMIC))
    assert form.tasks.wait()
    return panel


def own(panel: UploadPanel) -> dict[str, Any]:
    return {field.name: field for field in panel.node_form._own}


def test_the_fields_are_those_of_the_view_and_are_checked_before_anything_is_sent(
    ready_node: UploadPanel, cdf: Emulator
) -> None:
    fields, form = own(ready_node), ready_node.node_form
    assert {type(one).__name__ for one in fields.values()} >= {
        "TextProperty", "TimeProperty", "LinesProperty", "ChoiceProperty", "DateProperty",
        "NodeProperty",
    }  # fmt: skip
    assert "survey" in ready_node.reason.casefold()
    assert ready_node.start.disabled
    fields["survey"].input.value = "NV24"
    assert ready_node.reason == ""
    for name, wrong in (("line", "twelve"), ("line", str(2**31)), ("parameters", "{")):
        fields[name].input.value = wrong
        assert fields[name].error
        assert ready_node.reason == fields[name].error
        fields[name].input.value = ""
    form.fields["tags"].input.value = "\n".join("x" * 1001)
    assert "CDF takes at most 1000" in ready_node.reason
    assert not [row for row in cdf.requests() if row["route"] == "instances_apply"]


def test_what_was_filled_in_is_uploaded_and_shown_as_code(
    ready_node: UploadPanel, client: CogniteClient, cdf: Emulator, data: bytes, tmp_path: Path
) -> None:
    fields, form = own(ready_node), ready_node.node_form
    fields["survey"].input.value = "NV24"
    fields["line"].input.value = "12"
    fields["domain"].input.value = "time"
    fields["processed"].input.value = True
    fields["vessels"].input.value = "Ramform\nPolar"
    fields["parameters"].input.value = '{"gain": 2}'
    form.fields["assets"].search.value = "Nordvik A"
    assert form.tasks.wait()
    form.fields["assets"].enter()
    assert form.fields["assets"].value == [{"space": "field", "externalId": "nordvik"}]
    form.external_id.input.value = "NV24/12"
    assert form.tasks.wait()
    code = ready_node.code
    assert 'view=("field", "SeismicFile", "v3")' in code
    compile(code, "panel", "exec")
    ready_node.start.click()
    assert ready_node.upload is not None
    uploaded = ready_node.upload.result()
    assert cdf.content(uploaded.id) == data
    node = node_of(client, "NV24/12")
    assert (node["survey"], node["line"], node["domain"]) == ("NV24", 12, "time")
    assert (node["vessels"], node["parameters"]) == (["Ramform", "Polar"], {"gain": 2})
    assert node["processed"] is True
    assert node["assets"] == [{"space": "field", "externalId": "nordvik"}]
    assert (node["name"], node["isUploaded"]) == ("big.segy", True)


def test_the_code_of_a_node_runs(
    ready_node: UploadPanel, client: CogniteClient, monkeypatch: pytest.MonkeyPatch, cdf: Emulator
) -> None:
    own(ready_node)["survey"].input.value = "NV24"
    own(ready_node)["well"].pick("field/nordvik")
    monkeypatch.setenv("CDF_PROJECT", cdf.project)
    monkeypatch.setenv("CDF_URL", cdf.base_url)
    monkeypatch.setenv("CDF_TOKEN", cdf.token)
    said: dict[str, Any] = {}
    exec(ready_node.code, said)  # it is what the panel tells people to run
    said["client"].close()
    node = node_of(client, "big.segy")
    assert (node["survey"], node["well"]["externalId"]) == ("NV24", "nordvik")


def test_a_taken_id_is_said_and_overwritten_only_where_that_is_ticked(
    ready_node: UploadPanel, cdf: Emulator
) -> None:
    own(ready_node)["survey"].input.value = "NV24"
    ready_node.start.click()
    assert ready_node.upload is not None
    ready_node.upload.result()
    form = ready_node.node_form
    form.external_id.input.value = "other"
    form.external_id.input.value = "big.segy"
    assert form.tasks.wait()
    assert "A node of this space has it already" in form.reason
    form.external_id.overwrite.value = True
    assert form.reason == ""


def test_several_files_are_nodes_by_their_paths(
    ready_node: UploadPanel, client: CogniteClient, tmp_path: Path
) -> None:
    own(ready_node)["survey"].input.value = "NV24"
    paths = [tmp_path / f"{no}.las" for no in range(2)]
    for path in paths:
        path.write_bytes(b"log " + path.name.encode())
    ready_node.files.input.value = f"{tmp_path}/*.las"
    until(lambda: not ready_node.files.looking and ready_node.files.files)
    assert ready_node.reason == ""
    table = ready_node._list
    assert table is not None
    ready_node.start.click()
    until(lambda: not table.files.running)
    assert [row.mood for row in table.files.rows] == ["done", "done"]
    for path in paths:
        assert node_of(client, path.name)["name"] == path.name


def test_only_spaces_that_one_may_write_to_are_offered(
    make_panel: Callable[..., UploadPanel],
) -> None:
    with emulator(space_scope=["scans"]) as cdf:
        panel = make_panel(CogniteClient.from_env(
            {"CDF_PROJECT": cdf.project, "CDF_URL": cdf.base_url, "CDF_TOKEN": cdf.token}
        ))  # fmt: skip
        panel.kind.value = DATA_MODEL
        assert panel.node_form.tasks.wait()
        panel.node_form.space.open_or_close()
        assert [line.key.key for line in panel.node_form.space.lines.lines] == ["scans"]
        panel.node_form.space.pick("field")
        assert "may not write nodes to that space" in panel.node_form.space.warning
        panel.close()
