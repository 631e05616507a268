"""The event store: events, their chain, the read models and the one writer, in one SQLite file."""
