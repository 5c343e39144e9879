"""Many files as one job."""
