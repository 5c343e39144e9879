"""Tokens, client secrets and signed URLs are shown nowhere: logs, reprs, errors, tracebacks."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from IPython.core.ultratb import VerboseTB
from proxy import ConnectProxy
from support import config_of, fired, quick, some_bytes, until

from cognite_nb_upload import (
    AsyncCogniteClient,
    ClientConfig,
    CogniteClient,
    OAuthClientCredentials,
    Token,
)
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.secret import Secret
from cognite_nb_upload.emulator import Emulator, Fault, emulator


class _Word:
    """A planted word. Verbose tracebacks print variables and source, so neither may show it."""

    def __str__(self) -> str:
        return "".join(("hid", "den-", "4711"))

    def __repr__(self) -> str:
        return "<a planted word>"


WORD = _Word()


@pytest.fixture
def cdf() -> Iterator[Emulator]:
    """An emulator whose token is planted, and so is its client secret."""
    with emulator(token=f"{WORD}", faults=True, strict_storage=True) as running:
        yield running


class Planted:
    """What must not be seen."""

    def __init__(self) -> None:
        self.words = {str(WORD)}

    def take(self, session: Any) -> Any:
        """The signatures and the upload id of a session, too."""
        self.words.add(session._opened.upload_id.reveal())
        for url in session._opened.urls:
            self.words |= {*parse_qs(urlsplit(url.reveal()).query)["signature"]}
        return session

    def found_in(self, text: str) -> list[str]:
        return [word for word in self.words if word in text]


@pytest.fixture
def planted() -> Planted:
    return Planted()


@pytest.fixture
def log() -> Iterator[list[str]]:
    """Every record that any logger gives at DEBUG, as text."""
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    handler, root = Keep(), logging.getLogger()
    handler.setFormatter(logging.Formatter("%(name)s %(message)s %(args)s %(exc_text)s"))
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    yield lines
    root.setLevel(before)
    root.removeHandler(handler)


def oauth(cdf: Emulator, prefix: str = "") -> OAuthClientCredentials:
    return OAuthClientCredentials(f"{cdf.base_url}/oauth/token", "emulator", f"{prefix}{WORD}")


# --- logs -----------------------------------------------------------------------------------


def test_no_secret_is_in_any_log_at_debug(
    cdf: Emulator, planted: Planted, log: list[str], tmp_path: Path
) -> None:
    credentials = oauth(cdf)
    with CogniteClient(config_of(cdf, credentials=credentials)) as client:
        session = planted.take(client.files.multipart_upload_session("a", 1))
        planted.words.add(credentials.authorization_header()[1].split()[1])
        cdf.inject(Fault("reset_mid", "part"))
        cdf.inject(Fault("status", "complete", status=503))
        location = f"https://store.example/?signature={WORD}"
        cdf.inject(Fault("redirect", "download", headers={"location": location}))
        with session:
            session.upload_part(0, some_bytes())
        assert planted.found_in("\n".join(log)) == []
        # The emulator makes a file's ETag of its upload id, and the store's answers are logged.
        planted.words.remove(session._opened.upload_id.reveal())
        number = session.file_metadata.id
        with pytest.raises(Exception, match="307"):
            client.files.download(tmp_path / "a", id=number)
        url = client.files.download_url(id=number)
        planted.words |= {*parse_qs(urlsplit(url.reveal()).query)["signature"]}
        client.files.download(tmp_path / "a", id=number)
    text = "\n".join(log)
    assert len(cdf.fired()) == 3
    assert "httpcore" in text  # they were heard: otherwise this would claim nothing
    assert "PUT http://127.0.0.1" in text
    assert "GET http://127.0.0.1" in text
    assert "HTTP Request: POST http://127.0.0.1" in text
    assert planted.found_in(text) == []


# --- reprs, copies and pickles --------------------------------------------------------------


def things(cdf: Emulator, planted: Planted) -> dict[str, Any]:
    """Everything that holds a secret and that a user may come by."""
    client = CogniteClient(config_of(cdf))
    async_client = AsyncCogniteClient(config_of(cdf))
    session = planted.take(client.files.multipart_upload_session("a", 1))
    opened = ev.Opened(
        file_id=1, upload_id=session._opened.upload_id, urls=session._opened.urls, sizes=(1,)
    )
    client.close()
    return {
        "secret": session._opened.upload_id,
        "token": Token(str(WORD)),
        "client credentials": oauth(cdf),
        "settings": client.config,
        "client": client,
        "async client": async_client,
        "files": client.files,
        "session": session,
        "what was opened": session._opened,
        "event": opened,
        "opening": async_client.files.multipart_upload_session("a", 1),
    }


NAMES = [
    "secret", "token", "client credentials", "settings", "client", "async client", "files",
    "session", "what was opened", "event", "opening",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_holds_a_secret_shows_it_or_can_be_pickled(
    name: str, cdf: Emulator, planted: Planted
) -> None:
    thing = things(cdf, planted)[name]
    shown = [repr(thing), str(thing), f"{thing}", f"{thing!r:>200}", "%s" % thing]  # noqa: UP031
    shown.append(getattr(thing, "_repr_html_", str)())
    assert planted.found_in("".join(shown)) == []
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(Exception, match=r"(?i)pickle|reduce"):
            pickle.dumps(thing, protocol)
    if name != "opening":  # it holds nothing yet
        with pytest.raises(TypeError):
            copy.deepcopy(thing)


def test_a_state_and_its_events_can_be_shown_and_pickled(cdf: Emulator, planted: Planted) -> None:
    """What widgets, tables and other processes get to see holds no secret at all."""
    events: list[ev.Event] = []
    with CogniteClient(config_of(cdf)) as client:
        session = planted.take(client.files.multipart_upload_session("a", 1))
        session.listen(lambda state, event: events.append(event))
        with session:
            session.upload_part(0, b"x")
    data = pickle.dumps([session.state, events])
    assert planted.found_in(repr(data) + repr(events) + repr(session.state)) == []
    assert planted.found_in(repr(session.file_metadata)) == []


# --- errors and their tracebacks ------------------------------------------------------------


class Broken:
    """A source whose reading fails in one way or another."""

    name, size = "broken", 1000

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def read_at(self, offset: int, size: int) -> bytes:
        raise self.error

    def check(self) -> None: ...

    def close(self) -> None: ...


def _no(*_: object) -> str:
    raise ZeroDivisionError("from the caller's own code")


Scene = Callable[["Stage"], None]


class Stage:
    """What a scene needs. Its frames are in the tracebacks as well, so they hold no secret."""

    def __init__(
        self, cdf: Emulator, planted: Planted, folder: Path, patch: pytest.MonkeyPatch
    ) -> None:
        self.cdf, self.planted, self.folder, self.patch = cdf, planted, folder, patch
        self.fault_expected = True
        self.open = ExitStack()

    def client(self, **settings: Any) -> CogniteClient:
        config = config_of(self.cdf, **{"retry": quick(offline_s=0), **settings})
        return self.open.enter_context(CogniteClient(config))

    def session(self, **settings: Any) -> Any:
        return self.planted.take(
            self.client(**settings).files.multipart_upload_session("a", 1, external_id="one")
        )

    def wrong(self, kind: str, route: str, **how: Any) -> None:
        self.cdf.inject(Fault(kind, route, **{"times": None, **how}))


def part_is_refused(stage: Stage) -> None:
    session = stage.session()
    stage.wrong("status", "part", status=403, body="<Error><Code>No</Code></Error>")
    session.upload_part(0, b"x")


def part_is_lost(stage: Stage) -> None:
    session = stage.session()
    stage.wrong("reset_after", "part")
    session.upload_part(0, b"x")


def part_is_redirected(stage: Stage) -> None:
    session = stage.session()
    stage.wrong("redirect", "part", headers={"location": f"https://x.example/?token={WORD}"})
    session.upload_part(0, b"x")


def file_shrinks(stage: Stage) -> None:
    path = stage.folder / "a"
    path.write_bytes(bytes(1000))
    session = stage.session()

    def shrink(state: object, event: object) -> None:
        os.truncate(path, 10)

    session.listen(shrink)
    stage.fault_expected = False
    session.upload_part(0, path)


def source_fails(stage: Stage) -> None:
    stage.fault_expected = False
    stage.session().send(0, Broken(ZeroDivisionError()), 0, 1000)


def disk_fails(stage: Stage) -> None:
    stage.fault_expected = False
    stage.session().send(0, Broken(OSError(5, "Input/output error")), 0, 1000)


def part_is_interrupted(stage: Stage) -> None:
    stage.fault_expected = False
    stage.session().send(0, Broken(KeyboardInterrupt()), 0, 1000)


def handed_out(url: str) -> str:
    return json.dumps({"id": 1, "name": "a", "uploadId": str(WORD), "uploadUrls": [url]})


def url_cannot_be(stage: Stage) -> None:
    stage.wrong("status", "init", status=201, body=handed_out(f"http://x.example/?s={WORD}"))
    stage.client().files.multipart_upload_session("a", 1).upload_part(0, b"x")


def urls_are_too_few(stage: Stage) -> None:
    stage.wrong("status", "init", status=201, body=handed_out(f"https://x.example/?s={WORD}"))
    stage.client().files.multipart_upload_session("a", 2)


def init_is_lost(stage: Stage) -> None:
    stage.wrong("lost_answer", "init")
    stage.client().files.multipart_upload_session("a", 1)


def complete_is_refused(stage: Stage) -> None:
    session = stage.session()
    session.upload_part(0, b"x")
    stage.wrong("status", "complete", status=400)
    with session:
        pass


def complete_is_never_answered(stage: Stage) -> None:
    session = stage.session()
    session.upload_part(0, b"x")
    stage.wrong("reset_after", "complete")
    with session:
        pass


def list_is_refused(stage: Stage) -> None:
    stage.wrong("status", "list", status=403)
    stage.client().files.list()


def list_is_cancelled(stage: Stage) -> None:
    stage.wrong("stall_answer", "list")

    async def ask() -> None:
        async with AsyncCogniteClient(config_of(stage.cdf)) as client:
            asking = asyncio.ensure_future(client.files.list())
            await asyncio.to_thread(until, stage.cdf.fired)
            asking.cancel()
            await asking

    asyncio.run(ask())


def token_callable_fails(stage: Stage) -> None:
    stage.fault_expected = False
    stage.client(credentials=Token(_no)).files.list()


def client_secret_is_wrong(stage: Stage) -> None:
    stage.fault_expected = False
    stage.client(credentials=oauth(stage.cdf, "not ")).files.list()


def identity_provider_is_gone(stage: Stage) -> None:
    stage.wrong("reset_before", "token")
    oauth(stage.cdf).authorization_header()


def identity_provider_says_nonsense(stage: Stage) -> None:
    stage.wrong("status", "token", status=200, body=f'{{"access_token": 0, "{WORD}": [}}')
    oauth(stage.cdf).authorization_header()


def environment_lacks_something(stage: Stage) -> None:
    stage.fault_expected = False
    for name in ("CDF_PROJECT", "CDF_URL", "CDF_CLUSTER", "COGNITE_PROJECT"):
        stage.patch.delenv(name, raising=False)
    for name in ("CDF_TOKEN", "IDP_CLIENT_SECRET", "COGNITE_TOKEN"):
        stage.patch.setenv(name, str(WORD))
    ClientConfig.from_env()


def download_is_refused(stage: Stage) -> None:
    session = stage.session()
    with session:
        session.upload_part(0, b"x")
    stage.wrong("status", "download", status=404)
    session_client = stage.client()
    session_client.files.download(stage.folder / "out", id=session.file_metadata.id)


def download_has_no_room(stage: Stage) -> None:
    session = stage.session()
    with session:
        session.upload_part(0, b"x")
    stage.fault_expected = False
    full = stage.folder / "out"
    disk = os.open("/dev/full", os.O_WRONLY)
    stage.patch.setattr(os, "pwrite", lambda fd, data, at: os.write(disk, data))
    stage.client().files.download(full, id=session.file_metadata.id)


def proxy_wants_a_login(stage: Stage) -> None:
    stage.fault_expected = False
    with ConnectProxy("me:secret") as proxy:
        stage.patch.setenv("HTTPS_PROXY", f"http://me:{WORD}@127.0.0.1:{proxy.port}")
        stage.client(base_url="https://cdf.example").files.list()


SCENES: list[Scene] = [
    part_is_refused, part_is_lost, part_is_redirected, file_shrinks, source_fails, disk_fails,
    part_is_interrupted, url_cannot_be, urls_are_too_few, init_is_lost, complete_is_refused,
    complete_is_never_answered, list_is_refused, list_is_cancelled, token_callable_fails,
    client_secret_is_wrong, identity_provider_is_gone, identity_provider_says_nonsense,
    environment_lacks_something, download_is_refused, download_has_no_room, proxy_wants_a_login,
]  # fmt: skip


def verbose(error: BaseException) -> str:
    """What `%xmode Verbose` prints: every frame, with what its variables hold."""
    return str(VerboseTB(theme_name="nocolor").text(type(error), error, error.__traceback__))


def family(error: BaseException | None) -> Iterator[BaseException]:
    if error is not None:
        yield error
        yield from family(error.__cause__)
        yield from family(error.__context__)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_no_secret_is_in_an_error_or_in_its_verbose_traceback(
    scene: Scene,
    cdf: Emulator,
    planted: Planted,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(cdf, planted, tmp_path, monkeypatch)
    try:
        scene(stage)
    except BaseException as error:
        caught = error
    else:
        pytest.fail("the scene went well")
    stage.open.close()
    text = verbose(caught)
    assert scene.__name__ in text
    assert "stage = <" in text  # variables are shown, so that this claims something
    assert planted.found_in(text) == []
    for one in family(caught):
        told = [str(one), repr(one), repr(one.args), repr(getattr(one, "__notes__", []))]
        assert planted.found_in("".join([*told, repr(vars(one))])) == []
    assert bool(fired(cdf)) == stage.fault_expected


def test_of_a_foreign_error_it_is_said_where_it_was_raised(cdf: Emulator) -> None:
    """Its frames are gone, since they lead through those that hold the URL."""
    with CogniteClient(config_of(cdf)) as client:
        session = client.files.multipart_upload_session("a", 1)
        with pytest.raises(ZeroDivisionError) as caught:
            session.send(0, Broken(ZeroDivisionError()), 0, 1000)
    assert caught.value.__notes__[0].startswith("Raised in read_at, line ")
    assert caught.value.__notes__[0].endswith("of test_secrets.py.")


def test_a_secret_is_only_given_away_by_reveal() -> None:
    secret = Secret("word")
    assert f"{secret}{secret!r}{secret!s}" == "<secret>" * 3
    assert secret.reveal() == "word"
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(secret)
    assert not hasattr(secret, "__dict__")
