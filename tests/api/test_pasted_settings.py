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
    OAuthDeviceCode,
    OAuthInteractive,
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


@pytest.mark.parametrize("hosted", [False, True])
def test_a_token_that_leaves_the_environment_is_named(cdf: Emulator, hosted: bool) -> None:
    env, name = env_of(cdf), "CDF_TOKEN"
    if hosted:
        name = "COGNITE_TOKEN"
        env = {"COGNITE_PROJECT": cdf.project, "COGNITE_BASE_URL": cdf.base_url, name: cdf.token}
    with CogniteClient.from_env(env) as client:
        client.files.upload(b"a", name="a.bin")
        del env[name]
        with pytest.raises(ConfigError, match=f"^{name} is no longer in the environment"):
            client.files.upload(b"b", name="b.bin")


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
        ("westeurope-1.cognitedata.com.cognitedata.com", "use 'westeurope-1'"),
        ("https://api.example", "for an address of another form use CDF_URL"),
        ("localhost:8000", "for an address of another form use CDF_URL"),
        ("west_europe", "for an address of another form use CDF_URL"),
        ("fusion.cognite.com", "for an address of another form use CDF_URL"),
        ("acme.fusion.cognite.com", "for an address of another form use CDF_URL"),
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
        ("https://api..com", "is not of the form https://host"),
        ("https://.cognitedata.com", "is not of the form https://host"),
        ("https://api.cognitedata.com/api", "goes on after the host"),
        ("https://api.CogniteData.com/api/", "goes on after the host"),
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


TOKEN_URL = "https://login.example/token"


@pytest.mark.parametrize("value", [None, 5, b"planted", ""])
@pytest.mark.parametrize("name", ["client_id", "client_secret", "token_url"])
def test_what_a_client_signs_in_with_is_told_at_once_where_it_is_none(
    name: str, value: Any
) -> None:
    """As `os.environ.get` gives it where the variable is missing."""
    given: Any = {"token_url": TOKEN_URL, "client_id": "id", "client_secret": "planted"}
    with pytest.raises(ConfigError, match=name) as refused:
        OAuthClientCredentials(**{**given, name: value})
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("scopes", None), ("scopes", 5), ("scopes", [5]), ("audience", 5), ("timeout_s", "5"),
        ("timeout_s", 0), ("timeout_s", None),
    ],
)  # fmt: skip
def test_a_setting_of_the_sign_in_that_cannot_be_is_refused(setting: str, value: Any) -> None:
    given: Any = {setting: value}
    with pytest.raises(ConfigError, match=setting):
        OAuthClientCredentials(TOKEN_URL, "id", "secret", **given)
    if value is not None:
        with pytest.raises(ConfigError, match=setting):
            OAuthInteractive(TOKEN_URL, "id", **{"scopes": ["a"], **given})


@pytest.mark.parametrize("port", ["53000", -1, 65536, 1.5, True])
def test_a_port_that_cannot_be_is_refused(port: Any) -> None:
    with pytest.raises(ConfigError, match="redirect_port is a number from 0 to 65535"):
        OAuthInteractive(TOKEN_URL, "id", ["a"], port)


@pytest.mark.parametrize("cache", [5, "a\0b"])
def test_a_cache_that_is_no_path_is_refused(cache: Any) -> None:
    with pytest.raises(ConfigError, match="cache is True, or the path"):
        OAuthDeviceCode(TOKEN_URL, "id", ["a"], cache=cache)


@pytest.mark.parametrize("tenant", [None, "", "a/b", "https://login.microsoftonline.com/abc"])
def test_a_tenant_that_is_none_is_refused(tenant: Any) -> None:
    with pytest.raises(ConfigError, match="tenant_id"):
        OAuthClientCredentials.entra_id(tenant, "id", "secret", "westeurope-1")
    with pytest.raises(ConfigError, match="tenant_id"):
        OAuthDeviceCode.entra_id(tenant, "id", "westeurope-1")


def test_a_secret_in_quotes_is_without_them(cdf: Emulator) -> None:
    """As `docker run --env-file` leaves them."""
    env = {**env_of(cdf), "LOGIN_FLOW": "client_credentials", "IDP_CLIENT_ID": '"a"',
           "IDP_CLIENT_SECRET": '"s e"\n', "IDP_TOKEN_URL": TOKEN_URL}  # fmt: skip
    credentials: Any = ClientConfig.from_env(env).credentials
    assert (credentials.client_id, credentials._secret.reveal()) == ("a", "s e")


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ("cognitedata.com", "another form"), ("-", "another form"),
        ("westeurope-1.cognitedata", "use 'westeurope-1'"), ("westeurope-1/", "use 'westeurope-1'"),
        ("westeurope-1.cognitedata.com.", "use 'westeurope-1'"),
        ("westeurope-1.cognitedata.com:443", "use 'westeurope-1'"),
    ],
)  # fmt: skip
def test_more_than_a_cluster_is_told(cluster: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        ClientConfig(client_name="a", project="p", credentials=Token("t"), cluster=cluster)


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("base_url", "https://https://a.cognitedata.com", "its https twice"),
        ("base_url", "https://acme.fusion.cognite.com", "a page for people"),
        ("client_name", None, "client_name is text, not NoneType"),
        ("credentials", OAuthClientCredentials, "the class OAuthClientCredentials"),
    ],
)
def test_a_setting_of_a_client_that_cannot_be_is_told(setting: str, value: Any, said: str) -> None:
    given: Any = {"client_name": "a", "project": "p", "credentials": Token("t"),
                  "base_url": "https://a.cognitedata.com", setting: value}  # fmt: skip
    with pytest.raises(ConfigError, match=said):
        ClientConfig(**given)


@pytest.mark.parametrize("header", [None, "Bearer planted", {"Authorization": "planted"}, ("a",)])
def test_credentials_that_give_no_header_are_told(cdf: Emulator, header: Any) -> None:
    class Mine:
        def authorization_header(self) -> Any:
            return header

    with (
        CogniteClient(config_of(cdf, credentials=Mine())) as client,
        pytest.raises(ConfigError, match=r"^Mine\.authorization_header\(\) gives") as refused,
    ):
        client.files.list()
    assert "planted" not in str(refused.value)


@pytest.mark.parametrize("dotenv", [5, "a\0b"])
def test_a_file_of_variables_that_is_no_path_is_told(dotenv: Any) -> None:
    with pytest.raises(ConfigError, match="path"):
        ClientConfig.from_env({}, dotenv=dotenv)
