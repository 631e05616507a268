"""Faults in how the moment is taken."""

from __future__ import annotations

from scripts.mutatekit.mutation import Change, Mutation, mutation

_TAKE = "infra/agent/core/take_snapshots.py"
_SETTLING = "infra/agent/core/moment_settling.py"
_TESTS = (
    "tests/agent/test_moment.py",
    "tests/agent/test_moment_clock_steps.py",
    "tests/agent/test_moment_clocks.py",
    "tests/agent/test_moment_crashes.py",
)

MOMENT = (
    mutation(
        "late-moment-accepted",
        "a snapshot of a later instant stands for the moment",
        _TAKE,
        "        if (yield Now()) > self.at_ms + self.tolerance_ms:\n            # On",
        "        if False:\n            # On",
        *_TESTS,
    ),
    mutation(
        "stamp-not-compared",
        "after a crash a snapshot of another instant is taken for the moment's",
        _SETTLING,
        "    if not moment.is_its_own(found) and attempts == 1:",
        "    if False:",
        *_TESTS,
        in_ci=True,
    ),
    mutation(
        "lost-answer-is-asked-again",
        "a snapshot whose answer was lost is taken twice",
        _SETTLING,
        '        if failure.get("unknown"):',
        "        if False:",
        *_TESTS,
    ),
    mutation(
        "snapshots-of-a-failed-moment-stay",
        "a part of the data sets keeps a snapshot of a moment that failed",
        _TAKE,
        "        except OperationFailed:\n            yield from self._remove_all()\n            raise\n"
        "        taken: dict[str, Taken] =",
        "        except OperationFailed:\n            raise\n        taken: dict[str, Taken] =",
        *_TESTS,
    ),
    mutation(
        "clock-step-unnoticed",
        "a gateway's clock that was set while it waited changes what the snapshots stand for",
        _TAKE,
        '        elif drift_ms(before["namenode"], after["namenode"]) > self.tolerance_ms:',
        "        elif False:",
        *_TESTS,
    ),
    Mutation(
        "clock-not-measured-before-firing",
        "the moment is fired by a clock that was measured hours ago",
        (
            Change(
                _TAKE,
                "        yield from markers.check_unchanged(self.instruction, PRIMARY, self.checked)\n"
                "        yield from self._measure()\n",
                "        yield from markers.check_unchanged(self.instruction, PRIMARY, self.checked)\n",
            ),
            Change(
                _TAKE,
                "            yield SleepUntil(self.at_ms - before_ms)\n            yield from self._measure()\n",
                "            yield SleepUntil(self.at_ms - before_ms)\n",
            ),
        ),
        _TESTS,
    ),
    Mutation(
        "barrier-stays-after-a-failed-firing",
        "writers are held though the moment has failed",
        (
            Change(
                _TAKE,
                "        except OperationFailed as failure:\n            yield from self.barrier.release()\n",
                "        except OperationFailed as failure:\n",
            ),
            Change(
                _TAKE,
                "    except OperationFailed:\n        yield from run.barrier.release()\n        raise\n",
                "    except OperationFailed:\n        raise\n",
            ),
        ),
        ("tests/agent/test_moment_barrier.py",),
    ),
    mutation(
        "missing-snapshot-after-a-crash-is-taken",
        "a moment of which one snapshot is missing is called complete",
        _TAKE,
        "            if missing:\n",
        "            if False:\n",
        *_TESTS,
    ),
    mutation(
        "firing-not-in-the-journal",
        "after a crash while firing the moment is fired a second time",
        _TAKE,
        '        yield from self.journal.write({"firing": {"at_ms": self.at_ms, "clocks": dict(self.clocks)}})\n',
        "",
        *_TESTS,
    ),
)
