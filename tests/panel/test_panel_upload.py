from __future__ import annotations

import asyncio
import html
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from cognite.client import CogniteClient as OfficialClient
from cognite.client.config import ClientConfig as OfficialConfig
from cognite.client.credentials import Token as OfficialToken
from paneling import all_html, choose, ended, press, widget_state
from support import fired, seen, sha256, until
from web_store import web_store

from cognite_nb_upload import CogniteClient, Uploaded, UsageError
from cognite_nb_upload.core.state import Phase
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.progress.words import parts_words
from cognite_nb_upload.widgets.panel.panel import UploadPanel

MakePanel = Callable[..., UploadPanel]

MARKUP = "<img src=x onerror=alert(1)>"


def test_a_file_is_chosen_described_and_uploaded(
    ready: UploadPanel, cdf: Emulator, data: bytes
) -> None:
    ready.form.fill({"directory": "/surveys", "metadata": {"vessel": "Ada"}, "data_set_id": 7})
    uploaded = press(ready).result(60)
    [file] = [one for one in cdf.files() if one["id"] == uploaded.id]
    assert sha256(data) == cdf.sha256(file["id"])
    assert file["name"] == "big.segy"
    assert (file["directory"], file["metadata"]) == ("/surveys", {"vessel": "Ada"})
    assert file["dataSetId"] == 7
    assert uploaded.parts == 3


def test_the_plan_is_said_before_anything_is_sent(ready: UploadPanel, cdf: Emulator) -> None:
    assert "10.00 MiB" in all_html(ready)
    assert "in 3 parts of 5" in all_html(ready)
    ready.sending.part_mib.value = ""
    assert "in 2 parts of 8 MiB" in all_html(ready)
    assert not seen(cdf, "init")


def test_upload_is_disabled_and_says_why(
    make_panel: MakePanel, client: CogniteClient, big: Path
) -> None:
    panel = make_panel(client)
    assert (panel.start.disabled, panel.reason) == (True, "Choose a file.")
    choose(panel, big)
    assert (panel.start.disabled, panel.reason) == (False, "")
    panel.form.fill({"directory": "no/slash"})
    assert panel.start.disabled
    assert "absolute unix path" in panel.reason
    panel.form.fill({"directory": "/slash"})
    assert not panel.start.disabled


@pytest.mark.parametrize(
    ("part_mib", "at_once", "said"),
    [
        ("5", "", "larger than 5242880 bytes"),
        ("many", "", "a number of MiB"),
        ("nan", "", "a number of MiB"),
        ("1e400", "", "a number of MiB"),
        ("", "65", "1 to 64"),
        ("", "two", "1 to 64"),
    ],
)
def test_what_cannot_be_sent_so_is_refused_at_once(
    ready: UploadPanel, part_mib: str, at_once: str, said: str
) -> None:
    ready.sending.part_mib.value, ready.sending.at_once.value = part_mib, at_once
    assert ready.start.disabled
    assert said in ready.reason
    label = "Part size" if part_mib else "Parts at once"
    assert ready.reason.startswith(label), "as the form names it"
    (field,) = (one for one in ready.sending.fields if one.label.startswith(label))
    assert ready.reason in html.unescape(field.note.value), "it stands at the field"
    assert [one for one in ready.sending.fields if one.bad] == [field]


