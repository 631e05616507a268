"""Every check of preflight over facts: what refuses a run, what only warns, and what is left alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.preflight import CHECKS, clocks, data_sets, health, hooks, identity, observed, skew, tables, versions
from domain.preflight.finding import Facts, Finding
from domain.values.data_set import DataSet, overlapping

PAIR = "0" * 32
FILES, TABLE = DataSet("hdfs", "/data/sales"), DataSet("hbase", "orders")


def side(role: str, **changed: Any) -> dict[str, Any]:
    """The facts of a cluster that is as it should be."""
    return {
        "marker": {
            "pair": PAIR,
            "cluster": {"primary": "a", "secondary": "b"}[role],
            "identity": role.upper(),
            "epoch": 3,
        },
        "safe_mode": False,
        "clocks": {
            "namenode": {"offset_ms": 0.2, "uncertainty_ms": 1.0},
            "hbase": {"offset_ms": -0.5, "uncertainty_ms": 3.0},
        },
        "controller_clock": {"offset_ms": 1.0, "uncertainty_ms": 2.0},
        "gateway": {"hooks": ["stop", "start"]},
        "hbase": {"version": "2.6.4-hadoop3"},
        "findings": [],
        "data_sets": [FILES.to_wire(), {**TABLE.to_wire(), "regions_count": 4}] if role == "primary" else [],
        **changed,
    }


def facts(primary: dict[str, Any] | None = None, secondary: dict[str, Any] | None = None, **changed: Any) -> Facts:
    made = Facts(
        primary=side("primary", **(primary or {})),
        secondary=side("secondary", **(secondary or {})),
        names={"primary": "a", "secondary": "b"},
        pair=PAIR,
        epoch=3,
        max_skew_ms=5_000,
    )
    return replace(made, **changed)


def told(found: list[Finding]) -> list[tuple[str, str, str]]:
    for finding in found:
        assert finding.message
        assert finding.remedy
        assert finding.to_json()["code"] == finding.code
    return [(finding.severity, finding.code, finding.subject) for finding in found]


@pytest.mark.parametrize("check", CHECKS)
def test_a_pair_that_is_as_it_should_be_passes(check: Callable[[Facts], list[Finding]]) -> None:
    assert check(facts(hooks=("stop", "start"))) == []


@pytest.mark.parametrize("check", CHECKS)
def test_no_check_falls_over_facts_that_could_not_be_had(check: Callable[[Facts], list[Finding]]) -> None:
    missing = {"clocks": {"namenode": None, "hbase": None}, "controller_clock": None, "hbase": None, "gateway": None}
    check(facts({**missing, "marker": None}, {**missing, "marker": None, "data_sets": None, "findings": None}))


@pytest.mark.parametrize(
    "changed", [{"pair": "1" * 32}, {"cluster": "c"}, {"identity": "FENCED"}, {"epoch": 4}, {"epoch": 2}]
)
@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_a_cluster_that_says_it_is_something_else(role: str, changed: dict[str, Any]) -> None:
    marker = {**side(role)["marker"], **changed}
    found = identity.check(facts(**{role: {"marker": marker}}))
    assert told(found) == [("REFUSE", "MARKER_MISMATCH", {"primary": "a", "secondary": "b"}[role])]
    assert repr(next(iter(changed.values()))) in found[0].message


def test_a_cluster_that_says_nothing() -> None:
    assert [code for _, code, _ in told(identity.check(facts({"marker": None})))] == ["MARKER_MISMATCH"]


@pytest.mark.parametrize(("role", "name"), [("primary", "a"), ("secondary", "b")])
def test_a_read_only_cluster(role: str, name: str) -> None:
    assert told(health.check(facts(**{role: {"safe_mode": True}}))) == [("REFUSE", "SAFE_MODE", name)]


@pytest.mark.parametrize(
    ("offset_ms", "uncertainty_ms", "code"),
    [
        (4_000.0, 999.0, None),
        (4_000.0, 1_001.0, "CLOCKS_APART"),
        (-4_000.0, 1_001.0, "CLOCKS_APART"),
        (-900_000.0, 1.0, "CLOCKS_APART"),
        (0.0, 2_500.0, None),
        (0.0, 2_501.0, "CLOCK_UNCERTAIN"),
    ],
)
@pytest.mark.parametrize("role", ["primary", "secondary"])
@pytest.mark.parametrize("clock", ["namenode", "hbase", "controller"])
def test_clocks_that_are_apart_or_known_too_badly(
    role: str, clock: str, offset_ms: float, uncertainty_ms: float, code: str | None
) -> None:
    measured = {"offset_ms": offset_ms, "uncertainty_ms": uncertainty_ms}
    changed = {"controller_clock": measured} if clock == "controller" else {"clocks": {clock: measured}}
    found = clocks.check(facts(**{role: changed}))
    assert [finding.code for finding in found] == ([code] if code else [])
    assert all(finding.refuses for finding in found)


def finding(code: str, subject: str = "x", check: str = "c", ok: bool = False) -> dict[str, Any]:
    return {"check": check, "subject": subject, "ok": ok, "code": code, "message": "m", "remedy": "r"}


@pytest.mark.parametrize("role", ["primary", "secondary"])
def test_what_an_agent_found_refuses_unless_a_run_can_live_with_it(role: str) -> None:
    given = [finding("NO_RIGHT"), finding("NOT_REBOOT_SAFE"), finding("OK", ok=True), finding("NEVER_HEARD_OF")]
    assert told(observed.check(facts(**{role: {"findings": given}}))) == [
        ("REFUSE", "NO_RIGHT", "x"),
        ("WARN", "NOT_REBOOT_SAFE", "x"),
        ("REFUSE", "NEVER_HEARD_OF", "x"),
    ]


def test_a_foreign_tree_refuses_only_where_a_copy_shall_stand() -> None:
    given = [
        finding("FOREIGN_TREE", "/data/sales", "target"),
        finding("FOREIGN_TREE", "/data/unrelated", "target"),
        finding("NESTED_SNAPSHOTTABLE", "/data/*", "snapshots"),
        finding("NO_RIGHT", "b", "files"),
    ]
    assert told(observed.check(facts(secondary={"findings": given}))) == [
        ("REFUSE", "FOREIGN_TREE", "/data/sales"),
        ("REFUSE", "NO_RIGHT", "b"),
    ]
    assert len(observed.check(facts({"findings": given}))) == 4


def test_patterns_that_stand_for_nothing_or_for_something_twice() -> None:
    assert told(data_sets.check(facts({"data_sets": []}))) == [("REFUSE", "NOTHING_TO_BACK_UP", "a")]
    twice = [DataSet("hdfs", path).to_wire() for path in ("/data", "/data/sales", "/other")]
    assert [code for _, code, _ in told(data_sets.check(facts({"data_sets": twice})))] == ["OVERLAP"]


NAMES = st.one_of(
    st.builds(DataSet, st.just("hdfs"), st.lists(st.sampled_from(["/a", "/b", "/-"]), min_size=1).map("".join)),
    st.builds(DataSet, st.just("hbase"), st.sampled_from(["a", "b", "default:a", "n:a", "n:b", "default:-"])),
)


@given(st.lists(NAMES, max_size=12))
def test_overlaps_are_those_that_comparing_all_pairs_finds(names: list[DataSet]) -> None:
    ordered = sorted(names)
    pairs = [(one, other) for n, one in enumerate(ordered) for other in ordered[n + 1 :] if one.overlaps(other)]
    found = [tuple(sorted(pair)) for pair in overlapping(names)]
    assert sorted(found) == sorted(pairs)


def test_the_messages_name_both_and_come_in_order() -> None:
    given_names = ("/b", "/a/x", "/a", "/a/x/y", "/a-1")
    wire = [DataSet("hdfs", path).to_wire() for path in given_names]
    wire += [DataSet("hbase", table).to_wire() for table in ("shop", "default:shop")]
    messages = [finding.message for finding in data_sets.check(facts({"data_sets": wire}))]
    assert messages == [
        f"{one} and {other} overlap once the patterns are resolved."
        for one, other in (
            ("hbase:default:shop", "hbase:shop"),
            ("hdfs:/a", "hdfs:/a/x"),
            ("hdfs:/a", "hdfs:/a/x/y"),
            ("hdfs:/a/x", "hdfs:/a/x/y"),
        )
    ]


def test_thousands_of_data_sets_are_compared_at_once() -> None:
    many = [DataSet("hdfs", f"/data/{number // 100}/{number}") for number in range(20_000)]
    assert list(overlapping(many)) == []


def test_more_data_sets_than_a_manifest_can_hold() -> None:
    wire = [DataSet("hdfs", f"/data/{number}").to_wire() for number in range(2_001)]
    assert data_sets.check(facts({"data_sets": wire[:2_000]})) == []
    (found,) = data_sets.check(facts({"data_sets": wire}))
    assert (found.code, found.refuses, found.subject) == ("TOO_MANY_DATA_SETS", True, "a")
    assert "2001 data sets" in found.message


def test_a_pattern_that_stands_for_what_cannot_be_protected() -> None:
    wire = [{"id": "t1", "component": "hbase", "table": "understudy:canary"}]
    (found,) = data_sets.check(facts({"data_sets": wire}))
    assert (found.code, found.refuses) == ("UNFIT_NAME", True)
    assert "understudy:canary" in found.message


def test_hooks_that_are_not_on_the_primarys_gateway() -> None:
    known = {"gateway": {"hooks": ["start"]}}
    assert told(hooks.check(facts(known, hooks=("stop", "start")))) == [("REFUSE", "NO_SUCH_HOOK", "stop")]
    assert hooks.check(facts(known)) == []


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ("2.6.4-hadoop3", "2.6.1", []),
        ("2.5.0", "2.6.0", []),
        ("2.6.4", "2.5.9", [("WARN", "HBASE_OLDER", "b")]),
        ("2.6.4", "3.0.0-beta-1", [("REFUSE", "HBASE_VERSIONS", "b")]),
        ("3.0.0", "2.6.4", [("REFUSE", "HBASE_VERSIONS", "b")]),
        ("2.6.4", "", []),
        ("unknown", "2.6.4", []),
        ("2.x.y", "2.6.4", []),
    ],
)
def test_what_one_hbase_writes_the_other_must_read(ours: str, theirs: str, expected: list[tuple[str, ...]]) -> None:
    found = versions.check(facts({"hbase": {"version": ours}}, {"hbase": {"version": theirs}}))
    assert told(found) == expected


def test_a_table_of_many_regions_is_warned_of() -> None:
    tables = [{**TABLE.to_wire(), "regions_count": count} for count in (3, 400)]
    found = skew.check(facts({"data_sets": [FILES.to_wire(), *tables]}))
    assert told(found) == [("WARN", "SKEW_LIKELY", "orders")]
    assert "400 regions" in found[0].message
    assert skew.check(facts({"data_sets": [FILES.to_wire()]})) == []
    assert skew.predict_ms(64) > skew.predict_ms(4) > 1_000


CLONES = {
    "codecs": {"GZ": None, "LZO": "class not found"},
    "ciphers": {"AES": None},
    "most_tables": None,
    "most_regions": None,
    "longest_name_bytes": 255,
}


def about_tables(table: dict[str, Any], clones: dict[str, Any] | None = None) -> list[Finding]:
    wire = {**TABLE.to_wire(), "regions_count": 4, **table}
    hbase = {"version": "2.6.4", "clones": CLONES if clones is None else clones}
    return tables.check(facts(primary={"data_sets": [FILES.to_wire(), wire]}, secondary={"hbase": hbase}))


@pytest.mark.parametrize(
    ("table", "clones", "code", "words"),
    [
        ({"codecs": ["GZ", "LZO"]}, CLONES, "CODEC_MISSING", "orders has families with LZO"),
        ({"codecs": ["ZSTD"]}, CLONES, "CODEC_MISSING", "does not know it"),
        ({"ciphers": ["AES"]}, {**CLONES, "ciphers": {"AES": "no key provider"}}, "CIPHER_MISSING", "no key provider"),
        ({"regions_count": 9}, {**CLONES, "most_regions": 8}, "SCRATCH_QUOTA", "9 regions"),
        ({}, {**CLONES, "tables": 2, "most_tables": 2}, "SCRATCH_QUOTA", "2 clones"),
        ({}, {**CLONES, "most_tables": 0}, "SCRATCH_QUOTA", "0 clones"),
        ({"table": "t" * 190}, CLONES, "TABLE_NAME_LONG", "256 bytes"),
        ({"table": f"default:{'t' * 190}"}, CLONES, "TABLE_NAME_LONG", "256 bytes"),
        ({"table": f"n:{'t' * 188}"}, CLONES, "TABLE_NAME_LONG", "256 bytes"),
        ({"table": "ü" * 95}, CLONES, "TABLE_NAME_LONG", "256 bytes"),
        ({"table": "t" * 190}, {}, "TABLE_NAME_LONG", "256 bytes"),
    ],
)
def test_a_table_that_the_secondary_could_not_open_refuses_the_run(
    table: dict[str, Any], clones: dict[str, Any], code: str, words: str
) -> None:
    (finding,) = about_tables(table, clones)
    assert (finding.severity, finding.code) == ("REFUSE", code)
    assert words in finding.message
    assert finding.subject == table.get("table", "orders")
    assert finding.remedy


@pytest.mark.parametrize(
    ("table", "clones"),
    [
        ({"codecs": ["GZ"], "ciphers": ["AES"]}, CLONES),
        ({"codecs": ["LZO"]}, {}),
        ({"regions_count": 8}, {**CLONES, "most_regions": 8}),
        ({}, {**CLONES, "tables": 1, "most_tables": 2}),
        ({"table": "t" * 189}, CLONES),
        ({"table": "t" * 190}, {**CLONES, "longest_name_bytes": 256}),
    ],
)
def test_what_the_secondary_can_open_or_has_not_told_about_is_left_alone(
    table: dict[str, Any], clones: dict[str, Any]
) -> None:
    assert about_tables(table, clones) == []
