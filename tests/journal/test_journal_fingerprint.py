from __future__ import annotations

import hashlib
import os
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from journals import mark

from cognite_nb_upload.core.plan import GIB, KIB, MIB
from cognite_nb_upload.errors import SourceChanged
from cognite_nb_upload.journal.fingerprint import Fingerprint, sample_blocks, sample_hashes
from cognite_nb_upload.sources import BytesSource, FileSource

HERE = {"project": "acme", "base_url": "https://cdf.example/", "part_size": 6 * MIB}


def _print_of(path: Path) -> Fingerprint:
    source = FileSource.open(path)
    try:
        return Fingerprint.of(source, **HERE)
    finally:
        source.close()


def test_a_file_left_alone_has_the_same_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "big.segy"
    path.write_bytes(os.urandom(MIB))
    first = _print_of(path)
    assert first == _print_of(path)
    assert (first.source, first.name, first.size) == (str(path), "big.segy", MIB)
    assert len(first.samples) == 7


def test_another_file_of_the_same_name_size_and_time_is_told_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "big.segy"
    path.write_bytes(bytes(MIB))
    first = _print_of(path)
    times = (path.stat().st_atime_ns, path.stat().st_mtime_ns)
    path.unlink()
    path.write_bytes(os.urandom(MIB))
    os.utime(path, ns=times)
    second = _print_of(path)
    assert first.key == second.key
    with pytest.raises(SourceChanged, match="its bytes are others"):
        first.check(second)


def test_a_file_that_was_written_to_is_refused_by_its_time(tmp_path: Path) -> None:
    path = tmp_path / "big.segy"
    path.write_bytes(bytes(MIB))
    first = _print_of(path)
    os.utime(path, ns=(0, 1_000_000_000_000_000_001))
    with pytest.raises(SourceChanged, match=r"is 2001-09-09 01:46:40\.000000001 UTC"):
        first.check(_print_of(path))


def test_a_file_that_grew_is_refused_by_its_size() -> None:
    with pytest.raises(SourceChanged, match=r"its size was 25165824 bytes and is 7"):
        mark().check(mark(size=7, samples=()))


def test_another_inode_alone_is_no_reason_to_refuse() -> None:
    mark().check(mark(inode=43))


def test_a_browsers_file_is_told_by_name_size_time_and_bytes() -> None:
    picked = mark(source="browser:big.segy", inode=0)
    picked.check(mark(source="browser:big.segy", inode=0))
    assert picked.key == mark(source="browser:big.segy", size=1).key
    with pytest.raises(SourceChanged):
        picked.check(mark(source="browser:big.segy", inode=0, samples=("other",)))


def test_bytes_in_memory_are_the_upload_that_they_hold() -> None:
    one, two = BytesSource(b"one", "x.bin"), BytesSource(b"two", "x.bin")
    again = Fingerprint.of(BytesSource(b"one", "x.bin"), **HERE)
    assert Fingerprint.of(one, **HERE).key == again.key
    assert Fingerprint.of(one, **HERE).key != Fingerprint.of(two, **HERE).key


@pytest.mark.parametrize("asked", [{"metadata": {"source": "x"}}, {"overwrite": True}])
def test_what_is_asked_of_cdf_is_part_of_which_upload_it_is(asked: dict[str, object]) -> None:
    source = BytesSource(b"one", "x.bin")
    assert Fingerprint.of(source, **HERE, **asked).key != Fingerprint.of(source, **HERE).key


def test_the_order_of_metadata_and_a_slash_after_the_url_make_no_difference() -> None:
    source = BytesSource(b"one", "x.bin")
    here = {**HERE, "metadata": {"a": 1, "b": 2}}
    there = {**HERE, "metadata": {"b": 2, "a": 1}, "base_url": "https://cdf.example"}
    assert Fingerprint.of(source, **here) == Fingerprint.of(source, **there)


@given(st.integers(0, 1000 * GIB))
def test_samples_lie_within_the_file_and_take_in_both_ends(size: int) -> None:
    blocks = sample_blocks(size)
    assert blocks[0][0] == 0
    assert blocks[-1][0] + blocks[-1][1] == size
    assert all(a + n <= b for (a, n), (b, _) in pairwise(blocks))
    assert sum(n for _, n in blocks) <= 448 * KIB


def test_a_small_source_is_hashed_whole_and_an_empty_one_too() -> None:
    assert sample_hashes(lambda at, n: b"abc"[at : at + n], 3) == (
        hashlib.sha256(b"abc").hexdigest(),
    )
    assert sample_hashes(lambda at, n: b"", 0) == (hashlib.sha256(b"").hexdigest(),)


def test_a_change_in_any_sampled_block_is_seen() -> None:
    content = bytearray(2 * MIB)
    before = sample_hashes(lambda at, n: content[at : at + n], len(content))
    for at, size in sample_blocks(len(content)):
        content[at + size // 2] ^= 1
        assert sample_hashes(lambda at, n: content[at : at + n], len(content)) != before
        content[at + size // 2] ^= 1
