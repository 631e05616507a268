"""What the agent decides: procedures that yield operations and are given their outcomes; no I/O of any kind."""
