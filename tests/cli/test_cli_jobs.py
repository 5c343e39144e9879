"""Many files on the command line: the same line again, what is there already, jobs by their ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support import seen

from cognite_nb_upload.cli import main
from cognite_nb_upload.emulator import Emulator, Fault, emulator


@pytest.fixture
def cdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with emulator(faults=True) as running:
        monkeypatch.setenv("CDF_URL", running.base_url)
        monkeypatch.setenv("CDF_PROJECT", running.project)
        monkeypatch.setenv("CDF_TOKEN", running.token)
        monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "files"
    (made / "sub").mkdir(parents=True)
    for name in ("a.las", "b.txt", "sub/c.las"):
        (made / name).write_bytes(name.encode())
    return made


def test_the_same_command_sends_nothing_twice(
    cdf: Emulator, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["upload", str(folder), "-r", "--include", "*.las"]
    assert main(command) == main(command) == 0
    assert len(seen(cdf, "create")) == 2
    assert main([*command, "--again"]) == 0
    assert len(seen(cdf, "create")) == 4
    assert "2 of 2 files are in CDF" in capsys.readouterr().out


def test_what_cdf_has_is_left_as_it_is(
    cdf: Emulator, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["upload", str(folder), "-r", "--external-id", "path", "--if-exists", "changed"]
    assert main(command) == main(command) == 0
    assert len(seen(cdf, "put")) == 3
    assert "3 of them left as they were" in capsys.readouterr().out


def test_one_file_has_its_own_id_and_name_in_a_job_as_well(
    cdf: Emulator, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(min(folder.rglob("*.*")))
    how = ["--external-id", "mine", "--name", "n", "--if-exists", "skip"]
    assert main(["upload", path, *how]) == 0
    (file,) = (one for one in cdf.files() if one.get("externalId") == "mine")
    assert (file["name"], file["uploaded"]) == ("n", True)
    assert main(["upload", path, *how, "--again"]) == 0
    assert "1 of them left as they were" in capsys.readouterr().out
    assert len(seen(cdf, "put")) == 1
    assert main(["upload", "-", *how]) == 1
    assert "- is stdin, which takes no --if-exists" in capsys.readouterr().err
    assert main(["upload", path, "--size-key", "k", "--sha256-key", "k"]) == 1
    assert "are the same metadata key; give two" in capsys.readouterr().err


def test_a_job_is_listed_and_gone_on_with(
    cdf: Emulator, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cdf.inject(Fault("status", "put", status=400))
    assert main(["upload", str(folder), "-r"]) == 1
    assert len(cdf.fired()) == 1
    assert main(["uploads"]) == 0
    assert "unfinished, 2 of 3 files, 1 failed" in capsys.readouterr().out
    assert main(["resume", "--file", str(folder)]) == 1
    assert "is a job of many files" in capsys.readouterr().err
    assert main(["resume"]) == 0
    assert "3 of 3 files are in CDF" in capsys.readouterr().out
    assert main(["uploads"]) == 0
    assert "No upload is unfinished" in capsys.readouterr().out
    assert main(["resume"]) == 1
