"""Row 31: a child forked from a client, in any state, shares nothing with its parent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from certificates import Authority
from support import sha256
from upload_rig import content_of, environment_of, short_of

from cognite_nb_upload.emulator import Emulator, emulator

PROGRAM = Path(__file__).with_name("forking.py")

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@pytest.fixture(params=["tls", "plain"])
def there(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Emulator, dict]]:
    """An emulator, and the environment that leads a program to it."""
    authority = Authority(tmp_path)
    secure = request.param == "tls"
    with emulator(tls=authority.issue("localhost") if secure else None, process=True) as cdf:
        environment = environment_of(cdf)
        environment["COGNITE_NB_UPLOAD_STATE"] = str(tmp_path / "state")
        if secure:
            environment["CDF_URL"] = f"https://localhost:{cdf.port}"
            environment["SSL_CERT_FILE"] = authority.file
        yield cdf, environment


SLOW = [(how, 12) for how in ("idle", "one", "eight", "all", "thread", "c")]


@pytest.mark.parametrize(
    ("how", "count"),
    [("idle", 6), ("all", 6), *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)],
)
def test_31_whatever_the_parent_does_its_forked_workers_and_itself_send_the_right_bytes(
    how: str, count: int, there: tuple[Emulator, dict], tmp_path: Path
) -> None:
    cdf, environment = there
    ended = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", PROGRAM, how, str(count), tmp_path],
        env=environment, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = json.loads(ended.stdout)
    workers = {int(seed): number for seed, number in told["workers"].items()}
    assert {seed: cdf.sha256(number) for seed, number in workers.items()} == {
        seed: sha256(short_of(seed)) for seed in range(count)
    }
    parent = {int(seed): number for seed, number in told["parent"].items()}
    assert len(parent) == {"one": 1, "eight": 1, "all": 4, "c": 4}.get(how, 0)
    for seed, number in parent.items():
        parts = [content_of(1, seed + no) for no in range(8 if how == "eight" else 1)]
        assert cdf.sha256(number) == sha256(b"".join(parts))
    assert {cdf.sha256(number) for number in told["warm"]} == {sha256(short_of(0))}
