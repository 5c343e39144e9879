"""Where the bytes are: a little object store, or a real one behind signed URLs."""
