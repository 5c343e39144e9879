"""People sign in: by device code and with the browser, once, and again when it has run out."""

from __future__ import annotations

import io
import logging
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from traceback import format_exception
from typing import Any

import httpx
import pytest
from IPython.core.ultratb import VerboseTB
from people import OVER, Person, device_code, interactive
from support import config_of, fired, routes, seen, some_bytes, until

from cognite_nb_upload import (
    APIError,
    CogniteClient,
    ConfigError,
    OAuthDeviceCode,
    OAuthInteractive,
    SignInFailed,
)
from cognite_nb_upload.api.oauth.person import PersonCredentials
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, Fault, emulator
from cognite_nb_upload.progress.many import _whole

Make = Callable[..., PersonCredentials]
WAYS = pytest.mark.parametrize("way", [device_code, interactive], ids=["device", "browser"])


@pytest.fixture
def cdf() -> Iterator[Emulator]:
    with emulator(faults=True, strict_storage=True, device_interval_s=0) as running:
        yield running


class SignIn:
    """A person at the emulator, and threads in which clients wait for what the person does."""

    def __init__(self, cdf: Emulator, threads: ThreadPoolExecutor) -> None:
        self.person, self.threads, self.now = Person(cdf), threads, 0.0
        self._cdf = cdf

    def credentials(self, way: Make = device_code, **settings: Any) -> PersonCredentials:
        settings = {"show": self.person.show, "clock": lambda: self.now} | settings
        return way(self._cdf, **settings)

    def begin(self, credentials: PersonCredentials) -> Future[tuple[str, str]]:
        return self.threads.submit(credentials.authorization_header)

    def decide(self, decision: str = "allow") -> None:
        self.person.decide(self.person.next(), decision)

    def is_over(self) -> bool:
        """Whether the next that is shown is that there is nothing more to do."""
        return self.person.shown.get(timeout=30) is None

    def done(self, credentials: PersonCredentials) -> str:
        """The header of somebody who has signed in."""
        header = self.begin(credentials)
        self.decide()
        assert self.is_over()
        return header.result(30)[1]


@pytest.fixture
def signing(cdf: Emulator) -> Iterator[SignIn]:
    with ThreadPoolExecutor(10) as threads:
        yield SignIn(cdf, threads)


@WAYS
def test_a_person_signs_in_and_the_client_works(way: Make, cdf: Emulator, signing: SignIn) -> None:
    with CogniteClient(config_of(cdf, credentials=signing.credentials(way))) as client:
        files = signing.threads.submit(client.files.list)
        signing.decide()
        assert len(files.result(30)) == 2
    assert signing.is_over()  # it is over, and said so


@WAYS
def test_the_token_is_renewed_without_the_person_once_for_all_threads(
    way: Make, cdf: Emulator, signing: SignIn
) -> None:
    credentials = signing.credentials(way)
    last = signing.done(credentials)
    asked = len(seen(cdf, "token"))
    for day in (1, 2):  # each refresh token is good once
        signing.now = day * 86400
        headers = {
            one
            for one in signing.threads.map(lambda _: credentials.authorization_header(), "x" * 8)
        }
        assert len(headers) == 1
        assert headers != {("Authorization", last)}
        ((_, last),) = headers
        assert len(seen(cdf, "token")) == asked + day


@WAYS
def test_a_sign_in_that_ran_out_asks_the_person_again(
    way: Make, cdf: Emulator, signing: SignIn
) -> None:
    credentials = signing.credentials(way)
    first = signing.done(credentials)
    signing.now = 86400
    cdf.inject(OVER)
    assert signing.done(credentials) != first
    assert fired(cdf) == [("status", "token")]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("status", "token", status=503),
        Fault("html", "token"),
        Fault("status", "token", status=401, body='{"error": "invalid_client"}'),
    ],
    ids=["overloaded", "login page", "unknown client"],
)
def test_a_renewal_that_fails_otherwise_does_not_lose_the_sign_in(
    fault: Fault, cdf: Emulator, signing: SignIn
) -> None:
    credentials = signing.credentials()
    signing.done(credentials)
    signing.now = 86400
    cdf.inject(fault)
    with pytest.raises(Exception, match=r"identity provider|refused a token"):
        credentials.authorization_header()
    assert len(fired(cdf)) == 1
    assert credentials.authorization_header()
    assert signing.person.shown.empty()


@WAYS
def test_a_person_says_no(way: Make, signing: SignIn) -> None:
    header = signing.begin(signing.credentials(way))
    signing.decide("deny")
    with pytest.raises(SignInFailed, match="was denied") as caught:
        header.result(30)
    assert caught.value.denied


@WAYS
def test_who_waits_no_longer_ends_it(way: Make, signing: SignIn) -> None:
    credentials = signing.credentials(way)
    header = signing.begin(credentials)
    signing.person.next()
    credentials.cancel_sign_in()
    with pytest.raises(SignInFailed, match="cancelled"):
        header.result(30)


