"""Picking from what CDF lists: in the background, only what one may, and by ids where it fails."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from at_once import at_once
from cognite.client import ClientConfig as OfficialConfig
from cognite.client import CogniteClient as OfficialClient
from cognite.client.credentials import Token as OfficialToken
from support import config_of, fired, quick, routes, seen, until

from cognite_nb_upload import AsyncCogniteClient, CogniteClient, FileMetadata, Label, background
from cognite_nb_upload.emulator import Emulator, Fault, emulator
from cognite_nb_upload.widgets import MetadataForm
from cognite_nb_upload.widgets.form.picker import Picker

MakeForm = Callable[..., MetadataForm]
Create = Callable[[str, list[dict[str, Any]]], list[dict[str, Any]]]


def texts(picker: Picker) -> list[str]:
    """The lines one may pick from, as they are read."""
    return [line.text for line in picker.lines.lines]


def titles(picker: Picker) -> list[str]:
    return [text.split(" · ")[0] for text in texts(picker)]


def chips(picker: Picker) -> list[str]:
    return [line.text.removesuffix(" ✕") for line in picker.chips.lines]


def press(picker: Picker, text: str) -> None:
    """Click on the line or chip that begins with this text."""
    lines = [*picker.lines.widget.children, *picker.chips.widget.children]
    next(one for one in lines if one.description.startswith(text)).click()


def type_in(form: MetadataForm, picker: Picker, text: str) -> None:
    picker.search.value = text
    assert form.tasks.wait()


def enter(picker: Picker) -> None:
    """Press Enter in the search box: what the browser sends then."""
    picker.search._handle_custom_msg({"event": "submit"}, [])
    assert picker._tasks.wait()


# --- loading ---------------------------------------------------------------------------------


def test_lists_load_in_the_background_and_say_so(cdf: Emulator, client: CogniteClient) -> None:
    cdf.inject(Fault("stall_answer", "any", times=None))
    form = MetadataForm(client)
    assert form.loading
    assert "Loading data sets…" in form.data_set.note.value
    assert "cnbu-busy" in form.labels.note.value
    loaded = threading.Event()
    form.observe(lambda change: loaded.set(), "loading")
    until(lambda: fired(cdf))
    cdf.clear_faults()
    assert loaded.wait(60)
    assert form.tasks.wait()
    assert not form.loading
    assert "Loading" not in form.data_set.note.value
    form.close()


def test_making_a_form_asks_for_each_list_once(live: MetadataForm, cdf: Emulator) -> None:
    asked = sorted(routes(cdf))
    assert asked == ["datasets_list", "inspect", "labels_list", "securitycategories"]
    live.data_set.open_or_close()
    live.labels.search.value = "raw"
    assert sorted(routes(cdf)) == asked


@pytest.mark.parametrize("kind", ["async", "official"])
def test_any_client_will_do(cdf: Emulator, make_form: MakeForm, kind: str) -> None:
    client: object = AsyncCogniteClient(config_of(cdf))
    if kind == "official":
        client = OfficialClient(
            OfficialConfig("tests", cdf.project, OfficialToken(cdf.token), base_url=cdf.base_url)
        )
    form = make_form(client)
    assert form.labels.loaded
    assert form.client is not None
    background.call(form.client.close)


def test_a_long_list_shows_its_first_page_and_then_all(
    cdf: Emulator, client: CogniteClient, create: Create, make_form: MakeForm
) -> None:
    many = [{"externalId": f"l{no:04}", "name": f"Layer {no:04}"} for no in range(1200)]
    create("labels", many[:1000])
    create("labels", many[1000:])
    cdf.inject(Fault("stall_answer", "labels_list", skip=1, times=1))
    form = MetadataForm(client)
    until(lambda: "Loading more labels…" in form.labels.note.value)
    form.labels.search.value = "Layer 0900"
    assert "Layer 0900" in titles(form.labels)
    until(lambda: ("stall_answer", "labels_list") in fired(cdf))
    cdf.clear_faults()
    assert form.tasks.wait()
    assert ("stall_answer", "labels_list") in fired(cdf)
    form.labels.search.value = "Layer 1199"
    assert titles(form.labels)[0] == "Layer 1199"
    form.close()


# --- data sets -------------------------------------------------------------------------------


def test_a_data_set_is_found_by_a_part_of_its_name(live: MetadataForm) -> None:
    type_in(live, live.data_set, "logs")
    assert texts(live.data_set) == [
        "Well logs · well-logs · id 11 · LAS and DLIS files of all wellbores"
    ]
    press(live.data_set, "Well logs")
    assert live.data_set.value == 11
    assert chips(live.data_set) == ["Well logs"]
    assert texts(live.data_set) == []


def test_enter_takes_the_first_and_another_takes_its_place(live: MetadataForm) -> None:
    type_in(live, live.data_set, "seis")
    enter(live.data_set)
    assert live.data_set.value == 7
    type_in(live, live.data_set, "11")
    enter(live.data_set)
    assert live.data_set.value == 11
    assert chips(live.data_set) == ["Well logs"]
    press(live.data_set, "Well logs")
    assert live.data_set.value is None


def test_only_data_sets_one_may_write_to_are_listed_and_it_says_why(make_form: MakeForm) -> None:
    with (
        emulator(write_scope=[11, 23], strict_storage=True) as cdf,
        CogniteClient(config_of(cdf)) as client,
    ):
        form = make_form(client)
        form.data_set.open_or_close()
        assert titles(form.data_set) == ["Well logs", "P&IDs and drawings"]
        assert "2 of 6: those that this token may write files to." in form.data_set.note.value
        form.fill({"name": "a", "data_set_id": 7})
        assert form.value == FileMetadata(name="a", data_set_id=7)  # CDF has the last word
        assert "may not write files to that data set" in form.data_set.note.value
        assert chips(form.data_set) == ["Seismic surveys"]
        form.close()


def test_a_token_that_may_write_nowhere_is_told_so_at_the_top(make_form: MakeForm) -> None:
    with (
        emulator(write_scope=[], strict_storage=True) as cdf,
        CogniteClient(config_of(cdf)) as client,
    ):
        form = make_form(client)
        assert "may not write files in project demo" in form._banner.value
        assert "may not write files to any data set" in form.data_set.note.value
        form.close()


def test_a_write_protected_data_set_is_picked_with_a_warning(live: MetadataForm) -> None:
    type_in(live, live.data_set, "authority")
    enter(live.data_set)
    assert live.data_set.value == 99
    assert "only its owners may change it" in live.data_set.note.value


# --- labels and security categories ----------------------------------------------------------


def test_several_labels_are_picked_each_once(live: MetadataForm) -> None:
    for typed in ("draft", "raw", "dra"):
        type_in(live, live.labels, typed)
        enter(live.labels)
    assert chips(live.labels) == ["Draft", "Raw", "Drawing"]
    press(live.labels, "Draft")
    live.name.input.value = "a"
    assert live.value == FileMetadata(name="a", labels=("raw", "drawing"))


def test_browsing_shows_a_page_at_a_time(live: MetadataForm) -> None:
    live.labels.open_or_close()
    first = titles(live.labels)
    assert (len(first), first[-1]) == (9, "7 more…")
    press(live.labels, "7 more…")
    assert titles(live.labels)[-1] == "Back"
    assert not set(titles(live.labels)) & set(first)
    press(live.labels, "Back")
    assert titles(live.labels) == first
    live.labels.open_or_close()
    assert texts(live.labels) == []


def test_eleven_labels_are_one_too_many(live: MetadataForm) -> None:
    live.name.input.value = "a"
    live.labels.pick(*(choice.key for choice in live.labels._offer.choices[:11]))
    assert live.errors == {"labels": "Labels has 11 items; CDF takes at most 10."}
    press(live.labels, "Seismic")
    assert live.value is not None


def test_a_label_that_cdf_does_not_list_can_be_used_with_a_warning(live: MetadataForm) -> None:
    type_in(live, live.labels, "brand-new")
    assert "No label fits 'brand-new'" in live.labels.note.value.replace("&#x27;", "'")
    enter(live.labels)
    assert chips(live.labels) == ["brand-new"]
    assert "CDF lists no such label" in live.labels.note.value


def test_security_categories_are_picked_by_name(live: MetadataForm) -> None:
    type_in(live, live.security, "vendor")
    enter(live.security)
    assert live.security.value == (2,)
    type_in(live, live.security, "77")
    enter(live.security)
    assert live.security.value == (2, 77)
    assert "CDF lists no such security category for this token" in live.security.note.value


# --- assets ----------------------------------------------------------------------------------


def test_assets_are_searched_for_when_one_stops_typing(live: MetadataForm, cdf: Emulator) -> None:
    def type_it() -> str:
        for typed in ("p", "pu", "pum", "pump", "pump oil"):
            live.assets.search.value = typed
        return str(live.assets.note.value)

    assert "Searching assets…" in at_once(type_it)
    assert live.tasks.wait()
    assert len(seen(cdf, "assets_search")) == 1
    assert texts(live.assets)[0].endswith("Pump of the oil export system")
    enter(live.assets)
    press_next = "23-P-001"
    type_in(live, live.assets, "pump oil")
    press(live.assets, press_next)
    assert chips(live.assets) == ["7-P-001", "23-P-001"]
    assert live.assets.value == (1002, 1031)


def test_assets_that_a_form_is_filled_with_get_their_names(live: MetadataForm) -> None:
    live.value = FileMetadata(name="a", asset_ids=(1002, 5))
    assert live.tasks.wait()
    assert chips(live.assets) == ["7-P-001", "5"]
    assert "CDF finds no such asset for this token" in live.assets.note.value
    live.assets.drop(5)
    assert "finds no such" not in live.assets.note.value
    type_in(live, live.assets, "6")
    enter(live.assets)
    assert live.tasks.wait()
    assert "CDF finds no such asset for this token" in live.assets.note.value


def test_a_search_that_fails_says_why_and_ids_still_work(live: MetadataForm, cdf: Emulator) -> None:
    cdf.inject(Fault("status", "assets_search", status=403, body=_error("no assets for you")))
    type_in(live, live.assets, "pump")
    assert "This token may not list them (403: no assets for you)" in live.assets.note.value
    assert fired(cdf) == [("status", "assets_search")]
    live.assets.search.value = "1002, 1003"
    enter(live.assets)
    assert live.assets.value == (1002, 1003)


def test_a_thousand_assets_are_two_dozen_chips(form: MetadataForm) -> None:
    form.value = FileMetadata(name="a", asset_ids=range(1, 1001))
    assert len(form.assets.chips.lines) == 25
    press(form.assets, "and 976 more")
    assert form.assets.value is None


# --- without a list --------------------------------------------------------------------------


def _error(message: str) -> str:
    return f'{{"error": {{"code": 403, "message": "{message}"}}}}'


def test_enter_takes_what_was_typed_before_it_and_no_more(form: MetadataForm) -> None:
    form.data_set.search.value = "12"
    form.data_set.search._handle_custom_msg({"event": "submit"}, [])
    assert form.data_set.picked == (12,), "at once"
    form.data_set.search.value = "3"
    assert form.data_set.picked == (12,)
    assert "'3' is typed and not picked" in form.errors["data_set_id"]


def test_without_a_client_ids_are_typed(form: MetadataForm) -> None:
    assert "There is no client: type the id of a data set" in form.data_set.note.value
    assert "type external ids of labels" in form.labels.note.value
    form.name.input.value = "a"
    for picker, typed in (
        (form.data_set, "7"),
        (form.labels, "raw"),
        (form.labels, "my label\nnew; a\tb\u200b\r\n"),  # a column, as a notebook's cell sets it
        (form.assets, "1002 1003;1004\r\n1005.0\t1006"),
        (form.security, "1,2"),
    ):
        picker.search.value = typed
        enter(picker)
    assert form.value == FileMetadata(
        name="a",
        data_set_id=7,
        labels=tuple(map(Label, ("raw", "my label", "new", "a", "b"))),
        asset_ids=(1002, 1003, 1004, 1005, 1006),
        security_categories=(1, 2),
    )


def test_what_is_typed_and_not_picked_is_no_value(form: MetadataForm) -> None:
    form.name.input.value = "a"
    form.data_set.search.value = "7"
    assert form.value is None
    assert form.reason.startswith("Data set: '7' is typed and not picked")
    form.data_set.search.value = ""
    assert form.value == FileMetadata(name="a")


@pytest.mark.parametrize("typed", ["seven", "7,8", "7 8", "7\xa0123"])
def test_what_is_no_id_is_not_taken(form: MetadataForm, typed: str) -> None:
    """Of several, where one is asked for, none is dropped; a space that stays is in a number."""
    form.data_set.search.value = typed
    enter(form.data_set)
    assert (form.data_set.value, form.data_set.search.value) == (None, typed)


@pytest.mark.parametrize("status", [401, 403])
def test_without_rights_ids_are_typed_and_the_field_says_why(
    cdf: Emulator, client: CogniteClient, make_form: MakeForm, status: int
) -> None:
    cdf.inject(Fault("status", "labels_list", status=status, times=2, body=_error("not for you")))
    form = make_form(client)
    assert set(fired(cdf)) == {("status", "labels_list")}
    note = form.labels.note.value
    assert f"This token may not list them ({status}: not for you)" in note
    assert "type external ids of labels, then press Enter" in note
    assert form.data_set.loaded
    assert (form.labels.loaded, form.loading) == (False, False)
    form.labels.search.value = "raw"
    enter(form.labels)
    assert form.labels.picked == ("raw",)


def test_a_list_that_failed_can_be_asked_for_again(
    cdf: Emulator, client: CogniteClient, make_form: MakeForm
) -> None:
    cdf.inject(Fault("status", "labels_list", status=400, body=_error("not now")))
    form = make_form(client)
    assert form.labels.browse.description == "Try again"
    assert fired(cdf) == [("status", "labels_list")]
    form.labels.browse.click()
    assert form.tasks.wait()
    assert form.labels.loaded
    assert form.labels.browse.description == "Browse"


def test_a_token_that_tells_nothing_lists_all_data_sets(
    cdf: Emulator, client: CogniteClient, make_form: MakeForm
) -> None:
    cdf.inject(Fault("status", "inspect", status=403, body=_error("no")))
    form = make_form(client)
    assert fired(cdf) == [("status", "inspect")]
    form.data_set.open_or_close()
    assert len(texts(form.data_set)) == 6


def test_with_cdf_out_of_reach_the_form_works_by_ids(make_form: MakeForm) -> None:
    with emulator(strict_storage=True) as cdf:
        config = config_of(cdf, retry=quick(offline_s=0.01, attempts=1))
    form = make_form(AsyncCogniteClient(config))
    assert "gave no answer" in form.labels.note.value
    form.name.input.value = "a"
    assert form.value == FileMetadata(name="a")


# --- clicks and threads ----------------------------------------------------------------------


def test_a_click_that_was_on_its_way_picks_what_was_seen_or_nothing(live: MetadataForm) -> None:
    live.labels.search.value = "d"
    before = live.labels.lines.widget.children[0]
    assert before.description.startswith("Drawing")
    live.labels.search.value = "seismic"
    before.click()  # the browser had not heard of the new lines yet
    assert live.labels.picked == ("drawing",)
    assert before.comm is None


def test_lines_that_stay_keep_their_buttons(live: MetadataForm) -> None:
    live.labels.search.value = "draw"
    before = live.labels.lines.widget.children[:2]
    live.labels.search.value = "drawi"
    assert live.labels.lines.widget.children[:2] == before


def test_a_data_set_that_cdf_does_not_list_is_doubted(live: MetadataForm) -> None:
    live.data_set.fill(987654)
    assert "CDF lists no such data set" in live.data_set.note.value
    live.data_set.fill(7)
    assert "no such data set" not in live.data_set.note.value
