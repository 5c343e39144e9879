"""`upload`, `uploads`, `resume`, `download`: the project of the environment."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cognite_nb_upload import (
    CogniteClient,
    Uploaded,
    UsageError,
    resume,
    unfinished_jobs,
    upload_many,
    uploads,
)
from cognite_nb_upload.batch.batch import Batch
from cognite_nb_upload.batch.folders import names_several, written
from cognite_nb_upload.batch.options import MODES
from cognite_nb_upload.batch.patterns import chooser
from cognite_nb_upload.core.numbers import as_size
from cognite_nb_upload.core.plan import show_bytes
from cognite_nb_upload.many import watch
from cognite_nb_upload.objects.address import is_address
from cognite_nb_upload.progress import bars
from cognite_nb_upload.say import say
from cognite_nb_upload.text import plain

if TYPE_CHECKING:
    import pandas as pd

    from cognite_nb_upload import Upload

_Commands = Any  # argparse has no public name for it
# These say something of one file.
_OF_ONE: Final = ("name", "external_id")
_OF_FOLDERS: Final = ("recursive", "hidden", "include", "exclude")
# These say what a job of many files does.
_OF_JOBS: Final = ("if_exists", "again", "size_key", "sha256_key")
# A file's name in CDF by its path, which is for many.
_BY_PATH: Final = "path"
_STDIN: Final = "-"


def add_to(commands: _Commands) -> None:
    """Add the commands to the parser."""
    one = commands.add_parser("upload", help="upload files to the project of the environment")
    one.set_defaults(run=_upload)
    one.description = (
        "Upload files, folders, globs and addresses such as s3://bucket/key. "
        "What was interrupted goes on with the same command."
    )
    _add_upload(one)
    listed = commands.add_parser("uploads", help="what is unfinished")
    listed.add_argument("--recent", action="store_true", help="also what has ended")
    listed.set_defaults(run=_uploads)
    again = commands.add_parser("resume", help="go on with an unfinished upload")
    again.add_argument("id", nargs="?", help="as `uploads` lists it; default: the only one")
    again.add_argument(
        "--file", type=_path_or_address, help="where the file is now, if it was moved"
    )
    again.set_defaults(run=_resume)
    back = commands.add_parser("download", help="write a file's content to disk")
    back.add_argument("to", nargs="?", default=".", help="a file or folder (.)")
    which = back.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", type=int)
    which.add_argument("--external-id")
    which.add_argument("--instance-id", nargs=2, metavar=("SPACE", "EXTERNAL_ID"))
    back.set_defaults(run=_download)


def _add_upload(upload: argparse.ArgumentParser) -> None:
    upload.add_argument(
        "paths", nargs="+", metavar="PATH", help="file, folder, glob or address; - is stdin"
    )
    upload.add_argument("--recursive", "-r", action="store_true", help="also folders in folders")
    upload.add_argument("--hidden", action="store_true", help="also what begins with a dot")
    for name in ("--include", "--exclude"):
        upload.add_argument(name, action="append", metavar="PATTERN", help="such as '*.las'")
    upload.add_argument(
        "--if-exists", choices=MODES, help="what is done with a file that CDF has by this id"
    )
    upload.add_argument("--again", action="store_true", help="also what was sent before")
    upload.add_argument("--size-key", metavar="KEY", help="metadata key that keeps the size")
    upload.add_argument("--sha256-key", metavar="KEY", help="metadata key that keeps the SHA-256")
    upload.add_argument("--name", help="default: the file's own")
    upload.add_argument("--external-id", help="of one file; path: each file's path is its id")
    upload.add_argument("--source", help="where the file comes from")
    upload.add_argument("--mime-type", help="default: guessed from the name")
    upload.add_argument("--directory", help="an absolute unix path")
    upload.add_argument("--data-set-id", type=int)
    upload.add_argument("--asset-id", type=int, action="append", dest="asset_ids")
    upload.add_argument("--label", action="append", dest="labels", help="an external id")
    upload.add_argument("--metadata", type=_pair, action="append", metavar="KEY=VALUE")
    upload.add_argument("--overwrite", action="store_true", help="replace that external id's file")
    upload.add_argument("--verify", choices=("size", "checksum", "download", "none"))
    upload.add_argument("--part-size", metavar="SIZE", help="such as 64MiB")
    upload.add_argument("--max-concurrency", type=int, metavar="N", help="parts at once, 1 to 64")
    upload.add_argument("--max-bandwidth", metavar="RATE", help="such as 10MB/s or 80Mbit/s")
    upload.add_argument(
        "--no-resume",
        action="store_false",
        dest="resume",
        default=None,
        help="begin again, whatever was sent before",
    )
    upload.add_argument("--dry-run", action="store_true", help="show the plan, and send nothing")


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    return key, value


def _upload(options: argparse.Namespace) -> int:
    """Upload with the credentials of the environment."""
    # A zero was given; what was left out is None, and a switch that is off is False.
    left_out = {name for name, value in vars(options).items() if value is None or value is False}
    given = {name: value for name, value in vars(options).items() if name not in left_out}
    if options.resume is False:
        given["resume"] = False
    paths = given.pop("paths")
    for name in ("command", "rest", "run"):
        del given[name]
    if "metadata" in given:
        given["metadata"] = _each_once(given["metadata"])
    if not all(paths):
        raise UsageError("A PATH is empty, as of a variable that has no value; `.` is this folder.")
    if _STDIN in paths and len(paths) > 1:
        raise UsageError("- is stdin, which is uploaded alone; ./- is a file of that name.")
    dry_run = given.pop("dry_run", False)
    with CogniteClient() as client:
        is_job = any(name in given for name in _OF_JOBS) or given.get("external_id") == _BY_PATH
        is_one = _is_one_file(paths)
        if is_job and paths == [_STDIN]:
            raise UsageError(
                "- is stdin, which takes no --if-exists, --again, --size-key, --sha256-key and no "
                "--external-id path."
            )
        if is_one and not is_job:
            choice = {name: given.pop(name, ()) for name in _OF_FOLDERS}
            if not chooser(choice["include"], choice["exclude"]).takes(written(paths[0])):
                raise UsageError(f"{paths[0]} is not among what --include and --exclude choose.")
            return _upload_one(client, paths[0], dry_run, given)
        named = given.get("external_id", _BY_PATH)
        if is_one and named != _BY_PATH:
            given["external_id"] = lambda _: named
        alone = [
            f"--{name.replace('_', '-')}"
            for name in _OF_ONE
            if name in given and given[name] != _BY_PATH
        ]
        if alone and not is_one:
            raise UsageError(f"{' and '.join(alone)} is for one file; there are several.")
        return _upload_several(client, paths, dry_run, given)


def _is_one_file(paths: list[str]) -> bool:
    if len(paths) != 1 or paths == [_STDIN]:
        return len(paths) == 1
    if is_address(paths[0]):
        return not names_several(paths[0])
    path = Path(paths[0])
    return not path.is_dir() and (path.exists() or not has_magic(paths[0]))


def _each_once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise UsageError(f"--metadata has the key {twice!r} twice; name each once.")
    return found


def _upload_one(client: CogniteClient, path: str, dry_run: bool, how: dict[str, Any]) -> int:
    content: Any = _path_or_address(path)
    if path == _STDIN:
        if sys.stdin is None:
            raise UsageError("There is no stdin to upload: it is closed.")
        if not how.get("name"):
            raise UsageError("What comes from stdin has no name: give --name.")
        content = sys.stdin.buffer
    if dry_run:
        say(client.files.upload(content, dry_run=True, **how))
    else:
        watched(client.files.start_upload(content, **how))
    return 0


def _path_or_address(text: str) -> str | Path:
    return text if is_address(text) else Path(text)


def watched(upload: Upload) -> Uploaded:
    """Show bars until it has ended; an interrupt stops it, and leaves a journal to go on from."""
    try:
        with bars(upload, leave=False):  # the end is told once: here, or as an error
            result = upload.result()
    finally:
        upload.stop()
    say(result)
    return result


def _upload_several(
    client: CogniteClient, paths: list[str], dry_run: bool, how: dict[str, Any]
) -> int:
    if "part_size" in how:
        how["part_size"] = as_size("part_size", how["part_size"])
    return _say_rows(upload_many(client, paths, dry_run=dry_run, progress=not dry_run, **how))


def _say_rows(frame: pd.DataFrame) -> int:
    """Say what was not sent, and why, and how many were; 1 where some were not."""
    bad = frame[~frame["status"].isin(["waiting", "done", "skipped", "assembling"])]
    dry_run = bool((frame["status"] == "waiting").any())
    for row in bad.itertuples():
        say(f"{plain(row.path)}: {row.status}: {row.error}", error=True)
    count, skipped = len(frame) - len(bad), int((frame["status"] == "skipped").sum())
    sent = show_bytes(int(frame["size"].fillna(0).drop(bad.index).sum()))
    left = f", {skipped} of them left as they were" if skipped else ""
    what = "would be sent" if dry_run else "are in CDF"
    say(f"{count} of {len(frame)} files {what}, {sent}{left}.")
    return 1 if len(bad) else 0


def _uploads(options: argparse.Namespace) -> int:
    frame = uploads(recent=options.recent)
    jobs = unfinished_jobs(recent=options.recent)
    if frame.empty and jobs.empty:
        say("No upload is unfinished.")
    for id, job in zip(jobs.index, jobs.to_dict("records"), strict=True):
        failed = f", {job['failed']} failed" if job["failed"] else ""
        files = f"{job['done']} of {job['files']} files{failed}"
        say(f"{id}  {job['state']}, {files}  {plain(job['title'])}")
    for id, row in zip(frame.index, frame.to_dict("records"), strict=True):
        say(f"{id}  {_progress(row)}  {plain(row['source'] or row['name'])}")
    return 0


def _progress(row: dict[Any, Any]) -> str:
    size = row["size_bytes"]
    whole = f" of {show_bytes(size)}" if isinstance(size, int) else ""
    return f"{row['state']}, {show_bytes(row['stored_bytes'])}{whole} stored"


def _resume(options: argparse.Namespace) -> int:
    with CogniteClient() as client:
        found = resume(options.id or _the_only_one(), client, options.file)
        if isinstance(found, Batch):
            return _say_rows(watch(found))
        watched(found)
    return 0


def _the_only_one() -> str:
    ids = [str(one) for one in (*unfinished_jobs().index, *uploads(recent=False).index)]
    if len(ids) == 1:
        return ids[0]
    raise UsageError(
        "Several are unfinished; give the id of one." if ids else "No upload is unfinished."
    )


def _download(options: argparse.Namespace) -> int:
    node = tuple(options.instance_id) if options.instance_id else None
    if options.to == _STDIN:
        raise UsageError("A download is compared as a whole, and is not written to stdout.").hint(
            "Give a path; ./- is a file of that name."
        )
    if not options.to:
        raise UsageError("The path is empty; `.` is this folder, and what is left out, too.")
    with CogniteClient() as client:
        path = client.files.download(options.to, options.id, options.external_id, node)
    say(f"{plain(path)}: {show_bytes(path.stat().st_size)}")
    return 0
