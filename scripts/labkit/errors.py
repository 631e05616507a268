"""The lab's one error: a sentence for the person at the keyboard."""

from __future__ import annotations


class LabError(Exception):
    """Something in the lab cannot be done; the message says what, where to look, and what to do."""
