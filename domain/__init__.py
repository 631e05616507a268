"""Decisions without I/O: aggregates, rules and pure functions over recorded facts."""
