"""Every keyword is shown with its default, and a misspelt one is answered with the nearest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from support import config_of

from cognite_nb_upload import AsyncCogniteClient, CogniteClient, UsageError, upload_many
from cognite_nb_upload.batch.options import ManyFields
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.models import FIELDS
from cognite_nb_upload.transfer.files import UploadContentFields, UploadFields

UPLOAD = set(UploadFields.__annotations__) | {"dry_run"}
CONTENT = set(UploadContentFields.__annotations__) | {"dry_run"}
MANY = set(ManyFields.__annotations__)
CALLS = {
    "client.files.upload": UPLOAD,
    "client.files.start_upload": UPLOAD - {"dry_run"},
    "client.files.upload_content": CONTENT,
    "client.files.start_upload_content": CONTENT - {"dry_run"},
    "client.files.start_many": MANY,
    "client.files.check_many": MANY,
    "native.files.upload": UPLOAD,
    "native.files.upload_content": CONTENT,
    "native.files.start_many": MANY,
    "native.files.check_many": MANY,
    "upload_many": MANY | {"dry_run", "progress"},
}


@pytest.fixture
def names(client: CogniteClient, cdf: Emulator) -> dict[str, Any]:
    native = AsyncCogniteClient(config_of(cdf))
    return {"client": client, "native": native, "upload_many": upload_many}


def found(names: dict[str, Any], call: str) -> Callable[..., Any]:
    return eval(call, dict(names))


@pytest.mark.parametrize("call", CALLS)
def test_the_signature_shows_every_keyword_with_its_default(
    names: dict[str, Any], call: str
) -> None:
    parameters = inspect.signature(found(names, call)).parameters
    keywords = {name: one for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY}
    assert keywords.keys() == CALLS[call]
    assert not any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    assert all(one.annotation is not one.empty for one in keywords.values())
    for name, default in {"resume": True, "verify": "size", "part_size": None}.items():
        if name in keywords:
            assert keywords[name].default == default
    fields = [name for name in keywords if name in FIELDS]
    assert fields == [name for name in FIELDS if name in keywords]


@pytest.fixture
def complete(names: dict[str, Any]) -> Iterator[Callable[[str], set[str]]]:
    """What Tab offers in a cell."""
    shell = InteractiveShell()
    shell.user_ns.update(names)

    def complete(cell: str) -> set[str]:
        with provisionalcompleter():
            return {one.text for one in shell.Completer.completions(cell, len(cell))}

    yield complete
    shell.history_manager.end_session()


@pytest.mark.parametrize("call", CALLS)
def test_tab_offers_the_keywords_in_a_cell(complete: Callable[[str], set[str]], call: str) -> None:
    first = "client, 'x'" if call == "upload_many" else "'x'"
    offered = complete(f"{call}({first}, ")
    assert {f"{name}=" for name in CALLS[call]} <= offered


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("data_set", "data_set_id"),
        ("dataSetId", "data_set_id"),
        ("part_sise", "part_size"),
        ("maxbandwidth", "max_bandwidth"),
        ("dryrun", "dry_run"),
        ("overwrit", "overwrite"),
        ("externalid", "external_id"),
    ],
)
def test_a_misspelt_keyword_is_answered_with_the_nearest_of_all(
    client: CogniteClient, wrong: str, nearest: str
) -> None:
    with pytest.raises(UsageError) as refused:
        client.files.upload(b"x", name="a", **{wrong: 1})  # type: ignore[call-overload]
    assert str(refused.value) == f"upload takes no {wrong!r}; did you mean {nearest!r}?"
    assert not getattr(refused.value, "__notes__", ())
    with pytest.raises(UsageError, match=f"^upload_many takes no {wrong!r}; did you mean '"):
        upload_many(client, ["a"], **{wrong: 1})


def test_a_keyword_like_no_other_is_answered_with_all(client: CogniteClient) -> None:
    with pytest.raises(UsageError, match=r"^upload_content takes no 'zzz'; it takes content, dry_"):
        client.files.upload_content(b"x", zzz=1)  # type: ignore[call-overload]


def test_two_misspelt_ones_are_both_named(client: CogniteClient) -> None:
    with pytest.raises(UsageError) as refused:
        client.files.upload(b"x", nam="a", labls=["b"])  # type: ignore[call-overload]
    assert str(refused.value) == (
        "upload takes no 'labls'; did you mean 'labels'? "
        "upload takes no 'nam'; did you mean 'name'?"
    )
