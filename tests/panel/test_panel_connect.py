from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cognite.client import CogniteClient as OfficialClient
from cognite.client.config import ClientConfig as OfficialConfig
from cognite.client.credentials import Token as OfficialToken
from paneling import all_html, choose, press, widget_state
from people import Person
from support import fired, seen, until

from cognite_nb_upload import (
    AsyncCogniteClient,
    CogniteClient,
    OAuthClientCredentials,
    OAuthDeviceCode,
    SignInPrompt,
    UsageError,
    background,
)
from cognite_nb_upload.emulator import Emulator, Fault, emulator
from cognite_nb_upload.widgets.panel.panel import UploadPanel
from cognite_nb_upload.widgets.sign_in import SignIn, connect

MakePanel = Callable[..., UploadPanel]
PLANTED = "PLANTED-token-of-a-person"


@pytest.fixture
def form(cdf: Emulator) -> Iterator[SignIn]:
    """A form that lacks only the token."""
    made = connect()
    assert isinstance(made, SignIn)
    made.cluster.value, made.method.value = cdf.base_url, "token"
    yield made
    if made.client is not None:
        background.call(made.client.close)
    made.close()


def type_secret(form: SignIn, secret: str) -> None:
    """What the page sends when somebody has typed it and pressed Enter."""
    form.secret._handle_custom_msg({"kind": "secret", "secret": secret}, [])
    form.tasks.wait()
    until(lambda: not form.secret.busy)


def test_a_client_that_is_given_is_taken(client: CogniteClient, cdf: Emulator) -> None:
    assert connect(client) is client._twin
    official = OfficialClient(
        OfficialConfig("tests", cdf.project, OfficialToken(cdf.token), base_url=cdf.base_url)
    )
    found = connect(official)
    assert isinstance(found, AsyncCogniteClient)
    assert (found.config.project, found.config.base_url) == (cdf.project, cdf.base_url)
    with pytest.raises(UsageError):
        connect("a string")


@pytest.mark.parametrize(
    "names",
    [("CDF_URL", "CDF_PROJECT", "CDF_TOKEN"),
     ("COGNITE_BASE_URL", "COGNITE_PROJECT", "COGNITE_TOKEN")],
)  # fmt: skip
def test_the_environment_is_enough(
    names: tuple[str, str, str], cdf: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zip(names, (cdf.base_url, cdf.project, cdf.token), strict=True):
        monkeypatch.setenv(name, value)
    found = connect()
    assert isinstance(found, AsyncCogniteClient)
    assert found.config.base_url == cdf.base_url


def test_else_there_is_a_form_that_knows_what_the_environment_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CDF_CLUSTER", "westeurope-1")
    monkeypatch.setenv("IDP_TENANT_ID", "a-tenant")
    form = connect()
    assert isinstance(form, SignIn)
    assert form.client is None
    assert (form.cluster.value, form.tenant.value) == ("westeurope-1", "a-tenant")
    assert "CDF_PROJECT" in all_html(form)


def test_a_token_signs_in(form: SignIn, cdf: Emulator) -> None:
    type_secret(form, f"Bearer {cdf.token} ")
    assert form.client is not None
    assert "Signed in to" in all_html(form)
    assert connect(form) is form.client
    assert seen(cdf, "inspect")[-1]["status"] == 200


def test_a_token_that_cdf_refuses_is_said_and_can_be_typed_again(
    form: SignIn, cdf: Emulator
) -> None:
    type_secret(form, PLANTED)
    assert form.client is None
    assert "Not signed in. CDF refused" in all_html(form)
    assert "with 401" in all_html(form)
    assert "Has the token expired?" in all_html(form)
    type_secret(form, cdf.token)
    assert form.client is not None


def test_a_secret_that_is_sent_twice_signs_in_once(form: SignIn, cdf: Emulator) -> None:
    cdf.inject(Fault("stall_answer", "inspect"))
    for _ in range(2):
        form.secret._handle_custom_msg({"kind": "secret", "secret": cdf.token}, [])
    until(lambda: fired(cdf))
    cdf.clear_faults()
    until(lambda: form.client)
    until(lambda: not form.secret.busy)
    assert len(seen(cdf, "inspect")) == 1


def test_several_projects_are_listed_and_one_is_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CDF_PROJECT", "<b>elsewhere")
    with emulator(other_projects=("another", "third")) as cdf:
        form = connect()
        assert isinstance(form, SignIn)
        form.cluster.value, form.method.value = cdf.base_url, "token"
        type_secret(form, cdf.token)
        assert form.client is None
        assert "You do not reach" in all_html(form)
        assert "<b>else" not in all_html(form)
        assert form.project.options == (cdf.project, "another", "third")
        form.project.value = "third"
        form._take.click()
        assert form.client is not None
        assert form.client.config.project == "third"
        background.call(form.client.close)
        form.close()


def test_the_last_sign_in_is_remembered_without_its_secret(
    form: SignIn, cdf: Emulator, surroundings: Path
) -> None:
    type_secret(form, cdf.token)
    again = connect()
    assert isinstance(again, SignIn)
    assert (again.cluster.value, again.method.value) == (cdf.base_url, "token")
    files = [one for one in surroundings.iterdir() if one.is_file()]
    assert [one.name for one in files] == ["sign-in.json"]
    assert cdf.token not in files[0].read_text()
    again.close()


def test_who_reaches_no_project_is_told_what_to_ask_for(form: SignIn, cdf: Emulator) -> None:
    nothing = '{"subject": "a", "projects": [], "capabilities": []}'
    cdf.inject(Fault("status", "inspect", status=200, body=nothing))
    type_secret(form, cdf.token)
    assert form.client is None
    assert "reach no project there" in all_html(form)
    assert "filesAcl:READ and filesAcl:WRITE" in all_html(form)
    assert fired(cdf) == [("status", "inspect")]


def test_who_may_not_write_is_told_which_capability_is_missing() -> None:
    with emulator(write_scope=[]) as cdf:
        form = connect()
        assert isinstance(form, SignIn)
        form.cluster.value, form.method.value = cdf.base_url, "token"
        type_secret(form, cdf.token)
        assert "What is missing here: filesAcl:WRITE." in all_html(form)
        assert form.client is not None
        background.call(form.client.close)
        form.close()


def test_a_person_signs_in_with_a_code_and_again_when_it_has_run_out(
    make_panel: MakePanel, big: Path
) -> None:
    with emulator(device_interval_s=0, refresh_life_s=0) as cdf:
        panel, person = make_panel(), Person(cdf)
        form = panel.sign_in
        assert form is not None
        form.cluster.value = cdf.base_url
        assert form.start.disabled  # it is not said yet where to sign in
        form.tenant.value, form.client_id.value = f"{cdf.base_url}/oauth", "emulator"
        form.start.click()
        until(lambda: form.code.code)
        prompt = shown(form)
        assert prompt.page.endswith(f"user_code={prompt.code}")
        assert not panel.client
        person.decide(prompt)
        until(lambda: panel.client)
        assert form.code.page == form.code.code == ""
        assert panel.client is not None
        credentials = panel.client.config.credentials
        assert isinstance(credentials, OAuthDeviceCode)

        credentials.refresh()  # it has run out: renewing is refused, too
        choose(panel, big)
        panel.start.click()
        assert panel.upload is not None, panel.reason
        until(lambda: form.code.code not in ("", prompt.code))
        assert "Your sign-in has run out" in all_html(form)
        until(lambda: panel.upload and "sign in again: open" in panel.upload.state.waiting_for)
        person.decide(shown(form))
        assert panel.upload.result(30).name == "big.segy"
        assert "Signed in to" in all_html(form)


def shown(form: SignIn) -> SignInPrompt:
    return SignInPrompt(form.code.url, form.code.code, 0.0, form.code.page)


def test_a_person_who_presses_cancel_is_asked_no_more(form: SignIn) -> None:
    with emulator(device_interval_s=0) as cdf:
        form.cluster.value, form.method.value = cdf.base_url, "device_code"
        form.tenant.value, form.client_id.value = f"{cdf.base_url}/oauth", "emulator"
        form.start.click()
        until(lambda: form.code.code)
        form.code._handle_custom_msg({"kind": "cancel"}, [])
        form.tasks.wait()
        assert "The sign-in was cancelled" in all_html(form)
        assert not form.start.disabled


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ("http://elsewhere.example", "is not encrypted"),
        ("http://127.0.0.1:9", "connection was refused"),
        ("no spaces", "has a space"),
    ],
)
def test_a_cluster_that_cannot_be_reached_is_said_soon(
    form: SignIn, cluster: str, said: str
) -> None:
    form.cluster.value = cluster
    type_secret(form, PLANTED)
    assert form.client is None
    assert said in all_html(form)


