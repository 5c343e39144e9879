"""Markup, controls and reversed text, typed or sent by a server, are shown and never obeyed."""

from __future__ import annotations

import copy
import html
import pickle
import re
from collections.abc import Callable
from typing import Any

import ipywidgets
import pytest
from support import fired

from cognite_nb_upload import CogniteClient
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.widgets import BrowserFiles, MetadataForm, SignIn, UploadPanel
from cognite_nb_upload.widgets.form.node import NodeForm

EVIL = '<img src=x onerror="alert(1)">'
SPOOF = "evil\u202efdp.exe\nnext\x1b[31m"
HARMFUL = re.compile("[\x00-\x1f\u202a-\u202e\u2066-\u2069]")


def everything(form: MetadataForm) -> list[ipywidgets.Widget]:
    found: list[ipywidgets.Widget] = []

    def walk(widget: ipywidgets.Widget) -> None:
        found.append(widget)
        if "cnbu-fold" in widget._dom_classes and widget.description.startswith("▸"):
            widget.click()  # what is folded away is made when it is unfolded
        for child in getattr(widget, "children", ()):
            walk(child)

    walk(form)
    return found


def markup(form: MetadataForm) -> str:
    """All HTML that the browser is given as HTML."""
    return "".join(
        one.value for one in everything(form) if isinstance(one, ipywidgets.HTML)
    ).replace("\n", "")


def elements(markup: str) -> set[str]:
    return set(re.findall(r"<([a-zA-Z]+)", markup))


OURS = {"style", "div", "svg", "path", "text", "circle"}


@pytest.mark.parametrize("text", [EVIL, SPOOF, f"</div>{EVIL}", "'\"><svg onload=alert(1)>"])
def test_what_is_typed_in_any_field_is_never_markup(form: MetadataForm, text: str) -> None:
    for name in ("name", "external_id", "source", "mime_type", "directory"):
        form.fields[name].input.value = text
    for picker in (form.data_set, form.labels, form.assets, form.security):
        picker.search.value = text
    form.pairs.rows[0].key.value = form.pairs.rows[0].value.value = text
    form.pairs.add_row()
    form.pairs.rows[1].key.value = text  # twice, so that an error names it
    form.pairs.paste.value = text
    form.pairs.add_pasted()
    geo: Any = form.fields["geo_location"]
    geo.geojson.value = geo.latitude.value = text
    shown = markup(form)
    assert elements(shown) <= OURS
    assert not HARMFUL.search(shown)
    for button in everything(form):
        if isinstance(button, ipywidgets.Button):
            assert not HARMFUL.search(button.description + button.tooltip)


@pytest.mark.parametrize("text", [EVIL, SPOOF])
def test_what_a_server_names_things_is_never_markup(
    client: CogniteClient,
    make_form: Callable[..., MetadataForm],
    create: Callable[[str, list[dict[str, Any]]], list[dict[str, Any]]],
    text: str,
) -> None:
    create("labels", [{"externalId": text, "name": text, "description": text}])
    asset = create("assets", [{"name": text, "description": text}])[0]
    data_set = create("datasets", [{"name": text, "description": text}])[0]
    with client.files.multipart_upload_session(text, 1, external_id="taken") as session:
        session.upload_part(0, b"x")
    form = make_form(client)
    form.fill(
        {"name": "a", "labels": [text], "data_set_id": data_set["id"], "asset_ids": [asset["id"]]}
    )
    form.external_id.input.value = "taken"
    assert form.tasks.wait()
    form.labels.open_or_close()
    form.data_set.open_or_close()

    shown = markup(form)
    assert elements(shown) <= OURS
    assert not HARMFUL.search(shown)
    words = [one.description for one in everything(form) if isinstance(one, ipywidgets.Button)]
    assert sum(text[:4] in one for one in words) >= 3  # a label, a data set, an asset
    assert not HARMFUL.search("".join(words))
    assert not HARMFUL.search(form.reason)
    assert text[:4] in form.reason


def test_what_a_server_says_when_it_refuses_is_never_markup(
    cdf: Emulator, client: CogniteClient, make_form: Callable[..., MetadataForm]
) -> None:
    body = '{"error": {"code": 403, "message": "<img src=x onerror=alert(1)>\\u202e"}}'
    cdf.inject(Fault("status", "labels_list", status=403, body=body))
    form = make_form(client)
    assert fired(cdf) == [("status", "labels_list")]
    assert elements(markup(form)) <= OURS
    assert html.escape("<img src=x onerror=alert(1)>") in form.labels.note.value
    assert not HARMFUL.search(markup(form))


def test_descriptions_are_text_for_the_browser(form: MetadataForm) -> None:
    described = [one for one in everything(form) if hasattr(one, "description_allow_html")]
    assert described
    assert not any(one.description_allow_html for one in described)


def test_no_token_is_in_any_state(
    cdf: Emulator, client: CogniteClient, make_form: Callable[..., MetadataForm]
) -> None:
    form = make_form(client)
    form.external_id.input.value = "x"
    assert form.tasks.wait()
    state = str([one.get_state() for one in everything(form)]) + repr(form) + repr(form.client)
    assert cdf.token not in state


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
@pytest.mark.parametrize("kind", [MetadataForm, UploadPanel, SignIn, BrowserFiles, NodeForm])
def test_a_widget_says_what_to_give_to_another_process(
    kind: type[ipywidgets.Widget], way: Callable[[object], object]
) -> None:
    widget = kind()
    with pytest.raises(TypeError, match=f"^{kind.__name__} is neither pickled nor copied: it is"):
        way(widget)
    widget.close()
