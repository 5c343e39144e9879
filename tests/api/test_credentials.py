"""Who asks: tokens, client credentials, the environment, the official SDK's own providers."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cognite.client as official
import pytest
from cognite.client import credentials as official_credentials
from people import Person
from support import config_of, fired, quick, routes, seen

from cognite_nb_upload import (
    APIError,
    AsyncCogniteClient,
    CDFUnreachable,
    ClientConfig,
    CogniteClient,
    ConfigError,
    Credentials,
    OAuthClientCredentials,
    OAuthDeviceCode,
    Token,
    UsageError,
)
from cognite_nb_upload.api.environment import TOOLKIT_CLIENT
from cognite_nb_upload.emulator import Emulator, Fault, emulator

Connect = Callable[..., CogniteClient]


def oauth(cdf: Emulator, secret: str | None = None, **settings: Any) -> OAuthClientCredentials:
    return OAuthClientCredentials(
        f"{cdf.base_url}/oauth/token", "emulator", secret or cdf.token, ["scope"], **settings
    )


# --- tokens ---------------------------------------------------------------------------------


def test_a_callable_is_asked_for_the_token_before_every_request(
    cdf: Emulator, connect: Connect
) -> None:
    asked: list[str] = []

    def token() -> str:
        asked.append(threading.current_thread().name)
        return cdf.token

    client = connect(credentials=Token(token))
    client.files.list()
    client.files.list()
    assert len(asked) == 2


def test_an_empty_token_is_told(cdf: Emulator) -> None:
    with pytest.raises(ConfigError, match="token is empty"):
        Token("")


def test_a_wrong_token_is_tried_twice_and_no_more(cdf: Emulator, connect: Connect) -> None:
    """A token may have been renewed a moment ago; once is enough to see."""
    with pytest.raises(APIError, match="401") as caught:
        connect(credentials=Token("wrong")).files.list()
    assert "expired" in str(caught.value.__notes__)
    assert routes(cdf) == ["list", "list"]


class Slow:
    """Any object with this one method will do; it may block, as on a browser's login."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.threads: list[str] = []
        self.may_go_on = threading.Event()

    def authorization_header(self) -> tuple[str, str]:
        self.threads.append(threading.current_thread().name)
        assert self.may_go_on.wait(60)
        return "Authorization", f"Bearer {self.token}"


@pytest.mark.anyio
async def test_any_object_with_authorization_header_is_asked_off_the_event_loop(
    cdf: Emulator,
) -> None:
    slow = Slow(cdf.token)
    async with AsyncCogniteClient(config_of(cdf, credentials=slow)) as client:
        asking = asyncio.ensure_future(client.files.list())
        while not slow.threads:  # noqa: ASYNC110 # the loop goes on meanwhile, which is the claim
            await asyncio.sleep(0)
        slow.may_go_on.set()
        assert len(await asking) == 2
    assert threading.current_thread().name not in slow.threads


def test_our_own_and_the_official_credentials_are_of_one_kind(cdf: Emulator) -> None:
    for one in (Token("x"), oauth(cdf), Slow("x"), official_credentials.Token("x")):
        assert isinstance(one, Credentials)


# --- client credentials ---------------------------------------------------------------------


def test_a_token_is_fetched_once_and_used_until_it_nears_its_end(cdf: Emulator) -> None:
    now = [0.0]
    credentials = oauth(cdf, clock=lambda: now[0])
    first = credentials.authorization_header()
    now[0] = 3600 - 31
    assert credentials.authorization_header() == first
    now[0] = 3600 - 29  # 30 s early, so that no request ends with an old token
    assert credentials.authorization_header() != first
    assert routes(cdf) == ["token", "token"]


