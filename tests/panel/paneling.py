"""What the tests of the panel share: doing what a person does, and reading what is shown."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets
from ipywidgets import widgets
from support import PART, until

from cognite_nb_upload.progress.view import UploadView
from cognite_nb_upload.transfer.upload import Upload
from cognite_nb_upload.widgets.panel.panel import UploadPanel

if TYPE_CHECKING:  # not installed where the wheel is tried with the lowest versions
    from jupyter_client.blocking.client import BlockingKernelClient


def choose(panel: UploadPanel, path: Path | str) -> None:
    """Type a path, as a person would."""
    panel.files.input.value = str(path)
    until(lambda: panel.files.file and str(panel.files.file.content) == str(path))
    until(lambda: not panel.files.looking)  # all that hangs on the file is filled in by then
    panel.sending.part_mib.value = repr(PART / 2**20)
    until(lambda: not panel.start.disabled)


def press(panel: UploadPanel) -> Upload:
    """Press Upload."""
    before = panel.uploads
    panel.start.click()
    until(lambda: panel.uploads != before)  # a path that is still looked up is waited for
    assert panel.uploads[:-1] == before
    assert panel.upload is not None
    return panel.upload


def ended(view: UploadView) -> str:
    """Wait until a view shows how its upload ended; the HTML."""
    until(lambda: view.ended is not None and "still" in view.shown)
    return view.still_html()


def all_widgets(widget: Any) -> Iterator[Any]:
    """A widget and all that is in it."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from all_widgets(child)


def all_html(widget: Any) -> str:
    """All that is shown as HTML."""
    shown = (one.value for one in all_widgets(widget) if isinstance(one, ipywidgets.HTML))
    return "\n".join(shown)


def widget_state() -> str:
    """What of all widgets that live a notebook might save."""
    state: list[Any] = []
    for widget in list(widgets.widget._instances.values()):
        state += [getattr(widget, name, None) for name in widget.keys]
    return repr(state)


class Page:
    """A kernel, told which cell runs as a page tells it."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self._client = client

    def type(self, model_id: str, text: str) -> None:
        """What a page sends when somebody types in a box."""
        data = {"method": "update", "state": {"value": text}, "buffer_paths": []}
        content = {"comm_id": model_id, "data": data}
        self._client.shell_channel.send(self._client.session.msg("comm_msg", content))

    def run(self, code: str, cell: str, loaded: str = "") -> str:
        """Run a cell; what it prints. A page that was loaded again has another session."""
        session = self._client.session
        content = {"code": code, "silent": False, "store_history": True, "user_expressions": {}}
        request: Any = session.msg("execute_request", content, metadata={"cellId": cell})
        request["header"]["session"] = loaded or request["header"]["session"]
        self._client.shell_channel.send(request)
        said = ""
        while True:
            heard = self._client.get_iopub_msg(timeout=60)
            assert heard["msg_type"] != "error", heard["content"]
            said += str(heard["content"].get("text", ""))
            of_it = heard["parent_header"].get("msg_id") == request["header"]["msg_id"]
            if of_it and heard["content"].get("execution_state") == "idle":
                return said
