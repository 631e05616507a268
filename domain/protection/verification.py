"""What a verification proves: concluded from the digests themselves, never from an agent's word for it.

An agent tells for the contents and for the metadata of a data set which digest it expected, by the manifest in staging,
and which one it found in the secondary's frozen copy. The words, of which each is concluded here:

EQUAL      what was found has the digest that was expected, and that is the one which the sender told. Nothing else is
           ever called so
LISTED     of contents alone: names, types and lengths have the digest that was expected, and so have the checksums that
           were looked at; the contents of some files were not looked at. It is what the levels ``metadata`` and
           ``changed`` can say. A recovery point of these levels is listed, and not proved
DIFFERENT  the digests differ, or the agent has found a difference
UNPROVED   there is no digest of what was found, or it is none: whatever the agent calls that, it proves nothing
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domain.values.canonical import is_digest

EQUAL = "EQUAL"
LISTED = "LISTED"
DIFFERENT = "DIFFERENT"
UNPROVED = "UNPROVED"

LISTING_LEVELS = ("metadata", "changed")
_LISTING_PROOFS = ("names and lengths", "checksums of what moved")

VERIFICATION_FAILED = "VERIFICATION_FAILED"
DIGEST_MISSING = "DIGEST_MISSING"


def verdict_of(part: Any) -> str:
    """The word for one part, content or metadata, of what a verification told of a data set."""
    if not isinstance(part, Mapping):
        return UNPROVED
    said, listed = part.get("verdict"), part.get("listed")
    whole = _compared(part)
    if DIFFERENT in (said, whole):
        return DIFFERENT
    if said == EQUAL and whole == EQUAL:
        return EQUAL
    if said == LISTED and part.get("found") is None and isinstance(listed, Mapping):
        return {EQUAL: LISTED}.get(_compared(listed), _compared(listed))
    if said == EQUAL and part.get("found", 0) is None and part.get("proved") in _LISTING_PROOFS:
        return LISTED  # what agents said before there was a word for it; pages of then are still shown
    return UNPROVED


def _compared(digests: Mapping[str, Any]) -> str:
    expected, found = digests.get("expected"), digests.get("found")
    if not is_digest(expected) or not is_digest(found):
        return UNPROVED
    return EQUAL if expected == found else DIFFERENT


def wrong_with(staged: Mapping[str, Any], verified: Any, level: str) -> tuple[str, str] | None:
    """What speaks against a data set's verification at a level: a code and a sentence; None if nothing does.

    ``staged`` is what the sender told. The secondary compares with a manifest that it has read from staging, so what it
    expected must be the very digests that the sender told when it had written that manifest.
    """
    if not isinstance(verified, Mapping):
        return DIGEST_MISSING, "the secondary told nothing of it"
    sent = staged.get("manifest_sha256")
    if not is_digest(sent) or verified.get("manifest_sha256") != sent:
        told = verified.get("manifest_sha256")
        return VERIFICATION_FAILED, f"the secondary compared with the manifest {told}, and the source's is {sent}"
    for name in ("content", "metadata"):
        part = verified.get(name)
        told, expected = staged.get(f"{name}_digest"), part.get("expected") if isinstance(part, Mapping) else None
        if not is_digest(told) or told != expected:
            what = f"the secondary expected the {name} digest {expected}, and the source's is {told}"
            return VERIFICATION_FAILED, what
        verdict = verdict_of(part)
        if verdict == DIFFERENT:
            return VERIFICATION_FAILED, f"the secondary's copy differs from the source: {_differences(verified)}"
        if verdict == UNPROVED or (verdict == LISTED and (name, level) not in _MAY_BE_LISTED):
            return DIGEST_MISSING, f"there is no digest of the {name} that was found, so nothing proves it equal"
    return None


_MAY_BE_LISTED = frozenset(("content", level) for level in LISTING_LEVELS)


def _differences(verified: Mapping[str, Any]) -> str:
    told = verified.get("differences")
    first = [str(one) for one in told[:5]] if isinstance(told, list) else []
    return ", ".join(first) or "no path is told"
