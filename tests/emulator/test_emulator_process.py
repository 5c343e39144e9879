"""The command line, and an emulator in a process of its own."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest
from certificates import Authority

from cognite_nb_upload.emulator import Fault, Settings, emulator
from cognite_nb_upload.emulator.cli import _settings, main, parser

MIB = 1024**2
COMMAND = [sys.executable, "-m", "cognite_nb_upload.emulator"]


def run(*options, **keywords):
    return subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True, **keywords)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_prints_one_line_and_ends_cleanly(number):
    with run("--project", "p", "--token", "t", stderr=subprocess.PIPE) as process:
        told = json.loads(process.stdout.readline())
        assert told.keys() == {"base_url", "project", "token"}
        assert (told["project"], told["token"]) == ("p", "t")
        headers = {"authorization": "Bearer t"}
        answer = httpx.get(told["base_url"] + "/api/v1/token/inspect", headers=headers)
        assert answer.json()["projects"][0]["projectUrlName"] == "p"
        process.send_signal(number)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, rest, errors) == (0, "", "")


def test_a_token_may_come_from_the_environment_or_from_chance():
    tokens = []
    for extra in ({"CDF_EMULATOR_TOKEN": "from the environment"}, {}, {}):
        with run(env=os.environ | extra) as process:
            tokens.append(json.loads(process.stdout.readline())["token"])
            process.terminate()
    assert tokens[0] == "from the environment"
    assert tokens[1] != tokens[2]
    assert len(tokens[1]) >= 32


def test_the_key_of_a_real_store_is_not_taken_on_the_command_line(capsys, tmp_path):
    with pytest.raises(SystemExit):
        main(["--storage", "s3://KEY:planted@127.0.0.1:1/bucket"])
    said = capsys.readouterr().err
    assert "--storage-file" in said
    assert "CDF_EMULATOR_STORAGE" in said
    assert "planted" not in said
    with pytest.raises(SystemExit):
        main(["--storage-file", str(tmp_path / "missing")])
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("way", ["file", "variable"])
def test_the_key_of_a_real_store_comes_from_a_file_or_a_variable(way, tmp_path):
    url = "s3://KEY:planted@127.0.0.1:1/bucket"
    (tmp_path / "storage").write_text(url + "\n")
    options = ["--storage-file", str(tmp_path / "storage")] if way == "file" else []
    told = parser().parse_args(options)
    environment = {} if way == "file" else {"CDF_EMULATOR_STORAGE": url}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        assert _settings(_options(told)).storage == url


def _options(told):
    left = vars(told)
    return {name: left[name] for name in left if name not in ("port", "root", "from_stdin")}


def test_the_command_explains_itself_and_its_mistakes(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    assert ended.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for field in fields(Settings):
        assert f"--{field.name.rstrip('s').replace('_', '-')}" in said
    assert "Whether a part is refused for a missing Content-Length (411)" in said
    assert "can read a command line: $CDF_EMULATOR_TOKEN is better" in said
    with pytest.raises(SystemExit) as ended:
        main(["--store", "tape"])
    assert ended.value.code == 2


def test_switches_reach_the_emulator_in_its_process():
    with emulator(process=True, faults=True, write_scope=[7], repeated_complete="refuse") as cdf:
        assert psutil.Process(cdf.pid).is_running()
        assert cdf.token not in " ".join(psutil.Process(cdf.pid).cmdline())
        api = f"{cdf.base_url}/api/v1/projects/demo"
        headers = {"authorization": f"Bearer {cdf.token}"}
        body = {"name": "a", "dataSetId": 7}
        made = httpx.post(api + "/files", json=body, headers=headers).json()
        cdf.inject(Fault("status", "put"))
        assert [httpx.put(made["uploadUrl"], content=b"x").status_code for _ in range(2)] == [
            503,
            200,
        ]
        assert cdf.content(made["id"]) == b"x"
        assert [each["route"] for each in cdf.fired()] == ["put"]
        del body["dataSetId"]
        assert httpx.post(api + "/files", json=body, headers=headers).status_code == 403
    assert [row["route"] for row in cdf.requests()] == ["create", "put", "put", "create"]
    assert not psutil.pid_exists(cdf.pid)
    assert not cdf.root.exists()


def test_an_emulator_that_is_killed_keeps_its_state(tmp_path):
    with emulator(root=tmp_path, process=True, min_part_size=1) as cdf:
        api = f"{cdf.base_url}/api/v1/projects/demo"
        headers = {"authorization": f"Bearer {cdf.token}"}
        init = f"{api}/files/initmultipartupload?parts=2"
        made = httpx.post(init, json={"name": "a"}, headers=headers).json()
        assert httpx.put(made["uploadUrls"][0], content=b"kept ").status_code == 200
        os.kill(cdf.pid, signal.SIGKILL)
    with emulator(root=tmp_path, port=cdf.port, token=cdf.token, min_part_size=1) as again:
        assert httpx.put(made["uploadUrls"][1], content=b"safe").status_code == 200
        body = {"id": made["id"], "uploadId": made["uploadId"]}
        httpx.post(f"{api}/files/completemultipartupload", json=body, headers=headers)
        assert again.content(made["id"]) == b"kept safe"


def test_an_interrupt_of_the_group_is_the_parents() -> None:
    """A notebook's interrupt and Ctrl+C reach all processes: what is being sent needs its CDF."""
    with emulator(process=True) as cdf:
        assert cdf.pid
        os.kill(cdf.pid, signal.SIGINT)
        for _ in range(50):
            assert cdf.requests() == []


