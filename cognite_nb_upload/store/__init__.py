"""An object store: one connection, one part, one verdict."""
