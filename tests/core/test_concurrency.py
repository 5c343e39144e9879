"""How many parts go at once, on links that exist only as arithmetic."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from queued_link import QueuedLink

from cognite_nb_upload.core.concurrency import (
    CALM_S,
    FIRST,
    LITTLE,
    MOST,
    START,
    USUAL,
    Concurrency,
    Step,
    has_room,
)
from cognite_nb_upload.core.plan import MIB

Link = Callable[[int, float], float]
_LOOK_S = 0.2


def driven(
    adapt: Concurrency,
    link: Link,
    seconds: float,
    *,
    busy: int = MOST,
    began_s: float = 0.0,
    **way: Any,
) -> Iterator[Concurrency]:
    """What each look comes to, on a link that says its rate by number at once and time."""
    now_s, moved = began_s, 0.0
    while now_s < began_s + seconds:
        adapt = adapt.look(now_s, round(moved), min(busy, adapt.limit), **way)
        yield adapt
        moved += _LOOK_S * link(min(busy, adapt.limit), now_s)
        now_s += _LOOK_S


def drive(adapt: Concurrency, link: Link, seconds: float, **how: Any) -> list[int]:
    """The limit at each look."""
    return [one.limit for one in driven(adapt, link, seconds, **how)]


def shared(capacity: float, each: float) -> Link:
    """Each connection carries so much, until the link is full."""
    return lambda n, _: min(capacity, n * each)


def noisy(link: Link, share: float, seed: int = 1) -> Link:
    draw = random.Random(seed)
    return lambda n, now_s: link(n, now_s) * (1 + draw.uniform(-share, share))


def test_it_doubles_while_doubling_pays_and_is_at_the_most_within_seconds() -> None:
    limits = drive(Concurrency(), shared(1e12, MIB), 8)
    assert limits[0] == START
    assert limits[-1] == MOST
    assert set(limits) == {4, 8, 16, 32, 64}


@pytest.mark.parametrize(
    ("each", "most"),
    [(0.99 * LITTLE, MOST), (2.02 * LITTLE, 31), (3.5 * LITTLE, 18), (4 * LITTLE, USUAL),
     (40 * LITTLE, USUAL)],
)  # fmt: skip
def test_the_more_each_carries_the_fewer_go_at_once_and_never_fewer_than_sixteen(
    each: float, most: int
) -> None:
    assert max(drive(Concurrency(), shared(1e12, each), 12)) == most


def test_where_packets_are_lost_at_random_many_more_are_tried_at_once() -> None:
    lossy = drive(Concurrency(), shared(1e12, MIB / 3), 4, lossy=True)
    assert lossy[-1] == MOST
    assert set(lossy) == {4, 16, 64}
    assert drive(Concurrency(), shared(1e12, MIB / 3), 4)[-1] == 16


@pytest.mark.parametrize("queue_s", [0.0, 0.04])
def test_many_become_few_again_where_each_begins_to_carry_much(queue_s: float) -> None:
    def link(n: int, now_s: float) -> float:
        return min(300 * MIB, n * (1 if now_s < 20 else 30) * MIB)

    *_, many = driven(Concurrency(), link, 20)
    assert many.limit == MOST
    assert drive(many, link, 20, began_s=20.0, queue_s=queue_s)[-1] <= USUAL


def test_after_a_change_of_the_way_all_is_measured_again() -> None:
    *_, resting = driven(Concurrency(), shared(4 * MIB, MIB), 20)
    assert (resting.step, resting.limit) == (Step.REST, 4)
    unseen, fast = shared(4.5 * MIB, MIB), shared(1e12, MIB)
    assert max(drive(resting, unseen, 10, began_s=20.0)) == 4
    assert drive(resting.changed(20.0), fast, 10, began_s=20.0)[-1] == MOST


def test_a_long_link_gets_a_third_more_after_another_until_its_queue_is_seen() -> None:
    link = QueuedLink(1e9 / 8, 0.1, 0.1, adds=2)
    limits = [one.limit for one in link.driven(Concurrency(), 12)]
    assert all(fewer <= more <= 4 * fewer / 3 for fewer, more in pairwise(limits[:15]))
    assert link.moved >= 0.7 * 12 * link.rate


def test_a_long_link_without_a_queue_gets_32_within_two_seconds_and_16_again_of_fast_ones() -> None:
    assert drive(Concurrency(), shared(1e12, 4 * MIB), 2.5, trip_s=0.1)[-1] == FIRST
    fast = drive(Concurrency(), shared(1e12, 20 * MIB), 8, trip_s=0.1)
    assert (max(fast), fast[-1]) == (FIRST, USUAL)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("loss", "share"), [(0.001, 0.8), (0.01, 0.55)])
def test_where_each_connection_is_slowed_down_by_loss_so_many_go_that_the_link_is_used(
    loss: float, share: float, seed: int
) -> None:
    """Each carries ten times as much before its first packet is lost."""
    draw = random.Random(seed)
    link = QueuedLink(300e6 / 8, 0.05, 0.1, loss=loss, adds=0.55, draw=draw)
    list(link.driven(Concurrency(), 60))
    assert link.moved >= share * 60 * link.rate


def test_where_as_many_as_seemed_enough_are_not_there_is_gone_half_the_way_up() -> None:
    """Sixteen were measured while they were fast; 64 fill the link, and 20 do not."""
    fresh = Concurrency(limit=64, base=16, base_rate=29.0 * MIB, step=Step.DOUBLE)
    limits = drive(fresh, shared(36 * MIB, 1.1 * MIB), 6, trip_s=0.05, queue_s=0.06)
    assert (min(limits), limits[-1] >= 33) == (20, True)


@pytest.mark.parametrize("queue_s", [0.045, 0.0])
def test_where_the_queue_says_that_many_fill_the_link_no_fewer_of_them_are_tried(
    queue_s: float,
) -> None:
    """Without a queue something else holds them all up, and fewer do as well."""
    many = Concurrency(limit=44, base=22, base_rate=34.7e6, step=Step.DOUBLE)
    limits = drive(many, shared(36e6, 36e6), 20, trip_s=0.05, queue_s=queue_s)
    assert (min(limits) == 22) is (queue_s > 0)


def test_a_link_that_drops_what_is_above_a_rate_gets_few_and_is_left_at_that() -> None:
    link = shared(4 * MIB, 4 * MIB)
    limits = drive(Concurrency(), link, 60, trip_s=0.05, lossy=True)
    assert max(limits) == MOST
    assert set(limits[125:]) <= {1, 2}


@pytest.mark.parametrize(
    ("trip_s", "queue_s", "room"),
    [(0.05, 0.0, True), (0.05, 0.02, False), (0.2, 0.015, True), (0.001, 0.0, False)],
)
def test_a_long_way_without_a_queue_has_room(trip_s: float, queue_s: float, room: bool) -> None:
    assert has_room(trip_s, queue_s) is room


def test_a_link_that_one_connection_fills_gets_few() -> None:
    limits = drive(Concurrency(), shared(2.5 * MIB, 2.5 * MIB), 15)
    assert limits[-1] <= 2


def test_a_far_link_that_is_slow_to_begin_gets_few_all_the_same() -> None:
    """Connections are made and get to their rate within eight round trips of 200 ms each."""

    def link(n: int, now_s: float) -> float:
        return 2.5 * MIB * min(1.0, now_s / 1.5)

    assert drive(Concurrency(), link, 25, trip_s=0.2)[-1] <= 2
    adapt = Concurrency().look(0.0, 0, 4).look(0.2, 0, 4)  # nothing of it is known yet
    assert drive(adapt, link, 25, trip_s=0.2)[-1] <= 2
    assert drive(Concurrency(), link, 15)[-1] > 2  # judged while it begins


def test_what_begins_after_another_upload_is_not_judged_while_it_begins() -> None:
    def link(n: int, now_s: float) -> float:
        return 2.5 * MIB * min(1.0, (now_s - 10) / 1.5)

    *_, before = driven(Concurrency(), link, 10, busy=1, trip_s=0.2)
    assert drive(before.begins(10.0), link, 25, trip_s=0.2, began_s=10.0)[-1] <= 2


def test_parts_that_were_begun_before_say_nothing_of_fewer() -> None:
    few = Concurrency(limit=4, base=8, base_rate=8.0 * MIB, step=Step.FEWER)
    for look in range(100):
        few = few.look(look * _LOOK_S, round(look * _LOOK_S * 8 * MIB), 8)
    assert (few.limit, few.step) == (4, Step.FEWER)


def test_a_link_that_more_connections_slow_down_gets_few() -> None:
    limits = drive(Concurrency(), lambda n, _: 2.5 * MIB * (1 - 0.02 * (n - 1)), 15)
    assert limits[-1] <= 2


@pytest.mark.parametrize(
    ("mbit", "trip_s", "queue_s"), [(20, 0.2, 1.0), (20, 0.2, 0.5), (20, 0.05, 1.0), (50, 0.1, 0.5)]
)
def test_a_link_with_a_long_queue_gets_few_within_seconds_and_is_no_slower_for_it(
    mbit: float, trip_s: float, queue_s: float
) -> None:
    link, four = (QueuedLink(mbit * 1e6 / 8, trip_s, queue_s) for _ in range(2))
    begins = list(link.driven(Concurrency(), 15))
    assert max(one.limit for one in begins) == START
    assert begins[-1].limit <= 2
    later = list(link.driven(begins[-1], 45))
    assert max(one.limit for one in later) <= 2
    assert len(link.open) <= 2
    list(four.driven(Concurrency(most=START), 60))
    assert link.moved >= 0.98 * four.moved


def test_a_queue_that_becomes_long_only_later_gets_few_too() -> None:
    link = shared(4 * MIB, 4 * MIB)
    *_, resting = driven(Concurrency(most=4), link, 3, trip_s=0.05, queue_s=0.04)
    assert resting.limit == 4
    assert drive(resting, link, 10, began_s=3.0, trip_s=0.05, queue_s=0.5)[-1] == 1
    rested = replace(resting, step=Step.REST)
    assert drive(rested, link, 10, began_s=3.0, trip_s=0.05, queue_s=0.5)[-1] == 1


def test_where_others_fill_the_queue_no_share_of_the_link_is_given_up_to_them() -> None:
    """Four connections of somebody else's: each of all of them gets as much."""
    limits = drive(Concurrency(), lambda n, _: 8 * MIB * n / (n + 4), 50, trip_s=0.05, queue_s=0.5)
    assert limits[-1] == START
    assert limits.count(2) <= 3 / _LOOK_S  # fewer are tried once, and not again and again


