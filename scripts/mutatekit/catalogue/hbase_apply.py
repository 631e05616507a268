"""Faults in how a table becomes the secondary's own."""

from __future__ import annotations

from scripts.mutatekit.mutation import Change, Mutation, mutation

_FILE = "infra/agent/core/hbase_apply.py"
_CLEANER = "tests/agent/test_hbase_cleaner.py"
_COPY = "tests/agent/test_hbase_copy.py"

_CHECK_BEFORE = Change(
    _FILE,
    "            yield from self._check_files(staged_too=False)\n            if (yield from self._finish()):",
    "            if (yield from self._finish()):",
)
_CHECK_AFTER = Change(
    _FILE,
    "            yield from self._publish()\n        yield from self._check_files(staged_too=False)\n",
    "            yield from self._publish()\n",
)

HBASE_APPLY = (
    mutation(
        "files-before-manifest",
        "store files stand in the archive and no manifest names them: the cleaner takes them",
        _FILE,
        "            yield from self._ensure_working()\n            yield Together((self._place(",
        "            yield Together((self._place(",
        _CLEANER,
        in_ci=True,
    ),
    Mutation(
        "no-check-before-the-final-rename",
        "a snapshot is published whose store files are gone",
        (_CHECK_BEFORE,),
        (_CLEANER,),
    ),
    Mutation(
        "no-check-after-the-final-rename",
        "a file that the cleaner took at the last instant is missed",
        (_CHECK_AFTER,),
        (_CLEANER,),
    ),
    Mutation(
        "no-check-around-the-final-rename",
        "a table is called applied though its store files are gone",
        (_CHECK_BEFORE, _CHECK_AFTER),
        (_CLEANER,),
        in_ci=True,
    ),
    mutation(
        "old-time-on-placed-files",
        "a store file keeps its old time: after a master's restart the cleaner takes it at once",
        _FILE,
        "            yield from hdfs.set_modification_time(SECONDARY, staged, int((yield Now())))\n",
        "",
        _CLEANER,
    ),
    mutation(
        "old-time-on-files-taken-over",
        "a file left by a failed run keeps its old time, and the cleaner takes it",
        _FILE,
        "        yield from hdfs.set_modification_time(SECONDARY, target, int((yield Now())))\n",
        "",
        _CLEANER,
    ),
    mutation(
        "working-snapshot-not-read-back",
        "a snapshot in .tmp that is not whole names nothing to the cleaner",
        _FILE,
        "            if found == self._contents:",
        "            if found is not None:",
        _CLEANER,
    ),
    mutation(
        "published-snapshot-not-compared",
        "a foreign snapshot of the same name is taken for our own",
        _FILE,
        "        if found != self._contents:",
        "        if False:",
        _COPY,
    ),
    mutation(
        "damaged-file-in-archive-kept",
        "a file of the right length and wrong bytes stays in the recovery point",
        _FILE,
        '        if entry["l"] and not (yield from self._is_sound(target, entry)):',
        "        if False:",
        _COPY,
        _CLEANER,
    ),
    mutation(
        "no-owner-on-placed-files",
        "a store file that is not HBase's makes every later clone hang",
        _FILE,
        "            yield from self._give_to_hbase(staged)\n",
        "",
        _COPY,
    ),
    mutation(
        "manifest-and-snapshot-not-compared",
        "a staged manifest that names other files than the snapshot is believed",
        _FILE,
        "        if wanted != told:",
        "        if False:",
        _CLEANER,
    ),
    mutation(
        "hidden-damaged-file",
        "a damaged file of a live table hides the sound one in the archive",
        _FILE,
        "            if not is_there and (not can_be_put or is_hidden):",
        "            if not is_there and not can_be_put:",
        _CLEANER,
    ),
)
