"""A fork that no hook of Python's sees, as a library in C does it."""

from __future__ import annotations

import ctypes
import sys
import time


def raw_fork() -> int:
    """Fork in C, at a moment when no other thread has asked for the interpreter's lock.

    Python itself waits for ever in a child whose parent's thread had asked, and is not there.
    """
    interval = sys.getswitchinterval()
    sys.setswitchinterval(60)
    try:
        time.sleep(0.1)  # who has asked before gets it
        return int(ctypes.PyDLL(None).fork())
    finally:
        sys.setswitchinterval(interval)
