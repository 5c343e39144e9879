"""An upload remembered on disk."""
