"""Secrets in a real kernel with `%xmode Verbose`, and in a notebook that was executed and saved."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import nbclient
import nbformat
import pytest
from cells import Kernel
from support import PART, some_bytes

from cognite_nb_upload.emulator import Emulator, Fault, emulator

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

SECRET = "planted-client-secret-4711"
EXPIRED = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
QUERY = re.compile(r"signature=|expires=\d")

SETUP = f"""
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
from pathlib import Path
from cognite_nb_upload import *
from cognite_nb_upload.progress import bars
quick = dict(retry=Retry(attempts=2, base_s=0.01), uploaded_wait_s=0.2)
client = AsyncCogniteClient.from_env(**quick)
blocking = CogniteClient.from_env(**quick)
how = dict(part_size={PART}, external_id="x", overwrite=True)
"""


@pytest.fixture
def cdf() -> Iterator[Emulator]:
    with emulator(token=SECRET, faults=True, strict_storage=True) as running:
        yield running


@pytest.fixture
def variables(cdf: Emulator, tmp_path: Path) -> dict[str, str]:
    """A sign-in by client secret, from the environment."""
    return {
        "CDF_URL": cdf.base_url,
        "CDF_PROJECT": cdf.project,
        "IDP_TOKEN_URL": f"{cdf.base_url}/oauth/token",
        "IDP_CLIENT_ID": "emulator",
        "IDP_CLIENT_SECRET": SECRET,
        "COGNITE_NB_UPLOAD_STATE": str(tmp_path / "journals"),
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "big.segy"
    made.write_bytes(some_bytes(PART) + some_bytes(PART, seed=1))
    return made


def planted_in(tmp_path: Path) -> set[str]:
    """The client secret, and what the journals of unfinished uploads hold."""
    words = {SECRET}
    for journal in (tmp_path / "journals").glob("*.journal"):
        text = journal.read_text()
        words |= set(re.findall(r"signature=([0-9a-f]+)", text))
        words |= set(re.findall(r'"upload_id":"(\w+)"', text))
    return words


def found(words: set[str], text: str) -> list[str]:
    leaks = [text.find(word) for word in words if word in text]
    leaks += [match.start() for match in QUERY.finditer(text)]
    return [text[max(0, at - 80) : at] + "<here>" for at in leaks]


FAILURES = {
    "a part is refused": Fault("status", "part", status=400, times=None),
    "the connection breaks": Fault("reset_after", "part", times=None),
    "URLs expire": Fault("status", "part", status=403, body=EXPIRED, times=None),
    "it is not completed": Fault("status", "complete", status=400, times=None),
    "there is another size": Fault(
        "status", "download", status=206, headers={"content-range": "bytes 0-0/7"}, times=None
    ),
}


def test_a_verbose_traceback_in_a_kernel_shows_no_secret(
    cdf: Emulator, variables: dict[str, str], path: Path, tmp_path: Path
) -> None:
    shown = ""
    with Kernel(**variables) as kernel:
        kernel.run(SETUP + "%xmode Verbose\n")
        for no, fault in enumerate(FAILURES.values()):
            cdf.clear_faults()
            cdf.inject(fault)
            name = f"name='{no}.bin', external_id='{no}', part_size={PART}"
            for call in (
                f"await client.files.upload({str(path)!r}, {name})",
                f"blocking.files.upload({str(path)!r}, {name})",
                f"u = client.files.upload({str(path)!r}, {name})\nwith bars(u): u.result()",
            ):
                cell = kernel.begin(call).result()
                assert cell.error, call
                shown += "\n".join([cell.text, cell.value, *cell.error])
        shown += kernel.run("uploads()").value + kernel.run("[client, blocking.config]").value
        words = planted_in(tmp_path)
        assert len(words) > 5
        assert "files.upload" in shown
        assert "DEBUG:httpcore" in shown
        assert found(words, shown) == []


def test_an_executed_notebook_holds_no_secret_widgets_included(
    cdf: Emulator, variables: dict[str, str], path: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    for no, kind in enumerate(("reset_mid", "status")):  # each part has two tries
        cdf.inject(Fault(kind, "part", part=no))
    cells = [
        SETUP,
        f"u = client.files.upload({str(path)!r}, **how)\nb = bars(u)\nu",
        "await u",
        "u.to_frame()",
        "u.state",
        "client, client.config, client.config.credentials, blocking",
        f"v = client.files.upload({str(path)!r}, name='stopped', part_size={PART})\n"
        "v.stop()\nrepr(v), uploads()",
        "from cognite_nb_upload import errors\n"
        "try:\n    await v\nexcept errors.UploadToolkitError as error:\n    print(repr(error))",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in cells])
    nbclient.NotebookClient(notebook, kernel_name="python3", store_widget_state=True).execute()
    saved = json.dumps(notebook)
    assert "Uploaded big.segy" in saved
    assert "application/vnd.jupyter.widget-state+json" in saved
    assert len(cdf.fired()) == 2
    assert found(planted_in(tmp_path), saved) == []
    assert os.environ["IDP_CLIENT_SECRET"] == SECRET