def test_whether_a_part_size_fits_depends_on_the_file(
    panel: UploadPanel, big: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small.bin"
    small.write_bytes(b"small")
    choose(panel, small)
    panel.sending.part_mib.value = "1"
    assert not panel.sending.fields[0].error
    panel.files.input.value = str(big)
    until(lambda: "larger than 5242880 bytes" in panel.sending.fields[0].note.value, 20)


def test_a_press_in_the_moment_in_which_the_path_is_found_counts(
    ready: UploadPanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ready.files
    threads: list[threading.Thread] = []

    class FoundMeanwhile:
        """The path is found right after it was asked whether it is still looked for."""

        def __getattr__(self, name: str) -> Any:
            return getattr(files, name)

        @property
        def looking(self) -> bool:
            was = files.looking
            if not threads:
                threads.append(threading.Thread(target=setattr, args=(files, "looking", False)))
                threads[0].start()
                threads[0].join(0.1)
            return was

    files.looking = True
    monkeypatch.setattr(ready, "files", FoundMeanwhile())
    ready.start.click()
    until(lambda: ready.uploads)
    threads[0].join(60)
    assert ready.uploads[0].result(60).name == "big.segy"


def test_upload_is_not_disabled_under_the_finger_while_another_path_is_looked_up(
    ready: UploadPanel, tmp_path: Path
) -> None:
    """A click on it would be lost; it counts once it is known what the path is."""
    other = tmp_path / "other.bin"
    other.write_bytes(b"other")
    told: list[bool] = []
    ready.start.observe(lambda change: told.append(change["new"]), "disabled")
    ready.files.input.value = str(other)
    assert told == []
    assert press(ready).result(60).name == "other.bin"


def test_a_press_on_a_disabled_button_does_nothing(panel: UploadPanel) -> None:
    panel.start.click()
    assert panel.uploads == ()


def test_the_same_is_not_sent_twice_by_two_presses(ready: UploadPanel, cdf: Emulator) -> None:
    press(ready)
    ready.start.click()
    ready.uploads[0].result(60)
    until(lambda: "was sent with just this" in ready.reason)
    ready.start.click()
    assert len(ready.uploads) == 1
    ready.form.fill({"name": "another.segy"})
    press(ready).result(60)
    assert len(seen(cdf, "init")) == 2
    assert {"big.segy", "another.segy"} <= {file["name"] for file in cdf.files()}


def test_several_uploads_run_at_once_and_the_last_one_is_open(
    ready: UploadPanel, cdf: Emulator, tmp_path: Path
) -> None:
    for route in ("part", "put"):
        cdf.inject(Fault("stall", route, times=None))
    first = press(ready)
    other = tmp_path / "other.las"
    other.write_bytes(b"x" * 1000)
    choose(ready, other)
    second = press(ready)
    assert ready.uploads == (first, second)
    assert [view.upload for view in ready.views] == [second, first]
    assert [view.folded for view in ready.views] == [False, True]
    until(lambda: {route for _, route in fired(cdf)} == {"part", "put"})
    for view in ready.views:
        view.pause.click()
        until(lambda view=view: view.upload.state.phase is Phase.PAUSED)
    cdf.clear_faults()
    for view in ready.views:
        view.pause.click()
    assert {first.result(60).name, second.result(60).name} == {"big.segy", "other.las"}


def test_the_current_upload_can_be_awaited_in_another_loop(ready: UploadPanel) -> None:
    assert ready.upload is None
    press(ready)

    async def cell() -> Uploaded:
        assert ready.upload is not None
        return await ready.upload

    assert asyncio.run(cell()).name == "big.segy"


def test_who_wants_to_know_is_told_of_each_file_in_cdf(ready: UploadPanel) -> None:
    told: list[Uploaded] = []
    heard = threading.Event()
    ready.on_uploaded(told.append)
    ready.on_uploaded(lambda _: heard.set())
    forget = ready.on_uploaded(lambda _: pytest.fail("It was taken back."))
    forget()
    result = press(ready).result(60)
    assert heard.wait(60)
    until(lambda: told == [result])


def test_what_such_a_callback_raises_is_shown_and_harms_nothing(ready: UploadPanel) -> None:
    def fails(_: Any) -> None:
        raise KeyError(MARKUP)

    ready.on_uploaded(fails)
    press(ready).result(60)
    until(lambda: "on_uploaded, for big.segy" in all_html(ready))
    assert "KeyError" in all_html(ready)
    assert MARKUP not in all_html(ready)


def test_a_file_that_has_gone_meanwhile_is_said_in_words(ready: UploadPanel, big: Path) -> None:
    big.unlink()
    ready.start.click()
    assert ready.uploads == ()
    assert "Not started." in all_html(ready)
    assert "cannot be read: No such file" in all_html(ready)


def test_a_failed_upload_goes_on_from_its_view_with_what_is_missing(
    ready: UploadPanel, cdf: Emulator, data: bytes
) -> None:
    cdf.inject(Fault("status", "part", part=1, status=403))
    press(ready)
    [view] = ready.views
    assert "Not uploaded:" in ended(view)
    assert "Part 1 was not stored" in ended(view)
    assert fired(cdf) == [("status", "part")]
    assert [one["text"] for one in view.tools["buttons"]] == ["Go on", "Close"]
    view.go_on.click()
    result = ready.uploads[-1].result(60)
    assert [view.upload for view in ready.views] == [ready.uploads[-1]]
    sent = [row["part"] for row in seen(cdf, "part")]
    assert sorted(sent) == [0, 1, 1, 2]
    assert cdf.sha256(result.id) == sha256(data)


def test_a_failed_upload_goes_on_by_the_upload_button_too(
    ready: UploadPanel, cdf: Emulator
) -> None:
    cdf.inject(Fault("status", "part", part=1, status=403))
    press(ready)
    ended(ready.views[0])
    assert fired(cdf) == [("status", "part")]
    until(lambda: not ready.start.disabled)
    again = press(ready)
    assert [view.upload for view in ready.views] == [again]
    again.result(60)
    assert sorted(row["part"] for row in seen(cdf, "part")) == [0, 1, 1, 2]


def test_files_of_ones_own_computer_are_taken_like_others(panel: UploadPanel) -> None:
    chosen = {
        "key": "k",
        "name": f"{MARKUP}.segy",
        "size": 20 * 2**20,
        "modified": 1_780_000_000_000,
    }
    panel.files.browser._handle_custom_msg({"kind": "chosen", "files": [chosen]}, [])
    assert panel.form.value is not None
    assert panel.form.value.name == f"{MARKUP}.segy"
    assert not panel.start.disabled
    assert "20 MiB" in all_html(panel)
    assert MARKUP not in all_html(panel)
    with pytest.raises(UsageError, match="no path that code could name"):
        _ = panel.code
    panel.files.browser.remove(panel.files.browser.files[0])
    until(lambda: panel.reason == "Choose a file.")


def test_a_file_of_another_store_is_uploaded_by_its_address(
    panel: UploadPanel, cdf: Emulator, data: bytes
) -> None:
    with web_store() as web:
        address = web.put("big.segy", data)
        panel.files.input.value = f"{address}?X-Amz-Signature=planted"
        until(lambda: panel.files.file and not panel.files.looking)
        with pytest.raises(UsageError, match="has a signature"):
            _ = panel.code
        panel.files.input.value = ""
        panel.files.input.value = address
        until(lambda: panel.files.file and not panel.files.looking)
        until(lambda: not panel.start.disabled)
        assert f'start_upload(\n    "{address}",' in panel.code
        done = press(panel).result(60)
        assert cdf.content(done.id) == data
    assert "planted" not in widget_state()


def test_a_view_that_is_over_can_be_taken_away(ready: UploadPanel) -> None:
    press(ready).result(60)
    [view] = ready.views
    ended(view)
    assert [one["text"] for one in view.tools["buttons"]] == ["Close"]
    view.take_away.click()
    assert ready.views == ()


def test_an_official_client_will_do(make_panel: MakePanel, cdf: Emulator, big: Path) -> None:
    official = OfficialClient(
        OfficialConfig("tests", cdf.project, OfficialToken(cdf.token), base_url=cdf.base_url)
    )
    panel = make_panel(official)
    choose(panel, big)
    assert press(panel).result(60).name == "big.segy"


def test_no_markup_of_a_file_a_folder_or_a_server_is_shown_as_markup(
    panel: UploadPanel, cdf: Emulator, tmp_path: Path
) -> None:
    folder = tmp_path / "<b onmouseover=alert(2)>"
    folder.mkdir()
    file = folder / (MARKUP.replace("/", "") + "\u202esegy.\n")
    file.write_bytes(b"x")
    panel.files.open_or_close()
    panel.files.input.value = f"{folder}/"
    until(lambda: len(panel.files.lines.lines) == 2)
    panel.files.enter()
    until(lambda: panel.files.file and not panel.files.looking)
    panel.form.fill({"name": MARKUP, "source": MARKUP, "metadata": {MARKUP: MARKUP}})
    panel.show_code.click()
    cdf.inject(
        Fault(
            "status",
            "create",
            status=400,
            body='{"error": {"code": 400, "message": "' + MARKUP + '"}}',
        )
    )
    press(panel)
    html = ended(panel.views[0]) + all_html(panel)
    assert "CDF refused" in html
    for bad in ("<img", "<b onmouse", "\u202e"):
        assert bad not in html


def test_no_secret_is_in_what_a_notebook_saves(ready: UploadPanel, cdf: Emulator) -> None:
    ready.show_code.click()
    cdf.inject(Fault("status", "part", part=0, status=403))
    press(ready)
    html = ended(ready.views[0])
    assert fired(cdf) == [("status", "part")]
    assert "Traceback" in html
    for text in (html, widget_state(), ready.code, repr(ready)):
        assert cdf.token not in text
        assert "signature" not in text.lower().replace("signaturedoesnotmatch", "")
        assert "sig=" not in text


def test_a_panel_that_is_made_again_shows_what_runs(
    ready: UploadPanel, make_panel: MakePanel, client: CogniteClient, cdf: Emulator, big: Path
) -> None:
    cdf.inject(Fault("stall", "part", times=None))
    running = press(ready)
    until(lambda: fired(cdf))
    again = make_panel(client)
    assert again.upload is running, "the handle itself"
    assert [view.upload for view in again.views] == [running]
    choose_only(again, big)
    assert "is being uploaded" in again.reason
    again.views[0].pause.click()
    until(lambda: running.state.phase is Phase.PAUSED)
    cdf.clear_faults()
    again.views[0].pause.click()
    assert running.result(60).name == "big.segy"
    assert "Uploaded" in ended(again.views[0])


def test_what_code_has_started_is_found_and_gone_on_with(
    make_panel: MakePanel, client: CogniteClient, cdf: Emulator, big: Path
) -> None:
    cdf.inject(Fault("stall", "part", times=None))
    upload = client.files.start_upload(big)
    until(lambda: fired(cdf))
    panel = make_panel(client)
    upload.stop()
    until(lambda: panel.views[0].ended)
    cdf.clear_faults()
    panel.views[0]._go_on()
    assert panel.upload is not upload
    assert panel.upload is not None
    assert panel.upload.result(60).name == "big.segy"


def test_a_failure_is_told_beside_the_button_with_one_next_step(
    ready: UploadPanel, cdf: Emulator
) -> None:
    cdf.inject(Fault("status", "init", status=400, body="<Error>Not so</Error>"))
    failed = press(ready)
    until(failed.done)
    until(lambda: "big.segy was not uploaded. " in ready._why.value)
    assert "400" in ready._why.value
    assert ready._why.value.count("<div") == 2, "the reason, and one next step"
    press(ready).result(60)
    until(lambda: "was not uploaded" not in ready._why.value)


def test_a_second_press_of_what_is_on_its_way_is_no_error(
    ready: UploadPanel, cdf: Emulator
) -> None:
    cdf.inject(Fault("stall_answer", "init"))
    upload = press(ready)
    ready._start()
    assert ready.reason == "big.segy is being uploaded: see below."
    assert (ready.uploads, ready._wrong.value) == ((upload,), "")
    cdf.clear_faults()
    upload.result(60)


def test_why_nothing_was_started_is_said_until_another_reason_takes_its_place(
    ready: UploadPanel,
) -> None:
    ready.sending.at_once.value = "many"
    ready._start()
    assert "Not started. Parts at once" in ready._wrong.value
    ready.sending.part_mib.value = "large"
    assert "Parts at once" not in ready.reason
    assert ready.reason
    assert ready._wrong.value == ""


def choose_only(panel: UploadPanel, path: Path) -> None:
    panel.files.choose(path)
    until(lambda: panel.files.file and not panel.files.looking)


def test_an_engine_of_the_notebook_sends_and_is_in_the_code(
    ready: UploadPanel, cdf: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready.sending.engine.value = "pool"
    assert "There is no 'pool' in this notebook" in ready.reason
    ready.sending.engine.value = "somewhere://"
    assert "is a Dask Client" in ready.reason
    with ThreadPoolExecutor(2) as pool:
        monkeypatch.setattr(
            "cognite_nb_upload.widgets.panel.options._namespace", lambda: {"_": pool, "pool": pool}
        )
        ready.sending.engine.value = "pool"
        assert "engine=pool," in ready.code
        upload = press(ready)
        assert cdf.content(upload.result(60).id)
        assert upload.state.workers
        assert "on 1 worker" in parts_words(upload.state)


def test_an_open_panel_shows_what_cells_start_for_as_long_as_it_runs(
    panel: UploadPanel, client: CogniteClient, cdf: Emulator, big: Path
) -> None:
    cdf.inject(Fault("stall", "part", times=None))
    upload = client.files.start_upload(big)
    until(lambda: panel.views)
    (view,) = panel.views
    assert view.upload is upload
    assert view.folded
    assert fired(cdf)
    assert panel.upload is None, "it is not the panel's own"
    choose_only(panel, big)
    assert "is being uploaded" in panel.reason
    assert not upload._watchers, "its own cell shows bars"
    view.pause.click()
    until(lambda: upload.state.phase is Phase.PAUSED)
    cdf.clear_faults()
    view.pause.click()
    assert upload.result(60).name == "big.segy"
    until(lambda: not panel.views)
    until(lambda: "1 upload" in panel.unfinished.fold.description)

    cdf.inject(Fault("stall", "part", times=None))
    client.files.start_upload(big).stop()
    again = client.files.start_upload(big)
    until(lambda: panel.views)
    again.stop()
    until(lambda: panel.views[0].ended)
    cdf.clear_faults()
    panel.views[0]._go_on()
    assert panel.upload is not None
    assert panel.upload.result(60).name == "big.segy"
