"""A fork that no hook of Python's sees, as a library in C does it."""

from __future__ import annotations

import _thread
import ctypes
import os
import select
import signal
import sys

_TRIES = 20
# How long a child may take to show that its interpreter runs.
_SOUND_S = 10.0
# So often two threads take the interpreter's lock from each other to see that it works.
_TURNS = 100


def raw_fork() -> int:
    """Fork in C; what is returned in the child is a child whose interpreter runs.

    Without its hooks Python does not make its lock afresh in a child. Where another thread waited
    for it at the fork, its condition variable waits for ever for that thread, which is not there:
    as soon as two threads want the lock, the child stops in C, whatever it runs. Such a child is of
    no use to any test. So each shows first that its threads take turns, and where one does not, it
    is ended, and there is another fork.
    """
    for _ in range(_TRIES):
        told, tell = os.pipe()
        pid = int(ctypes.PyDLL(None).fork())
        if not pid:
            _take_turns()
            os.write(tell, b"!")
            os.close(told)
            os.close(tell)
            return 0
        os.close(tell)
        sound = bool(select.select([told], [], [], _SOUND_S)[0])
        os.close(told)
        if sound:
            return pid
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    raise RuntimeError(f"Of {_TRIES} children none has an interpreter that runs.")


def _take_turns() -> None:
    """Two threads that wait for each other without giving up the lock, so that each has to ask."""
    interval, ended, turn = sys.getswitchinterval(), _thread.allocate_lock(), [0]

    def turns(mine: int) -> None:
        for _ in range(_TURNS):
            while turn[0] != mine:
                pass
            turn[0] = 1 - mine

    def beside() -> None:
        turns(1)
        ended.release()

    sys.setswitchinterval(1e-5)
    ended.acquire()
    _thread.start_new_thread(beside, ())
    turns(0)
    ended.acquire()
    sys.setswitchinterval(interval)
