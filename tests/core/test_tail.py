"""Which part is sent again, of parts that exist only as arithmetic."""

from __future__ import annotations

from collections.abc import Callable

from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.core.tail import SHARE, Flight, Tail

_LOOK_S = 0.2
Rates = Callable[[int, float], float]


def sent(
    parts: int, part_size: int, rates: Rates, *, at_once: int, seconds: float = 120
) -> tuple[float, dict[int, int]]:
    """When all is sent, and how often each part was cut; a part that is cut begins again fast."""
    todo, flying, cuts = list(range(parts)), dict[int, float](), dict[int, int]()
    begun, ended = dict[int, float](), list[float]()
    tail, now_s, fast = Tail(parts * part_size), 0.0, max(rates(no, 0) for no in range(parts))
    while (todo or flying) and now_s < seconds:
        while todo and len(flying) < at_once:
            begun[todo[0]] = now_s
            flying[todo.pop(0)] = 0.0
        flights = [Flight(no, part_size, round(done)) for no, done in flying.items()]
        tail = tail.look(now_s, flights)
        slow = None if todo or len(flying) == at_once else tail.slow(flights, ended)
        if slow is not None:
            tail = tail.without(slow)
            cuts[slow.no] = cuts.get(slow.no, 0) + 1
            flying[slow.no] = 0.0
        now_s += _LOOK_S
        for no in list(flying):
            rate = fast if no in cuts else rates(no, now_s)
            flying[no] = min(part_size, flying[no] + rate * _LOOK_S)
            if flying[no] >= part_size:
                del flying[no]
                ended.append(part_size / (now_s - begun[no]))
    assert tail.spent <= SHARE * tail.size
    return now_s, cuts


def crawling(*slow: int) -> Rates:
    return lambda no, _: MIB / 10 if no in slow else 2 * MIB


def test_a_part_that_crawls_at_the_end_is_sent_again_once() -> None:
    took_s, cuts = sent(32, 8 * MIB, crawling(31), at_once=8)
    assert cuts == {31: 1}
    assert took_s < 30  # 80 s otherwise


def test_two_that_crawl_are_both_sent_again() -> None:
    assert sent(32, 8 * MIB, crawling(30, 31), at_once=8)[1] == {30: 1, 31: 1}


def test_parts_of_equal_rates_are_left_alone() -> None:
    assert sent(33, 8 * MIB, crawling(), at_once=8)[1] == {}
    assert sent(9, 8 * MIB, lambda no, _: MIB * (1 + no % 3 / 2), at_once=8)[1] == {}


def test_where_all_become_slow_none_is_cut_for_nothing_but_once() -> None:
    _, cuts = sent(33, 8 * MIB, lambda no, now_s: MIB if now_s < 20 else MIB / 4, at_once=8)
    assert max(cuts.values(), default=0) <= 1


def test_none_is_cut_while_others_are_still_to_begin() -> None:
    took_s, cuts = sent(40, 8 * MIB, crawling(0), at_once=2, seconds=60)
    assert cuts == {}
    assert took_s >= 60


def test_what_has_sent_more_than_a_twentieth_of_the_upload_is_left_alone() -> None:
    """Part 3 crawls from its middle on: 32 MiB of it would be sent twice."""

    def link(no: int, now_s: float) -> float:
        return 2 * MIB if no != 3 or now_s < 16 else MIB / 10

    assert sent(4, 64 * MIB, link, at_once=4, seconds=300)[1] == {}
    assert sent(40, 64 * MIB, lambda no, now_s: link(no % 40, now_s), at_once=40)[1] == {3: 1}


def test_nothing_is_known_before_a_part_has_ended_or_within_its_first_seconds() -> None:
    tail, slow = Tail(100 * MIB), Flight(1, 8 * MIB, MIB)
    for look in range(50):
        tail = tail.look(look * _LOOK_S, [Flight(1, 8 * MIB, 0)])
    assert tail.slow([slow], []) is None
    assert tail.slow([slow], [2.0 * MIB]) == slow
    tail = Tail(100 * MIB).look(0, [slow]).look(1, [slow])
    assert tail.slow([slow], [2.0 * MIB]) is None


def test_a_part_whose_last_byte_is_out_is_waited_for() -> None:
    tail, all_out = Tail(1000 * MIB), Flight(1, 8 * MIB, 8 * MIB)
    for look in range(50):
        tail = tail.look(look * _LOOK_S, [all_out])
    assert tail.slow([all_out], [2.0 * MIB]) is None


def watched(flights: list[Flight], seconds: float = 4, mib: int = 100) -> Tail:
    """What is known of them after so long, of an upload of `mib` MiB."""
    tail = Tail(mib * MIB)
    for look in range(round(seconds / _LOOK_S) + 1):
        share = look * _LOOK_S / seconds
        done = [Flight(one.no, one.size, round(share * one.sent)) for one in flights]
        tail = tail.look(look * _LOOK_S, done)
    return tail


def test_where_fewer_are_to_go_those_that_have_sent_least_are_sent_later() -> None:
    flights = [Flight(no, 8 * MIB, sent * MIB // 4) for no, sent in enumerate((9, 8, 7, 20))]
    tail, cut = watched(flights), list[int]()
    while (spare := tail.spare(flights)) is not None:
        cut.append(spare.no)
        tail, flights = tail.without(spare), [one for one in flights if one is not spare]
    assert cut == [2, 1]  # the next would be more than a twentieth
    assert tail.spent <= SHARE * tail.size


def test_one_that_has_sent_much_or_is_not_known_yet_is_not_sent_later() -> None:
    begun, far = [Flight(0, 8 * MIB, 2 * MIB)], [Flight(0, 8 * MIB, 5 * MIB)]
    assert watched(begun).spare(begun) == begun[0]
    assert watched(begun, seconds=2).spare(begun) is None
    assert watched(far, mib=1000).spare(far) is None
    assert watched(begun, mib=39).spare(begun) is None  # more than a twentieth
    once = watched(begun, mib=1000).without(begun[0])
    assert once.look(10, begun).look(14, begun).spare(begun) is None
