"""Faults in the event store: answers, the chain, repetition, the term."""

from __future__ import annotations

from scripts.mutatekit.mutation import mutation

_COMMIT = "infra/store/group_commit.py"
_SESSION = "infra/store/session.py"
_CHAIN = "infra/store/chain.py"
_TESTS = ("tests/store/test_sqlite_store.py", "tests/store/test_failures.py")
_CHAIN_TESTS = ("tests/store/test_chain.py",)

STORE = (
    mutation(
        "repeated-command-runs-again",
        "a command whose answer was lost is carried out twice",
        _COMMIT,
        "            if version is not None:\n",
        "            if False:\n",
        *_TESTS,
        in_ci=True,
    ),
    mutation(
        "refused-command-stays-in-the-batch",
        "what a refused command had changed is stored with the next one",
        _SESSION,
        "            if has_recorded or not isinstance(error, UnderstudyError):\n"
        "                self._batch.drop(identity)",
        "            pass",
        *_TESTS,
    ),
    mutation(
        "error-amid-an-event-keeps-the-aggregate",
        "an aggregate that is half changed by an event decides what comes next",
        _SESSION,
        "            if has_recorded or not isinstance(error, UnderstudyError):",
        "            if has_recorded:",
        *_TESTS,
    ),
    mutation(
        "chain-ignores-the-link-before",
        "an event can be taken out of the log without a trace",
        _CHAIN,
        "if item.event is None or (link := next_link(link, position, item.event)) != item.link:",
        "if item.event is None or (link := item.link) != item.link:",
        *_CHAIN_TESTS,
    ),
    mutation(
        "missing-position-unnoticed",
        "an event that was taken out of the log is not missed",
        _CHAIN,
        "            if item.position != position + 1:",
        "            if False:",
        *_CHAIN_TESTS,
    ),
    mutation(
        "anchor-not-compared",
        "a log that was computed anew as a whole is called proved",
        _CHAIN,
        "                if expected[position] != {link}:",
        "                if False:",
        *_CHAIN_TESTS,
        in_ci=True,
    ),
    mutation(
        "end-cut-off-unnoticed",
        "the newest events can be cut off",
        _CHAIN,
        "    if newest_anchor > position:",
        "    if False:",
        *_CHAIN_TESTS,
    ),
    mutation(
        "unanchored-is-proved",
        "events after the last anchor are called proved",
        _CHAIN,
        "    status = ChainStatus.PROVED if proved == position > 0 else ChainStatus.NOT_YET_ANCHORED",
        "    status = ChainStatus.PROVED",
        *_CHAIN_TESTS,
    ),
    mutation(
        "two-controllers",
        "two control devices work on one store",
        "infra/store/term.py",
        "            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        *_TESTS,
    ),
    mutation(
        "term-stays",
        "a control device that is started again cannot be told from the one before",
        "infra/store/term.py",
        "DO UPDATE SET term = term + 1",
        "DO UPDATE SET term = term",
        *_TESTS,
    ),
    mutation(
        "answered-before-the-commit",
        "a command is answered though its events were never stored",
        _COMMIT,
        "                if len(commands) == 1:\n                    return [typed(error)]\n",
        "                if len(commands) == 1:\n                    return outcomes\n",
        *_TESTS,
        in_ci=True,
    ),
)
