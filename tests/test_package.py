"""The package from outside: its public names, what importing it costs, and its types."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

import cognite_nb_upload
from cognite_nb_upload import errors

HERE = Path(__file__).parent
# The extras of which a user may install any; the others are for who changes the package.
RUN_TIME = ("emulator", "checksums", "socks", "truststore", "dask", "objects", "map", "lab")


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("name", cognite_nb_upload.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    found = getattr(cognite_nb_upload, name)
    if name != "__version__":
        assert found.__doc__
        assert found.__doc__.splitlines()[0].endswith((".", "::", ":", ")"))


def test_the_public_names_are_those_that_are_meant() -> None:
    assert len(set(cognite_nb_upload.__all__)) == len(cognite_nb_upload.__all__)
    assert set(cognite_nb_upload.__all__) >= {
        *{"AsyncCogniteClient", "CogniteClient", "ClientConfig", "Token", "OAuthClientCredentials"},
        *{"FileMultipartUploadSession", "Label", "GeoLocation", "Geometry", "NodeId"},
        *set(errors.__all__),
    }
    assert set(cognite_nb_upload.__all__) <= set(dir(cognite_nb_upload))


def test_a_name_that_is_not_there_is_told_as_python_does() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nope'"):
        cognite_nb_upload.Nope  # noqa: B018 # the claim


def test_every_error_is_of_one_family() -> None:
    kinds = [getattr(errors, name) for name in errors.__all__]
    assert all(issubclass(kind, errors.UploadToolkitError) for kind in kinds)
    assert issubclass(errors.UsageError, ValueError)


def test_what_it_imports_is_declared() -> None:
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    offered = [*project["dependencies"], *chain(*(extras[name] for name in RUN_TIME))]
    declared = {_named(text) for text in offered}
    optional = {"cognite", "pyproj", "geopandas", "pytest", "numpy"}  # used where they are there
    imported = {
        name.partition(".")[0]
        for path in (HERE.parent / "cognite_nb_upload").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in _modules(node)
    }
    theirs = imported - set(sys.stdlib_module_names) - {"cognite_nb_upload"} - optional
    ours = packages_distributions()
    unsaid = {one for one in theirs if not {*map(_named, ours.get(one, [one]))} & declared}
    assert not unsaid
    assert theirs > {"httpx", "httpcore", "h11", "traitlets"}, "the test sees imports"


def _named(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")


def _modules(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [one.name for one in node.names]
    absolute = isinstance(node, ast.ImportFrom) and not node.level
    return [str(node.module)] if absolute else []


def test_importing_it_loads_next_to_nothing() -> None:
    heavy = "pandas ipywidgets anywidget tqdm IPython httpx pydantic anyio cognite numpy asyncio"
    loaded = python(
        f"import sys, cognite_nb_upload; print(*(set({heavy.split()}) & set(sys.modules)))"
    )
    assert loaded == ""


def test_a_client_loads_no_notebook_and_no_table() -> None:
    heavy = "pandas ipywidgets anywidget tqdm IPython cognite numpy matplotlib starlette uvicorn"
    loaded = python(
        "import sys\n"
        "from cognite_nb_upload import ClientConfig, CogniteClient, Token\n"
        "client = CogniteClient(ClientConfig(client_name='a', project='b', cluster='c', "
        "credentials=Token('d')))\n"
        f"print(*(set({heavy.split()}) & set(sys.modules)))"
    )
    assert loaded == ""


@pytest.mark.slow
def test_the_types_of_the_public_names_hold() -> None:
    """mypy, strictly, over a file that uses them as a caller does; each claim is an assert_type."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", str(HERE / "typed_api.py")],
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(cognite_nb_upload.__file__).parent / "py.typed").exists()
