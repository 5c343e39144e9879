"""Parts sent by the workers of an engine that people have: a Dask cluster, or an Executor."""
