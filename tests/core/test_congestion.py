"""Whether packets are lost at random, on ways that exist only as arithmetic."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest

from cognite_nb_upload.core.congestion import Counts, Loss, checked_congestion
from cognite_nb_upload.errors import UsageError

_LOOK_S = 0.2


@dataclass
class Way:
    """Packets per second, the share that is lost, and the round trip in ms at each moment."""

    packets_s: float = 3000
    lost: float = 0.0
    rtts_ms: tuple[float, ...] = (50.0,)
    held_up: float = 0.0
    seed: int = 1
    _counts: Counts = field(default_factory=Counts)

    def looks(self, seconds: float) -> list[bool]:
        """What is said of it at each look."""
        draw, loss, said = random.Random(self.seed), Loss(), []
        sent = again = 0
        for no in range(round(seconds / _LOOK_S)):
            rtt_ms = self.rtts_ms[no % len(self.rtts_ms)]
            now_s = no * _LOOK_S
            busy = Counts(sent, again, rtt_ms, 50.0, now_s, now_s * self.held_up)
            loss = loss.look(now_s, busy)
            said.append(loss.lossy)
            step = round(self.packets_s * _LOOK_S)
            sent += step
            again += sum(draw.random() < self.lost for _ in range(step))
        return said


@pytest.mark.parametrize("lost", [0.001, 0.003, 0.01, 0.05])
@pytest.mark.parametrize("seed", range(5))
def test_packets_that_are_lost_at_random_are_noticed_within_seconds(lost: float, seed: int) -> None:
    assert Way(lost=lost, seed=seed).looks(8)[-1]


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_lossy_way_is_noticed_too(seed: int) -> None:
    assert any(Way(packets_s=130, lost=0.01, seed=seed).looks(30))


@pytest.mark.parametrize("lost", [0.0, 0.0001])
def test_a_clean_way_is_not_called_lossy(lost: float) -> None:
    assert not any(Way(packets_s=25_000, lost=lost).looks(60))


def test_what_a_full_queue_drops_is_not_the_ways_own_loss() -> None:
    queue_fills_and_empties = (52.0, 60.0, 90.0, 150.0, 55.0)
    assert not any(Way(packets_s=25_000, lost=0.005, rtts_ms=queue_fills_and_empties).looks(60))


def test_one_burst_of_losses_is_no_lossy_way() -> None:
    loss, said = Loss(), []
    for no in range(100):
        again = 50 if no > 20 else 0
        loss = loss.look(no * _LOOK_S, Counts(no * 1000, again, 50.0, 50.0))
        said.append(loss.lossy)
    assert not any(said)


def test_where_the_other_sides_window_is_the_limit_no_loss_is() -> None:
    assert not any(Way(lost=0.01, held_up=0.9).looks(20))
    assert any(Way(lost=0.01, held_up=0.1).looks(20))


@pytest.mark.parametrize("bad", ["", "BBR", "cubic", None, 1])
def test_another_word_is_refused(bad: object) -> None:
    with pytest.raises(UsageError, match="congestion is 'auto', 'system' or 'bbr'"):
        checked_congestion(bad)
