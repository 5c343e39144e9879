"""What this process's connections to stores carry, as the kernel tells of each (on Linux).

Rules of this file: bytes count once the other side has confirmed them; connections that are closed
stay counted; where the system refuses another congestion control, the one that it has is used,
nobody is told, and it is not asked again.
"""

from __future__ import annotations

import math
import socket
import threading
import time
from dataclasses import dataclass
from typing import Final

from cognite_nb_upload.core.congestion import Congestion, Counts, Loss
from cognite_nb_upload.store.stream import (
    TCPCounts,
    congestion_control,
    tcp_counts,
    use_congestion_control,
)

# What goes on at full speed where packets are lost at random, and where it may be chosen.
_BBR: Final = "bbr"
# No look is made more often, in seconds, however many ask.
_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at the traffic found.

    Attributes:
        confirmed: bytes that the other sides have confirmed in all; only grows.
        lossy: packets are lost on the way at random.
        changes: how often the way of sending was changed for it.
        tells: the kernel does tell.
        trip_s: the shortest round trip that was seen, in seconds; 0 before there was one.
        queue_s: how much longer the round trips are now, in seconds; 0 while nothing is sent.
    """

    confirmed: int = 0
    lossy: bool = False
    changes: int = 0
    tells: bool = False
    trip_s: float = 0.0
    queue_s: float = 0.0


class Traffic:
    """The connections of one process to its stores. Thread-safe.

    Args:
        congestion: "auto" sends by BBR from when packets are seen to be lost at random, and where
            it is asked to hurry; "bbr" always; "system" leaves it as the system has it.
        loss: what is known of the way.
    """

    def __init__(self, congestion: Congestion = "auto", loss: Loss = Loss()) -> None:  # noqa: B008 # frozen
        self._congestion = congestion
        self._lock = threading.Lock()
        self._open: dict[socket.socket, TCPCounts] = {}
        self._closed: tuple[float, ...] = (0, 0, 0, 0.0, 0.0)
        self._loss = loss
        self._bbr = congestion == "bbr"
        self._refused = False
        self._changes = 0
        self._hurried: dict[socket.socket, str] = {}  # and the rule that each had before
        self.tells = False
        self._trip_s = self._queue_s = 0.0
        self._looked_s = 0.0

    def begins(self, sock: socket.socket) -> None:
        """A connection has been made; where its kernel tells nothing, it is not counted."""
        with self._lock:
            if (counts := tcp_counts(sock)) is not None:
                self._open[sock] = counts
                self.tells = True
            if self._bbr:
                self._send_by_bbr(sock)

    def ends(self, sock: socket.socket) -> None:
        """A connection is about to be closed."""
        with self._lock:
            self._hurried.pop(sock, None)
            if (last := self._open.pop(sock, None)) is not None:
                counts = tcp_counts(sock) or last
                self._closed = _added(self._closed, _numbers(counts))

    def look(self, hurry: bool = False) -> Seen:
        """What was carried so far; cheap, called several times a second while parts are sent.

        Where the way has room that nobody else takes, `hurry` has those that are open fill it now:
        otherwise one that lost packets among many takes seconds to get to what they leave to it.
        """
        with self._lock:
            now_s = time.monotonic()
            self._open = {sock: tcp_counts(sock) or last for sock, last in self._open.items()}
            if now_s - self._looked_s >= _LOOK_S:
                self._looked_s = now_s
                counts = self._counts()
                self._loss = self._loss.look(now_s, counts)
                if 0 < counts.shortest_ms < 1e3 * (self._trip_s or math.inf):
                    self._trip_s = counts.shortest_ms / 1e3
                self._queue_s = max(0.0, counts.rtt_ms / 1e3 - self._trip_s)
                if self._congestion == "auto" and not self._bbr:
                    hurry = hurry and not self._refused
                    if self._loss.lossy:
                        self._use_bbr()
                    elif hurry != bool(self._hurried):
                        self._hurry(hurry)
            return Seen(
                int(self._sums()[0]), self._loss.lossy, self._changes, self.tells, self._trip_s,
                self._queue_s,
            )  # fmt: skip

    def _use_bbr(self) -> None:
        self._bbr = True
        self._hurried = {}
        self._changes += any([self._send_by_bbr(sock) for sock in self._open])

    def _send_by_bbr(self, sock: socket.socket) -> bool:
        """Have a connection send by BBR; a system that refused it once is not asked again."""
        if self._refused:
            return False
        done = use_congestion_control(sock, _BBR)
        self._refused = not done and sock.fileno() >= 0  # of one that is closed nothing follows
        return done

    def _hurry(self, hurry: bool) -> None:
        if hurry:
            rules = {sock: congestion_control(sock) for sock in self._open}
            self._hurried = {
                sock: rule for sock, rule in rules.items() if rule and self._send_by_bbr(sock)
            }
        else:
            for sock, rule in self._hurried.items():
                use_congestion_control(sock, rule)
            self._hurried = {}

    def _sums(self) -> tuple[float, ...]:
        sums = self._closed
        for counts in self._open.values():
            sums = _added(sums, _numbers(counts))
        return sums

    def _counts(self) -> Counts:
        _, packets, again, busy_s, held_up_s = self._sums()
        working = [one for one in self._open.values() if one.on_its_way]
        share = 1 / max(1, len(working))
        return Counts(
            int(packets),
            int(again),
            sum(one.rtt_ms for one in working) * share,
            sum(one.shortest_ms for one in working) * share,
            busy_s,
            held_up_s,
        )


def _numbers(one: TCPCounts) -> tuple[float, ...]:
    return one.confirmed, one.packets, one.again, one.busy_s, one.held_up_s


def _added(one: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(map(sum, zip(one, other, strict=True)))
