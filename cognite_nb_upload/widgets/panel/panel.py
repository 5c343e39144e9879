"""`UploadPanel`: choose a file, say what it is, upload it, watch it; go on with what is unfinished.

Rules of this file: an upload runs in the background from the press of the button, and no cell has
to wait for it; callbacks come on whatever thread the kernel has for them, and none of them blocks;
what stands in the way of uploading is always said.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from datetime import datetime
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import ipywidgets
from anyio import to_thread
from IPython.display import display

from cognite_nb_upload.client import AsyncCogniteClient
from cognite_nb_upload.core.plan import Plan, show_bytes, show_parts
from cognite_nb_upload.errors import UploadToolkitError, UsageError
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.journal.folder import JournalRow
from cognite_nb_upload.models import InvalidMetadata, guess_mime_type
from cognite_nb_upload.models.show import escaped
from cognite_nb_upload.models.wire import from_file_ns
from cognite_nb_upload.objects.address import Address, is_address
from cognite_nb_upload.progress.notebook import live_bundle, outlived
from cognite_nb_upload.progress.outcome import Outcome, error_html, fusion_link
from cognite_nb_upload.progress.view import Steered, UploadView
from cognite_nb_upload.progress.words import clean, show_count, summary
from cognite_nb_upload.transfer.running import begun, running_uploads
from cognite_nb_upload.transfer.upload import Upload, Uploaded
from cognite_nb_upload.unfinished import resume_upload
from cognite_nb_upload.widgets.browser.file import BrowserFile
from cognite_nb_upload.widgets.cell import (
    close_last_run,
    made_here,
    shown_elsewhere,
    widget_before,
)
from cognite_nb_upload.widgets.form.form import MetadataForm
from cognite_nb_upload.widgets.form.node import NodeForm
from cognite_nb_upload.widgets.page import Page
from cognite_nb_upload.widgets.panel.chooser import ChosenFile, FileChooser
from cognite_nb_upload.widgets.panel.code import upload_code
from cognite_nb_upload.widgets.panel.jobs import Jobs
from cognite_nb_upload.widgets.panel.many import FileList, running_lists
from cognite_nb_upload.widgets.panel.options import UploadOptions
from cognite_nb_upload.widgets.panel.table import FileTable, total_words
from cognite_nb_upload.widgets.panel.unfinished import Unfinished
from cognite_nb_upload.widgets.sign_in import SignIn, connect
from cognite_nb_upload.widgets.style import (
    box,
    button,
    close_all,
    focus,
    hide,
    keep_order,
    make,
    reveal,
    say,
)
from cognite_nb_upload.widgets.taken_over import Place, TakeOver, TakesOver
from cognite_nb_upload.widgets.tasks import Tasks

CLASSIC: Final = "classic"
DATA_MODEL: Final = "node"
OnUploaded = Callable[[Uploaded], object]
# A file and the keywords of `files.upload`.
_Said = tuple[ChosenFile, dict[str, Any]]
_LEFT: Final = (
    "An unfinished upload of this file is listed above: Resume goes on with it. Upload begins anew "
    "where a field is another."
)
# So long after its beginning an upload of a cell is shown: what is over by then needs no view.
_FOUND_S: Final = 0.5
# What a saved notebook shows in place of the panel, where there is no kernel to draw it.
_UNSHOWN: Final = "An upload panel; run this cell to see it."
# And where the panel that was saved is another one than the kernel has.
_OUTLIVED: Final = outlived(
    "The upload panel of this cell is not shown: the cell was run again since this was saved, or "
    "the kernel has ended. Run it again: uploads that still run are shown, and those that were not "
    "finished are listed, with Resume."
)


class UploadPanel(TakesOver):
    """Choose a file, say what it is, press Upload, and watch; several at once, if you like.

    Args:
        client: ours or an official one, or what `connect()` gave; `connect()` is asked when None.
        fusion_url: the address of any file in your Fusion, with `{id}` in place of its id; what was
            uploaded then has a link to it.

    Raises:
        UsageError: `fusion_url` is no address with `{id}` in it.

    Attributes:
        files: where a file is chosen; `files.choose(path)` does it from code.
        kind: the switch between a classic file and one of the data model.
        form: the `MetadataForm` of a classic file.
        sending: part size, parts at once, how it is verified.
        start: the Upload button; `reason` says why it is disabled.
        views: the uploads to be seen, the last one first.
        unfinished: what the journal remembers.
        jobs: what it remembers of jobs of many files.
        sign_in: the form to sign in with, where the panel had to ask; else None.
        client: the client, once there is one.
    """

    files: FileChooser
    _page: Page

    def __init__(self, client: object = None, *, fusion_url: str = "") -> None:
        if fusion_url:
            fusion_link(fusion_url, 1)  # before anything is made
        self._fusion_url = fusion_url
        self.client: AsyncCogniteClient | None = None
        self.sign_in: SignIn | None = None
        self._was_given = False  # the form to sign in with
        self.views: tuple[UploadView, ...] = ()
        self.reason = ""
        self._uploads: tuple[Upload, ...] = ()
        self._callbacks: tuple[OnUploaded, ...] = ()
        self._holders: dict[UploadView, ipywidgets.VBox] = {}
        self._paths: dict[Steered, str] = {}  # without links, as the journal has them
        self._found: tuple[Upload, ...] = ()  # those of cells, begun since the panel was made
        self._endings: dict[object, tuple[str, str]] = {}  # HTML and text
        self._list: FileTable | None = None  # several files that are chosen
        self._tables: tuple[FileTable, ...] = ()  # those that were started
        self._failed = ""  # why the last one failed, as HTML, until something else is started
        self._sent: _Said | None = None  # what was sent last, as `_said` has it
        self._lock = threading.RLock()
        self._starting = threading.RLock()  # one press after the other; taken before `_lock`
        self._saving = threading.RLock()
        self._calls = count()  # of `on_uploaded`
        self.tasks = Tasks()
        self._saved: Any = None  # a DisplayHandle
        self._node_form: NodeForm | None = None
        close_last_run()
        before = widget_before(UploadPanel)
        self.taken_over = TakeOver(self, before)
        self._make(before)
        super().__init__(self._sections(), layout=make(ipywidgets.Layout))
        self.add_class("cnbu-form")
        self.add_class("cnbu-panel")
        self._page.guard(self)
        self._watch()
        self._connect(client)
        self._find_running()
        begun.listen(self._begun_somewhere)
        made_here(self, self._close_for_next_run)
        self.taken_over.watch()

    # --- what it holds -----------------------------------------------------------------------

    @property
    def upload(self) -> Upload | None:
        """The upload that was started last, here or earlier in this process; None before.

        `await panel.upload` waits for it.
        """
        return self._uploads[-1] if self._uploads else None

    @property
    def uploads(self) -> tuple[Upload, ...]:
        """All that were started or resumed here, or ran when the panel was made, in order."""
        return self._uploads

    def on_uploaded(self, callback: OnUploaded) -> Callable[[], None]:
        """Call `callback(uploaded)` for each file that is in CDF; returns what ends that.

        It is called in a thread of its own. What it raises is shown in the panel.
        """
        with self._lock:
            self._callbacks = (*self._callbacks, callback)

        def end() -> None:
            with self._lock:
                self._callbacks = tuple(one for one in self._callbacks if one is not callback)

        return end

    @property
    def code(self) -> str:
        """The Python for what the panel says, without secrets; it runs as it is.

        Raises:
            UsageError: the panel does not say enough yet.
        """
        if self.files.files:
            raise UsageError("Choose one file to see its code; `upload_many` sends several.")
        file, fields = self._said()
        if self.client is None:
            raise UsageError("Sign in first.")
        if isinstance(file.content, BrowserFile):
            raise UsageError("A file of your own computer has no path that code could name.")
        if isinstance(file.content, Address) and file.content.has_secrets:
            raise UsageError("The address has a signature or a password; code is shown without.")
        return upload_code(self.client.config, str(file.content), fields)

    # --- what it is made of ------------------------------------------------------------------

    def _make(self, before: UploadPanel | None) -> None:
        self.files = FileChooser(_recent, before.files if before is not None else None)
        self.form = MetadataForm(styled=False)
        self.kind = make(
            ipywidgets.RadioButtons,
            description="Kind of file",
            options=[("Classic file", CLASSIC), ("Data model", DATA_MODEL)],
        )
        self.kind.add_class("cnbu-kind")
        self.sending = UploadOptions()
        self.unfinished = Unfinished(self._resume, self._shown_paths, self.tasks)
        self.jobs = Jobs(lambda: self.client, self.tasks)
        self.start = button("Upload", "Upload this file", self._start, "cnbu-go")
        self.show_code = button("Show the code", "Python that does the same", self._toggle_code)
        self._head, self._plan = make(ipywidgets.HTML), make(ipywidgets.HTML)
        self._why, self._wrong = make(ipywidgets.HTML), make(ipywidgets.HTML)
        self._code = make(ipywidgets.HTML)
        self._why.add_class("cnbu-reason")
        self._code.add_class("cnbu-code")
        self._code_open = self._pressed = False
        self._refused = ""  # the reason that is shown of a press that started nothing
        self._signing = box(ipywidgets.VBox, [])
        self._cards = box(ipywidgets.VBox, [])

    def _sections(self) -> list[ipywidgets.Widget]:
        actions = box(
            ipywidgets.HBox, [self.start, self.show_code, self._why], "cnbu-tools", "cnbu-actions"
        )
        # In a page that shows the panel, the copy that is kept for a saved notebook is hidden.
        self._table = box(ipywidgets.VBox, [])
        self._page = Page(more_css=f".{self._saved_class}{{display:none}}")
        self._about = box(ipywidgets.VBox, [self.kind, self.form], "cnbu-section")
        return [
            self._page, self._head, self._signing, self.unfinished.widget, self.jobs.widget,
            self.taken_over.widget, self.files,
            self._plan, self._table, self._about,
            self.sending.widget, actions, self._wrong, self._code, self._cards,
            self.unfinished.past,
        ]  # fmt: skip

    @property
    def _saved_class(self) -> str:
        return f"cnbu-saved-{id(self):x}"

    def _watch(self) -> None:
        self.files.observe(self._file_chosen, "file")
        self.files.observe(self._several_chosen, "files")
        self.files.observe(self._changed, ["reason", "looking"])
        self.form.observe(self._changed, ["value", "reason", "errors", "overwrite"])
        self.kind.observe(self._kind_chosen, "value")
        self.sending.listen(lambda: self._changed(None))
        self.unfinished.listen = lambda: self._changed(None)

    # --- the client --------------------------------------------------------------------------

    def _connect(self, client: object) -> None:
        found = client if isinstance(client, SignIn) else connect(client)
        if not isinstance(found, SignIn):
            self._use(found)
            return
        self.sign_in, self._was_given = found, found is client
        if self._was_given:
            shown_elsewhere(found)
        self._signing.children = (found,)
        found.observe(lambda change: self._use(change["new"]), "client")
        if found.client is not None:
            self._use(found.client)
        else:
            self.unfinished.use(None)
            self.jobs.refresh()
            self._changed(None)

    def _use(self, client: AsyncCogniteClient) -> None:
        self.client, config = client, client.config
        where = f"<b>{escaped(config.project)}</b> at {escaped(config.base_url)}"
        self._head.value = f'<div class="cnbu-head">Upload to project {where}</div>'
        hide(self._head, self.sign_in is not None)
        self.form.use(client)
        if self._node_form is not None:
            self._node_form.use(client)
        self.unfinished.use((config.project, config.base_url))
        self.jobs.refresh()
        self._changed(None)

    # --- what may be uploaded ----------------------------------------------------------------

    def _file_chosen(self, change: dict[str, Any]) -> None:
        file: ChosenFile | None = change["new"]
        if file is not None:
            path = file.content if isinstance(file.content, Path) else file.name
            self.form.set_file(path, size=file.size, modified=_modified(file))
            if self._node_form is not None:
                self._node_form.set_file(path)
        self.sending.use([file.size] if file is not None else [])
        self._changed(None)

    @property
    def is_node(self) -> bool:
        """True where a file of the data model is to be made."""
        return bool(self.kind.value == DATA_MODEL)

    @property
    def node_form(self) -> NodeForm:
        """The form of a file of the data model; made, and spaces asked for, when it is needed."""
        with self._lock:  # a list that comes may need it while the switch is pressed
            if self._node_form is None:
                self._node_form = form = NodeForm()
                form.for_many(bool(self.files.files))
                if (file := self.files.file) is not None:
                    form.set_file(file.name)
                if self.client is not None:
                    form.use(self.client)
                form.observe(self._changed, ["value", "reason"])
            return self._node_form

    def _kind_chosen(self, _: object) -> None:
        """Show the form of that kind."""
        form = self.node_form if self.is_node else self.form
        keep_order(form)
        self._about.children = (self.kind, form)
        self._changed(None)

    def _several_chosen(self, change: dict[str, Any]) -> None:
        """Show them as a list, in place of the one that was not started."""
        files: tuple[ChosenFile, ...] = change["new"]
        kept = self._list is not None and [row.file for row in self._list.files.rows] == [*files]
        if kept:
            return
        old, self._list = self._list, FileTable(FileList(files)) if files else None
        if self._list is not None:
            self._list.on_remove = self.files.leave
        self._table.children = [self._list] if self._list is not None else []
        if old is not None:
            old.close()
        self.form.for_many(bool(files))
        if self._node_form is not None:
            self._node_form.for_many(bool(files))
        self.sending.use(file.size for file in files)
        self._changed(None)

    def _many_said(self) -> dict[str, Any]:
        """The keywords that hold for all files of the list.

        Raises:
            UsageError: what stands in the way, in one sentence.
        """
        for file in self.files.files:
            try:
                self._planned(file)
            except UsageError as error:
                raise UsageError(f"{clean(file.name, 60)}: {error}") from None
        if not self.is_node:
            return {**self.form.shared_kwargs(), **self.sending.kwargs()}
        if self.node_form.reason:
            raise UsageError(self.node_form.reason)
        return self.sending.kwargs()

    def _said(self) -> _Said:
        """The file and the keywords of `files.upload`.

        Raises:
            UsageError: what stands in the way, in one sentence.
        """
        file = self.files.file
        if file is None:
            raise UsageError(self.files.reason or "Choose a file.")
        self._planned(file)
        form = self.node_form if self.is_node else self.form
        if form.reason:
            raise UsageError(form.reason)
        return file, {**form.to_kwargs(), **self.sending.kwargs()}

    def _planned(self, file: ChosenFile) -> Plan:
        return self.sending.plan(file.size)

    def _changed(self, _: object) -> None:
        """Something was chosen, typed, started or ended."""
        with self._lock:  # or older news might come last
            self.reason = self._why_not()
            # While a path is looked up a press counts once it is known: a button that is disabled
            # between the moment when it is aimed at and the click would lose it.
            stays = self.files.looking and not self.start.disabled
            self.start.disabled = bool(self.reason) and not stays
            self._why.value = self._failed or say(self.reason, "info")
            self._plan.value = self._plan_html()
            self._show_code()
            if self._refused and self._refused != self.reason:
                self._refused, self._wrong.value = "", ""
            pressed = self._pressed and not self.files.looking
            self._pressed = self._pressed and not pressed
        if pressed:
            self.tasks.start("press", lambda: to_thread.run_sync(self._start))

    def _why_not(self) -> str:
        if self.client is None:
            return "Sign in first."
        try:
            if self.files.files:
                self._many_said()
                return ""
            file, fields = self._said()
        except InvalidMetadata as error:
            return next(iter(error.fields.values()))
        except UsageError as error:
            return str(error)
        if self._is_on_its_way(file):
            return f"{clean(file.name, 60)} is being uploaded: see below."
        if (file, fields) == self._sent:
            return f"{clean(file.name, 60)} was sent with just this: see below."
        return ""

    def _is_on_its_way(self, file: ChosenFile) -> bool:
        return any(path == file.real and not one.done() for one, path in self._paths.items())

    def _plan_html(self) -> str:
        file = self.files.file
        if file is None:
            return ""
        try:
            plan = self._planned(file)
        except UsageError as error:
            return f'<div class="cnbu-plan">{say(error, "error", "alert")}</div>'
        parts = show_parts(len(plan.parts), plan.part_size)
        left = any(row.source == file.real for row in self.unfinished.rows)
        return (
            f'<div class="cnbu-plan" role="status"><b>{show_bytes(file.size)}</b> '
            f"({file.size:,} bytes) in {escaped(parts)}{say(_LEFT if left else '', 'info')}</div>"
        )

    # --- the code ----------------------------------------------------------------------------

    def _toggle_code(self) -> None:
        self._code_open = not self._code_open
        self.show_code.description = "Hide the code" if self._code_open else "Show the code"
        self._show_code()

    def _show_code(self) -> None:
        if not self._code_open:
            self._code.value = ""
            return
        try:
            lines = "\n".join(map(escaped, self.code.splitlines()))
        except UsageError as error:
            self._code.value = say(f"There is no code yet. {error}", "info")
        else:
            self._code.value = f'<pre tabindex="0" title="A click selects all">{lines}</pre>'

    # --- uploading ---------------------------------------------------------------------------

    def _start(self) -> None:
        """Upload was pressed; the kernel may hear of it together with what was typed before."""
        with self._lock:  # or what is found in this moment would not see the press
            if self.files.looking:
                self._pressed = True  # it counts once it is known what the path is
                return
        with self._starting:
            try:
                self._start_now()
            except UsageError as error:  # something was typed in this moment
                self._refuse(str(error))

    def _start_now(self) -> None:
        if why := self._why_not():
            file = self.files.file
            if file is None or not self._is_on_its_way(file):  # else it was pressed twice
                self._refuse(why)
            return
        if (table := self._list) is not None:
            self._start_list(table)
            return
        said = file, fields = self._said()
        self.files.clear()
        self._begin(partial(self._call, file.content, fields), file.real, said)

    def _refuse(self, why: str) -> None:
        self._refused = why
        self._wrong.value = say(f"Not started. {why}", "error", "alert")

    def _start_list(self, table: FileTable) -> None:
        """Upload all files of the list; its table moves to where uploads are shown."""
        fields = self._many_said()
        self._list, self._table.children = None, []
        self._wrong.value = self._failed = ""
        self.taken_over.forget()
        self._show_list(table)
        if self.is_node:  # what the form says now, whatever is typed there later
            of_file = self.node_form.of_file
            each = {one: {**fields, **of_file(one.name, one.folder)} for one in self.files.files}
            table.files.start(lambda file: self._call(file.content, each[file]))
        else:
            table.files.start(lambda file: self._call(file.content, _fields_of(file, fields)))
        self.files.clear()
        self._changed(None)
        reveal(table.card)
        focus(table.card)

    def _show_list(self, table: FileTable) -> None:
        table.files.on_upload = self._list_uploads
        table.files.on_done = self._tell_callbacks
        table.on_ended = lambda: self._list_ended(table)
        with self._lock:
            self._tables = (table, *self._tables)
            self._show_views(self.views)

    def _list_uploads(self, upload: Upload) -> None:
        """The list has started it; a panel that was made in that moment may have shown it alone."""
        with self._lock:
            alone = [view for view in self.views if view.upload is upload]
            if upload not in self._uploads:
                self._uploads = (*self._uploads, upload)
        for view in alone:
            self._dismiss(view)

    def _list_ended(self, table: FileTable) -> None:
        ending = (table.still_html(), total_words(table.files))
        with self._lock:
            self._endings = {**self._endings, table: ending}
        self.unfinished.refresh()
        self._save()

    def _call(self, content: Path | Address | BrowserFile, fields: dict[str, Any]) -> Upload:
        if self.client is None:
            raise UsageError("Sign in first.")
        if isinstance(content, BrowserFile):
            return content.upload(self.client, **fields)
        given = content.reveal() if isinstance(content, Address) else content
        upload: Upload = self.client.files.upload(given, **fields)
        return upload

    def _resume(self, row: JournalRow) -> None:
        chosen, known = self.files.file, row.source
        content: str | Path | Address | BrowserFile = row.source
        moved = not is_address(row.source) and not os.path.exists(row.source)
        if chosen is not None and (moved or chosen.real == row.source):
            content, known = chosen.content, chosen.real
        self._begin(lambda: self._gone_on_with(row, content), known)

    def _gone_on_with(self, row: JournalRow, content: str | Path | Address | BrowserFile) -> Upload:
        if self.client is None:
            raise UsageError("Sign in first.")
        if isinstance(content, BrowserFile):
            return content.resume(self.client, row.id)
        given = content.reveal() if isinstance(content, Address) else content
        return resume_upload(row.id, self.client, given)

    def _begin(self, call: Callable[[], Upload], path: str, said: _Said | None = None) -> None:
        """Start an upload and show it; where that cannot be, say why. `call` again goes on.

        `said` is what the form said of it: the same is not sent twice by a press of Upload.
        """
        self.taken_over.forget()
        with self._starting:
            self._wrong.value = self._failed = ""
            try:
                upload = call()
            except UploadToolkitError as error:
                self._wrong.value = error_html(error, "Not started.")
                return
            self._sent = said or self._sent
            with self._lock:
                if upload in self._found:  # it is the panel's own now
                    self._found = tuple(one for one in self._found if one is not upload)
                    self._uploads = (*self._uploads, upload)
            if upload not in self._paths:  # the same call returns the upload that runs already
                self._add(upload, path, lambda: self._begin(call, path, said))
        view = next((one for one in self.views if one.upload is upload), None)
        if view is not None:
            reveal(self._holders[view])
            focus(self._holders[view])

    def _find_running(self) -> None:
        """Show what runs in this process: its cell was run again, or the page was loaded again."""
        listed: set[Upload] = set()
        for files in running_lists():
            self._show_list(FileTable(files))
            listed |= set(files.uploads)
            with self._lock:
                new = [one for one in files.uploads if one not in self._uploads]
                self._uploads = (*self._uploads, *new)
        for upload in running_uploads():
            if upload not in listed:
                path = _real(upload.path)
                self._add(upload, path, partial(self._begin, partial(self._again, upload), path))

    def _begun_somewhere(self, upload: Upload) -> None:
        """An upload has begun, here or in a cell; its own call has not returned yet."""
        if upload.spec.progress:  # else a job tells of it
            self.tasks.start(f"found {id(upload)}", lambda: self._look_at(upload), _FOUND_S)

    async def _look_at(self, upload: Upload) -> None:
        await to_thread.run_sync(self._show_found, upload)

    def _show_found(self, upload: Upload) -> None:
        """Show an upload of a cell below the others, folded, for as long as it runs."""
        with self._starting:
            listed = {one for files in running_lists() for one in files.uploads}
            known = upload in self._paths or upload in listed
            if known or upload.done() or self.comm is None:
                return
            path = _real(upload.path)
            again = partial(self._begin, partial(self._again, upload), path)
            view = self._view_of(upload, again, folded=True, aside=True)
            with self._lock:
                self._paths[upload] = path
                self._found = (*self._found, upload)
                self._show_views((*self.views, view))
        self._changed(None)
        self.unfinished.refresh()
        upload.when_done(partial(self._over, view))

    def _again(self, upload: Upload) -> Upload:
        """Go on with an upload that another cell has started."""
        source: Any = upload.spec.source
        if isinstance(source, BrowserFile):
            return source.resume(self.client, upload.id)
        return resume_upload(upload.id, self.client)

    def _add(self, upload: Upload, path: str, again: Callable[[], object]) -> None:
        """Show an upload above the others, which fold."""
        for one in self.views:
            if one.ended is None and not one.folded:
                one.toggle()
        view = self._view_of(upload, again)
        with self._lock:
            self._paths[upload] = path
            self._uploads = (*self._uploads, upload)
            self._show_views((view, *self.views))
        for one in self._given_way(path, view):
            self._dismiss(one)
        self._changed(None)
        self.unfinished.refresh()
        upload.when_done(partial(self._over, view))
        upload.when_awaited(self._save)

    def _view_of(self, upload: Upload, again: Callable[[], object], **how: bool) -> UploadView:
        view = UploadView(
            upload,
            again=again,
            dismiss=lambda: self._dismiss(view),
            fusion_url=self._fusion_url,
            **how,
        )
        # A class that an anywidget gets later does not reach the page: its box has it.
        self._holders[view] = box(ipywidgets.VBox, [view], "cnbu-card")
        return view

    def _given_way(self, path: str, view: UploadView) -> list[UploadView]:
        """Views of earlier tries with the same file, which did not bring it to CDF."""
        return [
            one
            for one in self.views
            if one is not view
            and self._paths[one.upload] == path
            and one.ended is not None
            and one.ended.mood != "done"
        ]

    def _dismiss(self, view: UploadView) -> None:
        self._failed = ""
        self._take_away(view)

    def _take_away(self, view: UploadView) -> None:
        with self._lock:
            self._show_views(tuple(one for one in self.views if one is not view))
            holder = self._holders.pop(view, None)
        if holder is None:
            return  # another thread has done it
        close_all(holder)
        self._changed(None)
        self.unfinished.refresh()

    def _shown_paths(self) -> frozenset[str]:
        """Files whose upload is shown, and is not in CDF."""
        views = (one for one in self.views if one.ended is None or one.ended.mood != "done")
        return frozenset(self._paths[one.upload] for one in views)

    def _show_views(self, views: tuple[UploadView, ...]) -> None:
        self.views = views
        holders = (self._holders[view] for view in views)
        self._cards.children = (*(table.card for table in self._tables), *holders)

    # --- when one is over --------------------------------------------------------------------

    def _over(self, view: UploadView, done: Future[Uploaded]) -> None:
        view.over(done)  # it may be about to hear of it in another thread
        if view.upload in self._found:  # its own cell tells how it ended, and the history too
            if done.exception() is None:
                self._take_away(view)
            self._changed(None)
            self.unfinished.refresh()
            return
        with self._lock:
            if done.exception() is not None:
                self._sent = None  # the same may be sent again, and goes on from the journal
                self._failed = _failed_html(view.ended)
            ending = (view.still_html(), summary(view.upload.state))
            self._endings = {**self._endings, view.upload: ending}
        self._changed(None)
        self.unfinished.refresh()
        self._save()
        if done.exception() is None:
            self._tell_callbacks(done.result())

    def _tell_callbacks(self, uploaded: Uploaded) -> None:
        for callback in self._callbacks:
            self._tell(callback, uploaded)

    def _tell(self, callback: OnUploaded, uploaded: Uploaded) -> None:
        async def work() -> None:
            try:
                await to_thread.run_sync(callback, uploaded)
            except Exception as error:  # whatever somebody else's code raises
                self._wrong.value = error_html(error, f"on_uploaded, for {uploaded.name}:")

        self.tasks.start(f"uploaded {next(self._calls)}", work)

    # --- what the next run of the cell takes over ----------------------------------------------

    @property
    def place(self) -> Place | None:
        """The project and the base URL that its ids belong to; None where that is not known."""
        return self.form.place

    @place.setter
    def place(self, place: Place | None) -> None:
        self.form.place = place
        if self._node_form is not None:
            self._node_form.place = place

    def _parts(self) -> dict[str, Any]:
        node = {} if self._node_form is None else {"node": self._node_form}
        return {"form": self.form, **node, "files": self.files, "sending": self.sending}

    def held(self) -> dict[Any, Any]:
        """What is chosen, typed and opened, valid or not."""
        parts = self._parts().items()
        state = {(name, key): one for name, part in parts for key, one in part.held().items()}
        state |= {("panel", "kind"): self.kind.value, ("panel", "sent"): self._sent}
        return state | {("panel", "code"): self._code_open}

    def hold(self, state: Mapping[Any, Any]) -> None:
        """Put in what others have `held`."""
        if any(part == "node" for part, _ in state):
            _ = self.node_form  # it is made now
        for name, part in self._parts().items():
            part.hold({key: one for (of, key), one in state.items() if of == name})
        self.kind.value = state.get(("panel", "kind"), self.kind.value)
        if not all(map(self.is_view, state)):  # else there would be no way to send it again
            self._sent = state.get(("panel", "sent"), self._sent)
        if state.get(("panel", "code"), self._code_open) != self._code_open:
            self._toggle_code()
        self._changed(None)

    def boxes(self) -> dict[Any, Any]:
        """The boxes that one types in."""
        parts = self._parts().items()
        return {(name, key): one for name, part in parts for key, one in part.boxes().items()}

    def is_id(self, key: Any) -> bool:
        """Whether a field holds ids of one project."""
        part, name = key
        return bool(part in ("form", "node") and self._parts()[part].is_id(name))

    def is_view(self, key: Any) -> bool:
        """Whether it tells of what is opened, or of what was sent."""
        part, name = key
        if part in ("form", "node"):
            return bool(self._parts()[part].is_view(name))
        return name in ("opened", "code", "sent")

    def _close_for_next_run(self) -> None:
        self.files.hand_over()
        super()._close_for_next_run()

    # --- being displayed ---------------------------------------------------------------------

    def _ipython_display_(self) -> None:
        """The panel, and below it, for a saved notebook, how each upload ended."""
        self.taken_over.settle()  # by now the code has said what it says
        show: Any = display  # IPython's is not typed
        show(live_bundle(self, _UNSHOWN), raw=True)
        self._saved = show(self._saved_bundle(), raw=True, display_id=True)

    def _save(self) -> None:
        with self._saving:  # or an older copy might be the one that is kept
            if self._saved is not None:
                self._page.told = True
                self._saved.update(self._saved_bundle(), raw=True)
                self._page.keep(self._saved_class, self._saved_bundle())
                self._page.save_lightly(self)

    def _saved_bundle(self) -> dict[str, str]:
        html = "".join(html for html, _ in self._endings.values())
        text = "\n".join(text for _, text in self._endings.values())
        html = f'<div class="{self._saved_class}">{_OUTLIVED}{html}</div>'
        return {"text/plain": text, "text/html": html}

    def close(self) -> None:
        """Close the panel; uploads go on, those of a browser's files while the page is open."""
        if not hasattr(self, "_page"):
            return  # it was refused, and holds nothing
        begun.ignore(self._begun_somewhere)
        self.jobs.close()
        self.taken_over.close()
        self.tasks.close()
        lists = (*self._tables, *([self._list] if self._list else []))
        for view in self.views:
            view.close()
        for table in lists:
            table.close()
        reading = [one for one in self._uploads if not one.done()]
        self.files.close(reading, keep=any(table.files.running for table in self._tables))
        self._signing.children = ()  # a form that was given may stand in another cell, too
        if self.sign_in is not None and not self._was_given:
            self.sign_in.close()
        self.form.close()  # it may not be among the children
        if self._node_form is not None:
            self._node_form.close()
        close_all(self)

    def __repr__(self) -> str:
        running = sum(not one.done() for one in self._uploads)
        return f"<UploadPanel: {show_count(len(self._uploads), 'upload')}, {running} running>"


