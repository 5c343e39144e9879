"""Five planted secrets, looked for everywhere after uploads that went well and ones that did not.

They are a bearer token, a client secret, upload ids, and the signatures of upload and of download
URLs. The emulator runs in a process of its own: what it knows is not ours to hide.
"""

from __future__ import annotations

import gc
import io
import logging
import pickle
import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from IPython.core.ultratb import VerboseTB
from support import config_of, quick, some_bytes, until

from cognite_nb_upload import (
    CogniteClient,
    OAuthClientCredentials,
    Token,
    Upload,
    UploadStopped,
    UploadToolkitError,
    VerifyError,
    uploads,
)
from cognite_nb_upload.api.session import FileMultipartUploadSession
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.state import UploadState
from cognite_nb_upload.emulator import Emulator, Fault, emulator
from cognite_nb_upload.journal.writer import Journal, Replayed
from cognite_nb_upload.store.network import NetworkStore
from cognite_nb_upload.transfer.spec import UploadSpec
from cognite_nb_upload.transfer.work import UploadTask

PART = 6 * MIB
EXPIRED = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
# What the emulator signs with; a URL that leaks shows it, whatever its value is.
QUERY = re.compile(r"signature=|expires=\d")
# The emulator makes a file's ETag of its upload id; no store does that.
ETAG = re.compile(r"etag.{1,12}[0-9a-f]{32}-\d+")


class Planted:
    """What must not be seen. Its repr is safe: frames of tests are in tracebacks, too."""

    def __init__(self) -> None:
        self._words: set[str] = set()

    def __repr__(self) -> str:
        return "<planted>"

    def add(self, *words: str) -> None:
        self._words.update(words)

    def take(self, _: UploadState, event: ev.Event) -> None:
        """A listener: the session's upload id, and the signature of each of its URLs."""
        if isinstance(event, ev.Opened):
            self.add(event.upload_id.reveal())
            for url in event.urls:
                self.add(*parse_qs(urlsplit(url.reveal()).query)["signature"])

    def found_in(self, text: str) -> list[str]:
        """Where they are, never which."""
        text = ETAG.sub("etag", text)
        found = [match.start() for word in self._words for match in re.finditer(word, text)]
        found += [match.start() for match in QUERY.finditer(text)]
        return [text[max(0, at - 60) : at] + "<here>" for at in found]

    def __len__(self) -> int:
        return len(self._words)


@pytest.fixture
def planted() -> Planted:
    return Planted()


@pytest.fixture(scope="module")
def process() -> Iterator[Emulator]:
    with emulator(
        token="planted-client-secret-4711", faults=True, process=True, strict_storage=True
    ) as running:
        yield running


class Faults:
    """Those of one test."""

    def __init__(self, cdf: Emulator) -> None:
        cdf.clear_faults()
        self._cdf, self._before = cdf, len(cdf.fired())

    def fired(self) -> list[str]:
        return [row["kind"] for row in self._cdf.fired()[self._before :]]


@pytest.fixture
def faults(process: Emulator) -> Faults:
    return Faults(process)


@pytest.fixture
def cdf(process: Emulator, faults: Faults, planted: Planted) -> Emulator:
    planted.add(process.token)
    return process


@pytest.fixture
def client(cdf: Emulator, planted: Planted) -> Iterator[CogniteClient]:
    """Signs in by client secret; the token that this brings is planted, too."""
    credentials = OAuthClientCredentials(f"{cdf.base_url}/oauth/token", "emulator", cdf.token)
    planted.add(credentials.authorization_header()[1].removeprefix("Bearer "))
    with CogniteClient(config_of(cdf, credentials=credentials, retry=quick())) as made:
        yield made


@pytest.fixture(autouse=True)
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "journals"
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(folder))
    return folder


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], str]]:
    """Everything that is logged at DEBUG, printed or warned of while the test runs."""
    caplog.set_level(logging.DEBUG)
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out), warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        yield lambda: "\n".join(
            [out.getvalue(), caplog.text, *map(str, seen)]
            + [f"{record!r} {vars(record)}" for record in caplog.records]
        )


def content_of(parts: int) -> bytes:
    return b"".join(some_bytes(PART, seed=no) for no in range(parts))


def begin(client: CogniteClient, planted: Planted, content: Any, **fields: Any) -> Upload:
    upload = client.files.start_upload(content, **{"name": "a.bin", "part_size": PART, **fields})
    upload.feed.listen(planted.take, first=True)
    return upload


