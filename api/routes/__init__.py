"""One file per resource: its paths, its schemas, its handlers."""
