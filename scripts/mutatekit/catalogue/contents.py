"""Faults in what says that contents are still what they were."""

from __future__ import annotations

from scripts.mutatekit.mutation import mutation

_AT_BASE = "infra/agent/core/hdfs_at_base.py"
_PROOFS = "infra/agent/core/hdfs_proofs.py"
_KEPT = "infra/agent/core/kept_manifests.py"
_KEPT_TESTS = "tests/agent/test_kept_manifests.py"
_AT_BASE_TESTS = "tests/agent/test_head_at_base.py"
_PROOFS_TESTS = "tests/agent/test_hdfs_proofs.py"

CONTENTS = (
    mutation(
        "open-file-of-the-head-ignored",
        "a file of the head that somebody is writing is taken for the base's",
        _AT_BASE,
        "    if (yield from open_files(head)):\n        return False\n",
        "",
        _AT_BASE_TESTS,
        in_ci=True,
    ),
    mutation(
        "listing-of-the-head-ignored",
        "other times in the head, which HDFS's own difference does not show, stay in the recovery point",
        _AT_BASE,
        '        if found["p"] != known["p"] or (found["p"] and not _is_same(found, known)):',
        '        if found["p"] != known["p"]:',
        _AT_BASE_TESTS,
    ),
    mutation(
        "listing-check-of-the-head-left-out",
        "a head is called its base because HDFS's own difference is empty",
        _AT_BASE,
        "    return (yield from _is_listed(head, manifest, blocks))",
        "    return True",
        _AT_BASE_TESTS,
        in_ci=True,
    ),
    mutation(
        "blocks-of-the-head-ignored",
        "contents of the head that were changed in place stay in the recovery point",
        _AT_BASE,
        "            return found is known and identity.told() in (None, blocks)",
        "            return found is known",
        _AT_BASE_TESTS,
        in_ci=True,
    ),
    mutation(
        "difference-of-the-head-ignored",
        "what HDFS itself says has changed in the head is ignored",
        _AT_BASE,
        "    if page.modified or page.others or not is_last(page):\n        return False\n",
        "",
        _AT_BASE_TESTS,
        "tests/agent/test_hdfs_damage.py",
    ),
    mutation(
        "proof-of-a-modified-file",
        "a file that HDFS says has changed keeps the proof of what it was",
        _PROOFS,
        '            and not self._is_modified(found["i"])\n',
        "",
        _PROOFS_TESTS,
    ),
    mutation(
        "proof-of-a-moved-file",
        "a file whose bytes came in this run keeps the proof of what was there before",
        _PROOFS,
        ' or expected.get("w"))',
        ")",
        _PROOFS_TESTS,
    ),
    mutation(
        "proof-of-other-blocks",
        "a file that was changed in place keeps the proof of what it was",
        _PROOFS,
        '            and then.get("B") == found.get("B")\n',
        "",
        "tests/agent/test_changed_in_place.py",
    ),
    mutation(
        "proof-from-another-manifest",
        "a manifest that is not the sealed one proves contents",
        _PROOFS,
        '        return bool(fetched.sha256 == sealed.get("copied", {}).get("manifest_sha256"))',
        "        return True",
        _PROOFS_TESTS,
    ),
    mutation(
        "proof-of-another-checksum",
        "a file whose source has another checksum by now keeps its proof",
        _PROOFS,
        '            and expected["c"] == proved.get("c")\n',
        "",
        _PROOFS_TESTS,
        "tests/agent/test_hdfs_damage.py",
    ),
    mutation(
        "nothing-is-computed-anew",
        "a stored checksum that rots is never looked at again",
        _PROOFS,
        "        if turn_ms > self._then_ms:\n",
        "        if False:\n",
        _PROOFS_TESTS,
    ),
    mutation(
        "manifest-that-was-not-verified-is-sealed",
        "a manifest that somebody changed in staging is kept with the recovery point",
        _KEPT,
        '    if copied.get("manifest_sha256", got["sha256"]) != got["sha256"]:',
        "    if False:",
        _KEPT_TESTS,
    ),
    mutation(
        "layers-of-a-sealing-are-swept",
        "a removal takes a layer that a recovery point that is just being sealed needs",
        _KEPT,
        "            for name in sorted({*orphans} - named - needed):",
        "            for name in sorted({*orphans} - needed):",
        _KEPT_TESTS,
    ),
    mutation(
        "layers-of-later-points-are-swept",
        "a removal takes a layer that later recovery points build on",
        _KEPT,
        "            for name in sorted({*orphans} - named - needed):",
        "            for name in sorted({*orphans} - named):",
        _KEPT_TESTS,
        in_ci=True,
    ),
    mutation(
        "damaged-layers-are-built-on",
        "a manifest that its layers do not give any more is the base of all later ones",
        "infra/agent/core/manifest_layers.py",
        "    if not below == manifest == digest.hexdigest():",
        "    if False:",
        "tests/agent/test_manifest_layers.py",
        _KEPT_TESTS,
    ),
)