def a_hard_way(cdf: Emulator) -> None:
    """A little of everything that an upload survives."""
    cdf.inject(Fault("reset_mid", "part", part=0))
    cdf.inject(Fault("status", "part", part=1, status=503))
    cdf.inject(Fault("status", "part", part=1, status=403, body=EXPIRED))
    cdf.inject(Fault("html", "part", part=2))
    cdf.inject(Fault("lost_answer", "complete"))
    cdf.inject(Fault("status", "byids", status=500))
    cdf.inject(Fault("reset_before", "download"))


def texts_of(thing: object) -> str:
    return f"{thing!r}\n{thing!s}\n{thing}\n{thing!a}\n{getattr(thing, '_repr_html_', str)()}"


def test_neither_log_nor_output_nor_object_shows_a_secret_after_a_hard_way(
    cdf: Emulator,
    faults: Faults,
    client: CogniteClient,
    planted: Planted,
    said: Callable[[], str],
    journals: Path,
) -> None:
    cdf.inject(Fault("stall_answer", "init", seconds=0.3))  # until the listener is there
    a_hard_way(cdf)
    upload = begin(client, planted, content_of(3), external_id="hard", verify="checksum")
    events: list[ev.Event] = []
    upload.listen(lambda _, event: events.append(event))
    uploaded = upload.result(60)
    planted.add(
        *parse_qs(urlsplit(client.files.download_url(uploaded.id).reveal()).query)["signature"]
    )
    assert len(planted) >= 2 + 2 * 4 + 1
    assert len(faults.fired()) == 8
    things = [
        client, client.config, client.config.credentials, client.files, client.catalog,
        upload, upload.state, upload.plan, uploaded, uploaded.file, upload.feed, events,
        upload.to_frame().to_html(), uploads().to_html(), vars(upload), cdf,
        client.files.plan(b"x", name="dry.bin"),
    ]  # fmt: skip
    assert planted.found_in("\n".join(map(texts_of, things))) == []
    assert "initmultipartupload" in said()
    assert planted.found_in(said()) == []
    assert all(not planted.found_in(path.read_text()) for path in journals.rglob("*.journal"))


def test_no_object_of_a_running_upload_shows_a_secret(
    cdf: Emulator, faults: Faults, client: CogniteClient, planted: Planted
) -> None:
    """Not only public ones: whatever a debugger or a verbose traceback may come across."""
    cdf.inject(Fault("stall", "part", part=0))
    upload = begin(client, planted, content_of(2))
    until_stalled(faults)
    kinds = (
        Upload,
        UploadTask,
        UploadSpec,
        Journal,
        Replayed,
        NetworkStore,
        FileMultipartUploadSession,
        Token,
    )
    found = [thing for thing in gc.get_objects() if isinstance(thing, kinds)]
    expected = {Upload, UploadTask, UploadSpec, Journal, NetworkStore}
    assert {type(thing) for thing in found} >= expected
    shown = "\n".join(f"{thing!r} {vars_of(thing)!r}" for thing in found)
    upload.cancel()
    assert planted.found_in(shown) == []


def vars_of(thing: object) -> dict[str, Any]:
    slots = [name for kind in type(thing).__mro__ for name in getattr(kind, "__slots__", ())]
    return {**getattr(thing, "__dict__", {}), **{name: getattr(thing, name) for name in slots}}


def until_stalled(faults: Faults) -> None:
    until(lambda: faults.fired() == ["stall"])


@pytest.mark.parametrize("what", ["upload", "client", "config", "credentials", "session", "opened"])
def test_what_holds_a_secret_is_not_pickled(
    cdf: Emulator, client: CogniteClient, planted: Planted, what: str
) -> None:
    cdf.inject(Fault("stall_answer", "init"))
    opened: list[ev.Event] = []
    upload = begin(client, planted, b"x")
    upload.listen(lambda _, event: opened.append(event))
    cdf.clear_faults()
    upload.result(60)
    session = client.files.multipart_upload_session("s", 1)
    thing = {
        "upload": upload,
        "client": client,
        "config": client.config,
        "credentials": client.config.credentials,
        "session": session,
        "opened": opened[0],
    }[what]
    with pytest.raises((TypeError, pickle.PicklingError, AttributeError)):
        pickle.dumps(thing)


# --- errors -------------------------------------------------------------------------------------


def _refused(cdf: Emulator, **_: Any) -> None:
    cdf.inject(Fault("status", "part", part=1, status=403, body="<Error><Code>No</Code></Error>"))


