from __future__ import annotations

import math
import threading
import time
from concurrent.futures import Future
from pathlib import Path

import comm
import pytest
from paneling import ended
from support import PART, fired, seen, sha256, until

from cognite_nb_upload import CogniteClient, Uploaded, UploadStopped
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.state import Phase
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.errors import PartFailed, UsageError
from cognite_nb_upload.journal import folder as journal_folder
from cognite_nb_upload.progress.view import UploadView, rate_of
from cognite_nb_upload.sources import BytesSource
from cognite_nb_upload.transfer.upload import Upload
from cognite_nb_upload.widgets.panel.panel import UploadPanel


@pytest.fixture
def stalled(client: CogniteClient, cdf: Emulator, big: Path) -> Upload:
    """An upload whose parts do not get on until the faults are cleared."""
    cdf.inject(Fault("stall", "part", times=None))
    upload = client.files.start_upload(big, part_size=PART)
    until(lambda: fired(cdf))
    return upload


def test_pause_and_resume_are_one_button(stalled: Upload, cdf: Emulator, data: bytes) -> None:
    view = UploadView(stalled)
    assert view.pause.description == "Pause"
    view.pause.click()
    assert view.pause.description == "Resume"
    until(lambda: stalled.state.phase is Phase.PAUSED)
    cdf.clear_faults()
    view.pause.click()
    assert view.pause.description == "Pause"
    assert cdf.sha256(stalled.result(60).id or 0) == sha256(data)


def test_who_hears_of_the_end_before_the_view_has_shown_it_can_have_it_shown(
    stalled: Upload, cdf: Emulator
) -> None:
    view, seen_by_others = UploadView(stalled), threading.Event()

    def hears(done: Future[Uploaded]) -> None:
        view.over(done)
        assert view.ended is not None
        assert "Uploaded" in view.still_html()
        seen_by_others.set()

    with view._lock:  # it cannot show the end yet
        cdf.clear_faults()
        until(stalled.done)
        other = threading.Thread(target=stalled.when_done, args=(hears,))
        other.start()
    other.join(60)
    assert seen_by_others.is_set()
    assert stalled.result(60)


def test_the_button_follows_what_others_do(stalled: Upload, cdf: Emulator) -> None:
    view = UploadView(stalled)
    stalled.pause()
    until(lambda: view.pause.description == "Resume")
    cdf.clear_faults()
    stalled.resume()
    until(lambda: view.pause.description == "Pause" or view.ended)
    stalled.result(60)


def test_stop_asks_and_back_changes_nothing(stalled: Upload, cdf: Emulator) -> None:
    view = UploadView(stalled)
    assert view.tools["question"] == []
    view.stop.click()
    asked = [one["text"] for one in view.tools["question"]]
    assert asked[0] == "Keep what is sent"
    assert asked[-1] == "Back"
    assert view.tools["buttons"] == []
    view.back.click()
    assert view.tools["question"] == []
    assert [one["text"] for one in view.tools["buttons"]] == ["Hide parts", "Pause", "Stop…"]
    assert stalled.state.phase is Phase.SENDING
    stalled.stop()


def test_stop_can_keep_what_is_sent(stalled: Upload, surroundings: Path) -> None:
    view = UploadView(stalled)
    view.stop.click()
    view.keep.click()
    html = ended(view)
    assert "Stopped:" in html
    assert "0 of 3 parts (0 %) are stored and kept" in html
    [row] = journal_folder.unfinished(surroundings)
    assert row.name == "big.segy"
    with pytest.raises(UploadStopped):
        stalled.result(60)


@pytest.mark.parametrize("delete", [False, True])
def test_giving_up_leaves_the_file_in_cdf_or_deletes_it(
    stalled: Upload, cdf: Emulator, surroundings: Path, delete: bool
) -> None:
    view = UploadView(stalled)
    file_id = stalled.state.file_id
    view.stop.click()
    (view.delete if delete else view.give_up).click()
    html = ended(view)
    assert "Given up:" in html
    assert f"id {file_id}, {'is deleted' if delete else 'stays'}" in html
    assert (file_id in [one["id"] for one in cdf.files()]) is not delete
    assert journal_folder.unfinished(surroundings) == []


def test_the_rate_limit_is_that_of_the_client(
    stalled: Upload, client: CogniteClient, cdf: Emulator
) -> None:
    view, other = UploadView(stalled), UploadView(stalled, folded=True)
    view.limit.value = "2,5"
    assert client.files.limits.bandwidth.rate == 2.5 * MIB
    until(lambda: other.limit.value == "2.5")
    view.limit.value = ""
    assert client.files.limits.bandwidth.rate is None
    until(lambda: other.limit.value == "")
    stalled.stop()


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan", "inf", "1e999", "<b>"])
def test_a_limit_that_is_none_is_refused_beside_the_field(stalled: Upload, text: str) -> None:
    view = UploadView(stalled)
    view.limit.value = text
    assert "number of MiB/s above 0" in view.tools["note"]
    assert view.tools["bad"]
    assert stalled._limits.bandwidth.rate is None
    view.limit.value = "1"
    assert view.tools["note"] == ""
    stalled.stop()