def test_while_a_short_queue_stands_more_are_not_tried_and_fewer_are_not_needed() -> None:
    limits = drive(Concurrency(), shared(4 * MIB, 4 * MIB), 60, trip_s=0.05, queue_s=0.04)
    assert set(limits) == {START}


def test_where_parts_are_over_in_a_moment_some_more_fill_what_their_answers_leave() -> None:
    def link(n: int, _: float) -> float:
        return 36 * MIB * min(1.0, 0.92 + 0.02 * (n - START))

    how = {"trip_s": 0.05, "queue_s": 0.05}
    assert drive(Concurrency(), link, 10, **how)[-1] == START + START // 2
    slower = drive(Concurrency(), lambda n, now_s: link(n, now_s) / 3, 10, **how)
    assert set(slower) == {START}  # their parts take long


@pytest.mark.parametrize("seed", range(5))
def test_where_some_more_bring_nothing_it_rests(seed: int) -> None:
    link = noisy(shared(36 * MIB, 36 * MIB), 0.02, seed)
    limits = drive(Concurrency(), link, 40, trip_s=0.05, queue_s=0.05)
    assert set(limits) == {START, START + START // 2}
    assert set(limits[30:]) == {START}


def test_once_the_queue_is_gone_more_are_tried() -> None:
    link = shared(1e12, MIB)
    *_, waits = driven(Concurrency(), link, 5, trip_s=0.05, queue_s=0.04)
    assert waits.limit == START
    assert drive(waits, link, 10, began_s=5.0, trip_s=0.05, queue_s=0.002)[-1] == MOST


def test_a_link_that_is_about_to_be_full_is_not_judged_while_it_fills() -> None:
    def link(n: int, now_s: float) -> float:
        return 2.5 * MIB * min(1.0, 0.5 + now_s / 20)

    assert max(drive(Concurrency(), link, 10, trip_s=0.2, queue_s=0.03)) == START
    assert max(drive(Concurrency(), link, 10, trip_s=0.2)) > START


def test_fewer_have_time_to_take_the_share_of_those_that_ended() -> None:
    def link(n: int, now_s: float) -> float:
        return 2.5 * MIB * (min(1.0, 0.6 + (now_s - 4) / 10) if n == 2 else 1.0)

    adapt = Concurrency(limit=2, base=4, base_rate=2.5 * MIB, step=Step.FEWER)
    limits = drive(adapt, link, 6, began_s=4.0, trip_s=0.05, queue_s=0.2)
    assert max(limits) == 2
    assert max(drive(adapt, link, 6, began_s=4.0, trip_s=0.05)) == 4


def test_jitter_of_some_milliseconds_is_no_queue() -> None:
    limits = drive(Concurrency(), shared(1e12, MIB), 12, trip_s=0.05, queue_s=0.005)
    assert limits[-1] == MOST


@pytest.mark.parametrize("enough", [3, 5, 6, 7, 11])
def test_it_rests_at_as_many_as_fill_the_link(enough: int) -> None:
    link = shared(enough * 3 * MIB, 3 * MIB)
    limits = drive(Concurrency(), link, 40)
    assert link(limits[-1], 0) >= 0.9 * link(MOST, 0)
    assert limits[-1] <= enough + 1
    assert len(set(limits[-50:])) == 1  # it rests


@pytest.mark.parametrize("seed", range(20))
def test_noise_alone_makes_it_climb_nowhere(seed: int) -> None:
    limits = drive(Concurrency(), noisy(shared(2.5 * MIB, 2.5 * MIB), 0.05, seed), 60)
    assert max(limits) <= 2 * START
    assert limits[-1] <= START


@pytest.mark.parametrize("seed", range(20))
def test_noise_does_not_keep_it_from_filling_a_link(seed: int) -> None:
    plain = shared(1e12, MIB)
    limits = drive(Concurrency(), noisy(plain, 0.1, seed), 30)
    assert limits[-1] >= MOST - 4


def test_a_lossy_link_where_each_carries_little_gets_many() -> None:
    assert drive(Concurrency(), shared(37 * MIB, 0.2 * MIB), 10)[-1] == MOST


def test_one_slow_connection_among_many_changes_little() -> None:
    limits = drive(Concurrency(), lambda n, _: (n - 1) * MIB + MIB / 10, 10)
    assert limits[-1] == MOST


def test_fast_connections_are_left_as_they_are() -> None:
    limits = drive(Concurrency(), shared(1000 * MIB, 250 * MIB), 10)
    assert min(limits) == START  # fewer would keep nothing more when it is paused


def test_nothing_is_learnt_while_nothing_moves_or_not_all_are_at_work() -> None:
    assert set(drive(Concurrency(), shared(0, 0), 10)) == {START}
    assert set(drive(Concurrency(), shared(1e12, MIB), 10, busy=1)) == {START}


def test_a_link_that_becomes_wider_is_measured_again() -> None:
    def link(n: int, now_s: float) -> float:
        return min(n * MIB, (3 if now_s < 20 else 100) * MIB)

    limits = drive(Concurrency(), link, 40)
    assert limits[90] <= 4
    assert limits[-1] == MOST


def test_a_link_whose_room_does_not_show_is_measured_again_after_a_minute() -> None:
    def link(n: int, now_s: float) -> float:
        return min(n * MIB, (4 if now_s < 20 else 100) * MIB)

    assert drive(Concurrency(), link, 60)[-1] == 4
    assert drive(Concurrency(), link, 100)[-1] == MOST


def test_a_cry_halves_once_and_then_there_is_calm() -> None:
    halved = Concurrency(limit=8).overloaded(50.0)
    assert halved.limit == 4
    assert halved.overloaded(50.0 + CALM_S / 2) is halved
    assert halved.overloaded(50.0 + CALM_S + 1).limit == 2
    assert Concurrency(limit=1).overloaded(50.0).limit == 1


def test_after_the_calm_it_is_measured_anew() -> None:
    adapt, limits, moved = Concurrency(limit=8).overloaded(0.0), [], 0
    for look in range(60):
        adapt = adapt.look(look * _LOOK_S, moved, adapt.limit)
        moved += round(_LOOK_S * adapt.limit * MIB)
        limits.append(adapt.limit)
    assert set(limits[: int(CALM_S / _LOOK_S)]) == {4}
    assert limits[-1] > 4


def test_a_store_that_throttles_is_not_driven_into_refusals_again_and_again() -> None:
    adapt, moved, cries = Concurrency(), 0.0, 0
    for look in range(5 * 120):
        now_s = look * _LOOK_S
        adapt = adapt.look(now_s, round(moved), adapt.limit)
        if adapt.limit > 8:  # it takes eight, and refuses more
            adapt, cries = adapt.overloaded(now_s), cries + 1
        moved += _LOOK_S * adapt.limit * MIB
    assert cries <= 120 / CALM_S / 2
    assert adapt.limit >= 4


def test_a_cap_holds_whatever_the_rate() -> None:
    assert set(drive(Concurrency(limit=8).capped(2), shared(1e12, MIB), 10)) <= {1, 2}


def test_what_each_carried_is_known() -> None:
    adapt, moved = Concurrency(), 0
    for look in range(40):
        adapt = adapt.look(look * _LOOK_S, moved, adapt.limit)
        moved += round(_LOOK_S * adapt.limit * MIB)
    assert adapt.per_connection == pytest.approx(MIB, rel=0.01)