def test_a_code_that_nobody_uses_expires() -> None:
    with emulator(device_life_s=0) as cdf, pytest.raises(SignInFailed, match="code expired"):
        device_code(cdf, show=lambda _: None).authorization_header()
    assert routes(cdf) == ["discovery", "device_code"]


def test_a_provider_that_is_away_for_a_moment_is_asked_on(cdf: Emulator, signing: SignIn) -> None:
    cdf.inject(Fault("reset_before", "token", times=2))
    assert signing.done(signing.credentials())
    assert fired(cdf) == [("reset_before", "token")] * 2


@pytest.mark.slow
def test_slow_down_means_five_seconds_more(cdf: Emulator, signing: SignIn) -> None:
    cdf.inject(Fault("status", "token", status=400, body='{"error": "slow_down"}'))
    signing.done(signing.credentials())
    first, second = (row["time"] for row in seen(cdf, "token"))
    assert second - first > 5


def test_what_to_do_is_printed(
    cdf: Emulator,
    signing: SignIn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = io.StringIO()  # not capsys: what is printed while it is read is lost
    monkeypatch.setattr(sys, "stdout", said)
    credentials = device_code(cdf)
    header = signing.begin(credentials)
    until(lambda: credentials.prompt)
    assert credentials.prompt is not None
    second = signing.begin(credentials)  # it is told, too
    until(lambda: said.getvalue().count("To sign in") == 2)
    assert not second.done()
    code = credentials.prompt.code
    assert said.getvalue().startswith(
        f"To sign in, open {cdf.base_url}/oauth/device and enter the code {code}"
    )
    signing.person.decide(credentials.prompt)
    assert header.result(30) == second.result(30)
    assert len(seen(cdf, "device_code")) == 1


def test_the_answer_of_the_browser_needs_the_state_and_the_link_its_word(
    signing: SignIn,
) -> None:
    header = signing.begin(signing.credentials(interactive))
    prompt = signing.person.next()
    root = prompt.url.rpartition("/")[0]
    with httpx.Client(trust_env=False, verify=False) as other:
        for path in ("/", "/?code=stolen", "/?code=stolen&state=guessed", "/guess"):
            assert other.get(f"{root}{path}").status_code == 404
    assert not header.done()
    signing.person.decide(prompt)
    assert header.result(30)


def test_a_port_that_is_taken_is_said(cdf: Emulator) -> None:
    with pytest.raises(ConfigError, match=f"Port {cdf.port} of this machine is in use"):
        interactive(cdf, redirect_port=cdf.port).authorization_header()


@pytest.mark.parametrize("kind", [OAuthDeviceCode, OAuthInteractive])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"client_id": "a", "scopes": "s"}, "either authority_url or oauth_discovery_url"),
        ({"authority_url": "https://a", "scopes": "s"}, "client_id is empty"),
        ({"authority_url": "https://a", "client_id": "a"}, "Give scopes or cdf_cluster"),
        ({"authority_url": "http://a.example", "client_id": "a", "scopes": "s"}, "not encrypted"),
    ],
    ids=["no provider", "no client", "no scopes", "no TLS"],
)
def test_what_is_missing_is_said_at_once(kind: Any, given: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        kind(**given)


def test_entra_id_needs_tenant_client_and_cluster_alone() -> None:
    for kind in (OAuthDeviceCode, OAuthInteractive):
        made = kind.entra_id("tenant", "id", "westeurope-1")
        root = "https://login.microsoftonline.com/tenant"
        assert made._addresses().token == f"{root}/oauth2/v2.0/token"
        assert "https://westeurope-1.cognitedata.com/user_impersonation" in made._scopes
        assert "offline_access" in made._scopes.split()
        assert repr(made) == f"{kind.__name__}({root!r}, 'id')"


def test_a_client_id_that_the_provider_does_not_know_is_said(cdf: Emulator) -> None:
    url = f"{cdf.base_url}/oauth"
    credentials = OAuthDeviceCode(None, "stranger", "files", oauth_discovery_url=url)
    with pytest.raises(APIError, match="no such client") as caught:
        credentials.authorization_header()
    assert "client id" in str(caught.value.__notes__)


# --- uploads --------------------------------------------------------------------------------


@WAYS
def test_an_upload_waits_for_a_sign_in_that_ran_out_and_goes_on(
    way: Make, cdf: Emulator, signing: SignIn
) -> None:
    """A week has passed when the last part is stored; completing needs a token."""
    words = []
    ran_out = threading.Event()
    credentials = signing.credentials(way)
    with CogniteClient(config_of(cdf, credentials=credentials)) as client:
        signing.done(credentials)
        upload = client.files.start_upload(some_bytes(), name="big", progress=False)

        def look(state: Any, event: ev.Event) -> None:
            if isinstance(event, ev.PartStored) and not state.missing_parts:
                cdf.inject(OVER)
                signing.now = 7 * 86400
            if isinstance(event, ev.Waiting):
                words.append(event.reason)
                ran_out.set()

        upload.listen(look)
        assert ran_out.wait(30)
        assert not upload.done()
        prompt = signing.person.next()
        assert upload.state.waiting_for == f"sign in again: {prompt.words}"
        signing.person.decide(prompt, "deny")  # by mistake
        assert signing.is_over()
        signing.decide()
        assert upload.result(30).file.uploaded
    assert not upload.state.waiting_for
    assert fired(cdf) == [("status", "token")]
    assert len(words) == 2


@pytest.mark.parametrize("size", [5, 2 * MIB], ids=["small", "large"])
def test_a_job_of_many_files_waits_as_well_and_says_what_to_do(
    cdf: Emulator,
    signing: SignIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
) -> None:
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))
    for no in range(3):
        (tmp_path / f"{no}.txt").write_bytes(bytes(size))
    credentials = signing.credentials()
    with CogniteClient(config_of(cdf, credentials=credentials)) as client:
        signing.done(credentials)
        cdf.inject(OVER)
        credentials.refresh()
        files = client.files.start_many([*tmp_path.glob("*.txt")])
        shown: list[str] = []
        files.listen(lambda state: shown.append(_whole(state, 0.0).text))
        prompt = signing.person.next()
        words = f"sign in again: {prompt.words}"
        until(lambda: words in shown, 30)
        assert words in repr(files)
        signing.person.decide(prompt, "deny")  # by mistake
        assert signing.is_over()
        signing.decide()
        assert [*files.result()["status"]] == ["done"] * 3
        assert "sign in" not in repr(files)
    assert fired(cdf) == [("status", "token")]


