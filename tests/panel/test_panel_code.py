from __future__ import annotations

import ast
import getpass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import config_of, sha256

from cognite_nb_upload import (
    CogniteClient,
    GeoLocation,
    Label,
    OAuthClientCredentials,
    OAuthDeviceCode,
    OAuthInteractive,
)
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.widgets.panel.code import literal, upload_code
from cognite_nb_upload.widgets.panel.panel import UploadPanel

EVERYTHING: dict[str, Any] = {
    "name": 'Volve "3D" \\ \u202e survey\'s.segy',
    "external_id": "volve-3d",
    "source": "Petrel",
    "mime_type": "application/x-segy",
    "directory": "/surveys/2026",
    "data_set_id": 7,
    "labels": ["seismic", "raw"],
    "asset_ids": [1000, 1001],
    "security_categories": [1],
    "metadata": {"vessel": "Ada", "a long key " * 5: "a long value, with 'quotes' " * 5},
    "geo_location": {"type": "Feature", "geometry": {"type": "Point", "coordinates": [1.9, 58.4]}},
    "source_created_time": datetime(2026, 5, 1, 12, tzinfo=timezone(timedelta(hours=2))),
}


def run(code: str) -> dict[str, Any]:
    """What the code leaves behind, its client closed."""
    names: dict[str, Any] = {}
    exec(compile(code, "<the code>", "exec"), names)
    names["client"].close()
    return names


def described(cdf: Emulator, file_id: int) -> dict[str, Any]:
    changing = {"id", "createdTime", "lastUpdatedTime", "uploadedTime", "uploaded"}
    [file] = [one for one in cdf.files() if one["id"] == file_id]
    return {name: value for name, value in file.items() if name not in changing}


def test_it_runs_as_it_is_and_does_what_the_panel_does(
    ready: UploadPanel,
    cdf: Emulator,
    data: bytes,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("CDF_URL", cdf.base_url)
    monkeypatch.setenv("CDF_PROJECT", cdf.project)
    monkeypatch.setenv("CDF_TOKEN", cdf.token)
    ready.form.fill({**EVERYTHING, "external_id": "first"})
    ready.form.tasks.wait()
    ready.start.click()
    assert ready.upload is not None, ready.reason
    by_panel = ready.upload.result(60)
    ready.form.fill(EVERYTHING)
    ready.form.tasks.wait()
    by_code = run(ready.code)["upload"].result(30)
    assert by_code.id != by_panel.id
    assert cdf.sha256(by_code.id) == sha256(data)
    assert by_code.parts == by_panel.parts
    first, second = described(cdf, by_panel.id or 0), described(cdf, by_code.id)
    assert (first.pop("externalId"), second.pop("externalId")) == ("first", "volve-3d")
    assert first == second
    assert "<Uploaded" in capsys.readouterr().out
    assert "client = CogniteClient()\n" in ready.code
    assert cdf.token not in ready.code


def test_a_token_that_is_not_in_the_environment_is_asked_for(
    ready: UploadPanel, cdf: Emulator, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return cdf.token

    monkeypatch.setattr(getpass, "getpass", answer)
    assert cdf.token not in ready.code
    result = run(ready.code)["upload"].result(30)
    assert asked == ["Token: "]
    assert cdf.sha256(result.id) == sha256(data)


def test_client_credentials_are_named_without_their_secret(cdf: Emulator) -> None:
    credentials = OAuthClientCredentials(
        "https://login.example/token",
        "my-app",
        "PLANTED-secret",
        ["a/.default", "b"],
        "an-audience",
    )
    code = upload_code(config_of(cdf, credentials=credentials), "/a.bin", {"name": "a.bin"})
    assert "PLANTED" not in code
    made: list[tuple[Any, ...]] = []
    names = {"getpass": lambda _: "typed"}
    call = next(
        node for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "OAuthClientCredentials"
    )  # fmt: skip
    names["OAuthClientCredentials"] = lambda *args, **more: made.append((*args, more))
    eval(ast.unparse(call), names)
    url, app, secret, scopes, more = made[0]
    assert (url, app, secret) == ("https://login.example/token", "my-app", "typed")
    assert (scopes, more) == ("a/.default b", {"audience": "an-audience"})


def test_it_is_shown_only_when_asked_for_and_says_why_there_is_none(panel: UploadPanel) -> None:
    assert "<pre" not in panel._code.value
    panel.show_code.click()
    assert "There is no code yet. Choose a file." in panel._code.value
    assert panel.show_code.description == "Hide the code"
    panel.show_code.click()
    assert panel._code.value == ""


def test_it_follows_the_form(ready: UploadPanel) -> None:
    ready.show_code.click()
    ready.form.fill({"source": "A"})
    assert "source=&quot;A&quot;" in ready._code.value
    ready.form.fill({"source": "B"})
    assert "source=&quot;B&quot;" in ready._code.value
    assert "overwrite" not in ready._code.value


def test_how_it_is_sent_is_in_it_where_it_is_not_left_open(ready: UploadPanel) -> None:
    ready.sending.part_mib.value, ready.sending.at_once.value = "6", "3"
    ready.sending.verify.value = "checksum"
    for line in ("part_size=6 * 1024**2,", "max_concurrency=3,", 'verify="checksum",'):
        assert line in ready.code


VALUES = st.recursive(
    st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(deadline=None, max_examples=40)
@given(VALUES)
def test_every_value_is_a_literal_that_reads_back_and_prints(value: Any) -> None:
    code = literal(value, 1)
    assert ast.literal_eval(code.strip()) == value
    assert all(char.isprintable() or char == "\n" for char in code)


def test_values_of_ours_are_written_as_what_upload_takes() -> None:
    assert literal((Label("a"), Label("b"))) == '["a", "b"]'
    assert (
        ast.literal_eval(literal(GeoLocation.of(EVERYTHING["geo_location"])))
        == (EVERYTHING["geo_location"])
    )
    moment = datetime(2026, 5, 1, 12, 30, 0, 5000, tzinfo=timezone(timedelta(hours=2)))
    assert eval(literal(moment), {"datetime": datetime, "UTC": UTC}) == moment
    assert literal(datetime(2026, 5, 1, tzinfo=UTC)) == "datetime(2026, 5, 1, tzinfo=UTC)"


def test_a_blocking_client_will_do(client: CogniteClient) -> None:
    assert "start_upload(" in upload_code(client.config, "/a.bin", {"name": "a.bin"})


@pytest.mark.parametrize("kind", [OAuthDeviceCode, OAuthInteractive])
def test_a_person_signs_in_by_the_code_as_in_the_panel(kind: Any, cdf: Emulator) -> None:
    credentials = kind.entra_id("my-tenant", "my-app", "westeurope-1")
    code = upload_code(config_of(cdf, credentials=credentials), "/a.bin", {"name": "a.bin"})
    assert "getpass" not in code
    call = next(
        node for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == kind.__name__
    )  # fmt: skip
    made = eval(ast.unparse(call), {kind.__name__: kind})
    assert made.arguments() == credentials.arguments()
