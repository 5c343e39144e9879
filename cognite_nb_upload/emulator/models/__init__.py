"""The data model: spaces, views, nodes, and the files that nodes are."""
