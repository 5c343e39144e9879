"""The nodes of a job: written before the content, a thousand in one request.

Rules of this file: one request to write at a time; a node that is there already is never merged
unasked; one that CDF refuses is found by halving, and stops no other; the file service is asked for
all nodes of a request at once, until it knows them.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Final

import anyio

from cognite_nb_upload.api.instances import Own
from cognite_nb_upload.api.rpc import Unanswered
from cognite_nb_upload.batch.options import JobOptions
from cognite_nb_upload.batch.rows import INVALID, SKIPPED
from cognite_nb_upload.batch.task import RowTask
from cognite_nb_upload.errors import APIError, CDFUnreachable
from cognite_nb_upload.journal.jobs import JobRecord
from cognite_nb_upload.models import NodeId
from cognite_nb_upload.models.views import ViewId
from cognite_nb_upload.transfer.files import AsyncFiles

# Of one request to write or to look up.
MOST: Final = 1000
_TAKEN: Final = (
    "The node ({space!r}, {external_id!r}) exists already: choose another external id, or say "
    "if_exists='skip' or 'overwrite'."
)
# These speak of the token or of the load, not of a row.
_OF_ALL: Final = (401, 403, 429)

Json = dict[str, Any]


class NodeWriter:
    """Writes the nodes of a job's rows, and waits until content can be sent to them."""

    def __init__(
        self, files: AsyncFiles, options: JobOptions, record: Callable[[], JobRecord]
    ) -> None:
        self._files, self._options, self._record = files, options, record
        self._nodes = files.instances

    async def written(self, tasks: Sequence[RowTask]) -> list[RowTask]:
        """Write what is missing; returns the rows whose content can follow.

        The others are skipped, or say why they were refused.

        Raises:
            UploadToolkitError: it speaks of all rows: no answer, or no right to write.
        """
        tasks = await self._pointing_somewhere(tasks)
        there = await self._nodes.retrieve([_id_of(task) for task in tasks], _views(tasks))
        bare = await self._nodes.retrieve(
            [_id_of(task) for task in tasks if _key(task) not in there]
        )
        new, ready, old = [], [], []
        for task in tasks:
            found = there.get(_key(task)) or bare.get(_key(task))
            if found is None:
                new.append(task)
            elif self._is_own(task, found):
                ready.append(task)
            elif self._options.if_exists == "skip":
                old.append(task)
            elif task.overwrite:
                new.append(task)
            else:
                self._is_taken(task)
        ready += await self._without_content(old)
        for several in _in_requests(new):
            ready += await self._applied(several)
        return ready

    async def linked(self, tasks: Sequence[RowTask]) -> AsyncIterator[list[RowTask]]:
        """The same rows, as the file service comes to know their nodes.

        What it does not know in time is handed out all the same: its link is waited for alone.
        """
        left = list(tasks)
        pause_s, until_s = 0.1, time.monotonic() + self._files.config.uploaded_wait_s
        while left and time.monotonic() < until_s:
            known = await self._files.retrieve_instances([_id_of(task) for task in left])
            came = [task for task in left if _id_of(task) in known]
            if came:
                left = [task for task in left if _id_of(task) not in known]
                yield came
            elif left:
                await anyio.sleep(pause_s)
                pause_s = min(5.0, pause_s * 1.6)
        if left:
            yield left

    # --- before it is written -------------------------------------------------------------------

    async def _pointing_somewhere(self, tasks: Sequence[RowTask]) -> list[RowTask]:
        """The rows whose relations lead to nodes that exist."""
        lost = await self._nodes.lost_relations([_item(task) for task in tasks])
        for no, why in lost.items():
            tasks[no].row.fail(why, INVALID)
        return [task for no, task in enumerate(tasks) if no not in lost]

    def _is_own(self, task: RowTask, found: Json) -> bool:
        """True if an interrupted run of this job has made the node."""
        known = task.known
        if known is None or not known.asked:
            return known is not None and known.id is not None  # it was begun: the node was ours
        return Own(known.since_ms).holds(found, _item(task))

    def _is_taken(self, task: RowTask) -> None:
        node = _id_of(task)
        task.row.fail(_TAKEN.format(space=node.space, external_id=node.external_id))

    async def _without_content(self, tasks: list[RowTask]) -> list[RowTask]:
        """Skip the nodes whose content CDF has; the others get it, and stay as they are."""
        known = await self._files.retrieve_instances([_id_of(task) for task in tasks])
        left = []
        for task in tasks:
            file = known.get(_id_of(task))
            if file is not None and file.uploaded:
                task.row.status, task.row.id = SKIPPED, file.id
                task.row.add_note("CDF has it")
            else:
                task.row.add_note("its node was there: the content alone was sent")
                left.append(task)
        return left

    # --- writing --------------------------------------------------------------------------------

    async def _applied(self, tasks: list[RowTask], attempt: int = 1) -> list[RowTask]:
        """Write at most a thousand nodes; returns those that are there now."""
        since_ms = self._files.cdf_ms()
        record = self._record()
        for task in tasks:
            if not task.overwrite:
                record.asked(task.row.key, since_ms)
        try:
            items = [
                _item(task) if task.overwrite else {**_item(task), "existingVersion": 0}
                for task in tasks
            ]
            await self._nodes.apply(items, repeatable=all(task.overwrite for task in tasks))
            return tasks
        except Unanswered:
            return await self._after_silence(tasks, since_ms, attempt)
        except APIError as error:
            if not 400 <= error.code < 500 or error.code in _OF_ALL:
                raise
            return await self._halved(tasks, error)

    async def _halved(self, tasks: list[RowTask], error: APIError) -> list[RowTask]:
        """All were refused for the sake of some: find them."""
        if len(tasks) == 1:
            (task,) = tasks
            if not task.overwrite and await self._nodes.node(_id_of(task)) is not None:
                self._is_taken(task)
            else:
                task.row.fail(str(error))
            return []
        middle = len(tasks) // 2
        return await self._applied(tasks[:middle]) + await self._applied(tasks[middle:])

    async def _after_silence(
        self, tasks: list[RowTask], since_ms: int | None, attempt: int
    ) -> list[RowTask]:
        """No answer: all nodes of the request are there, or none is."""
        there = await self._nodes.retrieve([_id_of(task) for task in tasks], _views(tasks))
        if not there:
            wait_s = self._files.config.retry.wait_s(attempt)
            if wait_s is None:
                raise CDFUnreachable(
                    f"CDF did not answer when asked to write {len(tasks)} nodes, and wrote none."
                )
            await anyio.sleep(wait_s)
            return await self._applied(tasks, attempt + 1)
        ready = []
        for task in tasks:
            found = there.get(_key(task))
            if found is not None and (task.overwrite or Own(since_ms).holds(found, _item(task))):
                ready.append(task)
            else:
                task.row.fail(
                    "CDF did not say whether it wrote the node, and the one that is there may be "
                    "somebody else's."
                )
        return ready


def _item(task: RowTask) -> Json:
    assert task.node is not None  # noqa: S101 # a job has nodes for all rows, or for none
    return task.node


def _key(task: RowTask) -> tuple[str, str]:
    return _item(task)["space"], _item(task)["externalId"]


def _id_of(task: RowTask) -> NodeId:
    return NodeId(*_key(task))


def _views(tasks: Sequence[RowTask]) -> list[ViewId]:
    """The views that a job writes through; they are the same for all its rows."""
    return [ViewId.of(one["source"]) for task in tasks[:1] for one in _item(task)["sources"]]


def _in_requests(tasks: list[RowTask]) -> list[list[RowTask]]:
    """Inserts and merges apart, a thousand each."""
    found = []
    for kind in (False, True):
        same = [task for task in tasks if task.overwrite is kind]
        found += [same[at : at + MOST] for at in range(0, len(same), MOST)]
    return found