def test_the_button_waits_for_what_else_is_needed(form: SignIn) -> None:
    assert form.secret.ready
    form.cluster.value = " "
    assert not form.secret.ready
    assert "Needed: Cluster." in all_html(form)
    form.cluster.value = "westeurope-1"
    form.method.value = "client"
    assert not form.secret.ready
    assert form.secret.label == "Client secret"
    assert "Needed: Tenant id, or URL; Client id." in all_html(form)
    form.tenant.value, form.client_id.value = "a-tenant", "my-app"
    assert form.secret.ready


def test_client_credentials_sign_in(form: SignIn, cdf: Emulator) -> None:
    form.method.value = "client"
    form.tenant.value, form.client_id.value = f"{cdf.base_url}/oauth/token", "emulator"
    type_secret(form, cdf.token)  # the secret of that client
    assert form.client is not None, all_html(form)
    assert isinstance(form.client.config.credentials, OAuthClientCredentials)
    assert "Signed in" in all_html(form)


@pytest.mark.parametrize("method", ["token", "client"])
def test_no_trait_and_no_html_ever_holds_the_secret(
    form: SignIn, cdf: Emulator, method: str
) -> None:
    states: list[str] = []
    form.method.value = method
    form.tenant.value, form.client_id.value = f"{cdf.base_url}/nowhere", "my-app"
    for widget in (form.secret, form.note):
        widget.observe(lambda _: states.append(widget_state()))
    type_secret(form, PLANTED)
    assert len(states) > 3
    assert form.client is None
    for text in (*states, widget_state(), repr(form), repr(form.secret)):
        assert PLANTED not in text


def test_what_the_page_sent_is_not_kept(form: SignIn) -> None:
    content = {"kind": "secret", "secret": PLANTED}
    form.secret._handle_custom_msg(content, [])
    form.tasks.wait()
    assert content == {"kind": "secret"}


def test_a_panel_signs_in_where_it_must(make_panel: MakePanel, cdf: Emulator, big: Path) -> None:
    panel = make_panel()
    assert (panel.start.disabled, panel.reason) == (True, "Sign in first.")
    assert panel.sign_in is not None
    panel.sign_in.cluster.value, panel.sign_in.method.value = cdf.base_url, "token"
    type_secret(panel.sign_in, cdf.token)
    assert panel.client is not None
    choose(panel, big)
    assert press(panel).result(60).name == "big.segy"


def test_a_panel_takes_a_form_that_has_signed_in_or_will(
    make_panel: MakePanel, form: SignIn, cdf: Emulator
) -> None:
    panel = make_panel(form)
    assert panel.client is None
    type_secret(form, cdf.token)
    assert panel.client is form.client
    assert make_panel(form).client is form.client
