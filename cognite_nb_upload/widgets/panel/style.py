"""The style sheet, for views."""

from __future__ import annotations

from cognite_nb_upload.widgets.page import Page


def panel_style() -> Page:
    """The style sheet of form, panel and views, as an invisible widget."""
    return Page()
