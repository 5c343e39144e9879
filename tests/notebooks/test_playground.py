"""`playground()`, in a Python of its own: it changes the environment and the working folder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cognite_nb_upload.emulator import Emulator

pytestmark = pytest.mark.slow  # each starts a Python

TELL = """
import json, os, pathlib
from cognite_nb_upload import CogniteClient, uploads
from cognite_nb_upload.emulator import playground

playground()
with CogniteClient.from_env() as client:
    client.files.upload(b"bytes", name="a.txt")
    print(json.dumps({
        "project": client.config.project,
        "base_url": client.config.base_url,
        "names": [file.name for file in client.files.list()],
        "folder": os.getcwd(),
        "found": os.listdir(),
        "remembered": len(uploads()),
    }))
"""


def told(**variables: str) -> dict[str, Any]:
    """What Python tells after `playground()`, in an environment that names CDF like this."""
    kept = {name: text for name, text in os.environ.items() if "CDF_" not in name}
    ran = subprocess.run(
        [sys.executable, "-c", TELL],
        env={**kept, **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    first, second = ran.stdout.splitlines()
    assert first.startswith("Ready: an emulated CDF, project ")
    facts: dict[str, Any] = json.loads(second)
    return facts


def test_it_starts_an_emulator_and_leaves_nothing_behind() -> None:
    facts = told()
    assert facts["project"] == "demo"
    assert "a.txt" in facts["names"]
    assert facts["found"] == []
    assert facts["remembered"] == 1
    assert not Path(facts["folder"]).exists()


def test_it_uses_the_emulator_that_is_there(cdf: Emulator) -> None:
    facts = told(CDF_URL=cdf.base_url, CDF_PROJECT=cdf.project, CDF_TOKEN=cdf.token)
    assert facts["base_url"] == cdf.base_url
    assert "a.txt" in [file["name"] for file in cdf.files()]


def test_it_never_touches_a_real_project() -> None:
    real = {
        "CDF_URL": "https://westeurope-1.cognitedata.com",
        "CDF_PROJECT": "production",
        "LOGIN_FLOW": "client_credentials",
        "COGNITE_PROJECT": "production",
        "COGNITE_BASE_URL": "https://westeurope-1.cognitedata.com",
        "COGNITE_TOKEN": "a real one",
    }
    facts = told(**real)
    assert facts["project"] == "demo"
    assert facts["base_url"].startswith("http://127.0.0.1:")
