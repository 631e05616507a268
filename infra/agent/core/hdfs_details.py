"""Find out what listings do not show, for entries that are kept and may have changed: checksums, ACLs and so on.

These cost a request per entry (a checksum also a DataNode's work), so they are asked for only where the base's manifest
does not have them; of what is new only when it is staged. Requests run concurrently within a window of entries.

A pair of files whose listings leave doubt is settled by stored checksums: equal means that only attributes have to be
set. Where they are of different kinds, because blocks are cut in another way, the bytes themselves settle it.

Reads ``changes``; writes ``gone``, ``kept`` and ``new``. Records of ``kept`` get ``R`` True when the contents must be
replaced and ``E`` True when ACL or extended attributes have to be set.
"""

from __future__ import annotations

from typing import Any

from infra.agent.core.hdfs_asking import (
    BY_BYTES,
    ask_acl,
    ask_checksum,
    ask_extended_attributes,
    checksum_by_bytes,
    identify,
)
from infra.agent.core.hdfs_compare import GONE, KEPT, Comparison, Side
from infra.agent.core.hdfs_entries import (
    FILE,
    Entry,
    below,
    expect,
    same_attributes_listed,
    same_blocks,
    same_contents_listed,
)
from infra.agent.core.lines import LineReader, LineWriter, encode
from infra.agent.core.machine import Procedure, Together
from infra.agent.core.operations import OperationFailed
from infra.agent.core.unreadable import Unreadable

WINDOW = 1000
AT_ONCE = 32


def add_details(comparison: Comparison) -> Procedure:
    """Write ``gone``, ``kept`` and ``new``; raises ``Unreadable`` for what was copied once and may not be read now."""
    details = _Details(comparison)
    writers = {name: LineWriter(comparison.file(name)) for name in ("gone", "kept", "new")}
    for writer in writers.values():
        yield from writer.begin()
    reader = LineReader(comparison.file("changes"))
    window: list[dict[str, Any]] = []
    unreadable: list[Entry] = []
    while True:
        keyed = yield from reader.keyed()
        if keyed is not None and not keyed[0].startswith(KEPT):
            yield from writers["gone" if keyed[0].startswith(GONE) else "new"].write(reader.encoded)
            continue
        if keyed is not None:
            window.append(keyed[1])
        if len(window) >= WINDOW or (keyed is None and window):
            doubtful = [change for change in window if not details.settle(change)]
            yield from details.ask_together(doubtful)
            unreadable += [change["w"] for change in doubtful if change["w"].get("z")]
            readable = (change for change in doubtful if not change["w"].get("z"))
            yield Together((details.complete(change) for change in readable), AT_ONCE, keep_results=False)
            for change in window:
                yield from writers["kept"].write(encode(change))
            window.clear()
        if keyed is None:
            break
    if unreadable:
        raise Unreadable(unreadable)
    for name, writer in writers.items():
        yield from writer.end(durable=name == "kept")


