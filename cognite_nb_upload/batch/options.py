"""The keywords of `upload_many`: what is sent, how, and what if a file is there already."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from cognite_nb_upload.batch.columns import OVERWRITE, Keep, kept_names
from cognite_nb_upload.batch.folders import Walk, current_folder
from cognite_nb_upload.batch.properties import NodeColumns
from cognite_nb_upload.batch.rows import Naming
from cognite_nb_upload.cluster.engine import checked_engine
from cognite_nb_upload.core.numbers import as_flag, as_rate, as_size
from cognite_nb_upload.core.plan import plan_parts
from cognite_nb_upload.errors import UsageError
from cognite_nb_upload.models import SharedFields
from cognite_nb_upload.models.fields import normalised
from cognite_nb_upload.models.ids import NodeId
from cognite_nb_upload.models.node import NodeFields
from cognite_nb_upload.models.views import FILE_VIEW, ViewId
from cognite_nb_upload.objects.many import Stores
from cognite_nb_upload.transfer.files import DEFAULTS, SendingFields
from cognite_nb_upload.transfer.hooks import checked_hook
from cognite_nb_upload.transfer.upload import Uploaded, checked_concurrency
from cognite_nb_upload.transfer.verify import Verify, check_mode

IfExists = Literal["error", "skip", "newer", "changed", "overwrite"]
MODES: Final = ("error", "skip", "newer", "changed", "overwrite")
# Called with the row, by its columns, and with what is in CDF now.
OnDone = Callable[[Mapping[str, Any], Uploaded], Awaitable[None] | None]

_SENDING: Final = (
    "part_size", "max_concurrency", "resume", "verify", "max_bandwidth", "engine", "trust_network",
)  # fmt: skip
_WALK: Final = ("recursive", "hidden", "include", "exclude")
_FLAGS: Final = ("recursive", "hidden", "again")
_JOB: Final = ("if_exists", "again", "size_key", "sha256_key", "on_done")


class ManyFields(SharedFields, SendingFields, NodeFields, total=False):
    """The keywords of `upload_many`, which explains them."""

    external_id: str | Callable[[str], str] | None
    space: str | None
    view: ViewId | tuple[str, ...] | None
    data_set_external_id: str | None
    asset_external_ids: Iterable[str] | None
    recursive: bool
    hidden: bool
    include: str | Iterable[str]
    exclude: str | Iterable[str]
    keep: Keep
    if_exists: IfExists | None
    size_key: str | None
    sha256_key: str | None
    again: bool
    on_done: OnDone | None
    result: str | os.PathLike[str] | None


MANY_DEFAULTS: Final[Mapping[str, object]] = {
    **DEFAULTS,
    "recursive": False,
    "hidden": False,
    "include": (),
    "exclude": (),
    "keep": (),
    "again": False,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOptions:
    """How a job is done, checked."""

    defaults: Mapping[str, Any]
    naming: Naming = None
    walk: Walk = field(default_factory=Walk)
    keep: Keep = ()
    verify: Verify = "size"
    part_size: int | None = None
    max_concurrency: int | None = None
    max_bandwidth: float | None = None
    resume: bool = True
    engine: Any = field(default=None, repr=False)
    trust_network: bool = False
    again: bool = False
    if_exists: IfExists = "error"
    size_key: str | None = None
    sha256_key: str | None = None
    on_done: OnDone | None = None
    space: str | None = None
    view: ViewId = FILE_VIEW
    nodes: NodeColumns | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> JobOptions:
        """From the keywords of `upload_many`.

        Raises:
            UsageError: one of them cannot be.
        """
        left = dict(given)
        sending: dict[str, Any] = {name: left.pop(name) for name in _SENDING if name in left}
        walk: dict[str, Any] = {name: left.pop(name) for name in _WALK if name in left}
        job: dict[str, Any] = {name: left.pop(name) for name in _JOB if name in left}
        walk["here"] = current_folder()
        walk["stores"] = Stores(left.pop("storage_options", None))
        naming, keep = left.pop("external_id", None), left.pop("keep", ())
        kept_names(keep)
        if naming is not None and not callable(naming):
            normalised("external_id", naming)
        job |= _of_nodes(left.pop("space", None), left.pop("view", None), job)
        overwrite = as_flag(OVERWRITE, left.pop(OVERWRITE, False))
        job["if_exists"] = _if_exists(job.get("if_exists"), overwrite)
        if job["if_exists"] == "overwrite":
            left[OVERWRITE] = True
        _check_sending(sending)
        if job.get("on_done") is not None:
            job["on_done"] = checked_hook("on_done", job["on_done"])
        for key in ("size_key", "sha256_key"):
            if job.get(key) is not None:
                normalised("metadata", {job[key]: ""})
        if job.get("size_key") is not None and job["size_key"] == job.get("sha256_key"):
            raise UsageError("size_key and sha256_key are the same metadata key; give two.")
        for some in (walk, job):
            some.update((name, as_flag(name, some[name])) for name in _FLAGS if name in some)
        for name in ("include", "exclude"):
            walk[name] = _patterns(name, walk.get(name, ()))
        return cls(
            defaults=left, naming=naming, keep=keep, walk=Walk(**walk), **sending, **job
        )  # fmt: skip

    @property
    def compares(self) -> bool:
        """True where CDF is asked what it has already."""
        return self.if_exists in ("skip", "newer", "changed")

    @property
    def sets_time(self) -> bool:
        """True where `source_modified_time` is the file's own, to be compared later."""
        return self.if_exists != "error"

    def to_json(self) -> dict[str, Any]:
        """What a resumed job needs to know; the rows' own fields are in their requests."""
        names = ("verify", "part_size", "max_concurrency", "max_bandwidth", "if_exists",
                 "size_key", "sha256_key", "space")  # fmt: skip
        found = {name: getattr(self, name) for name in names}
        if self.space is not None:
            found["view"] = [self.view.space, self.view.external_id, self.view.version]
        return {name: value for name, value in found.items() if value is not None}


