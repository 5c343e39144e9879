"""Does a file have this external id already, and what would overwriting it do?"""

from __future__ import annotations

from at_once import at_once
from support import fired, seen

from cognite_nb_upload import CogniteClient
from cognite_nb_upload.emulator import Emulator, Fault
from cognite_nb_upload.widgets import MetadataForm


def make_file(client: CogniteClient, external_id: str, name: str = "old.segy") -> None:
    with client.files.multipart_upload_session(name, 1, external_id=external_id) as session:
        session.upload_part(0, b"old")


def write(form: MetadataForm, external_id: str) -> str:
    """Type it, wait for what CDF says, and return the note."""
    form.external_id.input.value = external_id
    assert form.tasks.wait()
    note: str = form.external_id.note.value
    return note


def test_an_id_that_no_file_has_is_free(live: MetadataForm) -> None:
    live.name.input.value = "a"
    assert "Free: no file has it." in write(live, "nv-24")
    assert live.reason == ""


def test_an_id_that_a_file_has_needs_overwrite(live: MetadataForm, client: CogniteClient) -> None:
    make_file(client, "nv-24")
    live.name.input.value = "new.segy"
    note = write(live, "nv-24")
    assert "old.segy" in note
    assert "Tick Overwrite" in note
    assert "has it already" in live.reason
    assert live.value is not None  # it is valid: only CDF would refuse it

    live.external_id.overwrite.value = True  # as somebody ticks it
    assert live.overwrite
    assert live.reason == ""
    assert "is replaced: its content" in live.external_id.note.value
    assert "its assets only if you pick any" in live.external_id.note.value

    live.overwrite = False
    assert not live.external_id.overwrite.value
    assert "has it already" in live.reason


def test_another_id_forgets_what_was_known_of_the_last(
    live: MetadataForm, client: CogniteClient
) -> None:
    make_file(client, "nv-24")
    live.name.input.value = "new.segy"
    write(live, "nv-24")

    def type_it() -> str:
        live.external_id.input.value = "nv-25"
        return str(live.external_id.note.value)

    assert "Looking whether a file has it…" in at_once(type_it)
    assert live.reason == ""
    assert live.tasks.wait()
    live.external_id.input.value = ""
    assert "Free" not in live.external_id.note.value


def test_it_is_asked_once_when_one_stops_typing(live: MetadataForm, cdf: Emulator) -> None:
    def type_it() -> None:
        for typed in ("n", "nv", "nv-", "nv-2", "nv-24"):
            live.external_id.input.value = typed

    at_once(type_it)
    assert live.tasks.wait()
    live.name.input.value = "another field asks nothing"
    assert live.tasks.wait()
    assert len(seen(cdf, "byids")) == 1


def test_an_id_that_is_too_long_is_not_asked_for(live: MetadataForm, cdf: Emulator) -> None:
    assert "has 256 characters" in write(live, "x" * 256)
    assert seen(cdf, "byids") == []


def test_an_upload_that_was_never_completed_has_its_id_too(
    live: MetadataForm, client: CogniteClient
) -> None:
    client.files.multipart_upload_session("half.segy", 1, external_id="nv-24")
    assert "not uploaded yet" in write(live, "nv-24")


def test_where_it_cannot_be_looked_up_it_says_so_and_stops_nobody(
    live: MetadataForm, cdf: Emulator
) -> None:
    cdf.inject(Fault("status", "byids", status=403, body='{"error": {"message": "no"}}'))
    live.name.input.value = "a"
    assert "It could not be looked up" in write(live, "nv-24")
    assert fired(cdf) == [("status", "byids")]
    assert live.reason == ""


def test_overwrite_without_an_external_id_does_nothing_and_says_so(form: MetadataForm) -> None:
    form.overwrite = True
    assert "Overwrite does nothing without an external id." in form.external_id.note.value
