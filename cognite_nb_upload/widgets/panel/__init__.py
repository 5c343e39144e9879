"""The upload panel."""
