"""Frozen values without identity."""
