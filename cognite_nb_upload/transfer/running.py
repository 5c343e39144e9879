"""The uploads that run in this process: the same call finds the one that runs.

Rules of this file: a handle is kept until its upload has ended, whatever becomes of the caller's
variables; a forked child has none of its parent's.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Hashable
from functools import partial

from cognite_nb_upload.transfer.begun import Begun
from cognite_nb_upload.transfer.leaving import wait_at_exit
from cognite_nb_upload.transfer.spec import UploadSpec
from cognite_nb_upload.transfer.upload import Upload

# Reloading this module keeps what runs: the module's namespace stays, and so do these.
_kept = globals()
_lock: threading.RLock = _kept.get("_lock") or threading.RLock()
_uploads: dict[Upload, None] = _kept.get("_uploads") or {}  # a set that keeps their order
_by_key: dict[Hashable, list[Upload]] = _kept.get("_by_key") or {}
_pid: int = _kept.get("_pid") or os.getpid()
begun: Begun[Upload] = _kept.get("begun") or Begun()


def running_uploads() -> list[Upload]:
    """The handles of all uploads that run in this process, or are paused; the oldest first.

    A handle has `id` (as `uploads()` lists it), `name`, `path`, `state`, `listen`, `pause`,
    `resume`, `stop` and `cancel`. It is found here after its variable is gone, too.
    """
    with _mine():
        return [upload for upload in _uploads if not upload.done()]


def start(spec: UploadSpec, make: Callable[[], Upload]) -> Upload:
    """The upload of this process that sends the same already, or the one that `make` starts."""
    with _mine():
        for upload in _same_as(spec):
            if not upload.closing:
                return upload.joined(spec)
        wait_at_exit(running_uploads)
        upload = make()
        _uploads[upload] = None
        _by_key.setdefault(spec.key, []).append(upload)
    # A handle's future keeps what it calls, so that must not keep the handle; `_uploads` does.
    upload.when_done(partial(_forget, weakref.ref(upload)))
    begun.tell(upload)
    return upload


def by_id(upload_id: str) -> Upload | None:
    """The running upload with this id of `uploads()`."""
    return next(
        (one for one in running_uploads() if one.id == upload_id and not one.closing), None
    )  # fmt: skip


def ending(spec: UploadSpec, but: Upload) -> list[Upload]:
    """The uploads that send the same as `but`, and were stopped or cancelled but still run."""
    with _mine():
        return [one for one in _same_as(spec) if one is not but and one.closing]


def _same_as(spec: UploadSpec) -> list[Upload]:
    """The uploads that run and send the same."""
    several = _by_key.get(spec.key, ())
    return [one for one in several if not one.done() and _is_same(one, spec)]


def _is_same(upload: Upload, spec: UploadSpec) -> bool:
    try:
        return spec.sends_the_same_as(upload.spec)
    except (OSError, ValueError):  # it ends in this moment, and its source is closed
        return False


def _forget(handle: weakref.ref[Upload], _: object) -> None:
    if (upload := handle()) is None:
        return
    key = upload.spec.key
    with _mine():
        _uploads.pop(upload, None)
        left = [one for one in _by_key.pop(key, ()) if one is not upload]
        if left:
            _by_key[key] = left


def _mine() -> threading.RLock:
    """The lock of this process; a child of a fork begins without uploads, and with a free lock."""
    global _lock, _pid
    if _pid != os.getpid():
        _pid, _lock = os.getpid(), threading.RLock()
        _uploads.clear()
        _by_key.clear()
    return _lock
