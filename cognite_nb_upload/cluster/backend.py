"""The door to an engine: what `Cluster` needs of Dask, of an Executor, or of another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from cognite_nb_upload.cluster.orders import Envelope

Message = Mapping[str, Any]


class Handle(Protocol):
    """A task at an engine."""

    def cancel(self) -> object:
        """Do not begin it; one that has begun goes on until it is told to stop."""
        ...


class Listener(Protocol):
    """What hears of an engine; from any thread."""

    def hear(self, message: Message) -> None:
        """A worker tells: who it is, which orders it has, which are done."""
        ...

    def gone(self, place: str) -> None:
        """A worker is no longer there."""
        ...

    def failed(self, reason: str) -> None:
        """The engine is gone, or cannot be used; for good."""
        ...


class Backend(Protocol):
    """An engine. Each call may block for a moment, but for no worker that does not answer."""

    is_one_place: bool  # its workers cannot be chosen

    def start(self, listener: Listener) -> None:
        """Find the workers, and give them what they need to read orders.

        Raises:
            UsageError: it cannot be used; the sentence says why.
        """
        ...

    def submit(
        self, place: str, envelope: Envelope, names: Sequence[str], ended: Callable[[str], None]
    ) -> Handle:
        """Have a worker carry out orders; `ended(why)` is called once, "" where it ran to its end.

        Raises:
            EngineLost: the engine is gone.
        """
        ...

    def tell(self, places: Sequence[str], message: Message) -> None:
        """Tell workers something; does not wait for them."""
        ...

    def silent(self, heard: Sequence[str]) -> list[str]:
        """Workers that the engine has and that tell nothing, by name and why."""
        ...

    def close(self, places: Sequence[str]) -> None:
        """End the run at these workers, and take back what they were given."""
        ...
