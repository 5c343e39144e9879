"""Reloading the package, by hand or by autoreload, breaks neither what runs nor any client."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from IPython.extensions.autoreload import superreload
from support import sha256
from upload_rig import PART, Gate, config_for, content_of, file_of, until_true

import cognite_nb_upload
from cognite_nb_upload import CogniteClient
from cognite_nb_upload.core import secret
from cognite_nb_upload.emulator import Emulator, emulator


@pytest.fixture
def cdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COGNITE_NB_UPLOAD_STATE", str(tmp_path / "state"))
    with emulator() as running:
        yield running


def _modules() -> list[str]:
    return [name for name in sys.modules if name.startswith("cognite_nb_upload.")]


def test_37_a_reload_while_an_upload_runs_is_refused_in_a_sentence_and_it_goes_on(
    cdf: Emulator, tmp_path: Path
) -> None:
    gate = Gate(content_of(2), PART // 2)
    with CogniteClient(config_for(cdf)) as client:
        upload = client.files.start_upload(gate, name="a", part_size=PART)
        until_true(lambda: gate.reads)
        importlib.reload(cognite_nb_upload)
        before = {name: id(sys.modules[name]) for name in _modules()}
        assert len(before) > 50
        for name in before:
            with pytest.raises(ImportError, match="is not reloaded: running uploads") as caught:
                importlib.reload(sys.modules[name])
            assert "Restart the kernel" in str(caught.value)
        gate.open()
        done = upload.result(30)
        assert cdf.sha256(done.id) == sha256(content_of(2))
        again = client.files.upload(file_of(tmp_path, 1), part_size=PART)
        assert cdf.sha256(again.id) == sha256(content_of(1))


def test_37_autoreload_leaves_a_module_that_was_edited_as_it_was() -> None:
    """What `%autoreload 2` does to a module that it cannot patch."""
    before = dict(vars(secret))
    with pytest.raises(ImportError, match=r"core\.secret is not reloaded"):
        superreload(secret, old_objects={})
    assert vars(secret) == before
