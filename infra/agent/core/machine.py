"""The machine that runs procedures: ``step(outcomes, now) → operations``, and nothing else touches the world.

A *procedure* is a generator. It yields an ``Operation`` and is resumed with that operation's result, or has its
``OperationFailed`` raised at the yield. It yields ``Together`` to run child procedures concurrently. So each
instruction reads as straight code, yet every effect passes through ``step``: the thread pool of the shell and the
virtual time of the simulation run the very same generators.

Invariants: at most ``outstanding_limit`` operations are out at any time, further ones wait in order; an outcome is
delivered to the procedure that asked for it and to no other; when one child of ``Together`` fails, no further child
starts, the running ones come to their end, and the first failure is raised in the parent.
Everything is deterministic: the same outcomes in the same order give the same operations.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Generator, Iterable, Iterator, Sequence

from infra.agent.core.operations import Operation, OperationFailed

Procedure = Generator[Any, Any, Any]


class Together:
    """Run ``procedures`` concurrently, at most ``limit`` at once, started lazily and in order.

    The parent is resumed with the list of their results in order of start; with ``keep_results=False`` with None, so
    that a million children cost no memory.
    """

    def __init__(self, procedures: Iterable[Procedure], limit: int, keep_results: bool = True) -> None:
        assert limit > 0
        self.procedures: Iterator[Procedure] = iter(procedures)
        self.limit = limit
        self.keep_results = keep_results


class Outcome:
    """What became of one operation: ``value`` if it succeeded, ``failure`` if not."""

    def __init__(self, number: int, value: Any = None, failure: OperationFailed | None = None) -> None:
        self.number = number
        self.value = value
        self.failure = failure


class _Task:
    """One running procedure and the task that waits for it."""

    def __init__(self, procedure: Procedure, parent: _Group | None, index: int) -> None:
        self.procedure = procedure
        self.parent = parent
        self.index = index


class _Group:
    """The children of one ``Together``."""

    def __init__(self, owner: _Task, together: Together) -> None:
        self.owner = owner
        self.together = together
        self.running = 0
        self.started = 0
        self.exhausted = False
        self.results: dict[int, Any] = {}
        self.failure: BaseException | None = None


class Machine:
    """Runs one root procedure to its end; ``done`` tells when, ``result`` or ``failure`` tells how."""

    def __init__(self, procedure: Procedure, outstanding_limit: int = 64) -> None:
        self.done = False
        self.result: Any = None
        self.failure: BaseException | None = None
        self._limit = outstanding_limit
        self._number = 0
        self._waiting: dict[int, _Task] = {}
        self._queue: deque[tuple[_Task, Operation]] = deque()
        self._ready: deque[tuple[_Task, Any, BaseException | None]] = deque()
        self._ready.append((_Task(procedure, None, 0), None, None))

    @property
    def outstanding(self) -> int:
        """The number of operations that were handed out and have no outcome yet."""
        return len(self._waiting)

    def step(self, outcomes: Sequence[Outcome] = ()) -> list[tuple[int, Operation]]:
        """Take outcomes, advance every procedure that can go on, and return the numbered operations to start."""
        for outcome in outcomes:
            task = self._waiting.pop(outcome.number)
            self._ready.append((task, outcome.value, outcome.failure))
        while self._ready:
            self._resume(*self._ready.popleft())
        operations: list[tuple[int, Operation]] = []
        while self._queue and len(self._waiting) < self._limit:
            task, operation = self._queue.popleft()
            self._number += 1
            self._waiting[self._number] = task
            operations.append((self._number, operation))
        return operations

    def _resume(self, task: _Task, value: Any, failure: BaseException | None) -> None:
        try:
            wanted = task.procedure.throw(failure) if failure is not None else task.procedure.send(value)
        except StopIteration as stop:
            self._finished(task, stop.value, None)
            return
        except OperationFailed as error:
            self._finished(task, None, error)
            return
        if isinstance(wanted, Together):
            self._fill(_Group(task, wanted))
        else:
            assert isinstance(wanted, Operation), wanted
            self._queue.append((task, wanted))

    def _fill(self, group: _Group) -> None:
        """Start children up to the limit, and resume the owner when none is left."""
        while not group.exhausted and group.failure is None and group.running < group.together.limit:
            try:
                child = next(group.together.procedures)
            except StopIteration:
                group.exhausted = True
                break
            except OperationFailed as error:
                group.failure = error
                break
            group.running += 1
            self._ready.append((_Task(child, group, group.started), None, None))
            group.started += 1
        if group.running == 0:
            is_whole = group.failure is None and group.together.keep_results
            results = [group.results[i] for i in range(group.started)] if is_whole else None
            self._ready.append((group.owner, results, group.failure))

    def _finished(self, task: _Task, value: Any, failure: BaseException | None) -> None:
        group = task.parent
        if group is None:
            self.done, self.result, self.failure = True, value, failure
            return
        group.running -= 1
        if failure is not None:
            group.failure = group.failure or failure
        elif group.together.keep_results:
            group.results[task.index] = value
        self._fill(group)
