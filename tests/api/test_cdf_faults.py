"""Trouble with CDF itself: requests that are repeated, and those that must not be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest
from proxy import Line
from support import config_of, fired, quick, routes, seen, until

from cognite_nb_upload import (
    APIError,
    AsyncCogniteClient,
    CDFUnreachable,
    CogniteClient,
    FileMultipartUploadSession,
)
from cognite_nb_upload.core import events as ev
from cognite_nb_upload.core.state import Phase, UploadState
from cognite_nb_upload.emulator import Emulator, Fault, emulator

Connect = Callable[..., CogniteClient]
LOST = ["lost_answer", "close_answer", "half_answer", "reset_after", "close_after", "garbage"]
CARRIED_OUT = ["lost_answer", "close_answer", "half_answer"]


def sent(client: CogniteClient) -> FileMultipartUploadSession:
    """A session whose only part is stored."""
    session = client.files.multipart_upload_session("a", 1, external_id="one")
    session.upload_part(0, b"x")
    return session


# --- 5, 6, 18: any request ------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_5_a_request_that_may_be_repeated_is(
    status: int, cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault("status", "byids", status=status, times=2))
    assert client.files.retrieve(id=8_000_000_000_001) is not None
    assert len(cdf.fired()) == 2
    assert routes(cdf) == ["byids"] * 3


@pytest.mark.parametrize("kind", [*LOST, "reset_before", "close_before", "reset_mid"])
def test_a_lost_answer_is_asked_for_again_where_that_is_harmless(
    kind: str, cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault(kind, "list", times=2))
    assert len(client.files.list()) == 2
    assert fired(cdf) == [(kind, "list")] * 2


def test_5_a_status_is_repeated_where_cdf_says_so(cdf: Emulator, client: CogniteClient) -> None:
    headers = {"cdf-is-auto-retryable": "true"}
    cdf.inject(Fault("status", "list", status=409, headers=headers, times=2))
    assert len(client.files.list()) == 2
    assert len(cdf.fired()) == 2


@pytest.mark.parametrize("status", [400, 403, 404, 409, 422])
def test_what_cdf_refuses_is_not_repeated(
    status: int, cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault("status", "list", status=status, times=None))
    with pytest.raises(APIError, match=f"{status}: A fault that was asked for") as caught:
        client.files.list()
    assert caught.value.code == status
    assert routes(cdf) == ["list"]


def test_the_tries_end_and_what_cdf_said_is_told(cdf: Emulator, client: CogniteClient) -> None:
    cdf.inject(Fault("status", "list", status=503, times=None, headers={"x-request-id": "r-17"}))
    with pytest.raises(APIError, match="503") as caught:
        client.files.list()
    assert caught.value.request_id == "r-17"
    assert routes(cdf) == ["list"] * 4


def test_6_a_retry_after_that_is_too_long_is_named(cdf: Emulator, client: CogniteClient) -> None:
    cdf.inject(Fault("status", "list", status=429, retry_after=86400, times=None))
    with pytest.raises(APIError) as caught:
        client.files.list()
    assert "come back in 86400 s" in str(caught.value.__notes__)
    assert routes(cdf) == ["list"]


@pytest.mark.parametrize(
    "date",
    [
        "Mon, 18 May 2026 10:00:00 -0000",
        "Mon, 18 May 20260000000000000000 10:00:00 GMT",
        "Fri, 31 Dec 9999 23:59:59 -2359",
        "soon",
    ],
)
@pytest.mark.parametrize("route", ["list", "put"])
def test_6_an_odd_date_of_a_server_breaks_no_retry(
    cdf: Emulator, client: CogniteClient, date: str, route: str
) -> None:
    asked = "Mon, 18 May 2026 10:00:00 GMT"
    cdf.inject(Fault("status", route, status=503, retry_after=asked, headers={"date": date}))
    uploaded = client.files.upload(b"x", name="a")
    assert uploaded.id in [one.id for one in client.files.list()]
    assert fired(cdf) == [("status", route)]


def test_an_error_that_is_plain_text_is_shown(cdf: Emulator, client: CogniteClient) -> None:
    cdf.inject(Fault("status", "list", status=400, body='{"error": "plain words"}'))
    with pytest.raises(APIError, match="400: plain words"):
        client.files.list()
    cdf.inject(Fault("status", "list", status=404, body="<html>gone</html>"))
    with pytest.raises(APIError, match="404: Not Found"):
        client.files.list()


def test_11_a_login_page_in_place_of_json_is_no_answer(
    cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault("html", "list", times=None))
    with pytest.raises(APIError, match="not the JSON that CDF gives") as caught:
        client.files.list()
    assert "login page" in str(caught.value.__notes__)
    assert fired(cdf) == [("html", "list")]


@pytest.fixture
def line(cdf: Emulator) -> Iterator[Line]:
    with Line(cdf.port) as line:
        yield line


def test_18_cdf_out_of_reach_is_waited_out_by_time(
    cdf: Emulator, line: Line, connect: Connect
) -> None:
    client = connect(base_url=f"http://127.0.0.1:{line.port}", retry=quick(attempts=1))
    line.down()
    waited: list[str] = []

    def heard(state: UploadState, event: ev.Event) -> None:
        if isinstance(event, ev.Waiting) and event.reason:
            waited.append(event.reason)
            if len(waited) == 3:
                line.up()

    line.up()
    session = sent(client)
    line.down()
    session.listen(heard)
    with session:
        pass
    assert session.file_metadata.uploaded
    assert len(waited) >= 3
    assert "the connection was refused; trying again in" in waited[0]


def test_18_a_host_that_is_not_known_is_told_by_its_name() -> None:
    with emulator(strict_storage=True) as cdf:
        config = config_of(cdf, base_url="https://cdf.invalid", retry=quick(offline_s=0))
    with (
        CogniteClient(config) as client,
        pytest.raises(CDFUnreachable, match=r"cdf.invalid gave no answer.*name could not be") as e,
    ):
        client.files.list()
    assert "base_url" in str(e.value.__notes__)


# --- 16: init -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [*LOST, "reset_before", "reset_mid"])
def test_16_an_init_whose_answer_is_lost_makes_one_file(
    kind: str, cdf: Emulator, client: CogniteClient
) -> None:
    before = len(cdf.files())
    cdf.inject(Fault(kind, "init"))
    with client.files.multipart_upload_session("a", 1, external_id="one") as session:
        session.upload_part(0, b"x")
    assert fired(cdf) == [(kind, "init")]
    assert len(cdf.files()) == before + 1
    assert cdf.content(session.file_metadata.id) == b"x"
    # It was looked up before anything was repeated.
    follows = "multiuploadlink" if kind in CARRIED_OUT else "init"
    assert routes(cdf)[:3] == ["init", "byids", follows]


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_16_a_status_that_leaves_open_what_was_done_is_looked_into(
    status: int, cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault("status", "init", status=status))
    client.files.multipart_upload_session("a", 1, external_id="one")
    assert routes(cdf) == ["init", "byids", "init"]
    assert len(cdf.fired()) == 1


def test_16_without_an_external_id_it_is_said_what_may_be_left_behind(
    cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault("lost_answer", "init"))
    with pytest.raises(CDFUnreachable, match="did not say whether it began the upload of 'a'") as e:
        client.files.multipart_upload_session("a", 1)
    assert "may hold an empty file of this name" in str(e.value.__notes__)
    assert routes(cdf) == ["init"]


def test_16_a_false_409_is_seen_through(cdf: Emulator, client: CogniteClient) -> None:
    """The first init is carried out late: the look-up finds nothing, and the second says 409."""
    cdf.inject(Fault("lost_answer", "init"))
    cdf.inject(Fault("status", "byids", status=200, body='{"items": []}'))
    session = client.files.multipart_upload_session("a", 1, external_id="one")
    assert routes(cdf) == ["init", "byids", "init", "byids", "multiuploadlink"]
    session.upload_part(0, b"x")
    assert len(cdf.fired()) == 2


@pytest.mark.parametrize("other", ["uploaded", "named otherwise", "with a field more"])
def test_16_the_file_of_someone_else_is_left_alone(
    other: str, cdf: Emulator, client: CogniteClient
) -> None:
    name = "b" if other == "named otherwise" else "a"
    source = "another rig" if other == "with a field more" else None
    session = client.files.multipart_upload_session(name, 1, external_id="one", source=source)
    if other == "uploaded":
        with session:
            session.upload_part(0, b"theirs")
    cdf.inject(Fault("reset_after", "init"))
    with pytest.raises(APIError, match="exists already") as caught:
        client.files.multipart_upload_session("a", 1, external_id="one")
    assert caught.value.duplicated == [{"externalId": "one"}]
    assert "multiuploadlink" not in routes(cdf)
    assert len(cdf.fired()) == 1


def test_16_an_overwrite_is_simply_repeated(cdf: Emulator, client: CogniteClient) -> None:
    with sent(client):
        pass
    cdf.inject(Fault("lost_answer", "init"))
    with client.files.multipart_upload_session(
        "a", 1, external_id="one", overwrite=True
    ) as session:
        session.upload_part(0, b"new")
    assert cdf.content(session.file_metadata.id) == b"new"
    assert len(cdf.fired()) == 1


def test_16_an_init_that_is_never_answered_ends(cdf: Emulator, client: CogniteClient) -> None:
    cdf.inject(Fault("reset_after", "init", times=None))
    with pytest.raises(CDFUnreachable, match="when asked to begin the upload of 'a'"):
        client.files.multipart_upload_session("a", 1, external_id="one")
    assert routes(cdf).count("init") == 4
    assert len(cdf.fired()) == 4


@pytest.mark.parametrize("status", [429, 503])
def test_16_an_init_that_was_turned_away_at_the_door_is_repeated(
    status: int, cdf: Emulator, client: CogniteClient
) -> None:
    cdf.inject(Fault("status", "init", status=status, times=2))
    client.files.multipart_upload_session("a", 1)
    assert routes(cdf) == ["init"] * 3
    assert len(cdf.fired()) == 2


# --- 13, 14, 15: complete -------------------------------------------------------------------


@pytest.mark.parametrize("repeated", ["ok", "refuse"])
@pytest.mark.parametrize("kind", LOST)
def test_14_a_completion_whose_answer_is_lost_is_looked_up_and_never_called_failed(
    kind: str, repeated: str
) -> None:
    with (
        emulator(faults=True, repeated_complete=repeated, strict_storage=True) as cdf,
        CogniteClient(config_of(cdf)) as client,
    ):
        session = sent(client)
        cdf.inject(Fault(kind, "complete"))
        with session:
            pass
        assert fired(cdf) == [(kind, "complete")]
        assert session.file_metadata.uploaded
        assert session.state.phase is Phase.DONE
        assert routes(cdf).count("complete") == (1 if kind in CARRIED_OUT else 2)


@pytest.mark.parametrize("repeated", ["ok", "refuse"])
def test_14_also_while_cdf_is_still_putting_the_file_together(repeated: str) -> None:
    """Looking it up says "not uploaded", and a second completion may be refused."""
    with (
        emulator(
            faults=True, repeated_complete=repeated, uploaded_delay_s=1.0, strict_storage=True
        ) as cdf,
        CogniteClient(config_of(cdf)) as client,
    ):
        session = sent(client)
        cdf.inject(Fault("lost_answer", "complete"))
        with session:
            pass
        assert session.file_metadata.uploaded
        assert routes(cdf).count("complete") == 2
        assert len(cdf.fired()) == 1


@pytest.mark.parametrize("status", [500, 502, 504])
def test_14_a_504_on_complete_is_looked_into_and_repeated(
    status: int, cdf: Emulator, client: CogniteClient
) -> None:
    session = sent(client)
    cdf.inject(Fault("status", "complete", status=status))
    with session:
        pass
    assert session.file_metadata.uploaded
    assert routes(cdf)[2:5] == ["complete", "byids", "complete"]
    assert len(cdf.fired()) == 1


def test_14_even_the_last_try_is_looked_into(cdf: Emulator, connect: Connect) -> None:
    session = sent(connect(retry=quick(attempts=1)))
    cdf.inject(Fault("lost_answer", "complete"))
    with session:
        pass
    assert session.file_metadata.uploaded
    assert fired(cdf) == [("lost_answer", "complete")]


def test_14_an_overwritten_file_is_not_taken_for_the_new_one(
    cdf: Emulator, client: CogniteClient
) -> None:
    """It was `uploaded` before, which says nothing of this upload."""
    with sent(client):
        pass
    session = client.files.multipart_upload_session("a", 1, external_id="one", overwrite=True)
    session.upload_part(0, b"new")
    cdf.inject(Fault("reset_after", "complete"))
    with session:
        pass
    assert cdf.content(session.file_metadata.id) == b"new"
    assert len(cdf.fired()) == 1


def test_14_a_completion_that_is_never_answered_ends_and_can_be_tried_again(
    cdf: Emulator, client: CogniteClient
) -> None:
    session = sent(client)
    cdf.inject(Fault("reset_after", "complete", times=None))
    with pytest.raises(CDFUnreachable, match="did not answer when asked to complete"), session:
        pass
    assert session.state.phase is Phase.FAILED
    assert len(cdf.fired()) == 4
    cdf.clear_faults()
    with session:
        pass
    assert session.file_metadata.uploaded


def test_13_when_cdf_misses_a_part_its_words_are_told(cdf: Emulator, client: CogniteClient) -> None:
    """The store answered 200 for a part that CDF then does not have."""
    cdf.inject(Fault("status", "part", status=200, body=""))
    session = client.files.multipart_upload_session("a", 1)
    with pytest.raises(APIError, match="400: Parts are missing") as caught, session:
        session.upload_part(0, b"x")
    assert caught.value.request_id
    assert fired(cdf) == [("status", "part")]


def test_15_uploaded_may_turn_true_later_which_is_a_state_of_its_own() -> None:
    with (
        emulator(uploaded_delay_s=1.0, strict_storage=True) as cdf,
        CogniteClient(config_of(cdf)) as client,
    ):
        session = sent(client)
        phases: list[Phase] = []
        session.listen(lambda state, event: phases.append(state.phase))
        with session:
            pass
        assert session.file_metadata.uploaded
        assert [*dict.fromkeys(phases)] == [Phase.COMPLETING, Phase.ASSEMBLING, Phase.DONE]
        assert routes(cdf).count("byids") > 1
        assert routes(cdf).count("complete") == 1


def test_15_where_it_takes_longer_than_one_waits_that_is_no_error() -> None:
    with (
        emulator(uploaded_delay_s=60, strict_storage=True) as cdf,
        CogniteClient(config_of(cdf, uploaded_wait_s=0.1)) as client,
    ):
        session = sent(client)
        with session:
            pass
        assert not session.file_metadata.uploaded
        assert session.state.phase is Phase.ASSEMBLING


# --- several loops, and cancelling ----------------------------------------------------------


def test_one_client_works_in_several_event_loops(cdf: Emulator) -> None:
    client = AsyncCogniteClient(config_of(cdf))

    async def look() -> int:
        async with client:
            return len(await client.files.list())

    assert [asyncio.run(look()), asyncio.run(look())] == [2, 2]


@pytest.mark.anyio
async def test_closing_the_client_ends_a_request_in_words(cdf: Emulator) -> None:
    cdf.inject(Fault("stall_answer", "list", times=None))
    client = AsyncCogniteClient(config_of(cdf, retry=quick(attempts=1)))
    asking = asyncio.ensure_future(client.files.list())
    await asyncio.to_thread(until, cdf.fired)
    await client.close()
    with pytest.raises(CDFUnreachable):
        await asking
    cdf.clear_faults()
    async with client:  # it may still be used
        assert len(await client.files.list()) == 2


@pytest.mark.anyio
async def test_more_requests_than_connections_wait_their_turn(cdf: Emulator) -> None:
    async with AsyncCogniteClient(config_of(cdf)) as client:
        found = await asyncio.gather(*(client.files.list() for _ in range(60)))
    assert [len(files) for files in found] == [2] * 60


@pytest.mark.anyio
async def test_a_request_that_is_cancelled_ends_at_once(cdf: Emulator) -> None:
    cdf.inject(Fault("stall_answer", "list"))
    async with AsyncCogniteClient(config_of(cdf)) as client:
        asking = asyncio.ensure_future(client.files.list())
        await asyncio.to_thread(until, cdf.fired)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert fired(cdf) == [("stall_answer", "list")]
        assert len(await client.files.list()) == 2
    assert len(seen(cdf, "list")) == 2
