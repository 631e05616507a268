"""The machine that runs procedures: children, their results and their failures."""

from __future__ import annotations

from typing import Any

import pytest

from infra.agent.core.machine import Machine, Outcome, Procedure, Together
from infra.agent.core.operations import Now, OperationFailed


def child(value: int) -> Procedure:
    yield Now()
    if value < 0:
        raise OperationFailed("NEGATIVE", str(value))
    return value


def run(procedure: Procedure) -> Machine:
    machine = Machine(procedure)
    operations = machine.step()
    while not machine.done:
        operations = machine.step([Outcome(number, 0.0) for number, _ in operations])
    return machine


@pytest.mark.parametrize("keep_results", [True, False])
@pytest.mark.parametrize("values", [[1, 2, 3], [1, -2, 3], [-1, -2], []])
def test_children_give_all_results_or_the_first_failure(values: list[int], keep_results: bool) -> None:
    def parent() -> Procedure:
        return (yield Together((child(value) for value in values), limit=2, keep_results=keep_results))

    machine = run(parent())
    negative: list[Any] = [value for value in values if value < 0]
    if negative:
        assert isinstance(machine.failure, OperationFailed)
        assert machine.failure.message == str(negative[0])
    else:
        assert machine.result == (values if keep_results else None)


def test_a_parent_may_survive_the_failure_of_its_children() -> None:
    def parent() -> Procedure:
        try:
            yield Together([child(1), child(-1)], limit=1)
        except OperationFailed as failure:
            return failure.code

    assert run(parent()).result == "NEGATIVE"
