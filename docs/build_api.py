"""Write `docs/api.md`, the API reference, from the signatures and docstrings of the package.

python docs/build_api.py
"""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cognite_nb_upload as cnu
from cognite_nb_upload import emulator, errors, progress, widgets
from cognite_nb_upload.api.catalog import AsyncCatalog
from cognite_nb_upload.batch.batch import Batch
from cognite_nb_upload.batch.files import AsyncManyFiles

PATH: Final = Path(__file__).parent / "api.md"
_HEAD: Final = """# API reference

Written from the docstrings by `docs/build_api.py`. Sizes are bytes; what ends in `_s` is seconds;
times are aware of their zone.
"""
_SECTION: Final = re.compile(r"(Args|Attributes|Raises|Returns):")
_WIDTH: Final = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that is described.

    Attributes:
        name: as it is reached, where nobody makes one by calling it.
        only: the members that are described, where not all are.
        note: what is said below the docstring.
    """

    thing: Any
    name: str = ""
    only: tuple[str, ...] | None = None
    note: str = ""


CONTENTS: Final[dict[str, tuple[Entry, ...]]] = {
    "Clients": (
        Entry(cnu.AsyncCogniteClient),
        Entry(
            cnu.CogniteClient,
            only=(),
            note="It has what `AsyncCogniteClient` has, without `await`. `files.upload` waits for "
            "the `Uploaded`;\n`files.start_upload` returns the `Upload`.",
        ),
        Entry(cnu.ClientConfig),
        Entry(cnu.Token, only=()),
        Entry(cnu.OAuthClientCredentials, only=("entra_id",)),
        Entry(cnu.OAuthDeviceCode, only=("entra_id", "sign_in", "sign_out", "cancel_sign_in")),
        Entry(cnu.OAuthInteractive, only=("entra_id", "sign_in", "sign_out", "cancel_sign_in")),
        Entry(cnu.SignInPrompt, only=("left_s", "words")),
        Entry(cnu.Credentials),
        Entry(cnu.Retry, only=()),
    ),
    "Files": (
        Entry(
            AsyncManyFiles,
            "client.files",
            (
                "upload", "plan", "upload_content", "multipart_upload_session",
                "multipart_upload_content_session", "start_many", "check_many", "resume_upload",
                "retrieve", "list", "search", "update", "manifest", "update_many", "delete", "size",
                "download", "download_url",
            ),
        ),
        Entry(
            cnu.FileMultipartUploadSession,
            "FileMultipartUploadSession",
            (
                "upload_part", "upload_part_async", "state", "missing_parts", "listen", "stop",
                "complete",
            ),
        ),
    ),
    "Uploads": (
        Entry(
            cnu.Upload,
            "Upload",
            (
                "result", "pause", "resume", "cancel", "stop", "set_limits", "state", "done",
                "listen", "to_frame",
            ),
        ),
        Entry(cnu.Uploaded),
        Entry(cnu.DryRun),
        Entry(cnu.uploads),
        Entry(cnu.running_uploads),
        Entry(cnu.resume),
        Entry(cnu.forget),
        Entry(cnu.upload_many),
        Entry(cnu.unfinished_jobs),
        Entry(cnu.manifest),
        Entry(cnu.update_many),
        Entry(Batch, "Batch", ("result", "stop", "frame", "state", "listen")),
    ),
    "Metadata": (
        Entry(cnu.FileMetadata),
        Entry(cnu.CDFFile),
        Entry(cnu.GeoLocation),
        Entry(cnu.Geometry),
        Entry(cnu.Label),
        Entry(cnu.NodeId),
        Entry(cnu.FileNode),
        Entry(cnu.ViewId),
        Entry(AsyncCatalog, "client.catalog"),
    ),
    "Progress": (Entry(progress.bars), Entry(progress.throttled)),
    "Widgets": (
        Entry(widgets.UploadPanel, only=("upload", "uploads", "on_uploaded", "code", "close")),
        Entry(widgets.MetadataForm),
        Entry(widgets.BrowserFiles),
        Entry(widgets.connect),
        Entry(widgets.SignIn, only=()),
    ),
    "The emulated CDF": (
        Entry(emulator.emulator),
        Entry(emulator.playground),
        Entry(emulator.bucket),
        Entry(emulator.Bucket, only=("close",)),
        Entry(
            emulator.Emulator,
            "Emulator",
            ("inject", "clear_faults", "fired", "requests", "files", "content", "sha256"),
        ),
        Entry(emulator.Fault, only=()),
        Entry(emulator.Settings, only=()),
    ),
}  # fmt: skip
ERRORS: Final = tuple(
    name
    for name in cnu.__all__
    if isinstance(found := getattr(cnu, name), type) and issubclass(found, Exception)
)


def reference() -> str:
    """The whole page."""
    parts = [_HEAD, *(f"- [{title}](#{_anchor(title)})" for title in (*CONTENTS, "Errors"))]
    for title, entries in CONTENTS.items():
        parts += [f"\n## {title}", *(text for entry in entries for text in _described(entry))]
    return "\n".join([*parts, *_errors()]).rstrip() + "\n"


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")


def _errors() -> Iterator[str]:
    tree = inspect.cleandoc(errors.__doc__ or "").replace("::\n", "", 1)
    first, _, rest = tree.partition("\n")
    drawn, _, after = rest.strip("\n").partition("\n\n")
    yield f"\n## Errors\n\n{first}\n\n```text\n{inspect.cleandoc(drawn)}\n```\n\n{after}"
    for name in ERRORS:
        yield f"\n### `{name}`\n\n{markdown(getattr(cnu, name))}"


def _described(entry: Entry) -> Iterator[str]:
    thing, name = entry.thing, entry.name or entry.thing.__name__
    yield f"\n### `{name}`\n"
    if not (entry.name or getattr(thing, "_is_protocol", False)):
        yield f"{_fence(_call(thing, name))}\n"
    yield markdown(thing)
    if entry.note:
        yield f"\n{entry.note}"
    if isinstance(thing, type):
        wanted = [one for one in _public(thing) if entry.only is None or one[0] in entry.only]
        yield from _members(wanted)


def _members(members: list[tuple[str, Any]]) -> Iterator[str]:
    """First what takes more than a line each, then the rest."""
    short, long = [], []
    for name, member in members:
        called = member.fget if isinstance(member, property) else member
        called = getattr(called, "__func__", called)
        call = name if isinstance(member, property) else _call(called, name)
        text = markdown(called)
        if "\n\n" in text or "\n" in call:
            long.append(f"\n#### `{name}`\n\n{_fence(call)}\n\n{text}")
        else:
            short.append(f"- `{call}`: {text.replace(chr(10), ' ')}")
    yield from long
    if short:
        yield "\n".join(["\n**Also**\n", *short])


def _public(kind: type) -> Iterator[tuple[str, Any]]:
    """Methods and properties with a docstring that this package wrote, in the order they stand."""
    seen: set[str] = set()
    for owner in kind.__mro__:
        if not owner.__module__.startswith("cognite_nb_upload"):
            continue
        for name, member in vars(owner).items():
            if name.startswith("_") or name in seen or not _is_method(member):
                continue
            seen.add(name)
            if inspect.getdoc(member):
                yield name, member


def _is_method(member: object) -> bool:
    return isinstance(member, property | classmethod) or inspect.isfunction(member)


# --- signatures -----------------------------------------------------------------------------------


def _call(thing: Any, name: str) -> str:
    """The signature, in one line where it fits."""
    signature = inspect.signature(thing)
    every = [_parameter(one) for one in _marked(signature)]
    prefix = "await " if inspect.iscoroutinefunction(inspect.unwrap(thing)) else ""
    returns = signature.return_annotation
    told = not isinstance(thing, type) and returns not in (signature.empty, "None")
    arrow = f" -> {returns}" if told else ""
    line = f"{prefix}{name}({', '.join(every)}){arrow}"
    if len(line) <= _WIDTH:
        return line
    inner = "".join(f"    {one},\n" for one in every)
    return f"{prefix}{name}(\n{inner}){arrow}"


def _fence(code: str) -> str:
    return f"```python\n{code}\n```"


def _marked(signature: inspect.Signature) -> Iterator[inspect.Parameter | str]:
    """The parameters, with the `/` and `*` that stand between them."""
    before: Any = None
    for one in signature.parameters.values():
        if one.name in ("self", "cls"):
            continue
        if before is not None and before.kind is one.POSITIONAL_ONLY != one.kind:
            yield "/"
        if one.kind is one.KEYWORD_ONLY and (
            before is None or before.kind not in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        ):
            yield "*"
        yield one
        before = one


def _parameter(one: inspect.Parameter | str) -> str:
    if isinstance(one, str):
        return one
    stars = "**" if one.kind is one.VAR_KEYWORD else "*" if one.kind is one.VAR_POSITIONAL else ""
    kind = "" if one.annotation is one.empty else f": {one.annotation}"
    default = "" if one.default is one.empty else f" = {_default(one.default)}"
    return f"{stars}{one.name}{kind}{default}"


def _default(value: object) -> str:
    text = repr(value)
    return "..." if text.startswith("<") else text


# --- docstrings -----------------------------------------------------------------------------------


def markdown(thing: Any) -> str:
    """A docstring as Markdown: its sections become lists, its examples code."""
    prose, told = _sections((inspect.getdoc(thing) or "").splitlines())
    text = "\n".join(_fenced(prose)).strip()
    return "\n\n".join([text, *(f"**{title}**\n\n{body}" for title, body in told)])


def _sections(lines: list[str]) -> tuple[list[str], list[tuple[str, str]]]:
    """The prose, and the title and list of each section."""
    prose: list[str] = []
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        if section := _SECTION.fullmatch(line):
            found.append((section[1], []))
        elif found and (line.startswith("    ") or not line):
            found[-1][1].append(line)
        else:
            prose.append(line)
    return prose, [(title, "\n".join(_items(body, title))) for title, body in found]


def _items(lines: list[str], title: str) -> list[str]:
    """An item in a line of its own, and those below an item beneath it."""
    made: list[str] = []
    for line in filter(None, lines):
        if line.startswith("     "):
            text = line.strip()
            if text.startswith("- "):
                made.append(f"  {text}")
            else:
                made[-1] += f" {text}"
        elif title == "Returns":
            made.append(line.strip())
        else:
            name, _, text = line.strip().partition(": ")
            made.append(f"- `{name}`: {text}")
    return made


def _fenced(lines: list[str]) -> Iterator[str]:
    """Prose in which what is indented is code."""
    for is_code, group in itertools.groupby(lines, key=lambda line: line.startswith("    ")):
        text = "\n".join(line[4:] if is_code else line for line in group)
        yield f"```python\n{text}\n```" if is_code else text


if __name__ == "__main__":
    PATH.write_text(reference())
