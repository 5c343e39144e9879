"""`MetadataForm`: every field of a file's metadata, checked as one types.

Rules of this file: the fields hold what was typed, `value` what is valid; lists load in the
background and no callback waits for CDF; what CDF says comes from other threads, and is only shown.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import ipywidgets
import traitlets

from cognite_nb_upload.client import AsyncCogniteClient
from cognite_nb_upload.models import (
    FIELDS,
    FileMetadata,
    InvalidMetadata,
    TokenInspection,
    guess_mime_type,
)
from cognite_nb_upload.models.parse import emptied_by, fields_of
from cognite_nb_upload.models.show import plain
from cognite_nb_upload.unfinished import as_async_client
from cognite_nb_upload.widgets.cell import close_last_run, made_here, widget_before
from cognite_nb_upload.widgets.form import picker_spec as kinds
from cognite_nb_upload.widgets.form.choices import ChoiceLists
from cognite_nb_upload.widgets.form.external_id import ExternalIdField
from cognite_nb_upload.widgets.form.field import Field, TextField, TimeField
from cognite_nb_upload.widgets.form.geo import GeoField
from cognite_nb_upload.widgets.form.pairs import PairsField
from cognite_nb_upload.widgets.form.picker import Picker
from cognite_nb_upload.widgets.form.section import Section
from cognite_nb_upload.widgets.page import Page
from cognite_nb_upload.widgets.style import box, close_all, hide, make, say
from cognite_nb_upload.widgets.taken_over import Place, TakeOver, TakesOver
from cognite_nb_upload.widgets.tasks import Tasks

# Several files have each their own.
OWN: Final = ("name", "mime_type", "external_id", "source_created_time", "source_modified_time")

# What is picked by an id that another project does not have.
OF_PROJECT: Final = ("data_set_id", "labels", "asset_ids", "security_categories")


class MetadataForm(TakesOver):
    """A form for all metadata of a file.

    Observers may be called from the package's own loop, which they must not block.

    Args:
        client: ours or an official one, blocking or async: lists and the check of the external id
            come from there, in the background. Without one, ids are typed.
        value: what the form is filled with.
        styled: bring along what the page needs; False inside of what has it.

    Attributes:
        value: `FileMetadata`, or None whenever the form is not valid. Observable; assigning fills
            the form, None empties it. Text, lists and dicts that are empty are left out.
        overwrite: replace the file that has this external id. Observable, assignable.
        errors: what is wrong, by field; empty where the form is valid. Observable.
        reason: why nothing can be uploaded yet, in one sentence; "" where it can. Observable.
        loading: True while lists are on their way. Observable.
        fields: the fields by name, for who wants to look at or set a single one.
        client: the client in use, as the async one.
        place: its project and base URL; None without a client.
        taken_over: what comes from the form that the same cell made before.
        tasks: what runs in the background.
    """

    value = traitlets.Instance(FileMetadata, allow_none=True)
    overwrite = traitlets.Bool(False)
    errors = traitlets.Dict(key_trait=traitlets.Unicode(), value_trait=traitlets.Unicode())
    reason = traitlets.Unicode()
    loading = traitlets.Bool(False)

    def __init__(
        self, client: object = None, value: FileMetadata | None = None, *, styled: bool = True
    ) -> None:
        self.tasks = Tasks()
        self.client: AsyncCogniteClient | None = None
        self._filling = 0
        self._own = threading.local()  # `told`: what this thread tells of the fields now
        if styled:
            close_last_run()
        self._named: str | None = None  # the name that the MIME type was guessed from
        self.place: Place | None = None
        self._make_fields()
        page = Page() if styled else None
        self.taken_over = TakeOver(self, widget_before(MetadataForm) if styled else None)
        top = [page, self.taken_over.widget] if page else []
        super().__init__([*top, *self._sections()], layout=make(ipywidgets.Layout))
        self.add_class("cnbu-form")
        if page is not None:
            page.guard(self)
        traitlets.link((self, "overwrite"), (self.external_id.overwrite, "value"))
        for field in self.fields.values():
            field.update()
            field.listen(self._changed)
        self._changed()
        if styled:
            self.taken_over.watch()
        if client is not None:
            self.use(client)
        if value is not None:
            self.value = value
        if styled:
            made_here(self, self._close_for_next_run)

    # --- what it holds -----------------------------------------------------------------------

    def to_kwargs(self) -> dict[str, Any]:
        """The keywords of `multipart_upload_session`, with `overwrite` and without `parts`.

        Raises:
            InvalidMetadata: the form is not valid; every bad field is named.
        """
        if self.value is None:
            raise InvalidMetadata(self.errors)
        return {**self.value.to_kwargs(), "overwrite": self.overwrite}

    def for_many(self, many: bool) -> None:
        """Hide the fields that each file has its own of, or show them again."""
        for name in OWN:
            hide(self.fields[name].widget, many)

    def shared_kwargs(self) -> dict[str, Any]:
        """The keywords of `files.upload` that hold for several files.

        Raises:
            InvalidMetadata: one of the fields that are shown is not valid.
        """
        shared = [name for name in FIELDS if name not in OWN]
        if errors := {name: self.fields[name].error for name in shared if self.fields[name].error}:
            raise InvalidMetadata(errors)
        values = {name: self.fields[name].value for name in shared}
        kwargs: dict[str, Any] = FileMetadata(name="any", **values).to_kwargs()
        return {name: kwargs[name] for name in shared if name in kwargs}

    def fill(self, given: object) -> None:
        """Fill the form from a file: a `CDFFile`, a dict, or a row of a DataFrame.

        Fields that are not named keep what they hold; None in a dict empties its field. A
        time without a zone is local time.

        Raises:
            UsageError: it says nothing of a file, or a value cannot be read; nothing was filled.
        """
        emptied = emptied_by(given)
        values: dict[str, Any] = dict.fromkeys(emptied)
        if not emptied or len(emptied) < len(given):  # type: ignore[arg-type] # it is a dict
            values |= fields_of(given)
        with self._all_at_once():
            for name, value in values.items():
                self.fields[name].fill(value)

    def clear(self) -> None:
        """Empty every field."""
        with self._all_at_once():
            self.overwrite = False
            for field in self.fields.values():
                field.fill(None)

    def set_file(
        self,
        file: str | os.PathLike[str],
        size: int | None = None,
        created: datetime | None = None,
        modified: datetime | None = None,
    ) -> None:
        """Name, MIME type and times from a file; what somebody has typed there is kept.

        Args:
            file: a path on this machine, or only the name of a file that is elsewhere.
            size: bytes; from the path where None.
            created: an aware time; from the path where None and the system knows it.
            modified: an aware time; from the path where None.
        """
        known = _facts_of(file)
        size = size if size is not None else known.get("size")
        name = Path(file).name
        with self._all_at_once():
            self.name.suggest(name)
            self.mime_type.suggest(guess_mime_type(name))
            self.name.info = f"{size:,} bytes" if size is not None else ""
            self.name.show()
            self.created.suggest(_usable(created or known.get("created")))
            self.modified.suggest(_usable(modified or known.get("modified")))

    def metadata_from(self, given: object) -> None:
        """Add metadata from a dict, a pandas Series, a DataFrame, pairs, or CSV or JSON text.

        Values become text; those that are missing are left out; a key that is there is replaced.

        Raises:
            UsageError: it cannot be read.
        """
        self.pairs.add(given)

    def use(self, client: object) -> None:
        """Take lists from this client, and check the external id with it.

        Raises:
            UsageError: it is no client.
        """
        self.client = as_async_client(client)
        config, before = self.client.config, self.place
        self.place = (config.project, config.base_url)
        if before not in (None, self.place):  # the ids that are picked are of another project
            with self._all_at_once():
                for name in OF_PROJECT:
                    self.fields[name].fill(None)
        lists = ChoiceLists(self.client, self._show_rights)
        self.data_set.use(lists.data_sets)
        self.labels.use(lists.labels)
        self.security.use(lists.security_categories)
        self.assets.use(find=lists.find_assets, names=lists.assets)
        self.external_id.use(self.client)

    # --- what the next run of the cell takes over ----------------------------------------------

    def held(self) -> dict[Any, Any]:
        """What each field holds, valid or not, and which sections are open."""
        fields: dict[Any, Any] = {name: field.held() for name, field in self.fields.items()}
        return fields | {(no, "opened"): fold.opened for no, fold in enumerate(self.folds)}

    def hold(self, state: Mapping[Any, Any]) -> None:
        """Put into these fields what others have `held`; None empties a field."""
        with self._all_at_once():
            for name, field in self.fields.items():
                if name in state:
                    field.hold(state[name])
        self._named = None  # what is guessed from the name is guessed again
        self._changed()
        for no, fold in enumerate(self.folds):
            if state.get((no, "opened"), fold.opened) != fold.opened:
                fold.toggle()

    def boxes(self) -> dict[Any, Any]:
        """The boxes that one types in."""
        return {
            (name, key): one
            for name, field in self.fields.items()
            for key, one in field.boxes().items()
        }

    def is_id(self, key: Any) -> bool:
        """Whether a field holds ids of one project."""
        return key in OF_PROJECT

    def is_view(self, key: Any) -> bool:
        """Whether it tells of an opened section."""
        return isinstance(key, tuple)

    def close(self) -> None:
        """End what runs in the background, and close all widgets of the form."""
        self.taken_over.close()
        self.tasks.close()
        close_all(self)

    def __repr__(self) -> str:
        name = plain(self.name.value or "")
        return f"<MetadataForm {name!r}: {plain(self.reason) or 'valid'}>"

    # --- what it is made of ------------------------------------------------------------------

    def _make_fields(self) -> None:
        self.name = TextField("name", "Name", "survey.segy")
        self.mime_type = TextField("mime_type", "MIME type", "application/octet-stream")
        self.external_id = ExternalIdField("external_id", "External id", self.tasks)
        self.data_set = Picker("data_set_id", "Data set", kinds.DATA_SET, self.tasks)
        self.labels = Picker("labels", "Labels", kinds.LABELS, self.tasks)
        self.assets = Picker("asset_ids", "Assets", kinds.ASSETS, self.tasks)
        self.security = Picker(
            "security_categories", "Security categories", kinds.SECURITY_CATEGORIES, self.tasks
        )
        self.created = TimeField("source_created_time", "Source created")
        self.modified = TimeField("source_modified_time", "Source modified")
        self.pairs = PairsField("metadata", "Metadata")
        made = (
            *(self.name, self.mime_type, self.external_id, self.data_set),
            TextField("directory", "Directory", "/surveys/2026"),
            TextField("source", "Source", "the system it comes from"),
            *(self.labels, self.assets, self.security, self.created, self.modified),
            *(GeoField("geo_location", "Location"), self.pairs),
        )
        self.fields: Mapping[str, Field] = {field.name: field for field in made}

    def _sections(self) -> list[ipywidgets.Widget]:
        fields = self.fields
        self._banner = make(ipywidgets.HTML)
        basics = (self.name, self.mime_type, self.external_id, self.data_set)
        more = (*basics, fields["directory"], fields["source"])
        self.folds = (
            Section("Labels, assets and security", (self.labels, self.assets, self.security)),
            Section("Time and place", (self.created, self.modified, fields["geo_location"])),
            Section("Metadata", (self.pairs,)),
        )
        grid = box(ipywidgets.VBox, [field.widget for field in more], "cnbu-grid")
        return [self._banner, grid, *(fold.widget for fold in self.folds)]

    # --- when something changes --------------------------------------------------------------

    @contextmanager
    def _all_at_once(self) -> Iterator[None]:
        """Many fields change, and `value` changes once."""
        self._filling += 1
        try:
            yield
        finally:
            self._filling -= 1
            self._named = self.name.value
            self._changed()

    def _changed(self) -> None:
        if self._filling:
            return
        if self.name.value != self._named:
            self._named = self.name.value
            # A name that tells nothing, as every name does until its last letters are typed,
            # leaves what was guessed: a box that empties itself and fills again would write
            # into what somebody types there next.
            if guessed := guess_mime_type(self._named or ""):
                self.mime_type.suggest(guessed)
        for fold in self.folds:
            fold.show()
        self._publish()

    def _publish(self) -> None:
        """Tell what the fields say; more than once where another thread had older news."""
        while True:
            errors, value = self._state()
            news = {
                "errors": errors,
                "value": value,
                "reason": self._why_not(errors),
                "loading": any(one.loading for one in (self.data_set, self.labels, self.security)),
            }
            if all(getattr(self, name) == new for name, new in news.items()):
                return
            self._own.told = (value,)
            try:
                for name, new in news.items():
                    setattr(self, name, new)
            finally:
                self._own.told = ()

    def _state(self) -> tuple[dict[str, str], FileMetadata | None]:
        errors = {name: self.fields[name].error for name in FIELDS if self.fields[name].error}
        if errors:
            return errors, None
        try:
            return {}, FileMetadata(**{name: self.fields[name].value for name in FIELDS})
        except InvalidMetadata as invalid:  # a field was edited between the two looks at it
            return invalid.fields, None

    def _why_not(self, errors: Mapping[str, str]) -> str:
        if errors:
            return next(iter(errors.values()))
        return self.external_id.conflict

    @traitlets.observe("value")
    def _value_assigned(self, change: Any) -> None:
        value = change["new"]
        # What the fields have said is not filled in: somebody may type on meanwhile.
        own = any(value is one for one in getattr(self._own, "told", ()))
        if self._filling or own or value == self._state()[1]:
            return
        with self._all_at_once():
            for name in FIELDS:
                self.fields[name].fill(getattr(value, name, None))

    def _show_rights(self, rights: TokenInspection) -> None:
        client = self.client
        if client is not None and rights.can_write_files(client.config.project) is False:
            project = client.config.project
            said = f"This token may not write files in project {project}; CDF would refuse."
            self._banner.value = f'<div class="cnbu-banner">{say(said, "warn", "alert")}</div>'


def _usable(moment: datetime | None) -> datetime | None:
    """A file's time, as CDF takes it: some file systems say 1601 for "unknown"."""
    return None if moment is None or moment.timestamp() < 0 else moment


_YEAR_9999_S: Final = 253_402_300_799


def _facts_of(file: str | os.PathLike[str]) -> dict[str, Any]:
    """Size and times of a file on this machine; nothing where there is none."""
    try:
        stat = os.stat(file)
    except (OSError, ValueError):
        return {}
    facts: dict[str, Any] = {"size": stat.st_size}
    born = getattr(stat, "st_birthtime", None)  # Linux does not tell it
    for name, seconds in (("modified", stat.st_mtime), ("created", born)):
        if seconds is not None and abs(seconds) <= _YEAR_9999_S:  # else no calendar has it
            facts[name] = _moment(seconds)
    return facts


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
