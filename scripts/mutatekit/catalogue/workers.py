"""Faults in how instructions are handed over, followed, and given turns."""

from __future__ import annotations

from scripts.mutatekit.mutation import Change, Mutation, mutation

_CARRYING = "infra/workers/carrying.py"
_DECISIONS = "infra/workers/decisions.py"
_TURNS = "infra/workers/turns.py"
_SWEEPER = "infra/workers/sweeper.py"
_STORY = ("tests/simulation/test_story.py", "tests/simulation/test_bad_days.py")

WORKERS = (
    mutation(
        "higher-term-is-not-looked-into",
        "a control device that was replaced goes on as if its gateway were slow",
        _CARRYING,
        "        if isinstance(answer, SubmissionRefused) and answer.code in OUTDATED:",
        "        if False:",
        "tests/simulation/test_two_control_devices.py",
        "tests/simulation/test_bad_days.py",
    ),
    mutation(
        "lost-agent-waited-for",
        "an agent that is gone is waited for without end",
        _CARRYING,
        "                if missing >= LOOKS_WITHOUT_AGENT:\n                    return None\n",
        "",
        *_STORY,
    ),
    Mutation(
        "sent-again-under-another-limit",
        "an instruction that was sent already is recorded a second time, and its agent is not found any more",
        (
            Change(
                _DECISIONS,
                "        if wanted.id not in aggregate.instructed:\n            now_ms",
                "        if True:\n            now_ms",
            ),
            Change(
                "domain/instructing.py",
                "        if wanted.id in self.instructed:\n            return\n"
                "        self.note(\n            self.Instructed,",
                "        self.note(\n            self.Instructed,",
            ),
        ),
        _STORY,
    ),
    mutation(
        "swept-too-early",
        "a gateway forgets an instruction that could still arrive a second time",
        _DECISIONS,
        "            if aggregate.is_at_rest and latest_ms < before_ms:",
        "            if aggregate.is_at_rest:",
        "tests/simulation/test_afterwards.py",
    ),
    mutation(
        "kept-ids-called-forgotten",
        "what a gateway has kept is called forgotten, and stays in its spool for ever",
        _SWEEPER,
        "            gone += [identity for identity in ids if identity not in kept]",
        "            gone += ids",
        "tests/simulation/test_afterwards.py",
    ),
    mutation(
        "pause-ignored",
        "copies go on though a person has paused them",
        _TURNS,
        "        return not self._expected and self._held(demand) is None and",
        "        return not self._expected and",
        "tests/infra/test_turns.py",
        "tests/simulation/test_limits_and_pauses.py",
    ),
    mutation(
        "limit-of-agents-ignored",
        "more agents work on a cluster than its operator allows",
        _TURNS,
        "        if agents is not None and load.agents[demand.cluster] >= agents:",
        "        if False:",
        "tests/infra/test_turns.py",
    ),
    mutation(
        "service-that-runs-most-is-served-first",
        "one service with many copies keeps the others from beginning",
        _TURNS,
        "        queue = [(load.services[one.demand.service], one.place, one) for one in self._waiting.values()]",
        "        queue = [(0, one.place, one) for one in self._waiting.values()]\n        load.services.clear()",
        "tests/infra/test_turns.py",
    ),
    mutation(
        "late-outcome-counts",
        "the outcome of an attempt that was given up decides",
        "domain/protection/backup_run/conclude.py",
        "    wanted = run.wants(instruction)\n    if wanted is None:\n        return None\n    if outcome",
        "    wanted = run.wants(instruction)\n    assert wanted is not None\n    if outcome",
        "tests/domain/test_conclude.py",
        *_STORY,
    ),
)
