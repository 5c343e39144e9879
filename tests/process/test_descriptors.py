"""No file descriptor is left: one sentence, whatever needed it; and the same call goes on after."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from upload_rig import file_of, program

from cognite_nb_upload.emulator import Emulator, emulator

pytest.importorskip("resource")

STARVED = """
import json, os, resource, sys, warnings
from upload_rig import PART
import cognite_nb_upload.blocking, cognite_nb_upload.transfer.work
from cognite_nb_upload import CogniteClient, UploadToolkitError

warnings.simplefilter("ignore")  # that there is no journal is told by other tests
what, path, free = sys.argv[1], sys.argv[2], int(sys.argv[3])
client = CogniteClient.from_env()
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    for _ in range(free):
        os.close(held.pop())

def call():
    if what == "list":
        return len(client.files.list(limit=1))
    return client.files.upload(path, part_size=PART).parts

try:
    said = f"it worked: {call()}"
except UploadToolkitError as error:
    said = str(error)
for fd in held:
    os.close(fd)
print(json.dumps([len(held), said, call()]))
os._exit(0)
"""


@pytest.fixture
def cdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))
    with emulator(process=True) as running:
        yield running


@pytest.mark.parametrize(
    ("what", "free"), [("list", 0), ("list", 2), ("upload", 0), ("upload", 2), ("upload", 4)]
)
def test_no_descriptor_left_is_one_sentence(
    what: str, free: int, cdf: Emulator, tmp_path: Path
) -> None:
    ended = program(cdf, STARVED, what, file_of(tmp_path, 2), free)
    assert ended.returncode == 0, ended.stderr[-2000:]
    held, said, later = json.loads(ended.stdout)
    assert held > 40
    assert said == "No file descriptor is left: this process has too many files open."
    assert later == {"list": 1, "upload": 2}[what]
