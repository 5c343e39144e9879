from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from comm.base_comm import BaseComm
from pages import Page

from cognite_nb_upload.journal.folder import STATE_VARIABLE
from cognite_nb_upload.widgets.browser.files import BrowserFiles
from cognite_nb_upload.widgets.browser.link import Patience

IMPATIENT = Patience(
    quiet_s=0.05, ping_s=0.05, ping_most_s=0.1, silent_s=0.3, gone_s=0.2, away_s=60.0
)


class PageComm(BaseComm):
    """Carries what the widget sends to pages, as the kernel's comm does."""

    def __init__(self) -> None:
        self.pages: list[Page] = []
        self.told: list[dict[str, Any]] = []
        super().__init__()

    def publish_msg(self, msg_type: str, data: Any = None, **_: Any) -> None:
        if data and data.get("method") == "custom":
            for page in self.pages:
                page.send(data["content"])
        elif data:
            self.told.append(data)


@pytest.fixture(autouse=True)
def own_journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path / "state"))


@pytest.fixture
def make_files() -> Iterator[Callable[..., tuple[BrowserFiles, Page]]]:
    """Makes a widget, without patience, and a page that shows it."""
    made = []

    def make(**options: Any) -> tuple[BrowserFiles, Page]:
        files = BrowserFiles(**options)
        files.link.patience = IMPATIENT
        files.comm = comm = PageComm()
        comm.pages.append(page := Page(lambda *told: files._handle_custom_msg(*told)))
        made.append(files)
        return files, page

    yield make
    for files in made:
        files.close()


@pytest.fixture
def files_and_page(make_files: Callable[..., tuple[BrowserFiles, Page]]) -> Any:
    return make_files()


@pytest.fixture
def files(files_and_page: tuple[BrowserFiles, Page]) -> BrowserFiles:
    return files_and_page[0]


@pytest.fixture
def page(files_and_page: tuple[BrowserFiles, Page]) -> Page:
    return files_and_page[1]