def _of_nodes(space: Any, view: Any, job: Mapping[str, Any]) -> dict[str, Any]:
    """The space and the view of a job whose files are in the data model."""
    if space is None:
        if view is not None:
            raise UsageError("A view is for files of the data model: give their space, too.")
        return {}
    NodeId(space, "any")  # says what is wrong with a space
    if job.get("if_exists") in ("newer", "changed"):
        raise UsageError(
            f"if_exists={job['if_exists']!r} is for classic files; with space= it is 'error', "
            "'skip' or 'overwrite'."
        )
    for key in ("size_key", "sha256_key"):
        if job.get(key) is not None:
            raise UsageError(f"{key} names a metadata key, which files in a space do not have.")
    return {"space": space, "view": FILE_VIEW if view is None else ViewId.of(view)}


def _if_exists(given: object, overwrite: bool) -> Any:
    if given is None:
        return "overwrite" if overwrite else "error"
    if not isinstance(given, str) or given not in MODES:
        raise UsageError(f"if_exists is one of {', '.join(MODES)}, not {given!r}.")
    if overwrite and given != "overwrite":
        raise UsageError(f"overwrite=True and if_exists={given!r} differ; give one of them.")
    return given


def _check_sending(given: dict[str, Any]) -> None:
    """What one upload would refuse is refused once, whatever the sizes of the files."""
    if "verify" in given:
        check_mode(given["verify"])
    if given.get("part_size") is not None:
        given["part_size"] = _part_size(given["part_size"])
    if given.get("max_concurrency") is not None:
        given["max_concurrency"] = checked_concurrency(given["max_concurrency"])
    if given.get("max_bandwidth") is not None:
        given["max_bandwidth"] = as_rate("max_bandwidth", given["max_bandwidth"])
    if given.get("engine") is not None:
        given["engine"] = checked_engine("engine", given["engine"])
    if "trust_network" in given:
        given["trust_network"] = as_flag("trust_network", given["trust_network"])
    if "resume" in given:
        given["resume"] = as_flag("resume", given["resume"])


def _part_size(given: object) -> int:
    size = as_size("part_size", given)
    if isinstance(given, str):  # a job is remembered by numbers, and run again with them
        raise UsageError(f"part_size of many files is a number of bytes: {size}, not {given!r}.")
    return plan_parts(max(size, 0) + 1, size).part_size  # as for a file of two parts


def _patterns(name: str, given: object) -> tuple[str, ...]:
    several = (given,) if isinstance(given, str) else given
    if not isinstance(several, Iterable):
        raise UsageError(f"{name} is a pattern or a list of them, not {type(given).__name__}.")
    found = tuple(os.fspath(one) if isinstance(one, os.PathLike) else one for one in several)
    for one in found:
        if not isinstance(one, str):
            raise UsageError(f"{name} holds {one!r}, which is no pattern such as '*.las'.")
    return found
