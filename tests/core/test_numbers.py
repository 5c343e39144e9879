"""Numbers and flags as people have them."""

from __future__ import annotations

import math
from datetime import timedelta
from threading import TIMEOUT_MAX
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cognite_nb_upload.core.numbers import as_flag, as_rate, as_seconds, as_size, as_wait, whole
from cognite_nb_upload.core.plan import show_bytes
from cognite_nb_upload.errors import UsageError

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (64 * MIB, 64 * MIB),
        (8e6, 8_000_000),
        (np.int64(7), 7),
        (np.float64(8e6), 8_000_000),
        ("67108864", 64 * MIB),
        ("8e6", 8_000_000),
        ("8_000_000", 8_000_000),
        ("64MiB", 64 * MIB),
        (" 64 mib ", 64 * MIB),
        ("64 MB", 64_000_000),
        ("64M", 64 * MIB),
        ("64Mi", 64 * MIB),
        ("1.5 GiB", 1536 * MIB),
        ("2 TB", 2 * 10**12),
        ("5 kB", 5000),
        ("17 bytes", 17),
        ("17B", 17),
    ],
)
def test_a_size_is_bytes_or_text_with_its_unit(value: Any, size: int):
    found = as_size("part_size", value)
    assert (type(found), found) == (int, size)


@given(st.integers(0, 2**40))
def test_a_size_as_it_is_shown_is_read_again(size: int):
    shown = show_bytes(size)
    assert as_size("size", shown) == pytest.approx(size, rel=0.01)


WRONG = [8.5, math.nan, math.inf, True, None, "", "64 parts", "MiB", "1,5 GiB", "-5", "1e999", [1]]


@pytest.mark.parametrize("value", [*WRONG, "1 iB", "5 megabytes", "5 Mbit"])
def test_what_is_no_size_is_refused_by_the_keyword(value: Any):
    with pytest.raises(UsageError, match=r"^part_size is a number of bytes, such as .*, not "):
        as_size("part_size", value)


@pytest.mark.parametrize(
    ("value", "rate"),
    [
        (1e7, 1e7),
        (10_000_000, 1e7),
        (np.float32(8), 8.0),
        (math.inf, math.inf),
        ("1e7", 1e7),
        ("10MB", 1e7),
        ("10 MB/s", 1e7),
        ("10MBps", 1e7),
        ("10 MiB/s", 10 * MIB),
        ("80 Mbit/s", 1e7),
        ("80Mbps", 1e7),
        ("80 Mb/s", 1e7),
        ("800 bits", 100.0),
    ],
)
def test_a_rate_is_bytes_per_second_or_text_with_its_unit(value: Any, rate: float):
    assert as_rate("max_bandwidth", value) == rate


@pytest.mark.parametrize(
    "value", [0, -1, "0", *(one for one in WRONG if one not in (8.5, math.inf))]
)
def test_what_is_no_rate_is_refused_by_the_keyword(value: Any):
    with pytest.raises(UsageError, match=r"^max_bandwidth is .* above 0, such as .*, not "):
        as_rate("max_bandwidth", value)


@pytest.mark.parametrize(
    ("values", "flag"),
    [
        ([True, 1, 1.0, "True", "true", " YES ", "on", "1", "1.0", np.True_, np.int64(1)], True),
        ([False, 0, 0.0, "False", "FALSE", "no", "off", "0", "0.0", np.False_, np.int64(0)], False),
    ],
)
def test_a_flag_is_yes_or_no_in_words_too(values: list[Any], flag: bool):
    assert [as_flag("overwrite", value) for value in values] == [flag] * len(values)


@pytest.mark.parametrize("value", [None, "", "maybe", 2, math.nan, [], [True]])
def test_what_is_neither_is_refused_by_the_keyword(value: Any):
    with pytest.raises(UsageError, match=r"^overwrite is True or False, not "):
        as_flag("overwrite", value)


@pytest.mark.parametrize("value", [0, -1, math.nan, "60", None, True])
def test_seconds_are_a_number_above_0(value: Any):
    with pytest.raises(UsageError, match=r"^timeout_s is a number of seconds above 0, not "):
        as_seconds("timeout_s", value)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        (None, None),
        (math.inf, None),
        (3, 3.0),
        (-1, 0.0),
        (np.float32(2), 2.0),
        (1e99, TIMEOUT_MAX),
    ],
)
def test_a_wait_is_seconds_or_as_long_as_it_takes(value: Any, wait_s: float | None):
    assert as_wait("timeout_s", value) == wait_s


@pytest.mark.parametrize("value", ["3", True, math.nan, timedelta(seconds=3)])
def test_what_is_no_wait_is_refused_by_the_keyword(value: Any):
    with pytest.raises(UsageError, match=r"^timeout_s is a number of seconds or None, not "):
        as_wait("timeout_s", value)


def test_what_stands_for_an_int_is_one_and_a_bool_is_not():
    assert [whole(one) for one in (7, np.int64(7), True, 7.0, "7", None)] == [7, 7] + [None] * 4
