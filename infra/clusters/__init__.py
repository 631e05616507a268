"""Adapters to one cluster: its gateway over SSH, and the agent that works there."""
