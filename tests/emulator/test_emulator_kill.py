"""A kill at any write: what was answered stays true, and what was not can be asked again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import closing, contextmanager

import httpx
import pytest

from cognite_nb_upload.emulator import emulator

# The emulator in a process that kills itself before or after its nth write.
DYING = """
import os, shutil, signal, sys
left = int(sys.argv.pop(1))

def step():
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

def deadly(owner, name):
    real = getattr(owner, name)
    def wrapped(*given, **named):
        if owner is State and not given[0]._db.in_transaction:
            return real(*given, **named)
        step()
        try:
            return real(*given, **named)
        finally:
            step()
    setattr(owner, name, wrapped)

from cognite_nb_upload.emulator import cli
from cognite_nb_upload.emulator.state import State
for name in ("write", "replace", "mkdir"):
    deadly(os, name)
deadly(shutil, "rmtree")
deadly(State, "_end")
sys.exit(cli.main())
"""


@contextmanager
def running(root, dies_at):
    command = [
        sys.executable,
        "-c",
        DYING,
        str(dies_at),
        "--root",
        str(root),
        "--min-part-size",
        "1",
    ]
    with subprocess.Popen([*command, "--token", "t"], stdout=subprocess.PIPE) as process:
        try:
            line = process.stdout.readline()
            yield json.loads(line)["base_url"] if line else None
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL


class Story:
    """What a client does, and the contents that each file may have after what it was told."""

    def __init__(self, url, token):
        self.http = httpx.Client(trust_env=False, verify=False, timeout=30)
        self.http.headers["authorization"] = f"Bearer {token}"
        self.close = self.http.close
        self.api = f"{url}/api/v1/projects/demo/files"
        self.may_be = {}
        self.done = False

    def post(self, path, body, **query):
        answer = self.http.post(self.api + path, json=body, params=query)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def becomes(self, name, content, work):
        """While `work` goes on the file may be as before or as after it; then only as after."""
        self.may_be[name] = [*self.may_be.get(name, [None]), content]
        work()
        self.may_be[name] = [content]

    def upload(self, name, *parts):
        made = self.post(
            "/initmultipartupload",
            {"name": name, "externalId": name},
            parts=len(parts),
            overwrite=True,
        )
        for url, part in zip(made["uploadUrls"], parts, strict=True):
            assert self.http.put(url, content=part).status_code == 200
        body = {"id": made["id"], "uploadId": made["uploadId"]}
        self.becomes(name, b"".join(parts), lambda: self.post("/completemultipartupload", body))

    def put(self, name, url, content):
        self.becomes(name, content, lambda: self.http.put(url, content=content).raise_for_status())

    def tell(self):
        try:
            self.upload("many", b"one ", b"two")
            single = self.post("", {"name": "single", "externalId": "single"})["uploadUrl"]
            self.put("single", single, b"short")
            self.put("single", single, b"quite a bit longer")
            self.upload("many", b"three")
            self.becomes(
                "many", "gone", lambda: self.post("/delete", {"items": [{"externalId": "many"}]})
            )
            self.done = True
        except httpx.HTTPError:
            pass  # it was killed


def content_of(cdf, name):
    known = {meta.get("externalId"): meta for meta in cdf.files()}
    if name not in known:
        return "gone"
    return cdf.content(known[name]["id"]) if known[name]["uploaded"] else None


@pytest.mark.slow
def test_whatever_write_is_the_last_what_was_answered_stays_true(tmp_path):
    for dies_at in range(1, 200):
        root = tmp_path / str(dies_at)
        with (
            running(root, dies_at) as url,
            closing(Story(url or "http://127.0.0.1:9", "t")) as story,
        ):
            story.tell()
        with emulator(root=root, min_part_size=1) as cdf:
            for name, contents in story.may_be.items():
                allowed = contents if None not in contents else [*contents, "gone"]
                assert content_of(cdf, name) in allowed, (dies_at, name)
            with closing(Story(cdf.base_url, cdf.token)) as again:
                again.upload("many", b"after ", b"all")
            assert content_of(cdf, "many") == b"after all"
            folders = sorted(path.name for path in (root / "store").iterdir())
            assert len(folders) <= 4, folders  # nothing is left that no file wants
        if story.done:
            break
    assert 20 < dies_at < 199