def test_threads_that_ask_at_once_fetch_one_token(cdf: Emulator) -> None:
    credentials, found = oauth(cdf), []
    threads = [
        threading.Thread(target=lambda: found.append(credentials.authorization_header()))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert routes(cdf) == ["token"]


def test_client_credentials_work_end_to_end(cdf: Emulator, connect: Connect) -> None:
    client = connect(credentials=oauth(cdf))
    with client.files.multipart_upload_session("a", 1) as session:
        session.upload_part(0, b"x")
    assert session.file_metadata.uploaded
    assert routes(cdf).count("token") == 1


def test_17_a_401_is_answered_by_one_refresh(cdf: Emulator, connect: Connect) -> None:
    cdf.inject(Fault("status", "list", status=401))
    assert len(connect(credentials=oauth(cdf)).files.list()) == 2
    assert routes(cdf) == ["token", "list", "token", "list"]
    assert fired(cdf) == [("status", "list")]


def test_17_a_second_401_is_the_answer(cdf: Emulator, connect: Connect) -> None:
    cdf.inject(Fault("status", "list", status=401, times=None))
    with pytest.raises(APIError, match="401"):
        connect(credentials=oauth(cdf)).files.list()
    assert routes(cdf) == ["token", "list", "token", "list"]


def test_17_parts_in_flight_need_no_token(cdf: Emulator, connect: Connect) -> None:
    """The token is taken away in the middle: parts go on, and completing fetches another."""
    credentials = oauth(cdf)
    session = connect(credentials=credentials).files.multipart_upload_session("a", 1)
    cdf.inject(Fault("status", "complete", status=401))
    session.upload_part(0, b"x")
    with session:
        pass
    assert session.file_metadata.uploaded
    assert routes(cdf) == ["token", "init", "part", "complete", "token", "complete", "byids"]
    assert "authorization" not in seen(cdf, "part")[0]["headers"]


def test_17_tokens_that_live_for_seconds_are_renewed_as_they_end() -> None:
    with emulator(
        token_life_s=1, strict_storage=True
    ) as cdf:  # less than the 30 s of care: each request has its own
        with CogniteClient(config_of(cdf, credentials=oauth(cdf))) as client:
            client.files.list()
            client.files.list()
        assert routes(cdf) == ["token", "list", "token", "list"]


@pytest.mark.parametrize("kind", ["status", "reset_before", "close_after", "garbage"])
def test_17_an_identity_provider_that_is_down_is_waited_for(
    kind: str, cdf: Emulator, connect: Connect
) -> None:
    cdf.inject(Fault(kind, "token", times=3))
    assert len(connect(credentials=oauth(cdf)).files.list()) == 2
    assert len(cdf.fired()) == 3


def test_17_the_wait_for_an_identity_provider_ends(cdf: Emulator, connect: Connect) -> None:
    cdf.inject(Fault("status", "token", times=None))
    client = connect(credentials=oauth(cdf), retry=quick(offline_s=0.05))
    with pytest.raises(CDFUnreachable, match=r"identity provider at 127.0.0.1 says 503"):
        client.files.list()
    assert cdf.fired()
    assert "list" not in routes(cdf)


def test_what_the_identity_provider_refuses_is_told_with_the_way_out(
    cdf: Emulator, connect: Connect
) -> None:
    client = connect(credentials=oauth(cdf, secret="planted"))
    with pytest.raises(APIError, match=r"^127.0.0.1 refused a token with 401: ") as caught:
        client.files.list()
    assert "client secret" in str(caught.value.__notes__)
    assert "planted" not in str(caught.value)
    assert routes(cdf) == ["token"]


@pytest.mark.parametrize("body", ["<html>", "[]", "{}", '{"access_token": "t", "expires_in": "x"}'])
def test_an_odd_answer_of_the_identity_provider_is_survived(body: str, cdf: Emulator) -> None:
    cdf.inject(Fault("status", "token", status=200, body=body))
    credentials = oauth(cdf)
    if "access_token" in body:
        assert credentials.authorization_header() == ("Authorization", "Bearer t")
    else:
        with pytest.raises(APIError, match="no token in its answer"):
            credentials.authorization_header()
    assert fired(cdf) == [("status", "token")]


@pytest.mark.parametrize("url", ["login.example", "http://login.example/token", "ftp://x", ""])
def test_a_token_url_is_checked_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match="token_url"):
        OAuthClientCredentials(url, "id", "planted")


def test_entra_id_needs_the_tenant_and_the_cluster_alone() -> None:
    made = OAuthClientCredentials.entra_id("tenant", "id", "planted", "westeurope-1")
    assert made.token_url == "https://login.microsoftonline.com/tenant/oauth2/v2.0/token"
    assert made._scopes == "https://westeurope-1.cognitedata.com/.default"
    assert repr(made) == f"OAuthClientCredentials({made.token_url!r}, 'id', <secret>)"


# --- from the environment -------------------------------------------------------------------

SECRETS = {"CDF_TOKEN": "planted-1", "IDP_CLIENT_SECRET": "planted-2", "COGNITE_TOKEN": "planted-3"}
CDF = {"CDF_PROJECT": "demo", "CDF_CLUSTER": "westeurope-1"}
URL = "https://westeurope-1.cognitedata.com"
IDP = {"IDP_CLIENT_ID": "id", "IDP_CLIENT_SECRET": "planted-2", "IDP_TENANT_ID": "tenant"}


