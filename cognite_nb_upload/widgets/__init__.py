"""Widgets for notebooks: the panel, the form for a file's metadata, files from the browser.

They observe; nothing below knows of them. No callback blocks a cell, no secret is in any trait.
"""

from __future__ import annotations

from cognite_nb_upload.widgets.browser.files import BrowserFiles
from cognite_nb_upload.widgets.form.form import MetadataForm
from cognite_nb_upload.widgets.panel.panel import UploadPanel
from cognite_nb_upload.widgets.sign_in import SignIn, connect

__all__ = ["UploadPanel", "MetadataForm", "BrowserFiles", "connect", "SignIn"]
