"""The official toolkit: data sets, labels and files deployed, uploaded, downloaded and cleaned."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from steps import BASE_URL, PROJECT, TOKEN, step

CDF = Path(sys.executable).parent / "cdf"
work = Path(tempfile.mkdtemp())
os.environ |= {
    "CDF_URL": BASE_URL,
    "CDF_PROJECT": PROJECT,
    "CDF_TOKEN": TOKEN,
    "CDF_CLUSTER": "emulated",
    "LOGIN_FLOW": "token",
    "PROVIDER": "other",
    "PYTEST_CURRENT_TEST": "tests",  # it reports its use to nobody then
}
FILES = {
    "cdf.toml": '[cdf]\n[modules]\nversion = "%s"\n[plugins]\ndata = true\n',
    "config.dev.yaml": f"environment:\n  name: dev\n  project: {PROJECT}\n"
    "  validation-type: dev\n  selected:\n    - modules/\nvariables: {}\n",
    "modules/m/data_sets/a.DataSet.yaml": "externalId: tk_set\nname: Toolkit set\n",
    "modules/m/classic/a.Label.yaml": "externalId: tk_label\nname: Label\n"
    "dataSetExternalId: tk_set\n",
    "modules/m/files/a.FileMetadata.yaml": "externalId: tk_file\nname: tk.txt\nsource: toolkit\n"
    "dataSetExternalId: tk_set\nlabels:\n  - externalId: tk_label\n",
    "modules/m/files/a.CogniteFile.yaml": "space: field\nexternalId: tk_node\nname: node.txt\n"
    "tags: [toolkit]\nassets:\n  - {space: field, externalId: nordvik}\n",
    "nodes/my.Manifest.yaml": "kind: CogniteFileContent\ntype: CogniteFileTemplate\n"
    "guessMimeType: true\nfileDirectory: nodes/contents\ntemplate:\n"
    "  space: field\n  externalId: tk_$FILENAME\n  name: $FILENAME\n",
    "nodes/contents/three.txt": "content of three",
    "up/my.Manifest.yaml": "kind: FileMetadataContent\ntype: FileMetadataTemplate\n"
    "guessMimeType: true\nfileDirectory: up/contents\ntemplate:\n"
    "  name: $FILENAME\n  externalId: tk_$FILENAME\n  dataSetExternalId: tk_set\n",
    "up/contents/one.txt": "content of one",
    "up/contents/two.txt": "content of two",
}


def cdf(*words: str) -> str:
    done = subprocess.run(
        [CDF, *words],
        cwd=work,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 0, output[-2000:]
    assert "ERROR" not in output, output[-2000:]
    return output


def ask(path: str, body: object) -> dict:
    request = urllib.request.Request(
        f"{BASE_URL}/api/v1/projects/{PROJECT}{path}",
        json.dumps(body).encode(),
        {"authorization": f"Bearer {TOKEN}"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


def known(kind: str, *external_ids: str) -> list[dict]:
    items = [{"externalId": each} for each in external_ids]
    return ask(f"/{kind}/byids", {"items": items})["items"]


def deployed() -> str:
    output = cdf("deploy", "--cdf-project", PROJECT)
    return re.sub(r"\s+", " ", output[output.index("All ") :].partition("│ │")[0])


@step
def build() -> None:
    told = subprocess.run([CDF, "--version"], capture_output=True, text=True, check=True).stdout
    version = re.search(r"[0-9.]*[0-9]", told)
    for name, text in FILES.items():
        path = work / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text % version[0] if name == "cdf.toml" else text)
    cdf("build", "--config-yaml", "config.dev.yaml")


@step
def deploy() -> None:
    assert "All 4 0" in deployed(), deployed()
    (file,) = known("files", "tk_file")
    assert (file["source"], file["labels"]) == ("toolkit", [{"externalId": "tk_label"}])
    assert known("labels", "tk_label")
    assert known("datasets", "tk_set")


@step
def deploy_again_changes_nothing() -> None:
    assert "All 0 0 0 4" in deployed()


@step
def deploy_a_change() -> None:
    path = work / "modules/m/files/a.FileMetadata.yaml"
    path.write_text(path.read_text().replace("source: toolkit", "source: again"))
    path = work / "modules/m/data_sets/a.DataSet.yaml"
    path.write_text(path.read_text() + "description: new\n")
    cdf("build", "--config-yaml", "config.dev.yaml")
    assert "All 0 2 0 2" in deployed()
    assert known("files", "tk_file")[0]["source"] == "again"


@step
def upload_contents() -> None:
    cdf("data", "upload", "dir", "up", "--cdf-project", PROJECT)
    assert all(file["uploaded"] for file in known("files", "tk_one.txt", "tk_two.txt"))
    links = ask("/files/downloadlink", {"items": [{"externalId": "tk_one.txt"}]})["items"]
    with urllib.request.urlopen(links[0]["downloadUrl"]) as answer:
        assert answer.read() == b"content of one"


def nodes(*external_ids: str) -> list[dict]:
    items = [{"instanceType": "node", "space": "field", "externalId": one} for one in external_ids]
    view = {"type": "view", "space": "cdf_cdm", "externalId": "CogniteFile", "version": "v1"}
    body = {"items": items, "sources": [{"source": view}]}
    found = ask("/models/instances/byids", body)["items"]
    return [one["properties"]["cdf_cdm"]["CogniteFile/v1"] for one in found]


@step
def deploy_made_the_node() -> None:
    (node,) = nodes("tk_node")
    assert (node["name"], node["tags"], node["isUploaded"]) == ("node.txt", ["toolkit"], False)


@step
def upload_contents_of_nodes() -> None:
    cdf("data", "upload", "dir", "nodes", "--cdf-project", PROJECT)
    (node,) = nodes("tk_three.txt")
    assert node["isUploaded"] is True
    named = {"instanceId": {"space": "field", "externalId": "tk_three.txt"}}
    links = ask("/files/downloadlink", {"items": [named]})["items"]
    with urllib.request.urlopen(links[0]["downloadUrl"]) as answer:
        assert answer.read() == b"content of three"


@step
def download_metadata() -> None:
    cdf("data", "download", "files", "-d", "tk_set", "-o", "down")
    (table,) = (work / "down").rglob("*.csv")
    rows = table.read_text("utf-8-sig").splitlines()
    assert {"tk_file", "tk_one.txt", "tk_two.txt"} <= {row.partition(",")[0] for row in rows}


@step
def clean() -> None:
    cdf("clean", "--cdf-project", PROJECT)
    items = [{"externalId": "tk_label"}]
    assert ask("/labels/byids", {"items": items, "ignoreUnknownIds": True})["items"] == []
