"""Commands that use the API and nothing else: no store, no cluster, no file but the user's own."""
