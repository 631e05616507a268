"""Faults in what keeps others out, ends trying in vain, and takes nothing at its word."""

from __future__ import annotations

from scripts.mutatekit.mutation import mutation

_OWNERSHIP = "infra/agent/core/ownership.py"
_OWNERSHIP_TESTS = "tests/agent/test_ownership.py"
_LISTINGS = "infra/agent/core/listings.py"
_HOSTILE = "tests/agent/test_hostile_names.py"

GUARDS = (
    mutation(
        "other-store-let-through",
        "a control device with another store backs up over the heads of the one that the clusters belong to",
        _OWNERSHIP,
        "            return\n    raise refusal(cluster, found, controller)",
        "            return\n    return",
        _OWNERSHIP_TESTS,
    ),
    mutation(
        "copy-of-the-store-let-through",
        "a restored back-up of the store goes on although it does not know what was asked for since",
        _OWNERSHIP,
        '        is_known = found.name == controller["follows"].get(cluster)',
        "        is_known = True",
        _OWNERSHIP_TESTS,
        in_ci=True,
    ),
    mutation(
        "lost-compare-and-set-is-won",
        "two control devices that know the same record are both let through",
        _OWNERSHIP,
        "            yield from _remove_empty(site)\n        return False\n",
        "            yield from _remove_empty(site)\n        return True\n",
        _OWNERSHIP_TESTS,
    ),
    mutation(
        "name-that-leads-elsewhere",
        "a NameNode names a file ../../.understudy/identity/99.json, and the copy writes it",
        _LISTINGS,
        "        if not is_name(name):\n",
        "        if False:\n",
        _HOSTILE,
        in_ci=True,
    ),
    mutation(
        "listing-that-never-moves-on",
        "a listing that repeats itself is read for ever",
        _LISTINGS,
        "        if behind is not None and name_key(name) <= behind:",
        "        if False:",
        _HOSTILE,
    ),
    mutation(
        "empty-page-with-more-to-come",
        "a page without entries, and more to come, is asked for again for ever",
        _LISTINGS,
        "    if remaining and not entries:\n",
        "    if False:\n",
        _HOSTILE,
    ),
    mutation(
        "coprocessor-in-the-clone",
        "a coprocessor that the secondary does not have takes its RegionServers down",
        "infra/agent/core/hbase_bare.py",
        "    if allowed is None or text in allowed:",
        "    if True:",
        "tests/agent/test_hbase_bare.py",
        in_ci=True,
    ),
    mutation(
        "refusal-for-good-is-tried-again",
        "what a NameNode refuses whenever it is asked is tried for ever, and nobody is told",
        "domain/protection/backup_run/stopping.py",
        '    return step in STOPS and failure["code"] in REFUSED_FOR_GOOD',
        "    return False",
        "tests/domain/test_stopping.py",
    ),
    mutation(
        "future-time-is-a-close",
        "a file that is dated 2040 is called open at the cut, and is copied in every run",
        "infra/agent/core/hdfs_walk.py",
        "self._cut_ms < modified_ms <= self._latest_close_ms",
        "self._cut_ms < modified_ms",
        "tests/agent/test_future_times.py",
    ),
    mutation(
        "late-close-is-no-close",
        "a file that was open at the cut, and closed right after it, is called exact",
        "infra/agent/core/hdfs_walk.py",
        "        return self._is_cut and self._cut_ms < modified_ms <= self._latest_close_ms",
        "        return False",
        "tests/agent/test_hdfs_damage.py",
    ),
    mutation(
        "key-with-another-body",
        "another command under a key that was used is answered as if it were the first",
        "domain/command_key.py",
        "        if self.used.digest != context.digest:",
        "        if False:",
        "tests/domain/test_command_key.py",
    ),
    mutation(
        "rotten-snapshot-believed",
        "a snapshot whose bytes have rotten decides",
        "infra/store/snapshots.py",
        '        if link is None or _digest(kept, self.version, link) != row["digest"]:',
        "        if link is None:",
        "tests/store/test_snapshots.py",
    ),
)