def _always_expired(cdf: Emulator, **_: Any) -> None:
    cdf.inject(Fault("status", "part", status=403, body=EXPIRED, times=None))


def _never_answered(cdf: Emulator, **_: Any) -> None:
    cdf.inject(Fault("reset_after", "part", times=None))


def _redirected(cdf: Emulator, **_: Any) -> None:
    location = "https://elsewhere.example/?signature=abcdef"
    cdf.inject(Fault("redirect", "part", headers={"location": location}))


def _not_completed(cdf: Emulator, **_: Any) -> None:
    cdf.inject(Fault("status", "complete", status=400))


def _init_is_lost(cdf: Emulator, **_: Any) -> None:
    cdf.inject(Fault("lost_answer", "init"))


def _other_size(cdf: Emulator, **_: Any) -> None:
    headers = {"content-range": "bytes 0-0/7"}
    cdf.inject(Fault("status", "download", status=206, body="x", headers=headers))


def _no_rights(cdf: Emulator, **_: Any) -> None:
    cdf.inject(Fault("status", "init", status=403))


def _journal_is_a_file(cdf: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "file" / "x"))
    cdf.inject(Fault("status", "part", part=0, status=400))


SCENES = [
    _refused, _always_expired, _never_answered, _redirected, _not_completed, _init_is_lost,
    _other_size, _no_rights, _journal_is_a_file,
]  # fmt: skip


def every_text(error: BaseException) -> str:
    """What any way of showing an error shows: with notes, with variables, as `%xmode Verbose`."""
    plain = traceback.format_exception(error)
    locals_too = traceback.TracebackException.from_exception(error, capture_locals=True).format()
    verbose = VerboseTB(theme_name="nocolor").text(type(error), error, error.__traceback__)
    return "".join([*plain, *locals_too, str(verbose), repr(error), str(vars(error))])


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_no_error_of_an_upload_shows_a_secret(
    cdf: Emulator,
    faults: Faults,
    client: CogniteClient,
    planted: Planted,
    said: Callable[[], str],
    scene: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    scene(cdf, monkeypatch=monkeypatch, tmp_path=tmp_path)
    upload = begin(client, planted, content_of(2))
    with pytest.raises(UploadToolkitError) as failed:
        upload.result(60)
    assert faults.fired()
    assert planted.found_in(every_text(failed.value)) == []
    assert planted.found_in(texts_of(upload) + texts_of(upload.state)) == []
    assert planted.found_in(uploads().to_string()) == []
    assert planted.found_in(said()) == []


def test_no_error_of_the_blocking_call_shows_a_secret(
    cdf: Emulator, client: CogniteClient, planted: Planted
) -> None:
    _other_size(cdf)
    with pytest.raises(VerifyError) as failed:
        client.files.upload(content_of(1), name="a.bin")
    text = every_text(failed.value)
    assert "client.files.upload" in text
    assert planted.found_in(text) == []


def test_a_cancelled_upload_shows_no_secret(
    cdf: Emulator,
    faults: Faults,
    client: CogniteClient,
    planted: Planted,
    said: Callable[[], str],
    journals: Path,
) -> None:
    cdf.inject(Fault("stall", "part", part=0))
    upload = begin(client, planted, content_of(2))
    until_stalled(faults)
    upload.cancel(delete=True)
    with pytest.raises(UploadStopped) as stopped:
        upload.result()
    assert planted.found_in(every_text(stopped.value) + said()) == []
    assert [path for path in journals.rglob("*") if path.is_file() and _shown(path, planted)] == []


# --- the journal ----------------------------------------------------------------------------------


def _shown(path: Path, planted: Planted) -> list[str]:
    return planted.found_in(path.read_bytes().decode("latin-1"))


def test_secrets_are_in_the_0600_file_alone_and_only_while_it_is_unfinished(
    cdf: Emulator,
    faults: Faults,
    client: CogniteClient,
    planted: Planted,
    journals: Path,
    tmp_path: Path,
) -> None:
    cdf.inject(Fault("stall", "part", part=1))
    upload = begin(client, planted, content_of(2))
    until_stalled(faults)
    upload.stop()
    (journal,) = (path for path in tmp_path.rglob("*") if path.is_file() and _shown(path, planted))
    assert journal.parent == journals
    assert journal.stat().st_mode & 0o777 == 0o600
    assert cdf.token not in journal.read_text()  # of the upload alone, never of the account
    client.files.upload(content_of(2), name="a.bin", part_size=PART)
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.parent.name == "history" for path in left)
    assert [path for path in left if _shown(path, planted)] == []
