"""Refused commands as facts of the history."""

from __future__ import annotations

from dataclasses import replace

from domain.errors import InvalidInput, Refused
from domain.refusal import LONGEST_ABOUT, LONGEST_MESSAGE, Refusal
from tests.domain import tables
from tests.domain.builders import Contexts


def test_a_refusal_says_who_tried_what_and_why_it_was_not_done() -> None:
    context = Contexts()()
    refused = InvalidInput("policy.name", "'b d' cannot be a name.", remedy="Use letters.")
    refusal = Refusal.record(context, "add_policy", "b d", refused, left_out=3)
    made = refusal.made
    assert (made.actor, made.request_id, made.timestamp) == (context.actor, context.request_id, context.at)
    assert (made.command, made.about, made.code, made.left_out) == ("add_policy", "b d", "INVALID_INPUT", 3)
    assert made.message == "policy.name: 'b d' cannot be a name."
    assert tables.same_state(refusal, tables.rebuilt(refusal))


def test_the_same_command_refused_again_is_the_same_refusal() -> None:
    contexts = Contexts()
    context = contexts()
    again = replace(contexts(), command_id=context.command_id)
    refused = Refused("NOT_IN_STATE", "it is too late.")
    first, second, other = (Refusal.record(c, "cancel_run", "r", refused, 0) for c in (context, again, contexts()))
    assert first.id == second.id != other.id


def test_what_a_caller_says_cannot_grow_without_bounds() -> None:
    refused = Refused("NOT_FOUND", "x" * 100_000)
    made = Refusal.record(Contexts()(), "add_service", "y" * 100_000, refused, 0).made
    assert (len(made.about), len(made.message)) == (LONGEST_ABOUT, LONGEST_MESSAGE)