# --- on disk --------------------------------------------------------------------------------


def test_a_sign_in_is_on_disk_only_where_that_is_asked_for_and_its_owner_alone_reads_it(
    signing: SignIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    signing.done(signing.credentials())
    assert not list(tmp_path.rglob("*.json"))

    signing.done(signing.credentials(cache=True))
    (path,) = tmp_path.rglob("*.json")
    assert path.stat().st_mode & 0o777 == 0o600
    # Another kernel, as it were, goes on with it, and then another: each token is good once.
    for _ in range(2):
        assert signing.credentials(cache=True).authorization_header()
    assert signing.person.shown.empty()

    path.chmod(0o644)  # somebody may have read it, or put it there
    signing.done(signing.credentials(cache=True))
    assert path.stat().st_mode & 0o777 == 0o600


def test_two_that_share_a_file_do_not_use_up_each_others_token(
    signing: SignIn, tmp_path: Path
) -> None:
    two = [signing.credentials(cache=tmp_path / "mine.json") for _ in range(2)]
    signing.done(two[0])
    for day in range(4):
        signing.now = day * 86400
        assert all(signing.threads.map(lambda one: one.authorization_header(), two))
    assert signing.person.shown.empty()
    two[0].sign_out()
    assert not (tmp_path / "mine.json").exists()
    signing.done(two[0])


def test_a_file_of_another_client_and_one_that_is_no_file_are_not_used(
    signing: SignIn, tmp_path: Path
) -> None:
    path = tmp_path / "mine.json"
    signing.done(signing.credentials(cache=path))
    (tmp_path / "link.json").symlink_to(path)
    (tmp_path / "broken.json").write_bytes(b"{")
    for credentials in (
        signing.credentials(cache=tmp_path / "link.json"),
        signing.credentials(cache=tmp_path / "broken.json"),
        signing.credentials(cache=path, audience="another"),
    ):
        signing.done(credentials)


# --- secrets --------------------------------------------------------------------------------


@WAYS
def test_no_token_and_no_code_of_a_provider_is_seen_anywhere(
    way: Make,
    cdf: Emulator,
    signing: SignIn,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Not in logs at DEBUG, prints, reprs, nor in what a verbose traceback shows of frames."""
    caplog.set_level(logging.DEBUG)
    seen_text = []
    credentials = signing.credentials(way)
    token = signing.done(credentials).removeprefix("Bearer ")
    refresh = credentials._mine.get().refresh
    assert refresh is not None
    secrets = [token, refresh.reveal()]
    signing.now = 86400
    for fault in (
        Fault("status", "token", status=401, body='{"error": "invalid_client"}'),
        Fault("html", "token"),
        Fault("half_answer", "token"),
    ):
        cdf.inject(fault)
        with pytest.raises(Exception, match=r"refused|answer") as caught:
            credentials.authorization_header()
        shown = VerboseTB(theme_name="nocolor").text(
            type(caught.value), caught.value, caught.value.__traceback__
        )
        seen_text += [shown, repr(caught.value), "".join(format_exception(caught.value))]
    assert len(fired(cdf)) == 3
    out, err = capsys.readouterr()
    seen_text += [out, err, caplog.text, repr(credentials), repr(credentials._mine.get().__dict__)]
    seen_text += [repr(credentials.__dict__)]
    assert not [at for at, text in enumerate(seen_text) for one in secrets if one in text]
    with pytest.raises(TypeError, match="neither pickled"):
        pickle.dumps(credentials)
