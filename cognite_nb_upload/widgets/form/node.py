"""`NodeForm`: what a file of the data model is: its space, external id, view, and properties.

Rules of this file: the fields are those of the view that is picked; those of CogniteFile stay, with
what was typed in them, when another view is picked; no callback waits for CDF.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import ipywidgets
import traitlets

from cognite_nb_upload.client import AsyncCogniteClient
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models import (
    FileNode,
    InvalidMetadata,
    NodeId,
    View,
    ViewProperty,
    guess_mime_type,
)
from cognite_nb_upload.models.show import plain
from cognite_nb_upload.models.views import CORE_FILE, FILE_VIEW
from cognite_nb_upload.unfinished import as_async_client
from cognite_nb_upload.widgets.cell import OfThisKernel
from cognite_nb_upload.widgets.form import picker_spec as kinds
from cognite_nb_upload.widgets.form.choices import Choice, ChoiceList, ChoiceLists, why_not
from cognite_nb_upload.widgets.form.field import Field, TextField
from cognite_nb_upload.widgets.form.picker import Picker
from cognite_nb_upload.widgets.form.property import (
    NodeProperty,
    PropertyField,
    TextProperty,
    field_of,
    json_of,
)
from cognite_nb_upload.widgets.form.section import Section
from cognite_nb_upload.widgets.style import box, close_all, hide, make
from cognite_nb_upload.widgets.taken_over import Place
from cognite_nb_upload.widgets.tasks import Tasks

# Several files have each their own.
OWN: Final = ("name", "mimeType")
_PAUSE_S: Final = 0.4
_BASICS: Final = ("name", "mimeType", "directory", "description")
_RELATIONS: Final = ("assets", "category", "source")
_MORE: Final = (
    "tags", "aliases", "sourceId", "sourceContext", "sourceCreatedTime", "sourceUpdatedTime",
    "sourceCreatedUser", "sourceUpdatedUser",
)  # fmt: skip
_TITLES: Final = {
    "name": "Name", "mimeType": "MIME type", "directory": "Directory", "tags": "Tags",
    "description": "Description", "assets": "Assets", "category": "Category",
    "source": "Source system", "aliases": "Aliases", "sourceId": "Source id",
    "sourceContext": "Source context", "sourceCreatedTime": "Source created",
    "sourceUpdatedTime": "Source updated", "sourceCreatedUser": "Created by",
    "sourceUpdatedUser": "Updated by",
}  # fmt: skip


class NodeIdField(TextField):
    """The external id of a node: looked up in the background, together with its space."""

    def __init__(self, tasks: Tasks) -> None:
        self.overwrite = make(
            ipywidgets.Checkbox,
            description="Overwrite the node that has this external id",
            indent=False,
        )
        self.client: AsyncCogniteClient | None = None
        self.space: str | None = None
        self._tasks = tasks
        self._asked: tuple[str | None, str | None] | None = None
        self._taken = ""
        super().__init__("node", "External id", "survey/line-12.segy", self.overwrite)
        self._limit, self._about = "1 to 256 characters", "unique in its space"
        self.overwrite.observe(self._switched, "value")
        self.show()

    @property
    def conflict(self) -> str:
        """Why the node cannot be made; "" where nothing is known against it."""
        return "" if self.overwrite.value else self._taken

    def held(self) -> Any:
        """The text, and whether to overwrite."""
        return super().held(), self.overwrite.value

    def _put_held(self, held: Any) -> None:
        text, self.overwrite.value = held
        super()._put_held(text)

    def update(self) -> None:
        """Check the text, and look the node up if it is another."""
        super().update()
        with self._lock:
            wanted = (self.space, self.value)
            if self.client is None or wanted == self._asked:
                return
            self._asked, self._taken, self.info, self.busy = wanted, "", "", ""
            self._tasks.stop("node id")
            if self.space and self.value:
                self.busy = "Looking whether a node has it…"
                node = NodeId(self.space, self.value)
                self._tasks.start("node id", lambda: self._look_up(node), after_s=_PAUSE_S)
            self.show()

    async def _look_up(self, node: NodeId) -> None:
        assert self.client is not None  # noqa: S101 # update() starts it where there is one
        taken = said = ""
        try:
            found = await self.client.files.instances.node(node)
            said = "" if found else "Free: no node has it."
            if found:
                taken = (
                    f"A node of this space has it already (version {found.get('version')}). Tick "
                    "Overwrite to set its properties and replace its content, or change the id."
                )
        except Exception as error:  # a widget has nobody to raise to: it is said beside the field
            said = f"It could not be looked up. {why_not(error)}"
        with self._lock:  # or it might take the place of what is known of an id typed since
            if (node.space, node.external_id) != self._asked:
                return
            self._taken, self.info, self.busy = taken, said, ""
        self._switched(None)

    def _show(self) -> None:
        self.warning = self.conflict
        super()._show()

    def _switched(self, _: Any) -> None:
        self.show()
        self._changed()

    def _wrong(self, value: Any) -> str:
        if value is None:
            return "External id is missing; a node has one of 1 to 256 characters."
        try:
            NodeId("any", value)
        except UsageError as error:
            return str(error)
        return ""


class _NamePicker(Picker):
    """A space or a view: checked by what CDF lists, not by limits."""

    def __init__(self, name: str, label: str, kind: kinds.PickerSpec, tasks: Tasks) -> None:
        super().__init__(name, label, kind, tasks)
        self._limit = "one, required"
        self.show()

    def _wrong(self, value: Any) -> str:
        if value is None:
            return f"{self.label} is missing: pick one."
        if self.name == "space":
            try:
                NodeId(value, "any")
            except UsageError as error:
                return str(error)
        return ""


class NodeForm(OfThisKernel, ipywidgets.VBox):  # type: ignore[misc] # ipywidgets has no types
    """A form for a file of the data model.

    Attributes:
        value: the `FileNode`, or None whenever the form is not valid. Observable.
        reason: why nothing can be uploaded yet, in one sentence; "" where it can. Observable.
        fields: the properties' fields by name; `space`, `external_id` and `view` are beside them.
        view_shown: the view whose properties are shown.
        place: the project and base URL of the client; None without one.
    """

    value = traitlets.Instance(FileNode, allow_none=True)
    reason = traitlets.Unicode()

    def __init__(self, client: object = None) -> None:
        self.tasks = Tasks()
        self._lock = threading.RLock()
        self.client: AsyncCogniteClient | None = None
        self.place: Place | None = None
        self._lists: ChoiceLists | None = None
        self._many = False
        self._views: dict[str, View] = {str(FILE_VIEW): CORE_FILE}
        self.view_shown = CORE_FILE
        self.space = _NamePicker("space", "Space", kinds.SPACE, self.tasks)
        self.view = _NamePicker("view", "View", kinds.VIEW, self.tasks)
        self.external_id = NodeIdField(self.tasks)
        core = CORE_FILE.properties
        self.fields: dict[str, PropertyField] = {
            name: self._field(core[name], title) for name, title in _TITLES.items()
        }
        self._own: tuple[PropertyField, ...] = ()
        self._own_box = box(ipywidgets.VBox, [])
        super().__init__(self._sections(), layout=make(ipywidgets.Layout))
        self.add_class("cnbu-form")
        for field in self._all_fields():
            self._hear(field)
        self.view.know([_choice(CORE_FILE)])
        self.view.fill(str(FILE_VIEW))
        if client is not None:
            self.use(client)
        self._changed()

    # --- what it holds -----------------------------------------------------------------------

    def to_kwargs(self) -> dict[str, Any]:
        """The keywords of `files.upload`.

        Raises:
            InvalidMetadata: the form is not valid; every bad field is named.
        """
        if self.value is None:
            raise InvalidMetadata(self._errors() or {"node": self.reason})
        return {"node": self.value, "overwrite": self.external_id.overwrite.value}

    def for_many(self, many: bool) -> None:
        """Hide the fields that each file has its own of, or show them again."""
        self._many = many
        for field in (self.external_id, *(self.fields[name] for name in OWN)):
            hide(field.widget, many)
        self._changed()

    def set_file(self, file: str | os.PathLike[str], **_: Any) -> None:
        """External id, name and MIME type from a file; what somebody has typed there is kept."""
        name = Path(file).name
        self.external_id.suggest(name)
        self._suggest("name", name)
        self._suggest("mimeType", guess_mime_type(name))

    def of_file(self, name: str, folder: str) -> dict[str, Any]:
        """The keywords for one of several files: its path is its external id."""
        node = self._node(f"{folder}/{name}" if folder else name)
        own = {"name": name, "mimeType": guess_mime_type(name)}
        if folder:
            top = str(node.properties.get("directory") or "").rstrip("/")
            own["directory"] = f"{top}/{folder}"
        said = {key: value for key, value in own.items() if value}
        properties = {**node.properties, **said}
        made = FileNode(node.space, node.external_id, node.view, properties)
        return {"node": made, "overwrite": self.external_id.overwrite.value}

    def use(self, client: object) -> None:
        """Take spaces, views and nodes from this client."""
        self.client = as_async_client(client)
        config, before = self.client.config, self.place
        self.place = (config.project, config.base_url)
        if before not in (None, self.place):  # what is picked is of another project
            self.hold({key: None for key in self.held() if self.is_id(key)})
        self._lists = ChoiceLists(self.client)
        self.space.use(self._lists.spaces)
        self.view.use(self._list_views)
        self.external_id.client = self.client
        self.external_id.update()
        for field in (*self.fields.values(), *self._own):
            if isinstance(field, NodeProperty):
                field.use_lists(self._lists)

    # --- what the next run of the cell takes over ----------------------------------------------

    def held(self) -> dict[Any, Any]:
        """What each field holds, valid or not, the view, and which sections are open."""
        state: dict[Any, Any] = {one.name: one.held() for one in self._all_fields()}
        state |= {("own", one.name): one.held() for one in self._own}
        state |= {("opened", fold.title): fold.opened for fold in self.folds}
        return state | {"view shown": self.view_shown}

    def hold(self, state: Mapping[Any, Any]) -> None:
        """Put into these fields what others have `held`; None empties a field."""
        view = state.get("view shown")
        if view is not None:
            self._views[str(view.id)] = view
            self.view.know([_choice(view)])
        for one in self._all_fields():
            if one.name in state:
                one.hold(state[one.name])
        if state.get("view", ()) is None:
            self.view.fill(str(FILE_VIEW))
        for field in self._own:  # those of the view, which is shown now
            if ("own", field.name) in state:
                field.hold(state["own", field.name])
        for fold in self.folds:
            if state.get(("opened", fold.title), fold.opened) != fold.opened:
                fold.toggle()

    def boxes(self) -> dict[Any, Any]:
        """The boxes that one types in."""
        shared = {
            (one.name, key): at for one in self._all_fields() for key, at in one.boxes().items()
        }
        own = {("own", one.name, key): at for one in self._own for key, at in one.boxes().items()}
        return shared | own

    def is_id(self, key: Any) -> bool:
        """Whether a field holds what another project does not have."""
        named = isinstance(self.fields.get(key), NodeProperty)
        return named or key in ("space", "view", "view shown") or key[0] == "own"

    def is_view(self, key: Any) -> bool:
        """Whether it tells of an opened section."""
        return isinstance(key, tuple) and key[0] == "opened"

    def _all_fields(self) -> tuple[Field, ...]:
        """All but those of the view."""
        return self.space, self.view, self.external_id, *self.fields.values()

    def close(self) -> None:
        """End what runs in the background, and close all widgets of the form."""
        self.tasks.close()
        close_all(self)

    def __repr__(self) -> str:
        return f"<NodeForm {plain(self.reason) or 'valid'}>"

    # --- what it is made of ------------------------------------------------------------------

    def _sections(self) -> list[ipywidgets.Widget]:
        fields = self.fields
        basics: list[Field] = [self.space, self.external_id, self.view]
        basics += [fields[name] for name in _BASICS]
        self.folds = [
            Section("Assets, category and source", [fields[name] for name in _RELATIONS]),
            Section("Tags, times and people", [fields[name] for name in _MORE]),
        ]
        grid = box(ipywidgets.VBox, [field.widget for field in basics], "cnbu-grid")
        return [grid, self._own_box, *(fold.widget for fold in self.folds)]

    def _field(self, prop: ViewProperty, title: str = "") -> PropertyField:
        return field_of(replace(prop, title=title or prop.title), self.tasks)

    def _hear(self, field: Field) -> None:
        field.update()
        field.listen(self._changed)

    async def _list_views(self) -> AsyncIterator[ChoiceList]:
        """The views that extend CogniteFile."""
        assert self.client is not None  # noqa: S101 # `use` has set it
        views = await self.client.files.instances.file_views()
        self._views |= {str(one.id): one for one in views}
        yield ChoiceList(tuple(map(_choice, views)))
        self._changed()

    def _show_view(self, view: View) -> None:
        """Draw fields for the properties that a view adds to CogniteFile."""
        self.view_shown, before = view, self._own_box.children
        own = [
            one
            for one in view.properties.values()
            if not one.of_service and not (one.core and one.name in CORE_FILE.properties)
        ]
        own.sort(key=lambda one: not one.required)
        made = tuple(self._field(one) for one in own)
        self.folds = self.folds[-2:]
        children: list[ipywidgets.Widget] = []
        if made:
            fold = Section(f"Properties of {plain(view.title)}", made)
            fold.toggle()
            self.folds.insert(0, fold)
            children = [fold.widget]
        self._own = made
        for field in made:
            self._hear(field)
            if self._lists is not None and isinstance(field, NodeProperty):
                field.use_lists(self._lists)
        self._own_box.children = children
        for child in before:
            close_all(child)

    def _suggest(self, name: str, text: str | None) -> None:
        field = self.fields[name]
        if isinstance(field, TextProperty):
            field.suggest(text)

    # --- when something changes --------------------------------------------------------------

    def _changed(self) -> None:
        with self._lock:  # a search may end while somebody types
            self._follow()
        self._publish()

    def _publish(self) -> None:
        """Tell what the fields say; more than once where another thread had older news.

        No lock is held meanwhile: who observes may wait for a thread that types, too.
        """
        while True:
            with self._lock:
                reason, node = self._said()
            if (reason, node) == (self.reason, self.value):
                return
            self.reason, self.value = reason, node

    def _follow(self) -> None:
        """Bring the fields that hang on others up to date."""
        if self.external_id.space != self.space.value:
            self.external_id.space = self.space.value
            self.external_id.update()
        view = self._views.get(self.view.value or "")
        if view is not None and view.id != self.view_shown.id:
            self._show_view(view)
        for fold in self.folds:
            fold.show()

    def _said(self) -> tuple[str, FileNode | None]:
        """Why nothing can be uploaded yet, or "", and the node."""
        errors = self._errors()
        conflict = "" if self._many else self.external_id.conflict
        reason, node = next(iter(errors.values()), conflict), None
        if not errors and not self._many:
            with suppress(UsageError):  # a field was edited between the two looks at it
                node = self._node(str(self.external_id.value))
        return reason, node

    def _errors(self) -> Mapping[str, str]:
        skipped = {"node", *OWN} if self._many else set()
        fields = (self.space, self.external_id, self.view, *self.fields.values(), *self._own)
        return {one.name: one.error for one in fields if one.error and one.name not in skipped}

    def _node(self, external_id: str) -> FileNode:
        properties = json_of([*self.fields.values(), *self._own])
        view = None if self.view_shown.id == FILE_VIEW else self.view_shown.id
        return FileNode(str(self.space.value), external_id, view, properties)


def _choice(view: View) -> Choice:
    return Choice(str(view.id), view.title, f"{view.id} · {view.description}".rstrip(" ·"))
