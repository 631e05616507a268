"""Faults in how a directory's copy is changed, healed, and sealed."""

from __future__ import annotations

from scripts.mutatekit.mutation import mutation

_APPLY = "infra/agent/core/hdfs_apply.py"
_HEAL = "infra/agent/core/hdfs_heal.py"
_STAGING = "infra/agent/core/staging.py"
_ATTEMPTS = "tests/agent/test_apply_attempts.py"
_DAMAGE = "tests/agent/test_hdfs_damage.py"
_BACKUP = "tests/agent/test_hdfs_backup.py"
_ORDER = "tests/agent/test_apply_order.py"
_HEALING = "tests/agent/test_interrupted_healing.py"
_SEAL = "tests/agent/test_markers_and_seal.py"

HDFS_APPLY = (
    mutation(
        "out-taken-for-done",
        "what is to be taken away and is not found anywhere is taken for done",
        _APPLY,
        "            if not done:\n",
        "            if False:\n",
        _ORDER,
    ),
    mutation(
        "in-taken-for-done-over-another-tree",
        "another tree stands where a new one was to go, and is called the copy",
        _APPLY,
        '            if exception == "FileAlreadyExistsException":\n'
        '                raise head_changed(target, "is there, though nothing should be") from failure\n',
        '            if exception == "FileAlreadyExistsException":\n                return\n',
        _ORDER,
        in_ci=True,
    ),
    mutation(
        "in-taken-for-done-without-target",
        "what is neither in staging nor in place is taken for done",
        _APPLY,
        "            if is_waiting or (yield from hdfs.status(SECONDARY, target)) is None:",
        "            if is_waiting:",
        _ORDER,
        _ATTEMPTS,
    ),
    mutation(
        "no-fence-between-phases",
        "a late request of an earlier agent takes away what is new",
        _APPLY,
        "            yield from self._fence()\n",
        "",
        _ATTEMPTS,
        _BACKUP,
    ),
    mutation(
        "out-in-any-order",
        "a directory goes before what lies in it",
        _APPLY,
        "            yield from self._phase(OUT, self._out, ordered=True)",
        "            yield from self._phase(OUT, self._out, ordered=False)",
        _ORDER,
    ),
    mutation(
        "in-in-any-order",
        "an entry is put into place before the directory that it lies in",
        _APPLY,
        "        yield from self._phase(IN, self._in, ordered=True)",
        "        yield from self._phase(IN, self._in, ordered=False)",
        _ORDER,
    ),
    mutation(
        "no-times",
        "directories keep the time of the last backup",
        _APPLY,
        "        yield from self._phase(TIME, self._time, ordered=False)\n",
        "",
        _BACKUP,
    ),
    mutation(
        "default-acl-stays",
        "a default ACL that the source has lost stays on the copy",
        _APPLY,
        "            yield from hdfs.remove_default_acl(SECONDARY, path)\n",
        "            pass\n",
        _BACKUP,
        "tests/agent/test_components.py",
    ),
    mutation(
        "attributes-not-removed",
        "an extended attribute that the source has lost stays on the copy",
        _APPLY,
        "        for name in sorted(set(found) - set(wanted)):",
        "        for name in ():",
        _BACKUP,
    ),
    mutation(
        "unfinished-healing-not-planned-anew",
        "what happened to the head while a healing was interrupted stays",
        _HEAL,
        "        yield from _carry_out(work, data_set)\n    yield from remove_trash_root",
        "        yield from _carry_out(work, data_set)\n        return\n    yield from remove_trash_root",
        _HEALING,
        in_ci=True,
    ),
    mutation(
        "healing-not-put-away-after-a-change",
        "a plan that does not fit the head any more is tried for ever",
        _HEAL,
        "            yield from _put_away(staging)  # the next attempt plans anew\n",
        "            pass\n",
        _HEALING,
    ),
    mutation(
        "base-not-checked",
        "a head is built upon a snapshot that is gone",
        _HEAL,
        "    if (yield from hdfs.status(SECONDARY, frozen.root)) is None:",
        "    if False:",
        "tests/agent/test_lost_bases.py",
        _DAMAGE,
    ),
    mutation(
        "changed-head-not-refused",
        "a policy that refuses a changed head heals it all the same",
        _HEAL,
        '    if planned["steps"]:\n        raise OperationFailed(\n            HEAD_CHANGED,',
        "    if False:\n        raise OperationFailed(\n            HEAD_CHANGED,",
        _DAMAGE,
        "tests/agent/test_components.py",
    ),
    mutation(
        "sender-makes-the-epoch",
        "a sender of an epoch that is over makes its directory again",
        _STAGING,
        '        prepared = scratch(instruction, "run")\n'
        "        yield from make_plain(prepared)\n"
        "        yield from place(instruction, prepared, run)\n",
        "        yield from make_plain(run)\n",
        _BACKUP,
        _DAMAGE,
        in_ci=True,
    ),
    mutation(
        "staging-missing-is-nothing-begun",
        "where staging is gone, a head that was half changed is called untouched",
        _STAGING,
        "    if (yield from hdfs.status(SECONDARY, staging)) is None:\n        yield from check_not_evicted",
        "    if False:\n        yield from check_not_evicted",
        _ATTEMPTS,
        _DAMAGE,
        "tests/agent/test_components.py",
    ),
    mutation(
        "seal-not-read-back",
        "what somebody else wrote into a recovery point's place is called sealed",
        "infra/agent/core/seal.py",
        '        if written != canonical(payload[name[: -len(".json")]]):',
        "        if False:",
        _SEAL,
    ),
    mutation(
        "marker-not-newest-any-more",
        "a marker that was followed by another one is called written",
        "infra/agent/core/markers.py",
        '    if newest != serial:\n        raise _conflict(f"marker {serial} stands and was followed by {newest}")\n',
        "",
        _SEAL,
        in_ci=True,
    ),
    mutation(
        "marker-not-compared-after-writing",
        "another one's marker of the same serial is taken for one's own",
        "infra/agent/core/markers.py",
        '    if {name: value for name, value in written.items() if name != "term"} != marker:',
        "    if False:",
        _SEAL,
    ),
    mutation(
        "marker-epoch-not-compared",
        "an instruction of another epoch is carried out",
        "infra/agent/core/markers.py",
        '"cluster": cluster, "epoch": instruction.epoch}',
        '"cluster": cluster}',
        _SEAL,
        "tests/agent/test_components.py",
    ),
    mutation(
        "marker-not-looked-at-before-the-moment",
        "snapshots are taken on a cluster that has lost its role meanwhile",
        "infra/agent/core/take_snapshots.py",
        "        yield from markers.check_unchanged(self.instruction, PRIMARY, self.checked)\n",
        "",
        "tests/agent/test_moment.py",
    ),
)
