"""Names that hold escape codes or turn text around are shown as what they are."""

from __future__ import annotations

from upload_rig import PART, Gate, content_of, until_true

from cognite_nb_upload import CogniteClient
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.progress.watch import bars

HOSTILE = "a\x1b]0;owned\x07\x1b[31m\u202efdp\u2066\u200b.segy"


def test_no_repr_of_an_upload_steers_a_terminal(client: CogniteClient, cdf: Emulator) -> None:
    gate = Gate(content_of(1), PART // 2)
    upload = client.files.start_upload(gate, name=HOSTILE, part_size=PART)
    until_true(lambda: gate.reads)
    shown = [repr(upload), repr(bars(upload))]
    gate.open()
    done = upload.result(30)
    shown += [repr(done), repr(upload), repr(done.file), repr(client.files.list())]
    shown.append(repr(client.files.multipart_upload_session(HOSTILE, 1)))
    for text in shown:
        assert text.isprintable(), ascii(text)
        assert r"\x1b]0;owned\x07" in text
    assert done.name == HOSTILE


def test_no_repr_of_a_failed_upload_steers_a_terminal(client: CogniteClient, cdf: Emulator) -> None:
    cdf.inject(Fault("status", "create", status=400, body='{"error": {"message": "no\\u001b[2J"}}'))
    upload = client.files.start_upload(b"x", name="a")
    until_true(upload.done)
    assert cdf.fired()
    assert repr(upload).isprintable()
    assert r"no\x1b[2J" in repr(upload)
