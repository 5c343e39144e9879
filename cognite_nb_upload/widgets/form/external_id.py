"""The external id: does a file have it already, and what would overwriting that file do?"""

from __future__ import annotations

from typing import Any, Final

import ipywidgets

from cognite_nb_upload.client import AsyncCogniteClient
from cognite_nb_upload.models import CDFFile
from cognite_nb_upload.models.show import plain
from cognite_nb_upload.widgets.form.choices import why_not
from cognite_nb_upload.widgets.form.field import TextField
from cognite_nb_upload.widgets.style import make
from cognite_nb_upload.widgets.tasks import Tasks

# It is looked up when nobody has typed for this long, in seconds.
_PAUSE_S: Final = 0.4


class ExternalIdField(TextField):
    """The external id, looked up in the background, and whether to overwrite who has it.

    Attributes:
        overwrite: the box to tick.
        found: the file that has this id; None where there is none, or it is not known yet.
    """

    def __init__(self, name: str, label: str, tasks: Tasks) -> None:
        self.overwrite = make(
            ipywidgets.Checkbox,
            description="Overwrite the file that has this external id",
            indent=False,
        )
        self.found: CDFFile | None = None
        self._client: AsyncCogniteClient | None = None
        self._asked: str | None = None
        self._said = ""
        self._tasks = tasks
        super().__init__(name, label, "", self.overwrite)
        self.overwrite.observe(self._switched, "value")

    def use(self, client: AsyncCogniteClient) -> None:
        """Look ids up with this client from now on."""
        self._client, self._asked = client, None
        self.update()

    @property
    def conflict(self) -> str:
        """Why CDF would refuse an upload with this id; "" where nothing is known against it."""
        return "" if self.found is None or self.overwrite.value else _taken(self.found)

    def held(self) -> Any:
        """The text, and whether to overwrite."""
        return super().held(), self.overwrite.value

    def _put_held(self, held: Any) -> None:
        text, self.overwrite.value = held
        super()._put_held(text)

    def update(self) -> None:
        """Check the text, and look it up if it is another."""
        super().update()
        with self._lock:
            if self._client is None or self.value == self._asked:
                return
            self._asked = wanted = self.value
            self._tasks.stop(self.name)
            busy = "Looking whether a file has it…" if wanted else ""
            self.found, self._said, self.busy = None, "", busy
            if wanted:
                self._tasks.start(self.name, lambda: self._look_up(wanted), after_s=_PAUSE_S)
        self._switched(None)

    async def _look_up(self, external_id: str) -> None:
        assert self._client is not None  # noqa: S101 # update() starts it where there is one
        try:
            found = await self._client.files.retrieve(external_id=external_id)
            said = "" if found else "Free: no file has it."
        except Exception as error:  # a widget has nobody to raise to: it is said beside the field
            found, said = None, f"It could not be looked up. {why_not(error)}"
        with self._lock:  # or it might take the place of what is known of an id typed since
            if external_id != self._asked:
                return
            self.found, self._said, self.busy = found, said, ""
        self._switched(None)

    def _switched(self, _: Any) -> None:
        self.show()
        self._changed()

    def _show(self) -> None:
        self.info, self.warning = self._said, self.conflict
        if self.found is not None and self.overwrite.value:
            self.warning = _replaced(self.found)
        elif self.overwrite.value and not self.input.value:
            self.info = "Overwrite does nothing without an external id."
        super()._show()


def _taken(file: CDFFile) -> str:
    return f"{_who(file)} has it already. Tick Overwrite to replace that file, or change the id."


def _replaced(file: CDFFile) -> str:
    return (
        f"{_who(file)} is replaced: its content, once the upload is complete; of its metadata what "
        "is filled in here, the key-value pairs as a whole; its assets only if you pick any."
    )


def _who(file: CDFFile) -> str:
    when = "not uploaded yet"
    if file.uploaded:
        when = f"uploaded {file.uploaded_time:%Y-%m-%d}" if file.uploaded_time else "uploaded"
    return f"The file {plain(file.name)!r} (id {file.id}, {when})"