def _real(path: str) -> str:
    """A path without links; addresses of other stores stay as they are."""
    return os.path.realpath(path) if path and not is_address(path) else path


def _modified(file: ChosenFile) -> datetime | None:
    """When a file was modified; None where that is not told, or is no time that CDF can have."""
    at = from_file_ns(file.modified_ns)
    return at if file.modified_ns > 0 and at.year < 9999 else None  # 0: its store tells no time


def _fields_of(file: ChosenFile, shared: dict[str, Any]) -> dict[str, Any]:
    """The keywords of `files.upload` for one of several files."""
    own: dict[str, Any] = {"name": file.name}
    if (modified := _modified(file)) is not None:
        own["source_modified_time"] = modified
    if mime := guess_mime_type(file.name):
        own["mime_type"] = mime
    if file.folder:
        top = (shared.get("directory") or "").rstrip("/")
        own["directory"] = f"{top}/{file.folder}"
    return {**shared, **own}


def _failed_html(ending: Outcome | None) -> str:
    """Why an upload failed, in a sentence, and the one next step; "" where it did not fail."""
    if ending is None or ending.mood != "failed":
        return ""
    step = ending.todo[0] if ending.todo else "Go on, below, tries again."
    said = f"{clean(ending.name, 60)} was not uploaded. {clean(ending.said, 300).rstrip('.')}."
    return say(said, "error", "alert") + say(step, "info")


def _recent() -> list[str]:
    """Paths of files that were uploaded, or begun to be, lately."""
    folder = journal_folder.state_folder()
    rows = [*journal_folder.unfinished(folder), *journal_folder.history(folder)]
    return [row.source for row in rows if row.source]
