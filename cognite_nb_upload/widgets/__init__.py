"""Widgets for notebooks: a form for a file's metadata.

They observe; nothing below knows of them. No callback blocks a cell, no secret is in any trait.
"""

from __future__ import annotations

from cognite_nb_upload.widgets.form import MetadataForm

__all__ = ["MetadataForm"]
