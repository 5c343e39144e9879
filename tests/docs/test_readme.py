"""The examples of README and guides run as written, with the environment set and nothing else."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cognite_nb_upload.emulator import Emulator

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "docs" / "index.md", *(ROOT / "docs" / "guides").glob("*.md")]
EXAMPLES = {
    f"{page.stem}-{no}": code
    for page in sorted(PAGES)
    for no, code in enumerate(
        re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    )
}
# What an example takes for granted: a file, a client, a frame.
GIVEN = """
import pandas as pd
from cognite_nb_upload import AsyncCogniteClient, CogniteClient, upload_many
from pathlib import Path
Path("big.segy").write_bytes(bytes(12 * 2**20))
Path("small.txt").write_bytes(b"small")
Path("a/folder").mkdir(parents=True)
Path("a/folder/one.txt").write_bytes(b"one")
client = CogniteClient.from_env()
frame = pd.DataFrame({"path": ["big.segy", "small.txt"]})
"""


def environment(cdf: Emulator, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "CDF_URL": cdf.base_url,
        "CDF_PROJECT": cdf.project,
        "CDF_TOKEN": cdf.token,
        "COGNITE_NB_UPLOAD_STATE": str(folder / "state"),
    }


def run(code: str, cdf: Emulator, folder: Path) -> None:
    """Run it as a cell would, with `await` at the top."""
    program = (
        "import ast, asyncio, inspect, sys\n"
        "names = {'__name__': '__main__'}\n"
        "for code in sys.argv[1:]:\n"
        "    done = compile(code, '<cell>', 'exec', ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)\n"
        "    what = eval(done, names)\n"
        "    if inspect.iscoroutine(what): asyncio.run(what)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", program, GIVEN, code],
        cwd=folder,
        env=environment(cdf, folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 8


@pytest.mark.parametrize("code", EXAMPLES.values(), ids=EXAMPLES.keys())
def test_an_example_runs_as_it_is_written(code: str, cdf: Emulator, tmp_path: Path) -> None:
    before = len([file for file in cdf.files() if file["uploaded"]])
    run(code, cdf, tmp_path)
    if "UploadPanel" not in code:
        assert len([file for file in cdf.files() if file["uploaded"]]) > before
