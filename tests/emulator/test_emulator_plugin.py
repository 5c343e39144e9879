"""The fixture `cdf_emulator`, in a project that is not ours."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

PLUGIN = "cognite_nb_upload.pytest_plugin"
GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "emulator.md"
PROJECT = """
import urllib.request, pytest
from cognite_nb_upload.emulator import Fault

def ask(cdf):
    url = f"{cdf.base_url}/api/v1/projects/{cdf.project}/datasets/list"
    request = urllib.request.Request(url, b"{}", {"authorization": f"Bearer {cdf.token}"})
    return urllib.request.urlopen(request).status

def test_it_answers(cdf_emulator):
    assert ask(cdf_emulator) == 200

def test_it_takes_faults(cdf_emulator):
    cdf_emulator.inject(Fault("status", "datasets_list", status=503))
    with pytest.raises(urllib.error.HTTPError):
        ask(cdf_emulator)
    assert [each["kind"] for each in cdf_emulator.fired()] == ["status"]

@pytest.mark.cdf_emulator(project="mine", write_scope=[7])
def test_it_takes_switches(cdf_emulator):
    assert cdf_emulator.project == "mine"
    assert ask(cdf_emulator) == 200
"""


def test_a_project_gets_an_emulator_by_asking_for_it(tmp_path):
    examples = re.findall(r"^```py\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    for no, code in enumerate([PROJECT, *examples]):
        (tmp_path / f"test_{no}.py").write_text(code)
    installed = PLUGIN in {each.value for each in entry_points(group="pytest11")}
    given = [] if installed else ["-p", PLUGIN]
    command = [sys.executable, "-m", "pytest", "-q", "--strict-markers", *given, "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "5 passed" in done.stdout


def test_pytest_finds_the_plugin_by_the_package_s_entry_point():
    described = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert described["project"]["entry-points"]["pytest11"] == {"cognite_nb_upload": PLUGIN}