def test_a_token_in_the_environment_is_used(cdf: Emulator) -> None:
    env = {"CDF_PROJECT": "demo", "CDF_URL": cdf.base_url, "CDF_TOKEN": cdf.token}
    with CogniteClient.from_env(env) as client:
        assert len(client.files.list()) == 2


def test_client_credentials_in_the_environment_are_used(cdf: Emulator) -> None:
    env = {
        "CDF_PROJECT": "demo",
        "CDF_URL": cdf.base_url,
        "LOGIN_FLOW": "client_credentials",
        "PROVIDER": "other",
        "IDP_CLIENT_ID": "emulator",
        "IDP_CLIENT_SECRET": cdf.token,
        "IDP_TOKEN_URL": f"{cdf.base_url}/oauth/token",
        "IDP_SCOPES": "a, b",
        "IDP_AUDIENCE": "us",
    }
    with CogniteClient.from_env(env) as client:
        assert len(client.files.list()) == 2
        assert (client.config.credentials._scopes, client.config.credentials._audience) == (
            "a b",
            "us",
        )
    assert routes(cdf) == ["token", "list"]


def test_in_a_hosted_notebook_the_token_is_read_anew_at_every_request(cdf: Emulator) -> None:
    env = {
        "COGNITE_PROJECT": "demo",
        "COGNITE_BASE_URL": cdf.base_url,
        "COGNITE_TOKEN": "out-of-date",
    }
    with CogniteClient.from_env(env) as client:
        env["COGNITE_TOKEN"] = cdf.token
        assert len(client.files.list()) == 2
    assert routes(cdf) == ["list"]


def test_settings_may_be_given_beside_the_environment() -> None:
    config = ClientConfig.from_env({**CDF, **SECRETS}, client_name="mine", timeout_s=5)
    assert (config.client_name, config.timeout_s) == ("mine", 5)
    assert config.base_url == "https://westeurope-1.cognitedata.com"


def test_the_environment_of_the_process_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SECRETS, *IDP, "LOGIN_FLOW", "PROVIDER", "COGNITE_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**CDF, "CDF_TOKEN": "t"}.items():
        monkeypatch.setenv(name, value)
    for made in (AsyncCogniteClient.from_env(), AsyncCogniteClient(), CogniteClient()):
        assert (made.config.project, made.config.base_url) == ("demo", URL)


def test_entra_id_is_what_a_tenant_means() -> None:
    credentials = ClientConfig.from_env({**CDF, **IDP}).credentials
    assert isinstance(credentials, OAuthClientCredentials)
    assert "/tenant/" in credentials.token_url
    assert credentials._scopes == "https://westeurope-1.cognitedata.com/.default"


def test_cdfs_own_provider_needs_no_url() -> None:
    env = {**CDF, **IDP, "PROVIDER": "cdf"}
    del env["IDP_TENANT_ID"]
    credentials = ClientConfig.from_env(env).credentials
    assert isinstance(credentials, OAuthClientCredentials)
    assert credentials.token_url == "https://auth.cognite.com/oauth2/token"
    assert credentials._scopes == ""


MISSING: dict[str, tuple[dict[str, str], list[str]]] = {
    "everything": (
        {},
        ["CDF_PROJECT", "CDF_CLUSTER", "CDF_URL", "CDF_TOKEN", "IDP_CLIENT_ID", "IDP_TENANT_ID"],
    ),
    "project": ({"CDF_CLUSTER": "a", "CDF_TOKEN": "planted"}, ["CDF_PROJECT"]),
    "cluster": ({"CDF_PROJECT": "a", "CDF_TOKEN": "planted"}, ["CDF_CLUSTER (or CDF_URL)"]),
    "client id": ({**CDF, "IDP_CLIENT_SECRET": "planted", "IDP_TENANT_ID": "t"}, ["IDP_CLIENT_ID"]),
    "secret": ({**CDF, "IDP_CLIENT_ID": "a", "IDP_TENANT_ID": "t"}, ["IDP_CLIENT_SECRET"]),
    "where to": ({"COGNITE_PROJECT": "a", "COGNITE_TOKEN": "planted"}, ["CDF_CLUSTER"]),
}


