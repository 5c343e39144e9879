"""A job of 300 files is killed at random moments, with faults on, and the same line goes on."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import fired

from cognite_nb_upload.emulator import Emulator, Fault, emulator

FILES = 300
LINE = """
import faulthandler, sys
faulthandler.dump_traceback_later(120, exit=True)  # where it hangs, its threads are told
from cognite_nb_upload import CogniteClient, upload_many

frame = upload_many(
    CogniteClient.from_env(), sys.argv[1], recursive=True, progress=False, part_size=6 << 20
)
left = frame[frame["status"] != "done"]
print(left[["path", "status", "error"]].to_string())
sys.exit(len(left) > 0)
"""


@pytest.fixture
def apart() -> Iterator[Emulator]:
    """In a process of its own, which no kill of ours reaches."""
    with emulator(process=True, faults=True) as running:
        yield running


def tree(folder: Path) -> dict[str, bytes]:
    """300 small files in subfolders, and two in parts; by directory and name."""
    dice, made = random.Random(15), {}
    for no in range(FILES):
        made[f"/s{no % 7}/f{no:03}.bin"] = dice.randbytes(dice.randrange(0, 40_000))
    for no in range(2):
        made[f"/big/b{no}.bin"] = dice.randbytes(7 << 20)
    for name, content in made.items():
        (folder / name[1:]).parent.mkdir(parents=True, exist_ok=True)
        (folder / name[1:]).write_bytes(content)
    return made


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_killed_at_random_moments_cdf_holds_each_file_once(apart: Emulator, tmp_path: Path) -> None:
    made = tree(tmp_path / "files")
    dice = random.Random(7)
    found = {"CDF_URL": apart.base_url, "CDF_PROJECT": apart.project, "CDF_TOKEN": apart.token}
    environment = {**os.environ, **found, "COGNITE_NB_UPLOAD_STATE": str(tmp_path / "state")}
    killed, returned = 0, None
    for _ in range(40):
        apart.clear_faults()  # those that a killed run did not meet: they would only be waited for
        for route in ("put", "part"):
            apart.inject(Fault("status", route, status=503, times=3))
            apart.inject(Fault("reset_mid", route, times=3))
            apart.inject(Fault("lost_answer", route, times=3))
        with subprocess.Popen(
            [sys.executable, "-c", LINE, tmp_path / "files"], env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        ) as process:  # fmt: skip
            try:
                told, _ = process.communicate(timeout=None if killed >= 5 else dice.uniform(0.7, 2))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                killed += 1
                continue
        assert "Timeout (" not in told, told
        returned = process.returncode
        if returned == 0:
            break
    assert returned == 0, told
    assert killed >= 2
    assert {"status", "reset_mid", "lost_answer"} <= {kind for kind, _ in fired(apart)}
    there = [one for one in apart.files() if one["uploaded"] and "directory" in one]
    names = Counter(f"{one['directory']}/{one['name']}" for one in there)
    assert {name: count for name, count in names.items() if count > 1} == {}
    assert names.keys() == made.keys()
    for one in there:
        content = made[f"{one['directory']}/{one['name']}"]
        assert apart.sha256(one["id"]) == hashlib.sha256(content).hexdigest()
