"""The commands of `cognite-nb-upload`, on an emulated CDF that the environment names."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import seen
from web_store import web_store

from cognite_nb_upload import CogniteClient, uploads
from cognite_nb_upload.__main__ import main
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator, Fault

ROOT = Path(__file__).parents[2]
Run = Callable[..., "subprocess.CompletedProcess[bytes]"]


@pytest.fixture(autouse=True)
def _env(cdf: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*os.environ]:
        if name.startswith(("CDF_", "COGNITE_", "IDP_")) or name.upper().endswith("_PROXY"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("CDF_URL", cdf.base_url)
    monkeypatch.setenv("CDF_PROJECT", cdf.project)
    monkeypatch.setenv("CDF_TOKEN", cdf.token)
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    return made


@pytest.fixture
def run() -> Run:
    """A process of its own, as a shell starts it."""

    def run(*arguments: str | Path, **how: Any) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "cognite_nb_upload", *arguments]
        env = {**os.environ, **how.pop("env", {})}
        return subprocess.run(command, env=env, capture_output=True, check=False, **how)

    return run


def named(cdf: Emulator, name: str) -> dict[str, Any]:
    (file,) = (one for one in cdf.files() if one["name"] == name)
    return file


# --- upload ---------------------------------------------------------------------------------


def test_a_file_is_uploaded_with_what_is_said_of_it(
    cdf: Emulator, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "a.bin"
    path.write_bytes(bytes(7 * MIB))
    options = "--external-id x --data-set-id 7 --label raw --metadata a=b=c --part-size 6MiB"
    limits = "--max-bandwidth 1GB/s --max-concurrency 2 --verify size --directory /a"
    assert (
        main(["upload", str(path), *options.split()[:4], *options.split()[6:], *limits.split()])
        == 0
    )
    file = named(cdf, "a.bin")
    assert cdf.content(file["id"]) == bytes(7 * MIB)
    assert (file["externalId"], file["dataSetId"], file["metadata"]) == ("x", 7, {"a": "b=c"})
    assert len(seen(cdf, "part")) == 2
    assert "Uploaded a.bin: 7 MiB in 2 parts" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--data-set-id", "0"], "data_set_id is 0"),
        (["--max-concurrency", "0"], "max_concurrency is 1 to 64, not 0"),
        (["--part-size", "0"], "part_size is 0 bytes"),
        (["--max-bandwidth", "0"], "max_bandwidth is a number of bytes per second above 0"),
        (["--part-size", "big"], "part_size is a number of bytes"),
        (["--directory", "a"], "directory is 'a'"),
    ],
)
def test_a_wrong_value_is_told_and_a_zero_is_a_value(
    cdf: Emulator, folder: Path, capsys: pytest.CaptureFixture[str], option: list[str], said: str
) -> None:
    (folder / "a.bin").write_bytes(b"x")
    assert main(["upload", str(folder / "a.bin"), *option]) == 1
    assert said in capsys.readouterr().err
    assert seen(cdf, "init") == []


def test_a_plan_is_shown_and_nothing_sent(
    cdf: Emulator, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.bin").write_bytes(b"x")
    (folder / "b.bin").write_bytes(b"y")
    assert main(["upload", str(folder / "a.bin"), "--dry-run"]) == 0
    assert main(["upload", str(folder), "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "1 byte in 1 part" in said
    assert "2 of 2 files would be sent, 2 bytes." in said
    assert not [row for row in cdf.requests() if row["method"] == "PUT"]


def test_several_files_folders_and_globs_are_uploaded(
    cdf: Emulator, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.bin", "b.bin", "inner/c.bin"):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "d.bin").write_bytes(b"d")
    assert main(["upload", str(folder), str(tmp_path / "*.bin"), "-r", "--data-set-id", "7"]) == 0
    for name in ("a.bin", "b.bin", "c.bin", "d.bin"):
        assert named(cdf, name)["dataSetId"] == 7
    assert "4 of 4 files are in CDF, 22 bytes." in capsys.readouterr().out


def test_a_file_of_several_that_fails_is_told_and_the_rest_is_sent(
    cdf: Emulator, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.bin").write_bytes(b"x")
    assert main(["upload", str(folder / "a.bin"), str(folder / "b.bin")]) == 1
    told = capsys.readouterr()
    assert "b.bin: invalid" in told.err
    assert "1 of 2 files are in CDF" in told.out
    assert named(cdf, "a.bin")["uploaded"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["upload", ""], "A PATH is empty"),
        (["upload", "a.bin", ""], "A PATH is empty"),
        (["upload", "-", "a.bin"], "- is stdin, which is uploaded alone"),
        (["upload", "a.bin", "--metadata", "a=1", "--metadata", "a=2"], "the key 'a' twice"),
        (["upload", "a.bin", "--exclude", "a.*"], "not among what --include and --exclude choose"),
        (["upload", "a.bin", "--include", "*.las"], "not among what --include and"),
        (["download", "", "--id", "7"], "The path is empty"),
    ],
)
def test_nothing_that_is_asked_for_is_left_out_in_silence(
    cdf: Emulator,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    (folder / "a.bin").write_bytes(b"x")
    monkeypatch.chdir(folder)
    assert main(arguments) == 1
    assert said in capsys.readouterr().err
    assert cdf.requests() == []


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells")
def test_a_closed_stdin_is_told(cdf: Emulator) -> None:
    command = f"{sys.executable} -m cognite_nb_upload upload - --name a <&-"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "There is no stdin to upload: it is closed.\n")


def test_a_name_is_for_one_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        (folder / name).write_bytes(b"x")
    assert main(["upload", str(folder), "--name", "x", "--external-id", "y"]) == 1
    assert "--name and --external-id is for one file" in capsys.readouterr().err


def test_an_address_is_uploaded_as_a_path_is(
    cdf: Emulator, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "here.bin").write_bytes(b"here")
    with web_store() as web:
        address = web.put("a.bin", b"there")
        assert main(["upload", address, "--verify", "checksum"]) == 0
        assert main(["upload", address, str(folder / "here.bin"), "--external-id", "path"]) == 0
        assert "2 of 2 files are in CDF, 9 bytes." in capsys.readouterr().out
        assert main(["upload", f"{web.url}/none.bin"]) == 1
        assert "is not there" in capsys.readouterr().err
    contents = [cdf.content(one["id"]) for one in cdf.files() if one["name"] == "a.bin"]
    assert contents == [b"there", b"there"]


def test_what_comes_from_a_pipe_is_uploaded(cdf: Emulator, run: Run) -> None:
    done = run("upload", "-", input=b"from a pipe")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"What comes from stdin has no name: give --name." in done.stderr
    assert run("upload", "-", "--name", "piped", input=b"from a pipe").returncode == 0
    assert cdf.content(named(cdf, "piped")["id"]) == b"from a pipe"


# --- what is unfinished ---------------------------------------------------------------------


@pytest.fixture
def unfinished(cdf: Emulator, folder: Path) -> str:
    """The id of an upload of which one part is missing."""
    path = folder / "big.bin"
    path.write_bytes(bytes(12 * MIB + 1))
    cdf.inject(Fault("status", "part", part=2, status=403, times=None))
    one_by_one = ["--part-size", "6MiB", "--max-concurrency", "1"]
    assert main(["upload", str(path), *one_by_one]) == 1
    cdf.clear_faults()
    (id,) = uploads().index
    return str(id)


def test_what_is_unfinished_is_listed_and_goes_on(
    cdf: Emulator, unfinished: str, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["uploads"]) == 0
    listed = capsys.readouterr().out
    assert listed.startswith(f"{unfinished}  ")
    assert "12 MiB of 12" in listed
    sent = len(seen(cdf, "part"))
    assert main(["resume"]) == 0
    assert cdf.content(named(cdf, "big.bin")["id"]) == bytes(12 * MIB + 1)
    assert len(seen(cdf, "part")) == sent + 1
    assert main(["uploads"]) == 0
    assert "No upload is unfinished." in capsys.readouterr().out
    assert main(["uploads", "--recent"]) == 0
    assert unfinished in capsys.readouterr().out


def test_one_goes_on_by_its_id_from_another_place(
    cdf: Emulator, unfinished: str, folder: Path
) -> None:
    (folder / "big.bin").rename(folder / "moved.bin")
    assert main(["resume", unfinished, "--file", str(folder / "moved.bin")]) == 0
    assert named(cdf, "big.bin")["uploaded"]


def test_nothing_to_go_on_with_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume"]) == 1
    assert main(["resume", "0123456789abcdef"]) == 1
    assert "No upload is unfinished." in capsys.readouterr().err


# --- download -------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["id", "external"])
def test_a_file_is_downloaded(
    cdf: Emulator, folder: Path, which: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with CogniteClient() as client:
        file = client.files.upload(b"content", name="a.bin", external_id="x")
    by = ["--id", str(file.id)] if which == "id" else ["--external-id", "x"]
    assert main(["download", str(folder / "back.bin"), *by]) == 0
    assert (folder / "back.bin").read_bytes() == b"content"
    assert f"{folder / 'back.bin'}: 7 bytes" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["download", str(folder / "back.bin"), "--id", "404"]) == 1
    assert "404" in capsys.readouterr().err
    with pytest.raises(SystemExit) as wrong:
        main(["download", str(folder)])
    assert wrong.value.code == 2


def test_a_place_that_is_no_path_is_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for place, sentence in (
        (f"{folder}/none/", "There is no folder"),
        ("s3://bucket/back", "is written to a file on this machine, not to s3://bucket/back"),
        ("-", "is not written to stdout"),
    ):
        assert main(["download", place, "--id", "404"]) == 1
        assert sentence in capsys.readouterr().err


# --- what is printed ------------------------------------------------------------------------

NAME = "A\u030a-\u00e9\u4e2d-\x1b]0;owned\x07\x1b[31m.bin"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "utf-8"])
def test_no_encoding_of_the_terminal_fails_an_upload_and_no_name_steers_it(
    cdf: Emulator, folder: Path, run: Run, encoding: str
) -> None:
    (folder / NAME).write_bytes(b"x")
    done = run("upload", folder / NAME, env={"PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr
    assert named(cdf, NAME)["uploaded"]
    assert b"\\x1b[31m.bin: 1 byte in 1 part" in done.stdout
    assert b"\x1b" not in done.stdout + done.stderr
    several = run("upload", folder, folder / "none\x1b]31m", env={"PYTHONIOENCODING": encoding})
    assert several.returncode == 1
    assert b"\x1b" not in several.stdout + several.stderr


def test_a_name_of_two_lines_is_one_line_in_the_list(cdf: Emulator, run: Run) -> None:
    assert run("upload", "-", "--name", "a\nb  done", input=b"x").returncode == 0
    listed = run("uploads", "--recent").stdout.decode().splitlines()
    assert len(listed) == 1
    assert listed[0].endswith("a\\nb  done")


def test_several_files_in_a_log_are_lines_that_steer_no_terminal(
    cdf: Emulator, folder: Path, run: Run
) -> None:
    for no in range(20):
        (folder / f"{no}\x1b[31m.bin").write_bytes(bytes(2 * MIB))
    done = run("upload", folder)
    told = done.stderr.decode()
    assert done.returncode == 0
    assert not {"\x1b", "\r"} & set(told)
    assert 1 <= len(told.splitlines()) <= 12
    assert told.splitlines()[-1].startswith("20 of 20 files: 40 MiB in ")


def test_a_wrong_option_does_not_steer_the_terminal(run: Run) -> None:
    done = run("upload", "a", "--no-such\x1b[31m")
    assert (done.returncode, b"\x1b" in done.stderr) == (2, False)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX shells")
def test_a_reader_that_leaves_early_fails_nothing(cdf: Emulator, folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"x")
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "cognite_nb_upload", "upload", folder / "a.bin"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False)
    os.close(writer)
    assert (done.returncode, b"Broken" in done.stderr) == (0, False)
    assert named(cdf, "a.bin")["uploaded"]


def test_a_program_without_streams_uploads(cdf: Emulator, folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"x")
    code = (
        "import sys; sys.stdout = sys.stderr = None\n"
        "from cognite_nb_upload import CogniteClient, upload_many\n"
        "from cognite_nb_upload.__main__ import main\n"
        "from cognite_nb_upload.progress import bars\n"
        f"client, path = CogniteClient(), {str(folder / 'a.bin')!r}\n"
        "with bars(client.files.start_upload(path, name='bars')) as shown: pass\n"
        "upload_many(client, [path], name='many')\n"
        "sys.exit(main(['upload', path]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == 0
    assert {"a.bin", "many"} <= {one["name"] for one in cdf.files() if one["uploaded"]}


def test_a_user_without_a_home_uploads_and_is_told(cdf: Emulator, folder: Path) -> None:
    (folder / "a.bin").write_bytes(b"x")
    code = (
        "import pwd, sys\n"
        "def nobody(uid): raise KeyError(uid)\n"
        "pwd.getpwuid = nobody\n"
        "from cognite_nb_upload.__main__ import main\n"
        f"sys.exit(main(['upload', {str(folder / 'a.bin')!r}]) or main(['uploads']))"
    )
    env = {**os.environ}
    for name in ("HOME", "XDG_STATE_HOME", "COGNITE_NB_UPLOAD_STATE"):
        env.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"cannot be remembered without a home folder" in done.stderr
    assert b"No upload is unfinished." in done.stdout
    assert named(cdf, "a.bin")["uploaded"]
    assert [one.name for one in folder.iterdir()] == ["a.bin"]


# --- the commands themselves ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("command", "module", "extra"),
    [
        (["emulator"], "starlette", "emulator"),
        (["demo"], "starlette", "emulator"),
        (["lab"], "jupyterlab", "lab"),
    ],
)
def test_a_missing_extra_is_named(command: list[str], module: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        f"from cognite_nb_upload.__main__ import main; sys.exit(main({command}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=False, text=True, timeout=30
    )
    assert done.returncode == 1
    assert f"pip install 'cognite_nb_upload[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_missing_in_the_environment_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("CDF_PROJECT")
    assert main(["upload", "a.bin"]) == 1
    assert "Missing in the environment: CDF_PROJECT." in capsys.readouterr().err


def test_the_console_script_is_the_same(run: Run) -> None:
    import tomllib

    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert scripts == {"cognite-nb-upload": "cognite_nb_upload.__main__:main"}
    helped = run("--help").stdout.decode()
    for command in ("upload", "uploads", "resume", "download", "demo", "lab", "emulator"):
        assert f"\n    {command} " in helped


def test_a_hint_names_the_commands_options(folder: Path, run: Run) -> None:
    path = folder / "a.bin"
    path.write_bytes(b"bytes")
    assert run("upload", path, "--external-id", "a").returncode == 0
    taken = run("upload", path, "--external-id", "a", "--name", "b")
    said = taken.stderr.decode()
    assert taken.returncode == 1
    assert "Replace that file (overwrite=True, --overwrite), or choose another external id." in said