@pytest.mark.parametrize(("env", "names"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_named_and_no_value_is_shown(
    env: dict[str, str], names: list[str]
) -> None:
    with pytest.raises(ConfigError, match="Missing in the environment") as caught:
        ClientConfig.from_env(env)
    for name in names:
        assert name in str(caught.value)
    assert "planted" not in str(caught.value)
    for name in env:
        assert not (name in str(caught.value) and name not in str(names))


@pytest.mark.parametrize(
    ("env", "names"),
    [
        ({"LOGIN_FLOW": "device_code"}, "IDP_TENANT_ID"),
        ({"LOGIN_FLOW": "device_code", "PROVIDER": "other"}, "IDP_DISCOVERY_URL, IDP_CLIENT_ID"),
        ({"LOGIN_FLOW": "interactive"}, "IDP_CLIENT_ID, IDP_TENANT_ID (or IDP_AUTHORITY_URL)"),
        (
            {"LOGIN_FLOW": "client_credentials"},
            "IDP_CLIENT_ID, IDP_CLIENT_SECRET, IDP_TENANT_ID (or IDP_TOKEN_URL)",
        ),
        ({"LOGIN_FLOW": "token"}, "CDF_TOKEN"),
    ],
    ids=["device", "device elsewhere", "interactive", "client", "token"],
)
def test_each_way_of_signing_in_names_what_it_lacks(env: dict[str, str], names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        ClientConfig.from_env({**CDF, **env})
    flow = env["LOGIN_FLOW"]
    assert str(caught.value) == f"Missing in the environment for LOGIN_FLOW={flow}: {names}."


def test_another_way_of_signing_in_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="LOGIN_FLOW is 'password'; it is one of"):
        ClientConfig.from_env({**CDF, "LOGIN_FLOW": "password"})


# As the toolkit writes it for an engineer at Entra ID, who has no client id of his own.
DOTENV = """# .env file generated by cognite-toolkit
CDF_CLUSTER=westeurope-1
export CDF_PROJECT='demo' # ours
LOGIN_FLOW=device_code
PROVIDER=entra_id

CDF_URL="https://${CDF_CLUSTER}.cognitedata.com"
IDP_TENANT_ID = my-tenant   # a comment
"""


def test_the_toolkits_file_signs_in_by_device_code(tmp_path: Path) -> None:
    (tmp_path / "my.env").write_text(DOTENV)
    config = ClientConfig.from_env({}, dotenv=tmp_path / "my.env")
    credentials = config.credentials
    assert (config.project, config.base_url) == ("demo", URL)
    assert isinstance(credentials, OAuthDeviceCode)
    assert credentials._cache is None
    assert credentials.client_id == TOOLKIT_CLIENT
    assert "/my-tenant" in repr(credentials)
    assert credentials._scopes.split()[0] == f"{URL}/IDENTITY"
    assert ClientConfig.from_env({"CDF_PROJECT": "mine"}, dotenv=tmp_path / "my.env").project == (
        "mine"
    )


def test_the_nearest_file_is_found_where_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    below = tmp_path / "notebooks" / "mine"
    below.mkdir(parents=True)
    (tmp_path / ".env").write_text(DOTENV)
    monkeypatch.chdir(below)
    assert ClientConfig.from_env({}, dotenv=True).project == "demo"
    with pytest.raises(ConfigError, match="Missing"):
        ClientConfig.from_env({})


@pytest.mark.parametrize(
    ("text", "said"),
    [("CDF_TOKEN planted", "Line 1 of the .env file"), (None, "cannot be read: No such file")],
    ids=["no assignment", "no file"],
)
def test_a_file_that_cannot_be_read_is_said_and_shown_in_nothing(
    text: str | None, said: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / ".env").write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        ClientConfig.from_env({}, dotenv=tmp_path / ".env")
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize("flow", ["device_code", "interactive"])
def test_a_person_signs_in_by_the_environment_alone(
    flow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with emulator(device_interval_s=0) as cdf:
        files_by_the_environment(flow, cdf, monkeypatch)


def files_by_the_environment(flow: str, cdf: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    env = {
        "CDF_PROJECT": "demo",
        "CDF_URL": cdf.base_url,
        "LOGIN_FLOW": flow,
        "PROVIDER": "other",
        "IDP_DISCOVERY_URL": f"{cdf.base_url}/oauth",
        "IDP_CLIENT_ID": "emulator",
    }
    monkeypatch.setattr("webbrowser.open", lambda _: False)  # there is none here
    person = Person(cdf)
    with CogniteClient.from_env(env) as client, ThreadPoolExecutor(1) as pool:
        credentials: Any = client.config.credentials
        credentials.show = person.show
        credentials.redirect_port = 0  # the default may be in use by whatever else runs here
        files = pool.submit(client.files.list)
        person.decide(person.next())
        assert len(files.result(30)) == 2


# --- from the official SDK ------------------------------------------------------------------


def official_config(cdf: Emulator, **settings: Any) -> official.ClientConfig:
    given = {
        "client_name": "theirs",
        "project": cdf.project,
        "base_url": cdf.base_url,
        "credentials": official_credentials.Token(cdf.token),
    }
    return official.ClientConfig(**{**given, **settings})


@pytest.mark.parametrize("kind", [official.CogniteClient, official.AsyncCogniteClient])
def test_an_official_client_lends_its_project_and_its_credentials(kind: Any, cdf: Emulator) -> None:
    theirs = kind(official_config(cdf, headers={"x-theirs": "yes"}))
    with CogniteClient.from_sdk(theirs) as client:
        with client.files.multipart_upload_session("a", 1) as session:
            session.upload_part(0, b"x")
    assert session.file_metadata.uploaded
    headers = seen(cdf, "init")[0]["headers"]
    assert (headers["x-cdp-app"], headers["x-theirs"]) == ("theirs", "yes")


@pytest.mark.anyio
async def test_the_async_face_takes_an_official_client_and_our_settings(cdf: Emulator) -> None:
    theirs = official.AsyncCogniteClient(official_config(cdf))
    async with AsyncCogniteClient.from_sdk(theirs, timeout_s=5, client_name="ours") as client:
        assert len(await client.files.list()) == 2
        assert (client.config.timeout_s, client.config.client_name) == (5, "ours")


def test_official_client_credentials_work(cdf: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")  # the emulator speaks plain HTTP
    theirs = official_credentials.OAuthClientCredentials(
        f"{cdf.base_url}/oauth/token", "emulator", cdf.token, ["scope"]
    )
    with CogniteClient(config_of(cdf, credentials=theirs)) as client:
        assert len(client.files.list()) == 2
    assert "token" in routes(cdf)


@pytest.mark.parametrize("wrong", [None, "client", object()])
def test_what_is_no_official_client_is_told(wrong: Any) -> None:
    with pytest.raises(UsageError, match="is not a Cognite client; give an official"):
        CogniteClient.from_sdk(wrong)


@pytest.mark.parametrize("kind", [CogniteClient, AsyncCogniteClient])
def test_a_client_without_settings_is_the_official_sdks_default(
    kind: Any, cdf: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**CDF, "CDF_TOKEN": "of the environment"}.items():
        monkeypatch.setenv(name, value)
    theirs = official_config(cdf)
    monkeypatch.setattr(official.global_config, "default_client_config", theirs)
    config = kind().config
    assert (config.client_name, config.base_url) == ("theirs", cdf.base_url)
    assert config.credentials is theirs.credentials
    with CogniteClient() as client:
        assert len(client.files.list()) == 2


def test_nothing_of_the_official_sdk_is_imported_to_find_its_default() -> None:
    code = (
        "import sys; from cognite_nb_upload import CogniteClient; "
        "print(CogniteClient().config.project, 'cognite' in sys.modules)"
    )
    env = {**os.environ, **CDF, "CDF_TOKEN": "t"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.stdout.split() == ["demo", "False"], done.stderr


@pytest.mark.parametrize("kind", [CogniteClient, AsyncCogniteClient])
def test_a_client_without_settings_names_what_is_missing(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*SECRETS, *CDF, *IDP, "CDF_URL", "COGNITE_PROJECT", "IDP_TOKEN_URL"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match=r"Missing in the environment: CDF_PROJECT, ") as caught:
        kind()
    assert "CogniteClient(ClientConfig(...))" in str(caught.value.__notes__)


@pytest.mark.parametrize("wrong", ["my-project", {"project": "demo"}, object()])
def test_settings_of_another_kind_are_told(wrong: Any) -> None:
    with pytest.raises(UsageError, match="made with a ClientConfig of cognite_nb_upload") as caught:
        CogniteClient(wrong)
    assert "from_sdk(client)" in str(caught.value.__notes__)


def test_an_official_configuration_given_as_ours_is_told(cdf: Emulator) -> None:
    with pytest.raises(UsageError, match=r"not with a cognite\.client\.config\.ClientConfig"):
        CogniteClient(official_config(cdf))  # type: ignore[arg-type]
