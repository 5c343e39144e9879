"""Other people's clients, the newest release of each, unmodified, at the emulator's default."""

from __future__ import annotations

import json
import os
import subprocess

import environments
import pytest
from environments import Client

from cognite_nb_upload.emulator import Emulator, emulator

pytestmark = [pytest.mark.slow, pytest.mark.clients]


def run(client: Client, cdf: Emulator, *options: str) -> dict[str, str]:
    """The outcome of each step of the client's program."""
    client.install()
    given = {"URL": cdf.base_url, "PROJECT": cdf.project, "TOKEN": cdf.token}
    ours = ("CDF_", "COGNITE_", "IDP_", "PYTHON")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    env |= {f"EMULATED_{name}": value for name, value in given.items()}
    program = subprocess.run(
        [*client.command, *options],
        cwd=client.folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert program.returncode == 0, program.stderr
    rows = [line for line in program.stdout.splitlines() if line.startswith('["')]
    return dict(json.loads(line) for line in rows)


def all_well(outcomes: dict[str, str], least: int) -> bool:
    wrong = {name: outcome for name, outcome in outcomes.items() if outcome != "ok"}
    assert wrong == {}
    return len(outcomes) >= least


@pytest.mark.parametrize(
    ("client", "least"),
    [(environments.SDK_8, 80), (environments.SDK_7, 80), (environments.SDK_JS, 25)],
    ids=lambda value: getattr(value, "name", ""),
)
def test_an_official_sdk_works_as_it_is(client: Client, least: int) -> None:
    with emulator(process=True) as cdf:
        assert all_well(run(client, cdf), least)
    at_store = [row for row in cdf.requests() if row["route"] in ("part", "put")]
    assert len(at_store) > 4
    tokens = {"authorization" in row["headers"] for row in at_store}
    # The others keep their token from the store, the JavaScript SDK since it has another origin.
    assert tokens == {client is environments.SDK_8}
