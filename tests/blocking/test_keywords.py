"""Every keyword is shown with its default, and a misspelt one is answered with the nearest."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
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


# A kernel that has just begun: what other tests leave behind in a process is not a cell's.
TAB = """
import json, sys
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from cognite_nb_upload import AsyncCogniteClient, ClientConfig, CogniteClient, Token, upload_many

config = ClientConfig(
    client_name="tests", project="p", base_url="http://127.0.0.1:9", credentials=Token("t")
)
names = {
    "client": CogniteClient(config),
    "native": AsyncCogniteClient(config),
    "upload_many": upload_many,
}
shell = InteractiveShell()
shell.user_ns.update(names)
offered = {}
for call in sys.argv[1:]:
    cell = f"{call}({'client, ' if call == 'upload_many' else ''}'x', "
    with provisionalcompleter():
        found = shell.Completer.completions(cell, len(cell))
        offered[call] = [one.text for one in found if one.text.endswith("=")]
print(json.dumps(offered))
"""


def test_tab_offers_the_keywords_in_a_cell(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TAB, *CALLS],
        env={**os.environ, "IPYTHONDIR": str(tmp_path)},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    offered = json.loads(done.stdout.splitlines()[-1])
    for call, keywords in CALLS.items():
        assert {f"{name}=" for name in keywords} <= set(offered[call]), call


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
        ("assetIds", "asset_ids"),
        ("partSize", "part_size"),
        ("NAME", "name"),
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


OWN = {
    "retrieve": ("externalId", "external_id"),
    "size": ("externalId", "external_id"),
    "delete": ("externalID", "external_id"),
    "update": ("Set", "set"),
    "download": ("maxConcurrency", "max_concurrency"),
    "start_download": ("instanceId", "instance_id"),
    "download_url": ("ID", "id"),
    "list": ("Limit", "limit"),
    "manifest": ("filters", "filter"),
}


@pytest.mark.parametrize("call", OWN)
@pytest.mark.parametrize("blocking", [True, False])
def test_a_call_that_names_its_keywords_answers_an_unknown_one_too(
    names: dict[str, Any], cdf: Emulator, call: str, blocking: bool
) -> None:
    method, (wrong, nearest) = (
        getattr(names["client" if blocking else "native"].files, call),
        OWN[call],
    )

    async def awaited() -> None:
        await method(**{wrong: "x"})

    with pytest.raises(UsageError) as refused:
        method(**{wrong: "x"}) if blocking else asyncio.run(awaited())
    assert str(refused.value) == f"{call} takes no {wrong!r}; did you mean {nearest!r}?"
    assert wrong not in inspect.signature(method).parameters
    assert nearest in inspect.signature(method).parameters
    assert not cdf.requests()


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
