from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cognite_nb_upload.core.retry import RETRYABLE, Retry, http_date, parse_retry_after

NOW = datetime(2026, 5, 7, 12, 0, tzinfo=UTC)
attempts = st.integers(1, 200)


@given(attempt=attempts, seed=st.integers(), most=st.floats(0, 1000), base=st.floats(0, 100))
def test_a_wait_is_never_negative_nor_longer_than_allowed(
    attempt: int, seed: int, most: float, base: float
):
    retry = Retry(attempts=1000, base_s=base, most_s=most, jitter=random.Random(seed))
    wait_s = retry.wait_s(attempt)
    assert wait_s is not None
    assert 0 <= wait_s <= retry.ceiling_s(attempt) <= most


@given(attempt=attempts)
def test_patience_doubles_until_it_is_at_its_most(attempt: int):
    retry = Retry(base_s=0.5, most_s=30)
    assert retry.ceiling_s(1) == 0.5
    assert retry.ceiling_s(attempt + 1) == min(30, 2 * retry.ceiling_s(attempt))


def test_waits_are_spread_over_the_whole_interval():
    retry = Retry(base_s=8, most_s=8, jitter=random.Random(1))
    waits = [retry.wait_s(1) or 0.0 for _ in range(200)]
    assert min(waits) < 1
    assert max(waits) > 7
    assert 3 < sum(waits) / len(waits) < 5


@pytest.mark.parametrize("status", [None, 503])
def test_the_tries_are_counted(status: int | None):
    retry = Retry(attempts=3)
    given_up = [retry.wait_s(attempt, status=status) is None for attempt in (1, 2, 3, 4)]
    assert given_up == [False, False, True, True]


@given(status=st.integers(100, 599))
def test_only_what_may_change_is_tried_again(status: int):
    retry = Retry()
    assert (retry.wait_s(1, status=status) is not None) == (status in RETRYABLE)
    assert retry.wait_s(1, status=status, retryable=True) is not None


def test_what_cdf_and_the_stores_may_recover_from_is_tried_again():
    assert {408, 429, 500, 502, 503, 504} == RETRYABLE


def in_future(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [("7", 7), (" 7 ", 7), ("1.5", 1.5), ("120", 120), (in_future(30), 30)],
)
def test_what_the_server_asks_for_is_honoured(header: str, wait_s: float):
    assert Retry(most_s=1).wait_s(1, status=503, retry_after=header, now=NOW) == wait_s


@pytest.mark.parametrize("header", ["121", "86400", "9" * 400, in_future(86400)])
def test_more_than_the_patience_ends_it(header: str):
    assert Retry(patience_s=120).wait_s(1, status=503, retry_after=header, now=NOW) is None


GARBAGE = ["", "soon", "nan", "inf", "-inf", "1e3", "-5", "1_000", "٣", "0x10", "7, 8", "\x00"]
PASSED = ["0", "0.0", in_future(-5), in_future(0)]


@pytest.mark.parametrize("header", GARBAGE + PASSED)
def test_nonsense_and_the_past_leave_us_to_our_own_patience(header: str):
    ours = Retry(jitter=random.Random(3)).wait_s(4)
    retry = Retry(jitter=random.Random(3))
    assert retry.wait_s(4, status=503, retry_after=header, now=NOW) == ours


def test_a_date_counts_by_the_servers_clock_alone():
    assert parse_retry_after(in_future(30), NOW) == 30
    assert parse_retry_after(in_future(30)) is None
    assert parse_retry_after("Thu, 07 May 2026 12:00:30 -0000", NOW) == 30  # says no zone: UTC
    assert parse_retry_after("Thu, 07 May 2026 14:00:30 +0200", NOW) == 30


@pytest.mark.parametrize(
    "header", ["Thu, 07 May 99999999999 12:00:00 GMT", "07 May", "1 1 1 1 1 1"]
)
def test_a_date_that_cannot_be_says_nothing(header: str):
    assert parse_retry_after(header, NOW) is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Thu, 07 May 2026 12:00:30 GMT", datetime(2026, 5, 7, 12, 0, 30, tzinfo=UTC)),
        ("Thu, 07 May 2026 12:00:30 -0000", datetime(2026, 5, 7, 12, 0, 30, tzinfo=UTC)),
        ("Thu, 07 May 2026 14:00:30 +0200", datetime(2026, 5, 7, 12, 0, 30, tzinfo=UTC)),
        ("Thu, 07 May 20260000000000000000 12:00:00 GMT", None),
        ("Thu, 07 May 2026 12:00:00 +99999999999999999999", None),
        ("Fri, 31 Dec 9999 23:59:59 -2359", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_a_servers_date_is_a_moment_in_utc_or_nothing(text: str | None, moment: datetime | None):
    assert http_date(text) == moment


words = st.sampled_from("Thu, 07 May 2026 12:00:30 GMT +9999 - : 99999999999".split())


@given(text=st.text() | st.lists(words).map(" ".join))
def test_no_header_is_an_error(text: str):
    asked = parse_retry_after(text, NOW)
    assert asked is None or asked >= 0
    now = http_date(text)
    assert now is None or (NOW - now).total_seconds() is not None


def test_what_is_retried_is_not_given_up_for_a_header_on_another_status():
    assert Retry().wait_s(1, status=404, retry_after="1") is None
