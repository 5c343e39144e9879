"""Settings as people paste them: cleaned of what nobody sees, else refused by name at once."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import certifi
import pytest
from support import config_of, routes, seen

from cognite_nb_upload import (
    ClientConfig,
    CogniteClient,
    ConfigError,
    OAuthClientCredentials,
    Retry,
    Token,
)
from cognite_nb_upload.emulator import Emulator

AROUND = ["{}\n", " {} ", "\ufeff{}", "\u200b{}\u200b", "\t{}\r\n", "\xa0{}", '"{}"', "'{}'\n"]
INSIDE = {
    "a line break": "pla\nnted",
    "a space": "pla nted",
    r"an invisible character \(U\+200B\)": "pla\u200bnted",
}


def env_of(cdf: Emulator, **changes: str) -> dict[str, str]:
    known = {"CDF_PROJECT": cdf.project, "CDF_URL": cdf.base_url, "CDF_TOKEN": cdf.token}
    return {**known, **changes}


@pytest.mark.parametrize("around", AROUND)
def test_what_stands_around_a_value_is_dropped(cdf: Emulator, around: str) -> None:
    env = {name: around.format(value) for name, value in env_of(cdf).items()}
    with CogniteClient.from_env(env) as client:
        assert len(client.files.list()) == 2


@pytest.mark.parametrize("word", ["Bearer ", "bearer  "])
def test_a_token_may_be_given_with_its_bearer(cdf: Emulator, word: str) -> None:
    with CogniteClient.from_env(env_of(cdf, CDF_TOKEN=word + cdf.token)) as client:
        assert len(client.files.list()) == 2


@pytest.mark.parametrize("variable", ["CDF_PROJECT", "CDF_URL", "CDF_TOKEN"])
@pytest.mark.parametrize(("what", "value"), INSIDE.items())
def test_what_is_inside_is_refused_by_the_variable(
    cdf: Emulator, variable: str, what: str, value: str
) -> None:
    with pytest.raises(ConfigError, match=f"^{variable} has {what} after") as refused:
        ClientConfig.from_env(env_of(cdf, **{variable: value}))
    assert "nted" not in str(refused.value)


def test_what_is_empty_but_for_spaces_is_missing(cdf: Emulator) -> None:
    with pytest.raises(ConfigError, match=r"Missing in the environment: CDF_PROJECT\."):
        ClientConfig.from_env(env_of(cdf, CDF_PROJECT=" \n"))
    with pytest.raises(ConfigError, match="or CDF_TOKEN in their place"):
        ClientConfig.from_env(env_of(cdf, CDF_TOKEN="\u200b"))


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ("https://westeurope-1.cognitedata.com", "use 'westeurope-1'"),
        ("https://westeurope-1.cognitedata.com/", "use 'westeurope-1'"),
        ("westeurope-1.cognitedata.com", "use 'westeurope-1'"),
        ("WestEurope-1.CogniteData.com/api/v1", "use 'westeurope-1'"),
        ("https://api.example", "for an address of another form use CDF_URL"),
        ("localhost:8000", "for an address of another form use CDF_URL"),
        ("west_europe", "for an address of another form use CDF_URL"),
    ],
)
def test_an_address_as_the_cluster_is_told_at_once(cluster: str, said: str) -> None:
    env = {"CDF_PROJECT": "demo", "CDF_TOKEN": "t", "CDF_CLUSTER": cluster}
    with pytest.raises(ConfigError, match=f"^CDF_CLUSTER is a name such as .*{said}"):
        ClientConfig.from_env(env)


@pytest.mark.parametrize("cluster", ["westeurope-1", "api", "p001.plink.az-eastus-1", " api\n"])
def test_a_clusters_name_makes_the_address(cluster: str) -> None:
    env = {"CDF_PROJECT": "demo", "CDF_TOKEN": "t", "CDF_CLUSTER": cluster}
    assert ClientConfig.from_env(env).base_url == f"https://{cluster.strip()}.cognitedata.com"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("westeurope-1.cognitedata.com", "is not of the form https://host"),
        ("https://api.cognitedata.com/api/v1/projects/demo", "goes on after the host"),
        ("https://api.cognitedata.com?x=planted", "goes on after the host"),
        ("http://api.cognitedata.com", "is not encrypted"),
        ("https://xn--a", "is not of the form https://host"),
        ("https://api.cognitedata.com:99999", "is not of the form https://host"),
    ],
)
def test_an_address_of_another_form_is_told_by_its_variable(url: str, said: str) -> None:
    env = {"CDF_PROJECT": "demo", "CDF_TOKEN": "t", "CDF_URL": url}
    with pytest.raises(ConfigError, match=f"^CDF_URL .*{said}") as refused:
        ClientConfig.from_env(env)
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize(
    "tenant", ["https://login.microsoftonline.com/abc", "<tenant>", "{tenant}", "a/b"]
)
@pytest.mark.parametrize("flow", ["client_credentials", "device_code", "interactive"])
def test_an_address_as_the_tenant_is_told(tenant: str, flow: str) -> None:
    env = {"CDF_CLUSTER": "api", "CDF_PROJECT": "demo", "LOGIN_FLOW": flow, "IDP_CLIENT_ID": "a"}
    with pytest.raises(ConfigError, match=r"^IDP_TENANT_ID is the id of a tenant or its domain"):
        ClientConfig.from_env({**env, "IDP_CLIENT_SECRET": "s", "IDP_TENANT_ID": tenant})


@pytest.mark.parametrize("project", ["https://fusion.example/demo", "..", "."])
def test_an_address_as_the_project_is_told(project: str) -> None:
    env = {"CDF_TOKEN": "t", "CDF_CLUSTER": "api", "CDF_PROJECT": project}
    with pytest.raises(ConfigError, match=r"^CDF_PROJECT is .* name alone, as 'my-project'"):
        ClientConfig.from_env(env)


# --- the same without an environment --------------------------------------------------------


def settings(**changes: Any) -> ClientConfig:
    given = {"client_name": "a", "project": "b", "credentials": Token("t"), "cluster": "api"}
    return ClientConfig(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"project": "a b"}, "project has a space"),
        ({"project": None}, "project is text, not NoneType"),
        ({"cluster": "https://api.cognitedata.com"}, "use 'api'"),
        ({"client_name": "a\nb"}, "client_name has a line break"),
        ({"headers": {"x-a": "b\nplanted"}}, "The header x-a has a line break"),
        ({"headers": {"x-a": 7}}, "The header x-a is text, not int"),
        ({"headers": {"x a": "b"}}, "'x a' cannot be a header's name"),
    ],
)
def test_settings_are_checked_alike(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        settings(**changes)
    assert "planted" not in str(refused.value)


def test_settings_are_cleaned_alike() -> None:
    config = settings(project=" b\n", client_name="my tool ", cluster="api\u200b")
    assert (config.project, config.client_name) == ("b", "my tool")
    assert config.base_url == "https://api.cognitedata.com"


@pytest.mark.parametrize("token", ["planted\nsecret", "plantéd", "pla nted", "", " ", 7, None])
def test_what_is_no_token_is_refused_at_once(token: Any) -> None:
    with pytest.raises(ConfigError, match=r"^The token ") as refused:
        Token(token)
    assert "plant" not in str(refused.value)


@pytest.mark.parametrize("read", [lambda: "planted\nsecret", lambda: "", lambda: None])
def test_what_is_no_token_is_refused_before_a_request(cdf: Emulator, read: Any) -> None:
    with (
        CogniteClient(config_of(cdf, credentials=Token(read))) as client,
        pytest.raises(ConfigError, match=r"^The token ") as refused,
    ):
        client.files.list()
    assert "planted" not in str(refused.value)
    assert routes(cdf) == []


def test_a_token_read_from_a_file_works_with_its_newline(cdf: Emulator, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(cdf.token + "\n")
    with CogniteClient(config_of(cdf, credentials=Token((tmp_path / "token").read_text))) as client:
        assert len(client.files.list()) == 2


class Theirs:
    def __init__(self, *header: Any) -> None:
        self.header = header

    def authorization_header(self) -> Any:
        return self.header


def test_a_providers_header_is_cleaned_and_checked(cdf: Emulator) -> None:
    good = Theirs("Authorization", f"Bearer {cdf.token}\n")
    with CogniteClient(config_of(cdf, credentials=good)) as client:
        assert len(client.files.list()) == 2
    bad = Theirs("Authorization", "Bearer pla\nnted")
    with (
        CogniteClient(config_of(cdf, credentials=bad)) as client,
        pytest.raises(ConfigError, match="The header Authorization has a line break"),
    ):
        client.files.list()
    assert routes(cdf) == ["list"]


def test_a_client_secret_is_trimmed_and_not_read_further(cdf: Emulator) -> None:
    credentials = OAuthClientCredentials(
        f" {cdf.base_url}/oauth/token\n", "emulator\n", f"{cdf.token}\n", ["scope"]
    )
    assert credentials.authorization_header()[1].startswith("Bearer ")
    assert seen(cdf, "token")


def test_a_file_that_holds_no_certificates_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cdf: Emulator
) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with (
        CogniteClient(config_of(cdf)) as client,
        pytest.raises(ConfigError, match=r"certificates at .*ca.pem \(SSL_CERT_FILE .* cannot be"),
    ):
        client.files.list()


def test_a_file_for_keys_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cdf: Emulator
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "none" / "keys"))
    shutil.copy(certifi.where(), tmp_path / "ca.pem")  # a context of its own, made here
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    with (
        CogniteClient(config_of(cdf)) as client,
        pytest.raises(ConfigError, match=r"^SSLKEYLOGFILE names .*keys, which cannot be written"),
    ):
        client.files.list()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"projekt": "x"}, "There is no setting projekt"),
        ({"retry": 5}, "retry is a Retry, not int"),
        ({"headers": [("a", "b")]}, "headers is a Mapping, not list"),
        ({"uploaded_wait_s": "x"}, "uploaded_wait_s is a number of seconds"),
        ({"env": Path(".env")}, "for a file there is dotenv="),
    ],
)
def test_a_setting_of_another_kind_is_told(cdf: Emulator, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ClientConfig.from_env(**{"env": env_of(cdf), **given})


@pytest.mark.parametrize(
    "given",
    [{"attempts": 0}, {"attempts": "3"}, {"base_s": -1}, {"most_s": "x"}, {"patience_s": None},
     {"deadline_s": float("nan")}],
)  # fmt: skip
def test_a_retry_that_cannot_be_computed_is_told(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=f"^{next(iter(given))} is a"):
        Retry(**given)


def test_a_file_of_variables_may_be_in_the_home_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "my.env").write_text("CDF_PROJECT=p\nCDF_CLUSTER=api\nCDF_TOKEN=t\n")
    assert ClientConfig.from_env({}, dotenv="~/my.env").project == "p"
