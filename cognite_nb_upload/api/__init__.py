"""The HTTP edge: the only folder that knows httpx."""
