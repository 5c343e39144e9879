"""The metadata form."""