def test_a_limit_is_read_as_people_write_it() -> None:
    assert rate_of(" ") == math.inf
    assert rate_of("0,5") == MIB / 2
    with pytest.raises(UsageError, match="above 0"):
        rate_of("0")


def test_its_end_says_time_rate_retries_proof_and_id(
    client: CogniteClient, cdf: Emulator, big: Path
) -> None:
    cdf.inject(Fault("status", "part", part=1, status=503))
    upload = client.files.start_upload(big, part_size=PART)
    html = ended(UploadView(upload))
    assert fired(cdf) == [("status", "part")]
    for said in (
        "Uploaded", "big.segy", f"<dd>{upload.state.file_id}</dd>", "10.0 MiB in 3 parts", " s, ",
        "MiB/s", "<dt>Sent again</dt><dd>1 part</dd>", f"size {big.stat().st_size} bytes",
    ):  # fmt: skip
        assert said in html


def test_its_failure_is_said_in_words_with_what_to_do_and_a_traceback_one_click_away(
    client: CogniteClient, cdf: Emulator, big: Path
) -> None:
    cdf.inject(Fault("status", "part", part=1, status=403))
    upload = client.files.start_upload(big, part_size=PART)
    html = ended(UploadView(upload))
    assert fired(cdf) == [("status", "part")]
    words, _, trace = html.partition("<details>")
    assert "Part 1 was not stored in 1 try: the store says 403" in words
    assert "the same call goes on from there" in words
    assert "Traceback (most recent call last)" in trace
    assert "_send_all" in trace
    with pytest.raises(PartFailed):
        upload.result(60)


class Broken(BytesSource):
    """What somebody else's source may do."""

    def read_at(self, offset: int, size: int) -> memoryview:
        raise ZeroDivisionError("<i>")


def test_an_error_that_is_not_ours_is_shown_too(client: CogniteClient, data: bytes) -> None:
    upload = client.files.start_upload(Broken(data, "big.segy"), part_size=PART)
    html = ended(UploadView(upload))
    assert "Not uploaded:" in html
    assert "ZeroDivisionError: &lt;i&gt;" in html


def test_its_end_has_the_next_line_of_code_and_the_way_to_fusion(
    client: CogniteClient, big: Path
) -> None:
    upload = client.files.start_upload(big, part_size=PART)
    html = ended(UploadView(upload, fusion_url="https://fusion.example/files/{id}"))
    assert f'href="https://fusion.example/files/{upload.state.file_id}"' in html
    assert f"<dd>await client.files.retrieve(id={upload.state.file_id})</dd>" in html
    with pytest.raises(UsageError, match="in place of the file"):
        UploadPanel(client, fusion_url="https://fusion.example/")


def test_an_upload_that_is_over_shows_its_end_at_once(
    client: CogniteClient, cdf: Emulator, big: Path
) -> None:
    upload = client.files.start_upload(big, part_size=PART)
    upload.result(60)
    view = UploadView(upload)
    assert "Uploaded" in ended(view)


def test_a_folded_view_shows_one_line_and_unfolds(stalled: Upload) -> None:
    view = UploadView(stalled, folded=True)
    assert [row["label"] for row in view.shown["rows"]] == ["big.segy"]
    assert "strip" not in view.shown
    view.fold.click()
    until(lambda: view.shown.get("strip"))
    assert view.shown["rows"][0]["label"] == "all parts"
    view.fold.click()
    until(lambda: "strip" not in view.shown)
    stalled.stop()


def test_a_view_that_is_closed_leaves_the_upload_alone(
    stalled: Upload, cdf: Emulator, data: bytes
) -> None:
    view = UploadView(stalled)
    view.close()
    cdf.clear_faults()
    stalled.pause()
    until(lambda: stalled.state.phase is Phase.PAUSED)
    stalled.resume()
    assert cdf.sha256(stalled.result(60).id or 0) == sha256(data)


@pytest.mark.slow
def test_views_send_about_ten_messages_a_second(
    client: CogniteClient, cdf: Emulator, big: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[float] = []
    monkeypatch.setattr(
        comm.DummyComm, "publish_msg", lambda *_, **__: sent.append(time.monotonic())
    )
    cdf.inject(Fault("slow", "part", times=None, bytes_per_s=1e6))
    upload = client.files.start_upload(big, part_size=PART)
    views = [UploadView(upload), UploadView(upload, folded=True)]
    begun = time.monotonic()
    until(lambda: upload.done() or time.monotonic() > begun + 4)
    moving = [at for at in sent if begun + 1 < at < begun + 4]
    assert seen(cdf, "part")
    assert 0 < len(moving) < 3 * (10 + 2) + 5
    upload.stop()
    for view in views:
        ended(view)
