"""Faults in the gateway's memory: admission, attempts, locks, endings."""

from __future__ import annotations

from scripts.mutatekit.mutation import mutation

_ADMISSION = "infra/agent/shell/admission.py"
_TERMS = "infra/agent/shell/terms.py"
_ENDING = "infra/agent/shell/ending.py"
_SPOOL = "infra/agent/shell/spool.py"
_TESTS = ("tests/agent/test_admission.py",)

SPOOL = (
    mutation(
        "late-instruction-accepted",
        "a copy of an instruction that arrives after its time is carried out",
        _ADMISSION,
        "        elif now_ms() > instruction.not_after_ms:",
        "        elif False:",
        *_TESTS,
    ),
    mutation(
        "other-content-attaches",
        "another instruction under a known id is answered as if it were the first",
        _ADMISSION,
        "    if known is None or known.digest() != instruction.digest():",
        "    if known is None:",
        *_TESTS,
    ),
    mutation(
        "superseded-attempt-accepted",
        "an older attempt works beside the one that was put in its place",
        _ADMISSION,
        "    if newer:\n",
        "    if False:\n",
        *_TESTS,
        in_ci=True,
    ),
    mutation(
        "aborted-before-arrival-accepted",
        "an instruction that was ended before it arrived is carried out",
        _ADMISSION,
        "    if entry.exists() and not entry.has_instruction():",
        "    if False:",
        *_TESTS,
    ),
    mutation(
        "old-term-accepted",
        "a control device that was replaced goes on",
        _TERMS,
        'is_same_store and instruction.term < highest["term"]:',
        "False:",
        *_TESTS,
    ),
    mutation(
        "old-epoch-accepted",
        "an instruction from before a change of roles is carried out",
        _TERMS,
        '        if instruction.epoch < highest["epoch"]:',
        "        if False:",
        *_TESTS,
    ),
    mutation(
        "terms-not-remembered",
        "a control device that was replaced goes on, because its gateway does not remember who replaced it",
        _ADMISSION,
        "        terms.raise_to(instruction, submission.controller)\n",
        "",
        "tests/agent/test_admission.py",
    ),
    mutation(
        "wrong-cluster-accepted",
        "instructions for one cluster reach the other one's gateway unnoticed",
        _TERMS,
        "        if cluster not in (None, instruction.cluster):",
        "        if False:",
        *_TESTS,
    ),
    mutation(
        "apply-is-aborted",
        "a head that is half changed is left as it is",
        _ENDING,
        "            if not must_roll_forward(self._spool, entry):",
        "            if True:",
        *_TESTS,
    ),
    mutation(
        "unknown-id-not-remembered-as-ended",
        "an instruction that was ended before it arrived is accepted when it comes",
        _ENDING,
        '                self._spool.create(instruction_id, {"outcome.json": canonical(self._aborted(entry)), '
        '"abort": b"\\n"})\n',
        "",
        *_TESTS,
    ),
    mutation(
        "public-spool",
        "a spool that others can read, credentials and all, is used",
        _SPOOL,
        "stat.S_IMODE(status.st_mode) & 0o077:",
        "False:",
        *_TESTS,
    ),
    mutation(
        "entry-not-flushed",
        "an accepted instruction is gone after a power cut",
        _SPOOL,
        "            os.rename(prepared, target)\n            self.disk.flush_directory(self._instructions)\n",
        "            os.rename(prepared, target)\n",
        *_TESTS,
    ),
)