class _Details:
    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        self._want = comparison.want
        self._cut_ms = 0

    def settle(self, change: dict[str, Any]) -> bool:
        """Complete a change where nothing has to be asked; False for any other, which is left as it is.

        So most of what moved with its directory costs no task of its own.
        """
        want: Entry = change["w"]
        have: Entry = change["h"]
        is_file = want["t"] == FILE
        if not want["p"]:
            self._cut_ms = want["m"]  # the root comes first
        if (
            not self._is_known(have)
            or not self._is_untouched(have, want)
            or (is_file and not self._is_sure(have, want))
        ):
            return False
        change["E"] = False
        _take_over(want, have, ("a", "e"))
        if is_file:
            change["R"] = False
            self._keep_contents(have, want)
        return True

    def ask_together(self, changes: list[dict[str, Any]]) -> Procedure:
        """Ask for all of the changes at once what can be asked like that."""
        wanted: list[Entry] = [change["w"] for change in changes]
        yield from ask_extended_attributes(self._want, wanted)
        yield from identify(self._want, [entry for entry in wanted if entry["t"] == FILE])

    def complete(self, change: dict[str, Any]) -> Procedure:
        """Add all that is needed to plan the change, for which was asked together already."""
        want: Entry = change["w"]
        have: Entry = change["h"]
        yield from self._kept_attributes(change, have, want)
        if want["t"] == FILE:
            yield from self._kept_contents(change, have, want)

    def _is_known(self, have: Entry) -> bool:
        """Tell whether what one has of an entry that did not change is all that its manifest needs."""
        return have.get("D", False) or not self._comparison.for_manifest

    def _is_untouched(self, have: Entry, want: Entry) -> bool:
        comparison = self._comparison
        return (
            comparison.comparable
            and have["i"] == want["i"]
            and same_attributes_listed(have, want)
            and not comparison.is_modified(want["i"])
        )

    def _is_sure(self, have: Entry, want: Entry) -> bool:
        comparison = self._comparison
        return (
            comparison.comparable
            and have["i"] == want["i"]
            and same_contents_listed(have, want)
            and same_blocks(have, want)
            and not have.get("F")
            and not have.get("f")
            and not want.get("f")
            and not comparison.is_modified(want["i"])
        )

    def _kept_attributes(self, change: dict[str, Any], have: Entry, want: Entry) -> Procedure:
        comparison = self._comparison
        is_untouched = self._is_untouched(have, want)
        change["E"] = False
        if is_untouched and self._is_known(have):
            _take_over(want, have, ("a", "e"))
            return
        yield from ask_acl(self._want, want)
        if not is_untouched:
            if not have.get("D"):
                assert comparison.have is not None
                yield from _ask_attributes(comparison.have, have)
            change["E"] = any(have.get(name) != want.get(name) for name in ("a", "e"))

    def _kept_contents(self, change: dict[str, Any], have: Entry, want: Entry) -> Procedure:
        is_sure = self._is_sure(have, want)
        change["R"] = False
        if is_sure and self._is_known(have):
            self._keep_contents(have, want)
            return
        yield from ask_checksum(self._want, want)
        if "B" not in want:
            want["K"] = self._cut_ms  # looked at now, and not to be recognised
        if not is_sure:
            change["R"] = not (yield from self._is_equal(have, want))

    def _keep_contents(self, have: Entry, want: Entry) -> None:
        """Take the contents for those that one has."""
        _take_over(want, have, ("c",))
        if self._comparison.for_manifest:
            expect(have, want)

    def _is_equal(self, have: Entry, want: Entry) -> Procedure:
        """Tell whether both files hold the same bytes, by what is stored about them."""
        if have["l"] != want["l"] or have.get("f"):
            return False  # what is open may become anything, and what is damaged does not show it
        if want["l"] == 0:
            return True
        if not have.get("D") or (have.get("c") is None and not self._comparison.comparable):
            assert self._comparison.have is not None
            try:
                yield from ask_checksum(self._comparison.have, have)
            except OperationFailed as failure:
                if not failure.is_final:
                    raise
                return False  # what cannot be read is as good as different: it is replaced
        if have.get("c") == want.get("c"):
            return True
        return (yield from self._is_equal_by_bytes(have, want))

    def _is_equal_by_bytes(self, have: Entry, want: Entry) -> Procedure:
        """Compare files whose stored checksums are of different kinds, as those of other blocks are, by reading both.

        What only its bytes can prove equal is proved by them from now on: their hash becomes ``c``.
        """
        side = self._comparison.have
        if side is None or want.get("f") or not have.get("c") or _kind(have["c"]) == _kind(want["c"]):
            return False
        hashes = []
        for at, entry in ((side, have), (self._want, want)):
            if entry["c"].startswith(BY_BYTES):
                hashes.append(entry["c"])
                continue
            try:
                hashes.append((yield from checksum_by_bytes(at.site, below(at.root, entry["p"]), entry["l"])))
            except OperationFailed as failure:
                if at is self._want or not failure.is_final:
                    raise
                return False
        if hashes[0] == hashes[1]:
            want["c"] = hashes[0]
        return hashes[0] == hashes[1]


def _take_over(want: Entry, have: Entry, names: tuple[str, ...]) -> None:
    for name in names:
        if name in have:
            want[name] = have[name]


def _kind(checksum: str) -> str:
    """The algorithm, with the blocks and chunks that it depends on: equal bytes may differ in those of another kind."""
    return checksum.partition(":")[0]


def _ask_attributes(side: Side, entry: Entry) -> Procedure:
    yield from ask_acl(side, entry)
    yield from ask_extended_attributes(side, (entry,))