def test_an_emulator_does_not_outlive_its_parent(eventually):
    code = (
        "from cognite_nb_upload.emulator import emulator; import os, signal\n"
        "with emulator(process=True) as cdf:\n"
        "    print(cdf.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False)
    assert done.returncode == -signal.SIGKILL
    eventually(lambda: not psutil.pid_exists(int(done.stdout)))


def test_a_port_that_is_taken_is_an_error_at_once(capfd):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for process in (False, True):
            with pytest.raises((OSError, RuntimeError)), emulator(port=port, process=process):
                pass
    assert capfd.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("process", [False, True])
def test_it_speaks_tls(tmp_path, process):
    authority = Authority(tmp_path)
    context = ssl.create_default_context(cafile=authority.file)
    tls = authority.issue("127.0.0.1", "localhost")
    data = os.urandom(3 * MIB)
    with (
        emulator(tls=tls, process=process, faults=True) as cdf,
        httpx.Client(verify=context, trust_env=False) as http,
    ):
        assert cdf.base_url.startswith("https://")
        headers = {"authorization": f"Bearer {cdf.token}"}
        made = http.post(
            f"{cdf.base_url}/api/v1/projects/demo/files/initmultipartupload?parts=1",
            json={"name": "a"},
            headers=headers,
        ).json()
        (url,) = made["uploadUrls"]
        for kind in ("reset_mid", "close_mid", "stall", "lost_answer"):
            cdf.inject(Fault(kind, "part"))
            leaves = 0.5 if kind == "stall" else 60
            while kind not in [row["kind"] for row in cdf.fired()]:  # it may leave before that
                with pytest.raises(httpx.TransportError):
                    http.put(url, content=data, timeout=leaves)
        cdf.inject(Fault("early_status", "part"))
        assert http.put(url, content=data).status_code == 503
        assert http.put(url, content=data).status_code == 200
        body = {"id": made["id"], "uploadId": made["uploadId"]}
        path = "/api/v1/projects/demo/files/completemultipartupload"
        assert http.post(cdf.base_url + path, json=body, headers=headers).status_code == 200
        assert cdf.content(made["id"]) == data
        assert len(cdf.fired()) == 5


def put_zeros(url, size):
    """PUTs `size` zeros over a bare socket; its own memory stays small as well."""
    address, block = urlsplit(url), memoryview(bytes(MIB))
    with socket.create_connection((address.hostname, address.port)) as client:
        head = f"PUT {address.path}?{address.query} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        client.sendall(f"{head}Content-Length: {size}\r\n\r\n".encode())
        while size:
            size -= client.send(block[: min(size, MIB)])
        return client.recv(1000).partition(b"\r\n")[0]


@pytest.mark.slow
def test_a_large_part_costs_it_no_memory():
    with emulator(process=True, checksums=False) as cdf:
        process = psutil.Process(cdf.pid)
        made = httpx.post(
            f"{cdf.base_url}/api/v1/projects/demo/files/initmultipartupload?parts=2",
            json={"name": "a"},
            headers={"authorization": f"Bearer {cdf.token}"},
        ).json()
        assert put_zeros(made["uploadUrls"][0], 20 * MIB) == b"HTTP/1.1 200 OK"
        before = peak(process)
        assert put_zeros(made["uploadUrls"][1], 1024 * MIB) == b"HTTP/1.1 200 OK"
        assert peak(process) - before < 8 * MIB


def peak(process):
    """The most memory that the process ever had, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_a_disk_that_refuses_to_write_is_said_and_survived(start):
    api = start(process=True)
    session = api.init(2)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.prlimit(api.cdf.pid, resource.RLIMIT_FSIZE, (MIB, limit[1]))
    response = api.put(session["uploadUrls"][0], bytes(8 * MIB))
    assert response.status_code == 507
    assert "File too large" in response.text
    resource.prlimit(api.cdf.pid, resource.RLIMIT_FSIZE, limit)
    api.send(session, bytes(8 * MIB), b"end")
