"""The benchmarks' own arithmetic, and the sink that they trust."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import measures
import pytest
import rig
from measures import LIMIT, OURS, SDKS, Row
from report import results


def reading(seconds: float, cpu_s: float = 1.0) -> rig.Reading:
    return {
        "seconds": seconds,
        "bytes": rig.GIB,
        "cpu_s": cpu_s,
        "rss_added_mib": 5.0,
        "loop_lag_p99_ms": 4.0,
        "sink_cpu_s": 0.1,
    }


ROUNDS = {
    SDKS[0]: [reading(4, 4), reading(8, 4), reading(4, 4)],
    SDKS[1]: [reading(9, 3), reading(9, 3), reading(9, 3)],
    OURS: [reading(1, 1), reading(1, 1), reading(2, 1)],
    LIMIT: [reading(1), reading(1), reading(1)],
}


def test_throughput_is_a_ratio_of_medians_against_the_faster_sdk():
    row = measures.throughput(ROUNDS, "throughput", 2.5, 4)
    assert (row.value, row.spread, row.verdict) == (4, (2, 8), "aim")


def test_cpu_is_held_against_the_thriftier_sdk():
    assert measures.cpu_share(ROUNDS).value == pytest.approx(1 / 3)


def test_a_row_says_whether_it_was_reached():
    assert Row("speed", 2.4, must=2.5, aim=4).verdict == "missed"
    assert Row("speed", 2.5, must=2.5, aim=4).verdict == "must"
    assert Row("memory", 8, must=16, aim=8, more_is_better=False).verdict == "aim"
    assert Row("memory", 17, must=16, aim=8, more_is_better=False).verdict == "missed"


def test_the_report_shows_what_was_missed():
    missed = Row("speed", 2.4, must=2.5, aim=4, unit="x")
    words = {"command": "run.py", "rounds": 3, "size": "2 GiB", "small": "300 files"}
    text = results([missed], {"TLS": ROUNDS}, {"load before": "0.1"}, None, **words)
    assert "| speed | **2.40x** |  | 2.5x | 4x | **missed** |" in text


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
@pytest.mark.parametrize("decrypt", [False, True])
def test_the_sink_counts_every_byte_over_tls(tmp_path: Path, decrypt: bool):
    rig.build()
    path = tmp_path / "odd"
    path.write_bytes(bytes(20 * rig.MIB + 12345))
    with rig.sink(tls=True, decrypt=decrypt) as sink:
        rig.c_client(sink.storage, path, sink.ca, at_once=3, part_mib=7)
        assert sink.received() == path.stat().st_size


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_the_sink_says_the_size_of_what_the_sdk_sent(tmp_path: Path):
    rig.build()
    path = tmp_path / "some"
    path.write_bytes(b"some bytes")
    with rig.sink(tls=False) as sink:
        sent = rig.script("sdk", sink.api, path, sink.ca)
        url = f"{sink.storage}/get/{sent['file_id']}"
        reply = httpx.get(url, headers={"range": "bytes=0-0"}, trust_env=False)
    assert reply.headers["content-range"] == "bytes 0-0/10"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler")
def test_the_fixed_cost_of_an_upload_is_measured():
    command = [sys.executable, rig.HERE / "fixed_cost.py", "--uploads", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = json.loads(done.stdout)
    assert 0 < told["quartiles_ms"][0] <= told["median_ms"] <= told["quartiles_ms"][1]
    assert told["cpu_ms"] > 0
