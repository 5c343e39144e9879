"""What a panel says, as the Python that does the same.

Rules of this file: the code runs as it is, in a script or a cell; values are literals, escaped as
Python does it; no secret is in it: it comes from the environment, or is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from cognite_nb_upload.api.auth import OAuthClientCredentials
from cognite_nb_upload.api.config import ClientConfig
from cognite_nb_upload.api.interop import checked_config
from cognite_nb_upload.api.oauth.person import PersonCredentials
from cognite_nb_upload.core.plan import MIB
from cognite_nb_upload.errors import ConfigError
from cognite_nb_upload.models import FileNode, GeoLocation, Label
from cognite_nb_upload.widgets.panel.options import name_of_engine

_WIDTH: Final = 88


def upload_code(config: ClientConfig, path: str, fields: Mapping[str, Any]) -> str:
    """Python that uploads the file at `path` with these keywords of `files.upload`."""
    given = {name: value for name, value in fields.items() if _is_said(name, value)}
    imports, client = _client_code(config)
    if any(isinstance(value, datetime) for value in given.values()):
        imports = ["from datetime import UTC, datetime", *imports]
    if any(isinstance(value, FileNode) for value in given.values()):
        imports = [_with_file_node(one) for one in imports]
    arguments = [
        literal(path),
        *(f"{name}={_value_code(name, value)}" for name, value in given.items()),
    ]
    lines = [
        *_sorted(imports),
        "",
        *client,
        "upload = client.files.start_upload(",
        *(f"    {one}," for one in arguments),
        ")",
        "bars(upload)",
        "print(upload.result())",
    ]
    return "\n".join(lines) + "\n"


def _with_file_node(line: str) -> str:
    """The import of our names, with `FileNode` among them."""
    start = "from cognite_nb_upload import "
    if not line.startswith(start):
        return line
    names = sorted([*line.removeprefix(start).split(", "), "FileNode"])
    return start + ", ".join(names)


def _node_code(node: FileNode) -> str:
    arguments = [literal(node.space), literal(node.external_id)]
    if node.view is not None:
        view = node.view_id
        known = ", ".join(literal(one) for one in (view.space, view.external_id, view.version))
        arguments.append(f"view=({known})")
    arguments.append(f"properties={literal(dict(node.properties), 2)}")
    return "FileNode(\n" + "".join(f"        {one},\n" for one in arguments) + "    )"


def _value_code(name: str, value: Any) -> str:
    if isinstance(value, FileNode):
        return _node_code(value)
    if name == "part_size" and value % MIB == 0:
        return f"{value // MIB} * 1024**2"
    if name == "engine" and not isinstance(value, str):
        return name_of_engine(value)
    return literal(value, 1)


def _is_said(name: str, value: Any) -> bool:
    return value is not None and not (name == "overwrite" and value is False)


def _sorted(imports: Iterable[str]) -> list[str]:
    """The standard library first, then ours."""
    ours = sorted(line for line in imports if "cognite_nb_upload" in line)
    theirs = sorted(line for line in imports if "cognite_nb_upload" not in line)
    return [*theirs, *([""] if theirs else []), *ours]


def _client_code(config: ClientConfig) -> tuple[list[str], list[str]]:
    """Imports, and the lines that make `client`."""
    shown = "from cognite_nb_upload.progress import bars"
    if _is_the_default(config):
        return (
            ["from cognite_nb_upload import CogniteClient", shown],
            ["client = CogniteClient()"],
        )
    name, credentials = _credentials_code(config)
    typed = (
        [] if isinstance(config.credentials, PersonCredentials) else ["from getpass import getpass"]
    )
    imports = [
        *typed,
        f"from cognite_nb_upload import ClientConfig, CogniteClient, {name}",
        shown,
    ]
    return imports, [
        "client = CogniteClient(",
        "    ClientConfig(",
        f"        client_name={literal(config.client_name)},",
        f"        project={literal(config.project)},",
        f"        base_url={literal(config.base_url)},",
        *(f"        {line}" for line in credentials),
        "    )",
        ")",
    ]


def _is_the_default(config: ClientConfig) -> bool:
    try:
        found = checked_config(None)
    except ConfigError:
        return False
    return (found.project, found.base_url) == (config.project, config.base_url)


def _credentials_code(config: ClientConfig) -> tuple[str, list[str]]:
    given = config.credentials
    if isinstance(given, PersonCredentials):
        name = type(given).__name__
        arguments = ", ".join(f"{one}={literal(value)}" for one, value in given.arguments().items())
        return name, [f"credentials={name}({arguments}),"]
    if not isinstance(given, OAuthClientCredentials):
        return "Token", ['credentials=Token(getpass("Token: ")),']
    lines = [
        "credentials=OAuthClientCredentials(",
        f"    {literal(given.token_url)},",
        f"    {literal(given.client_id)},",
        '    getpass("Client secret: "),',
        f"    {literal(given._scopes)},",
    ]
    lines += [f"    audience={literal(given._audience)},"] if given._audience else []
    return "OAuthClientCredentials", [*lines, "),"]


def literal(value: Any, depth: int = 0) -> str:
    """A value of a field as a Python literal; `depth` is how far its lines are indented."""
    flat = _flat(value)
    if len(flat) + 4 * depth <= _WIDTH or not isinstance(_plain(value), dict | list):
        return flat
    return _tall(_plain(value), depth)


def _flat(value: Any) -> str:
    if isinstance(value, datetime):
        return _datetime_code(value)
    return _quoted(_plain(value))


def _tall(value: dict[Any, Any] | list[Any], depth: int) -> str:
    inner, outer = "    " * (depth + 1), "    " * depth
    if isinstance(value, dict):
        items = [f"{_quoted(key)}: {literal(one, depth + 1)}" for key, one in value.items()]
        first, last = "{", "}"
    else:
        items, (first, last) = [literal(one, depth + 1) for one in value], "[]"
    body = "".join(f"{inner}{item},\n" for item in items)
    return f"{first}\n{body}{outer}{last}"


def _plain(value: Any) -> Any:
    """Labels as their external ids, a geo location as its GeoJSON, tuples as lists."""
    if isinstance(value, Label):
        return value.external_id
    if isinstance(value, GeoLocation):
        return _plain(value.to_cdf())
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, tuple | list) else value


def _quoted(value: Any) -> str:
    """`repr`, with double quotes where that needs no escape."""
    if isinstance(value, str):
        text = repr(value)
        plain = text[0] == "'" and '"' not in text and "\\'" not in text
        return f'"{text[1:-1]}"' if plain else text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(k)}: {_quoted(v)}" for k, v in value.items()) + "}"
    return "[" + ", ".join(map(_quoted, value)) + "]" if isinstance(value, list) else repr(value)


def _datetime_code(value: datetime) -> str:
    at = value.astimezone(UTC)
    parts = [at.year, at.month, at.day, at.hour, at.minute, at.second, at.microsecond]
    while parts[-1] == 0 and len(parts) > 3:
        parts.pop()
    return f"datetime({', '.join(map(str, parts))}, tzinfo=UTC)"
