"""A pause: one for each scope, kept as whoever did it first said, and ended by anybody."""

from __future__ import annotations

import pytest

from domain.errors import InvalidInput, Refused
from domain.protection.pause import EVERYTHING, PAUSED, RUNNING, Pause, described, of_cluster, option_for, scopes_of
from tests.domain.builders import Contexts


def test_the_scopes_of_a_run_are_everything_its_clusters_and_its_service() -> None:
    assert scopes_of("shop", ("a", "b")) == ("all", "cluster:a", "cluster:b", "service:shop")
    assert [option_for(scope) for scope in scopes_of("shop", ("a",))] == ["--all", "--cluster a", "--service shop"]
    assert [described(scope) for scope in scopes_of("shop", ("a",))] == ["everything", "cluster a", "service shop"]
    assert len({Pause.identity(scope) for scope in scopes_of("a", ("a", "all"))}) == 4


def test_it_says_who_when_and_why_and_the_first_one_counts() -> None:
    contexts = Contexts()
    context = contexts()
    pause = Pause.begin_for(context, of_cluster("a"), "disks are replaced")
    assert (pause.state, pause.by, pause.since) == (PAUSED, context.actor, context.at)
    pause.pause(contexts(), "another reason")
    assert (pause.reason, pause.since) == ("disks are replaced", context.at)
    with pytest.raises(
        Refused, match=r"cluster a is paused by .* since 20..-..-..T..:..:..Z: disks are replaced"
    ) as no:
        pause.refuse_new_run()
    assert (no.value.code, no.value.remedy) == ("PAUSED", "understudy resume --cluster a")


def test_it_goes_on_when_it_is_resumed_and_can_be_paused_again() -> None:
    contexts = Contexts()
    pause = Pause.begin_for(contexts(), EVERYTHING, "why")
    pause.resume(contexts(), "")
    assert (pause.state, pause.by, pause.reason, pause.since) == (RUNNING, "", "", None)
    pause.refuse_new_run()
    with pytest.raises(Refused) as refused:
        pause.resume(contexts(), "")
    assert refused.value.code == "NOT_PAUSED"
    pause.pause(contexts(), "again")
    assert (pause.state, pause.reason) == (PAUSED, "again")


@pytest.mark.parametrize("reason", ["", "  ", "x" * 1_001])
def test_a_pause_needs_a_reason(reason: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        Pause.begin_for(Contexts()(), EVERYTHING, reason)
    assert refused.value.field == "reason"
