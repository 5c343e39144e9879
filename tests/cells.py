"""A real Jupyter kernel, cell by cell: run, interrupt, kill."""

from __future__ import annotations

import os
import signal
import time
from types import TracebackType
from typing import Any, Self

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

PATIENCE_S = 60


class Cell:
    """A cell that runs in a kernel; what it has said comes in with `result`."""

    def __init__(self, client: BlockingKernelClient, code: str) -> None:
        self._client = client
        self._id = client.execute(code)
        self.text = ""  # what it printed
        self.value = ""  # the repr of its last line
        self.error: list[str] = []  # name and traceback
        self.ended = False

    def look(self, wait_s: float = 0.0) -> bool:
        """Take in what was said by now; True once it has ended."""
        end_s = time.monotonic() + wait_s
        while not self.ended:
            try:
                left_s = max(0.01, end_s - time.monotonic())
                self._hear(self._client.get_iopub_msg(timeout=left_s))
            except Exception as error:
                if type(error).__name__ != "Empty":
                    raise
                break
        return self.ended

    def result(self) -> Self:
        """Wait until it has ended."""
        assert self.look(PATIENCE_S), f"The cell still runs. {self.text}"
        return self

    def ok(self) -> Self:
        """Wait until it has ended well."""
        assert not self.result().error, "\n".join(self.error)
        return self

    def _hear(self, message: dict[str, Any]) -> None:
        if message["parent_header"].get("msg_id") != self._id:
            return
        content = message["content"]
        match message["msg_type"]:
            case "stream":
                self.text += content["text"]
            case "execute_result":
                self.value = content["data"]["text/plain"]
            case "error":
                self.error = [content["ename"], content["evalue"], *content["traceback"]]
            case "status":
                self.ended = content["execution_state"] == "idle"


class Kernel:
    """A kernel as a context manager, with the given environment variables."""

    def __init__(self, **variables: str) -> None:
        self._variables = variables

    def __enter__(self) -> Self:
        env = {**os.environ, **self._variables}
        self._manager: KernelManager
        self._manager, self._client = start_new_kernel(kernel_name="python3", env=env)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()

    def begin(self, code: str) -> Cell:
        """Start a cell."""
        return Cell(self._client, code)

    def run(self, code: str) -> Cell:
        """Run a cell to its end, which has to be a good one."""
        return self.begin(code).ok()

    def interrupt(self) -> None:
        """What the stop button does."""
        self._manager.interrupt_kernel()

    def kill(self) -> None:
        """SIGKILL; the kernel is gone when this returns."""
        self._manager.signal_kernel(signal.SIGKILL)
        end_s = time.monotonic() + PATIENCE_S
        while self._manager.is_alive():
            assert time.monotonic() < end_s
            time.sleep(0.01)
