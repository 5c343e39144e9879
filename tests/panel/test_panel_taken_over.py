"""What a person did in a panel goes on in the panel that its cell makes when it is run again.

The kernel is a real one, told which cell runs as a page tells it; a person types in other cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import pytest
from jupyter_client.manager import start_new_kernel
from paneling import Page

from cognite_nb_upload.emulator import Emulator, emulator

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

_cells = (f"cell {no}" for no in count())
SETUP = """
import os, time
from datetime import UTC, datetime
from pathlib import Path
import ipywidgets
from cognite_nb_upload.widgets import MetadataForm, SignIn, UploadPanel

def until(true):
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)

def line(widget):
    return "".join(getattr(one, "value", "") for one in widget.taken_over.widget.children)

def lone(widget):
    [button] = [one for one in widget.taken_over.widget.children if hasattr(one, "click")]
    return button

class Other:
    'A panel of another project.'
    def __enter__(self):
        self.was = os.environ["CDF_PROJECT"]
        os.environ["CDF_PROJECT"] = "another"
    def __exit__(self, *_):
        os.environ["CDF_PROJECT"] = self.was
"""
PANEL = "panel = UploadPanel()\npanel"
# Boxes that hold text are tried with what is no valid value, too.
FILLED = """
fields = panel.form.fields
fields["name"].input.value = "typed.segy"
fields["mime_type"].input.value = "application/x-typed"
fields["external_id"].input.value = "typed-id"
fields["external_id"].overwrite.value = True
fields["data_set_id"].pick(7)
fields["directory"].input.value = "not absolute"
fields["source"].input.value = "a" * 200
fields["labels"].pick("raw", "seismic:3d")
fields["labels"].search.value = "half a la"
fields["asset_ids"].pick(1000)
fields["security_categories"].pick(4)
fields["source_created_time"].input.value = datetime(2026, 5, 1, tzinfo=UTC)
fields["geo_location"].latitude.value = "sixty"
fields["geo_location"].longitude.value = "2.5"
table = fields["metadata"]
table.add({f"key {no}": str(no) for no in range(9)})
table.rows[0].value.value = "changed"
table.paste.value = "not added"
table.open_paste()
panel.form.folds[1].toggle()
panel.sending.part_mib.value = "six"
panel.sending.verify.value = "checksum"
panel.sending.toggle()
panel.show_code.click()
"""


@pytest.fixture(scope="module")
def cdf_of_kernel() -> Iterator[Emulator]:
    with emulator(process=True) as running:
        yield running


@pytest.fixture(scope="module")
def page(cdf_of_kernel: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    folder = tmp_path_factory.mktemp("taken-over")
    cdf = cdf_of_kernel
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CDF_URL", cdf.base_url)
        patch.setenv("CDF_PROJECT", cdf.project)
        patch.setenv("CDF_TOKEN", cdf.token)
        patch.setenv("COGNITE_NB_UPLOAD_STATE", str(folder / "journals"))
        manager, client = start_new_kernel(kernel_name="python3")
    page = Page(client)
    try:
        page.run(SETUP, "setup")
        page.run(f"big = Path({str(folder / 'big.segy')!r})", "setup")
        page.run("big.write_bytes(os.urandom(6 * 2**20))", "setup")
        yield page
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


@pytest.fixture
def cell() -> str:
    """The id of a cell that has never run."""
    return next(_cells)


def value(page: Page, code: str) -> str:
    return page.run(f"print({code})", "look").rstrip("\n")


def test_all_that_was_typed_and_chosen_is_there_again(page: Page, cell: str) -> None:
    page.run(PANEL, cell)
    page.run("panel.files.choose(big)\nuntil(lambda: panel.files.file)", "person")
    page.run(FILLED, "person")
    page.run("before, held = panel, panel.held()", "look")
    page.run(PANEL, cell)
    assert value(page, "panel is before, before.comm is None") == "False True"
    page.run("until(lambda: panel.files.file and panel.files.file.name == 'big.segy')", "look")
    differs = "{key: (one, held[key]) for key, one in panel.held().items() if one != held[key]}"
    assert value(page, differs) == "{}"
    assert value(page, "panel.reason") == value(page, "before.reason") != ""
    assert "Taken over from the panel that this cell showed before." in value(page, "line(panel)")


def test_start_empty_leaves_only_what_the_code_says(page: Page, cell: str) -> None:
    code = "panel = UploadPanel()\npanel.form.fill({'source': 'said'})\npanel"
    page.run(code, cell)
    page.run(FILLED, "person")
    page.run(code, cell)
    assert value(page, "panel.form.fields['source'].input.value") == "a" * 200
    page.run("lone(panel).click()", "person")
    held = "panel.held()[{}]"
    assert value(page, held.format("'form', 'source'")) == "('said', '')"
    assert value(page, held.format("'form', 'labels'")) == "((), '')"
    assert value(page, held.format("'sending', 'part_size'")) == ""
    assert value(page, held.format("'panel', 'code'")) == "False"
    assert value(page, "line(panel)") == ""
    page.run(code, cell)  # nothing comes back
    assert value(page, held.format("'form', 'labels'")) == "((), '')"


def test_code_wins_where_it_has_changed_and_only_there(page: Page, cell: str) -> None:
    def code(source: str, directory: str) -> str:
        fill = f"panel.form.fill({{'source': {source!r}, 'directory': {directory!r}}})"
        return f"panel = UploadPanel()\n{fill}\npanel"

    say = "panel.form.fields['source'].input.value, panel.form.fields['directory'].input.value"
    page.run(code("one", "/one"), cell)
    page.run("panel.form.fields['source'].input.value = 'typed'", "person")
    page.run("panel.form.fields['directory'].input.value = '/typed'", "person")
    page.run(code("one", "/one"), cell)
    assert value(page, say) == "typed /typed"
    page.run(code("two", "/one"), cell)
    assert value(page, say) == "two /typed"
    page.run(PANEL, cell)  # it says nothing of it any more
    assert value(page, say) == " /typed"


def test_several_in_a_cell_and_in_a_helper_are_matched_by_their_order(
    page: Page, cell: str
) -> None:
    page.run("def made(client=None):\n    return UploadPanel(client)", "helper")
    code = "one, form, two = made(), MetadataForm(), made()\nipywidgets.VBox([one, form, two])"
    page.run(code, cell)
    for no, form in enumerate(("one.form", "form", "two.form")):
        page.run(f"{form}.fields['source'].input.value = 'typed {no}'", "person")
    fails = "one = made()\ntry:\n    made(42)\nexcept Exception as error: print(error)"
    assert "client" in page.run(fails, cell)
    page.run(code, cell)  # the run between has made one of the three
    for no, form in enumerate(("one.form", "form", "two.form")):
        assert value(page, f"{form}.fields['source'].input.value") == f"typed {no}"
    assert "Taken over" in value(page, "line(form)")


def test_text_that_was_on_its_way_while_the_cell_ran_arrives(page: Page, cell: str) -> None:
    page.run(PANEL, cell)
    page.run("panel.form.fields['source'].input.value = 'ty'", "person")
    ids = [
        value(page, f"panel.form.fields[{name!r}].input.model_id")
        for name in ("source", "directory")
    ]
    page.run(f"{PANEL}\nmade = panel", cell)
    for id, text in zip(ids, ("typed", "/typed"), strict=True):
        page.type(id, text)
    say = "panel.form.fields['source'].input.value, panel.form.fields['directory'].input.value"
    assert value(page, say) == "typed /typed"
    page.run("panel.form.fields['source'].input.value = 'newer'", "person")
    page.type(ids[0], "too late")
    assert value(page, say) == "newer /typed"


def test_ids_stay_in_their_project(page: Page, cell: str) -> None:
    page.run(PANEL, cell)
    page.run("for name, one in {'data_set_id': 7, 'labels': 'raw'}.items():\n"
             "    panel.form.fields[name].pick(one)", "person")  # fmt: skip
    page.run("panel.form.fields['source'].input.value = 'typed'", "person")
    page.run("project = panel.client.config.project", "look")
    page.run("with Other():\n    panel = UploadPanel()\n    display(panel)", cell)
    said = value(page, "line(panel)")
    assert f"but for what belongs to project {value(page, 'project')}" in said
    assert value(page, "panel.form.data_set.picked, panel.form.labels.picked") == "() ()"
    assert value(page, "panel.form.fields['source'].input.value") == "typed"

    page.run("panel.kind.value = 'node'\npanel.node_form.space.pick('my-space')", "person")
    page.run("panel.node_form.external_id.input.value = 'line-12'", "person")
    page.run(PANEL, cell)
    say = "panel.node_form.space.picked, panel.node_form.external_id.value"
    assert value(page, say) == "() line-12"


def test_a_file_of_the_data_model_is_taken_over(page: Page, cell: str) -> None:
    page.run(PANEL, cell)
    page.run(
        "panel.kind.value = 'node'\nform = panel.node_form\nform.space.pick('my-space')\n"
        "form.external_id.input.value = 'line-12'\nform.fields['tags'].input.value = 'a\\nb'",
        "person",
    )
    page.run(PANEL, cell)
    say = "panel.is_node, panel.node_form.space.picked, panel.node_form.fields['tags'].value"
    assert value(page, say) == "True ('my-space',) ['a', 'b']"
    assert value(page, "panel.node_form.external_id.value") == "line-12"
    page.run("lone(panel).click()", "person")
    assert value(page, "panel.is_node, panel.node_form.space.picked") == "False ()"
    assert value(page, "panel.node_form.view.error") == ""


def test_after_an_upload_the_form_stays_and_the_same_is_not_sent_twice(
    page: Page, cell: str
) -> None:
    page.run(PANEL, cell)
    page.run("panel.files.choose(big)\nuntil(lambda: panel.files.file)", "person")
    page.run("panel.form.fields['source'].input.value = 'sent'", "person")
    page.run("panel.start.click()\nuntil(lambda: panel.upload)\npanel.upload.result()", "person")
    page.run(PANEL, cell)
    page.run("until(lambda: panel.files.file)", "look")
    assert "was sent with just this" in value(page, "panel.reason")
    page.run("panel.form.fields['source'].input.value = 'another'", "person")
    assert value(page, "panel.start.disabled, panel.uploads") == "False ()"


def test_what_is_typed_to_sign_in_is_there_again_but_for_the_secret(page: Page, cell: str) -> None:
    code = "signing = SignIn()\nsigning"
    page.run(code, cell)
    page.run("signing.tenant.value, signing.method.value = 'my-tenant', 'client'", "person")
    page.run(code, cell)
    assert value(page, "signing.tenant.value, signing.method.value") == "my-tenant client"
    assert value(page, "'secret' in signing.held()") == "False"


def test_a_cell_that_was_not_saved_is_known_by_its_code_after_a_reload(
    page: Page, cell: str
) -> None:
    code = f"{PANEL}  # of {cell}"
    page.run(code, cell)
    page.run("panel.form.fields['source'].input.value = 'typed'", "person")
    page.run(code, "a copy in the same page")
    assert value(page, "panel.form.fields['source'].input.value") == ""
    page.run("panel.form.fields['source'].input.value = 'of the copy'", "person")
    page.run(code, "another id", loaded="again")
    assert value(page, "panel.form.fields['source'].input.value") == "of the copy"


def test_what_the_code_and_a_file_suggest_is_nobodys_typing(page: Page, cell: str) -> None:
    code = "panel = UploadPanel()\npanel.files.choose(big)\npanel"
    for _ in range(2):
        page.run(code, cell)
        page.run("until(lambda: panel.form.value)", "look")
        assert value(page, "panel.form.value.name, line(panel)") == "big.segy "
    page.run("panel.form.fields['name'].input.value = 'typed.pdf'", "person")
    page.run(PANEL, cell)
    assert value(page, "panel.form.value.name, panel.form.value.mime_type") == (
        "typed.pdf application/pdf"
    )
