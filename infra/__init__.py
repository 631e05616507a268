"""Adapters to the world: the store, the clusters, the workers and the agent."""
