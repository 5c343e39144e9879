"""What an engine shows of orders: nothing; and over which networks they may go."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from upload_rig import PART, config_for, file_of, until

from cognite_nb_upload import CogniteClient, UsageError
from cognite_nb_upload import cluster as cluster_room
from cognite_nb_upload.cluster.trust import is_trusted
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.emulator import Emulator
from cognite_nb_upload.journal import folder
from cognite_nb_upload.journal.writer import replay

distributed = pytest.importorskip("distributed")

PAGES = (
    "info/main/workers.html", "info/logs.html", "json/counts.json", "json/identity.json",
    "metrics", "health", "info/events/cognite_nb_upload.html", "info/events/all.html",
)  # fmt: skip


@pytest.mark.slow
def test_no_log_page_dump_or_spilled_file_shows_a_url_or_a_token(
    cdf: Emulator, tmp_path: Path
) -> None:
    big = file_of(tmp_path, 8)
    spill = tmp_path / "spill"
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, host="127.0.0.1", dashboard_address="127.0.0.1:0",
            local_directory=str(spill), security=distributed.Security.temporary(),
        ) as cluster,
        distributed.Client(cluster) as dask,
        CogniteClient(config_for(cdf)) as client,
    ):  # fmt: skip
        assert dask.scheduler.address.startswith("tls://")
        upload = client.files.start_upload(
            big, engine=dask, part_size=PART, max_bandwidth=8 * MIB, progress=False
        )
        until(upload, lambda state: len(state.workers) == 2 and state.stored)
        urls = _urls(upload)
        tasks = list(cluster.scheduler.tasks)
        shown = {f"{name} before": data for name, data in _everything(dask, tmp_path).items()}
        known = dask.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.worker_plugins])
        assert any(name.startswith("cognite_nb_upload") for name in known)
        upload.set_limits(max_bandwidth=float("inf"))
        upload.result()
        shown |= _everything(dask, tmp_path)
        shown["files"] = b"".join(one.read_bytes() for one in spill.rglob("*") if one.is_file())
        left = dask.run_on_scheduler(lambda dask_scheduler: [*dask_scheduler.worker_plugins])
        assert not any(name.startswith("cognite_nb_upload") for name in left)
    assert any("upload part" in str(key) for key in tasks)
    assert b"upload part" in shown["dump before"]  # the order was there to be seen, sealed
    assert len(urls) == 8
    secrets = {cdf.token, *(url.partition("?")[2] for url in urls)}
    assert all(len(one) > 10 for one in secrets)
    for where, data in shown.items():
        assert not [one for one in secrets if one.encode() in data], where


def _urls(upload: Any) -> list[str]:
    """Those of its parts, as the journal has them."""
    known = replay(folder.path_of_id(upload.id, folder.state_folder()))
    assert known.opened
    return [url.reveal() for url in known.opened.urls]


def _everything(dask: Any, place: Path) -> dict[str, bytes]:
    """What somebody with the dashboard, the logs and the client can look at."""
    dask.dump_cluster_state(str(place / "dump"), exclude=(), format="yaml")
    (dump,) = place.glob("dump*.yaml")
    found = {
        "dump": dump.read_bytes(),
        "worker logs": repr(dask.get_worker_logs(n=None)).encode(),
        "scheduler logs": repr(dask.get_scheduler_logs(n=None)).encode(),
        "events": repr(dask.get_events()).encode(),
    }
    base = dask.dashboard_link.removesuffix("status")
    for page in PAGES:
        try:
            with urllib.request.urlopen(base + page, timeout=30) as answer:
                found[page] = answer.read()
        except urllib.error.HTTPError:
            continue
    assert "json/counts.json" in found
    return found


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("tls://10.1.2.3:8786", True), ("inproc://10.1.2.3/4711/1", True),
        ("tcp://127.0.0.1:8786", True), ("tcp://[::1]:8786", True), ("wss://example.com:1", True),
        ("tcp://10.1.2.3:8786", False), ("tcp://example.com:8786", False),
        ("ucx://10.1.2.3:1", False), ("ws://example.com:1", False), ("10.1.2.3:8786", False),
    ],
)  # fmt: skip
def test_what_is_encrypted_or_stays_here_is_trusted(address: str, trusted: bool) -> None:
    assert is_trusted(address) is trusted


def test_an_address_of_a_network_is_refused_before_anything_is_sent(
    client: CogniteClient, cdf: Emulator, tmp_path: Path
) -> None:
    before = len(cdf.requests())
    with pytest.raises(UsageError, match=r"tcp://192\.0\.2\.7:8786 is neither .*trust_network"):
        client.files.upload(file_of(tmp_path, 1), engine="tcp://192.0.2.7:8786")
    assert len(cdf.requests()) == before


@pytest.mark.parametrize("engine", [7, "somewhere", object()], ids=["number", "word", "object"])
def test_what_is_no_engine_is_told(client: CogniteClient, tmp_path: Path, engine: object) -> None:
    with pytest.raises(UsageError, match="engine is a Dask Client"):
        client.files.upload(file_of(tmp_path, 1), engine=engine)


def test_content_that_workers_cannot_open_is_refused(client: CogniteClient) -> None:
    with pytest.raises(UsageError, match="the path of one that all machines share"):
        client.files.upload(b"x", name="x", engine="tcp://127.0.0.1:1")


def test_without_dask_the_extra_is_named(
    client: CogniteClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    monkeypatch.delitem(sys.modules, "cognite_nb_upload.cluster.dask", raising=False)
    monkeypatch.delattr(cluster_room, "dask", raising=False)
    with pytest.raises(UsageError, match=r"pip install 'cognite_nb_upload\[dask\]'"):
        client.files.upload(file_of(tmp_path, 1), engine="tcp://127.0.0.1:1")
