"""The two faces are one: what the async face has, the blocking one has too, with the same names."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from typing import Any

import pytest
from support import config_of

from cognite_nb_upload import (
    AsyncCogniteClient,
    CogniteClient,
    FileMultipartUploadSession,
    Token,
)
from cognite_nb_upload.api.catalog import AsyncCatalog
from cognite_nb_upload.batch.files import AsyncManyFiles
from cognite_nb_upload.blocking import Catalog, Files
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.transfer.files import UploadContentFields, UploadFields

TWINS = [(AsyncManyFiles, Files), (AsyncCatalog, Catalog), (AsyncCogniteClient, CogniteClient)]
# The engine's way in; an upload is driven through the session, or through its handle.
OF_THE_ENGINE = set(
    "network store through config session new_session open_new open_existing "
    "absent_since open_whole open_in_one try_whole mend_overwritten cdf_ms retrieve_named "
    "update_each ids_of download_urls instances open_node_whole retrieve_instances "
    "fresh_url retrieve_target connect_ahead try_size".split()
)
# Handles, for whom a blocking call would be of no use; and what the other face has by `__init__`.
BLOCKING_ALONE = {"start_upload", "start_upload_content", "limits"}
# These return a handle at once on one face, and the result on the other; see below.
UPLOADS = {"upload", "upload_content", "resume_upload"}


def public(face: type) -> dict[str, Any]:
    return {name: getattr(face, name) for name in dir(face) if not name.startswith("_")}


def pairs() -> list[tuple[str, Any, Any]]:
    return [
        (f"{theirs.__name__}.{name}", method, getattr(ours, name, None))
        for theirs, ours in TWINS
        for name, method in public(theirs).items()
        if name not in OF_THE_ENGINE | UPLOADS
    ]


@pytest.mark.parametrize(("theirs", "ours"), [pair[1:] for pair in pairs()],
                         ids=[pair[0] for pair in pairs()])  # fmt: skip
def test_each_public_method_has_a_twin_with_the_same_signature(theirs: Any, ours: Any) -> None:
    assert ours is not None
    if isinstance(theirs, property):
        assert isinstance(ours, property)
        return
    mine, other = inspect.signature(ours), inspect.signature(theirs)
    assert list(mine.parameters.values()) == list(other.parameters.values())
    assert ours.__doc__
    assert not inspect.iscoroutinefunction(ours)
    if "Opening" not in str(other.return_annotation):
        assert mine.return_annotation == other.return_annotation


def test_the_blocking_face_has_nothing_else() -> None:
    for theirs, ours in TWINS:
        extra = public(ours).keys() - public(theirs).keys()
        assert extra <= BLOCKING_ALONE


def test_an_opening_has_become_a_session_when_the_blocking_call_returns() -> None:
    for name in ("multipart_upload_session", "multipart_upload_content_session"):
        signature = inspect.signature(getattr(Files, name))
        assert signature.return_annotation == "FileMultipartUploadSession"


def keywords(method: Any, fields: type) -> set[str]:
    """The names a method takes, those of its `**fields` among them."""
    parameters = inspect.signature(method).parameters
    named = {name for name, one in parameters.items() if one.kind is not one.VAR_KEYWORD}
    takes_fields = len(named) < len(parameters)
    return named | (fields.__annotations__.keys() if takes_fields else set())


@pytest.mark.parametrize(
    ("name", "fields"),
    [("upload", UploadFields), ("upload_content", UploadContentFields), ("resume_upload", dict)],
)
def test_an_upload_takes_the_same_on_both_faces(name: str, fields: type) -> None:
    theirs, ours = getattr(AsyncManyFiles, name), getattr(Files, name)
    if fields is dict:
        assert list(inspect.signature(theirs).parameters.values()) == list(
            inspect.signature(ours).parameters.values()
        )
    else:
        assert keywords(theirs, fields) == keywords(ours, fields)


def test_one_session_serves_both_faces() -> None:
    methods = public(FileMultipartUploadSession)
    assert inspect.iscoroutinefunction(methods["upload_part_async"])
    assert not inspect.iscoroutinefunction(methods["upload_part"])
    for name in ("__enter__", "__exit__", "__aenter__", "__aexit__"):
        assert hasattr(FileMultipartUploadSession, name)


# --- it works wherever it is called -----------------------------------------------------------


def test_it_works_in_a_script_and_in_a_thread(cdf: Emulator, client: CogniteClient) -> None:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(len(client.files.list())))
    thread.start()
    thread.join(60)
    assert found == [len(client.files.list())]


@pytest.mark.anyio
async def test_it_works_inside_a_running_event_loop(cdf: Emulator, client: CogniteClient) -> None:
    with client.files.multipart_upload_session("a", 1) as session:
        session.upload_part(0, b"x")
    assert cdf.content(session.file_metadata.id) == b"x"


def test_many_threads_may_share_one_client(cdf: Emulator, client: CogniteClient) -> None:
    def one(no: int) -> None:
        with client.files.multipart_upload_session(f"file {no}", 1) as session:
            session.upload_part(0, b"%d" % no)

    threads = [threading.Thread(target=one, args=(no,)) for no in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(cdf.content(file["id"]) for file in cdf.files()[2:]) == [
        b"%d" % no for no in range(8)
    ]


class Door:
    """Credentials that let all in but the first, who waits until it is opened."""

    def __init__(self, token: str) -> None:
        self._token = Token(token)
        self._first = threading.Lock()
        self.reached, self.opened = threading.Event(), threading.Event()

    def authorization_header(self) -> tuple[str, str]:
        if self._first.acquire(blocking=False):
            self.reached.set()
            assert self.opened.wait(30)
        return self._token.authorization_header()


def test_what_waits_in_one_thread_does_not_hold_up_another(
    cdf: Emulator, connect: Callable[..., CogniteClient]
) -> None:
    door, found = Door(cdf.token), []
    client = connect(credentials=door)
    waiting = threading.Thread(target=lambda: found.append(client.files.list()))
    waiting.start()
    assert door.reached.wait(30)
    assert len(client.files.list()) == 2
    assert found == []
    door.opened.set()
    waiting.join(30)
    assert len(found[0]) == 2


def test_after_a_fork_the_child_has_a_loop_of_its_own(cdf: Emulator) -> None:
    import os

    with CogniteClient(config_of(cdf)) as client:
        client.files.list()  # the loop of this process runs
        child = os.fork()
        if child == 0:  # no pytest in here: it only answers by its exit status
            status = 1
            try:
                with CogniteClient(config_of(cdf)) as mine:
                    status = 0 if len(mine.files.list()) == 2 else 2
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert len(client.files.list()) == 2
