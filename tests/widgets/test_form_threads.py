"""Typing and answers of CDF come in two threads: neither takes the place of what is newer."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import anyio.lowlevel
import ipywidgets
from support import until

from cognite_nb_upload import CogniteClient, background
from cognite_nb_upload.models import NodeId
from cognite_nb_upload.widgets import MetadataForm
from cognite_nb_upload.widgets.form import picker_spec as kinds
from cognite_nb_upload.widgets.form.choices import Choice, ChoiceList
from cognite_nb_upload.widgets.form.field import TextField
from cognite_nb_upload.widgets.form.node import NodeIdField
from cognite_nb_upload.widgets.form.pairs import PairsField
from cognite_nb_upload.widgets.form.picker import Picker
from cognite_nb_upload.widgets.form.section import Section
from cognite_nb_upload.widgets.style import make
from cognite_nb_upload.widgets.tasks import Tasks


class Meanwhile:
    """Does something in another thread, once, and waits a moment for it: a lock may hold it up."""

    def __init__(self, do: Callable[[], object]) -> None:
        self._thread = threading.Thread(target=do)
        self._begun = False

    def __call__(self) -> None:
        if not self._begun:
            self._begun = True
            self._thread.start()
            self._thread.join(0.2)

    def end(self) -> None:
        until(lambda: self._thread.ident)
        self._thread.join(60)
        assert not self._thread.is_alive()


class Compared(str):
    """An id that has something done whenever it is compared."""

    do: Meanwhile

    def __eq__(self, other: object) -> bool:
        found = str.__eq__(self, other)
        self.do()
        return found

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


def test_what_is_typed_while_the_form_tells_its_value_stays(form: MetadataForm) -> None:
    source = form.fields["source"]
    assert isinstance(source, TextField)
    types = Meanwhile(lambda: setattr(source.input, "value", "Seismos"))
    form.observe(lambda _: types(), "errors")  # told before the value is
    form.name.input.value = "a.segy"
    types.end()
    assert source.input.value == "Seismos"
    assert form.value is not None
    assert (form.value.name, form.value.source) == ("a.segy", "Seismos")


def test_a_field_holds_what_was_typed_last() -> None:
    class Slow(TextField):
        def _read(self) -> str | None:
            text = super()._read()
            if text == "old":
                types()
            return text

    field = Slow("source", "Source")
    types = Meanwhile(lambda: setattr(field.input, "value", "new"))
    field.input.value = "old"
    types.end()
    assert field.value == "new"


def test_a_section_tells_what_is_in_it_now() -> None:
    class Slow(PairsField):
        @property
        def summary(self) -> str:
            said = super().summary
            if watched:
                types()
            return said

    watched: list[bool] = []
    field = Slow("metadata", "Metadata")
    section = Section("Metadata", [field])
    field.listen(section.show)
    types = Meanwhile(lambda: field.fill({"survey": "NV-24"}))
    watched.append(True)
    section.show()
    types.end()
    assert "1 pair" in section.button.description


def test_an_answer_about_an_older_id_does_not_stay(
    live: MetadataForm, client: CogniteClient
) -> None:
    with client.files.multipart_upload_session("old", 1, external_id="nv-24") as session:
        session.upload_part(0, b"old")
    field = live.external_id
    field.input.value = "nv-24"
    assert live.tasks.wait()
    assert field.conflict
    asked = Compared("nv-24")
    asked.do = Meanwhile(lambda: setattr(field.input, "value", ""))
    background.call(field._look_up, asked)
    asked.do.end()
    assert live.tasks.wait()
    assert field.conflict == ""
    assert "has it already" not in field.note.value


def test_an_answer_about_an_older_node_does_not_stay(client: CogniteClient) -> None:
    class Asked:
        """What was asked for last, compared as a whole."""

        def __init__(self, wanted: object) -> None:
            self.wanted = wanted

        def __eq__(self, other: object) -> bool:
            found = other == self.wanted
            types()
            return found

        __hash__ = object.__hash__

    field = NodeIdField(Tasks())
    field.client, field.space = client._twin, "somewhere"
    field.input.value = "a"
    node = (field.space, field.value)
    field._tasks.close()
    types = Meanwhile(lambda: setattr(field.input, "value", ""))
    field._asked = Asked(node)  # type: ignore[assignment]
    background.call(field._look_up, NodeId("somewhere", "a"))
    types.end()
    assert field.info == ""


def test_a_list_of_an_older_client_is_not_offered() -> None:
    async def other() -> AsyncIterator[ChoiceList]:
        await anyio.sleep_forever()
        yield ChoiceList()

    async def first() -> AsyncIterator[ChoiceList]:
        asks_another()
        yield ChoiceList((Choice("old", "Old"),))

    tasks = Tasks()
    picker = Picker("labels", "Labels", kinds.LABELS, tasks)
    asks_another = Meanwhile(lambda: picker.use(other))
    picker.use(first)
    asks_another.end()
    background.call(anyio.lowlevel.checkpoint)
    background.call(anyio.lowlevel.checkpoint)
    assert picker.loading
    assert not picker._offer.choices
    tasks.close()


def test_of_two_classes_that_a_widget_gets_at_once_both_stay() -> None:
    widget = make(ipywidgets.VBox, _dom_classes=("one",))
    adds = Meanwhile(lambda: widget.add_class("three"))

    def about_to_be_set(_: Any, proposal: Any) -> Any:
        adds()
        return proposal["value"]

    widget._register_validator(about_to_be_set, ("_dom_classes",))
    widget.add_class("two")
    adds.end()
    assert set(widget._dom_classes) == {"one", "two", "three"}
