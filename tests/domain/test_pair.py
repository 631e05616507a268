"""The pair: identities come from markers, in order; the epoch; claims never overlap."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import Conflict, InvalidInput, Refused
from domain.pair import identity, pair
from domain.pair.cluster import Cluster
from domain.pair.identity import PRIMARY, SECONDARY, Member
from domain.pair.pair import ClusterPair, RunLimits, first_meeting
from domain.values.data_set import DataSet
from domain.values.endpoints import Endpoints
from tests.domain import tables
from tests.domain.builders import ENDPOINTS, SPACE, Contexts, endpoints, failed, new_pair, steady_pair, succeeded
from tests.domain.honest import shown

INSTRUCTED = {
    "instruction": "i", "kind": "WriteMarker", "step": "s", "cluster": "north", "attempt": 1, "digest": "d",
    "epoch": 1, "not_after_ms": 1,
}  # fmt: skip
FACTS: dict[str, dict[str, Any]] = {
    "IdentityAssigned": {"epoch": 1, "serial": 1},
    "Instructed": INSTRUCTED,
    "AttemptFailed": {
        "instruction": "i", "step": "s", "code": "C", "message": "m", "remedy": "", "not_before": Contexts()().at,
    },
    "DataSetsClaimed": {"service": SPACE, "data_sets": ()},
    "EndpointsTaken": {"endpoints": ENDPOINTS},
    "RunPlanned": {"run": SPACE, "service": SPACE, "over": ()},
    "SpoolsForgotten": {"instructions": ("i",)},
    "Stalled": {"since": Contexts()().at, "why": "nobody knows"},
    "TakenOver": {
        "from_store": "a", "reason": "lost", "store": SPACE, "host": "h", "epoch": 2, "serials": {"north": 1},
        "endpoints": ENDPOINTS,
    },
}  # fmt: skip


@pytest.mark.parametrize(("state", "trigger"), tables.moves(ClusterPair))
def test_every_trigger_in_every_state(state: str, trigger: str) -> None:
    contexts = Contexts()
    aggregate = new_pair(contexts)
    tables.check_move(aggregate, aggregate, state, trigger, contexts(), FACTS)


@pytest.mark.parametrize(("state", "name"), tables.facts_in_states(ClusterPair))
def test_every_fact_in_every_state(state: str, name: str) -> None:
    contexts = Contexts()
    tables.check_fact(new_pair(contexts), state, name, contexts(), FACTS)


@pytest.mark.parametrize(("state", "trigger"), tables.moves(Member))
def test_every_trigger_of_a_member_in_every_state(state: str, trigger: str) -> None:
    contexts = Contexts()
    aggregate = new_pair(contexts)
    tables.check_move(aggregate, aggregate.members["north"], state, trigger, contexts(), FACTS)


def test_states_that_no_rule_leads_to_yet_belong_to_changes_of_identity() -> None:
    unreachable = set(Member.STATES) - tables.reachable(Member)
    assert unreachable == {identity.PROMOTING, identity.DEMOTING, identity.FENCED, identity.DIVERGED}
    assert tables.reachable(ClusterPair) == set(ClusterPair.STATES)


def test_the_secondary_gets_its_marker_first_and_there_is_never_more_than_one_primary() -> None:
    contexts = Contexts()
    aggregate = new_pair(contexts)
    (first,) = aggregate.next_instructions()
    assert (first.cluster, first.role, first.payload["marker"]["identity"]) == ("south", "secondary", SECONDARY)
    with pytest.raises(Refused, match="NO_SUCH_IDENTITY"):
        aggregate.cluster_with(PRIMARY)

    aggregate.conclude(contexts(), first.id, succeeded(shown(first)))
    assert [m.state for m in aggregate.members.values()].count(PRIMARY) == 0
    assert aggregate.state == pair.FORMING
    (second,) = aggregate.next_instructions()
    assert (second.cluster, second.payload["marker"]["identity"]) == ("north", PRIMARY)

    aggregate.conclude(contexts(), second.id, succeeded(shown(second)))
    assert aggregate.state == pair.STEADY
    assert aggregate.next_instructions() == ()
    assert aggregate.cluster_with(PRIMARY) == "north"
    assert aggregate.cluster_with(SECONDARY) == "south"
    assert tables.same_state(aggregate, tables.rebuilt(aggregate))


def test_a_marker_that_fails_is_tried_again_under_another_id_and_later() -> None:
    contexts = Contexts()
    aggregate = new_pair(contexts)
    (first,) = aggregate.next_instructions()
    aggregate.instruct(contexts(), first, "digest", 1, 2)
    aggregate.conclude(contexts(), first.id, failed("NO_RIGHT"))
    (second,) = aggregate.next_instructions()
    assert second.id != first.id
    assert second.attempt == 2
    assert second.not_before is not None
    assert aggregate.last_failure[first.wire_step]["code"] == "NO_RIGHT"
    version = aggregate.version
    aggregate.conclude(contexts(), first.id, succeeded(shown(first)))
    assert aggregate.version == version, "an outcome that is not wanted any more decides nothing"


def test_the_delay_between_attempts_doubles_up_to_five_minutes() -> None:
    contexts = Contexts()
    aggregate = new_pair(contexts)
    delays = []
    for _ in range(10):
        (wanted,) = aggregate.next_instructions()
        context = contexts()
        aggregate.conclude(context, wanted.id, failed("NO_RIGHT", remedy=None))
        delays.append((aggregate.not_before[wanted.wire_step] - context.at).total_seconds())
    assert delays == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_other_endpoints_while_it_is_forming_give_other_instructions() -> None:
    contexts = Contexts()
    aggregate = new_pair(contexts)
    (before,) = aggregate.next_instructions()
    aggregate.take_endpoints(contexts(), ENDPOINTS)
    assert aggregate.next_instructions() == (before,)
    aggregate.take_endpoints(contexts(), {**ENDPOINTS, "south": endpoints("elsewhere")})
    (after,) = aggregate.next_instructions()
    assert after.id != before.id
    assert after.payload["sites"]["secondary"]["namenodes"] == ["http://elsewhere:9870"]
    steady = steady_pair(contexts)
    with pytest.raises(Refused, match="NOT_IN_STATE"):
        steady.take_endpoints(contexts(), {})


def test_what_was_sent_is_known_until_it_is_forgotten() -> None:
    contexts = Contexts()
    aggregate = new_pair(contexts)
    (wanted,) = aggregate.next_instructions()
    aggregate.instruct(contexts(), wanted, "digest", 1, 2)
    version = aggregate.version
    aggregate.instruct(contexts(), wanted, "another", 1, 3)
    assert aggregate.version == version
    assert aggregate.sent_to("south") == (wanted.id,)
    at_rest = [aggregate.is_at_rest]
    with pytest.raises(Refused):
        aggregate.forget_spools(contexts(), (wanted.id,))
    for _ in range(2):
        (wanted,) = aggregate.next_instructions()
        aggregate.conclude(contexts(), wanted.id, succeeded(shown(wanted)))
    assert [*at_rest, aggregate.is_at_rest] == [False, True]
    aggregate.forget_spools(contexts(), (*aggregate.sent_to("south"), "unknown"))
    assert aggregate.instructed == {}
    assert aggregate.pair_id == aggregate.id


def test_a_cluster_cannot_be_joined_with_itself_and_names_are_checked() -> None:
    with pytest.raises(Refused, match="SAME_CLUSTER"):
        ClusterPair.form(Contexts()(), "main", "north", "north", ENDPOINTS)
    for name in ("", "-a", "a/b", "a b", "x" * 64, "ä"):
        with pytest.raises(InvalidInput, match=r"pair\.name"):
            ClusterPair.form(Contexts()(), name, "north", "south", ENDPOINTS)


PLACES = st.one_of(
    st.builds(
        DataSet,
        st.just("hdfs"),
        st.lists(st.sampled_from(["/a", "/b", "/*", "/a*"]), min_size=1, max_size=3).map("".join),
    ),
    st.builds(DataSet, st.just("hbase"), st.sampled_from(["t", "u", "n:t", "n:*", "t?", "*"])),
)


@given(st.lists(PLACES, max_size=3), st.lists(PLACES, max_size=3))
def test_a_claim_is_refused_exactly_when_two_data_sets_overlap(theirs: list[DataSet], mine: list[DataSet]) -> None:
    contexts = Contexts()
    aggregate = new_pair(contexts)

    def clash(one: DataSet, among: list[DataSet]) -> bool:
        return any(one.overlaps(other) for other in among)

    known: list[DataSet] = []
    for one in theirs:
        known += [] if clash(one, known) else [one]
    aggregate.claim(contexts(), SPACE, tuple(known))
    with_theirs = any(clash(one, known) for one in mine)
    among_mine = any(clash(one, mine[:number]) for number, one in enumerate(mine))
    if not (with_theirs or among_mine):
        aggregate.claim(contexts(), ClusterPair.identity("other"), tuple(mine))
        return
    with pytest.raises(Conflict, match="OVERLAP") as refused:
        aggregate.claim(contexts(), ClusterPair.identity("other"), tuple(mine), lambda _: "shop")
    assert among_mine if "same service" in refused.value.message else with_theirs


def test_thousands_of_claims_are_compared_at_once() -> None:
    contexts = Contexts()
    aggregate = new_pair(contexts)
    for service in ("one", "other"):
        claimed = tuple(DataSet("hdfs", f"/{service}/{number}") for number in range(2_000))
        aggregate.claim(contexts(), ClusterPair.identity(service), claimed)
    with pytest.raises(Conflict, match="OVERLAP"):
        aggregate.claim(contexts(), SPACE, (*claimed[:-1], DataSet("hdfs", "/third"), DataSet("hdfs", "/one/1/x")))


def test_claims_never_overlap() -> None:
    contexts = Contexts()
    aggregate = new_pair(contexts)
    first, second = SPACE, ClusterPair.identity("other")
    aggregate.claim(contexts(), first, (DataSet("hdfs", "/a/b"), DataSet("hbase", "t")))
    for overlap in (DataSet("hdfs", "/a"), DataSet("hdfs", "/a/b/c"), DataSet("hdfs", "/*/b"), DataSet("hbase", "t*")):
        with pytest.raises(Conflict, match="OVERLAP"):
            aggregate.claim(contexts(), second, (overlap,))
    with pytest.raises(Conflict, match="which service shop protects"):
        aggregate.claim(contexts(), second, (DataSet("hdfs", "/a"),), lambda service: "shop")
    with pytest.raises(Conflict, match="of the same service"):
        aggregate.claim(contexts(), second, (DataSet("hdfs", "/x"), DataSet("hdfs", "/x/y")))
    aggregate.claim(contexts(), second, (DataSet("hdfs", "/x"), DataSet("hbase", "u")))
    aggregate.claim(contexts(), first, (DataSet("hdfs", "/a/b/c"),))
    assert aggregate.claims == {
        first: (DataSet("hdfs", "/a/b/c"),),
        second: (DataSet("hdfs", "/x"), DataSet("hbase", "u")),
    }


def test_a_cluster_is_its_name_and_its_endpoints() -> None:
    contexts = Contexts()
    cluster = Cluster.register(contexts(), "north", endpoints("north"))
    version = cluster.version
    cluster.change_endpoints(contexts(), endpoints("north"))
    assert cluster.version == version
    elsewhere = Endpoints(endpoints("north").gateway, ("http://elsewhere:9870",))
    cluster.change_endpoints(contexts(), elsewhere)
    assert cluster.endpoints == elsewhere
    assert cluster.endpoints.to_site("north")["hbase"] is None
    cluster.join(contexts(), SPACE)
    cluster.join(contexts(), SPACE)
    assert (cluster.pair, cluster.version) == (SPACE, 3)
    with pytest.raises(Conflict, match="IN_ANOTHER_PAIR"):
        cluster.join(contexts(), cluster.id)
    assert cluster.id == Cluster.identity("north")
    assert tables.same_state(cluster, tables.rebuilt(cluster))
    with pytest.raises(InvalidInput, match=r"cluster\.name"):
        Cluster.register(contexts(), "no th", elsewhere)


def test_what_was_compared_before_is_not_compared_again_but_newer_claims_are() -> None:
    contexts = Contexts()
    aggregate = new_pair(contexts)
    first, second, third = (ClusterPair.identity(name) for name in ("one", "two", "three"))
    aggregate.claim(contexts(), first, (DataSet("hdfs", "/a"),))
    seen, claims = aggregate.claims_revision, dict(aggregate.claims)
    mine = (DataSet("hdfs", "/b*"),)
    assert first_meeting(third, mine, claims) is None
    aggregate.claim(contexts(), second, (DataSet("hdfs", "/bc"),))
    with pytest.raises(Conflict, match="OVERLAP"):
        aggregate.claim(contexts(), third, mine, compared_with=seen)
    aggregate.claim(contexts(), second, (DataSet("hdfs", "/c"),))
    aggregate.claim(contexts(), third, mine, compared_with=seen)
    aggregate.claim(contexts(), third, mine, compared_with=aggregate.claims_revision)
    met = first_meeting(first, (DataSet("hdfs", "/bx"),), aggregate.claims)
    assert met is not None
    assert "which service three protects" in met.refusal(lambda _: "three").message


def test_only_so_many_runs_of_a_service_and_of_a_pair_are_under_way() -> None:
    contexts = Contexts()
    aggregate = new_pair(contexts)
    limits = RunLimits(per_service=2, per_gateway=3)
    one, other = (ClusterPair.identity(name) for name in ("one", "other"))
    runs = [ClusterPair.identity(f"run {number}") for number in range(9)]
    over: set[UUID] = set()
    asked: list[UUID] = []

    def is_over(run: UUID) -> bool:
        asked.append(run)
        return run in over

    def plan(number: int, service: UUID) -> None:
        aggregate.plan_run(contexts(), runs[number], service, limits, is_over)

    plan(0, one)
    plan(1, one)
    assert asked == []
    with pytest.raises(Refused, match=r"TOO_MANY_RUNS: 2 runs of the service .*runs_per_service"):
        plan(2, one)
    assert asked == runs[:2]
    plan(3, other)
    with pytest.raises(Refused, match=r"TOO_MANY_RUNS: 3 runs of pair main .*runs_per_gateway"):
        plan(4, other)
    over |= {runs[0]}
    plan(5, one)
    assert list(aggregate.runs) == [runs[1], runs[3], runs[5]]
    over |= {runs[3]}
    plan(6, other)
    assert set(aggregate.runs) == {runs[1], runs[5], runs[6]}
    assert tables.same_state(aggregate, tables.rebuilt(aggregate))


# Taking a pair over


def taken(contexts: Contexts, found: dict[str, tuple[int, int]], aggregate: ClusterPair | None = None) -> ClusterPair:
    """A pair that was taken over, where the clusters that are named could be reached."""
    aggregate = aggregate or steady_pair(contexts)
    aggregate.take_over(
        contexts(), from_store="a" * 32, reason="it burnt", store=SPACE, host="h", found=found, endpoints=ENDPOINTS
    )
    return aggregate


def test_a_pair_names_its_store_in_its_markers_and_one_from_before_names_none() -> None:
    contexts = Contexts()
    (wanted,) = new_pair(contexts).next_instructions()
    assert not {"store", "host", "taken_over"} & set(wanted.payload["marker"])
    (wanted,) = ClusterPair.form(contexts(), "main", "north", "south", ENDPOINTS, SPACE, "h").next_instructions()
    assert (wanted.payload["marker"]["store"], wanted.payload["marker"]["host"]) == (SPACE.hex, "h")


def test_taking_over_writes_both_markers_at_once_in_a_later_epoch() -> None:
    contexts = Contexts()
    aggregate = taken(contexts, {"north": (4, 7), "south": (5, 7)})
    assert (aggregate.state, aggregate.epoch) == ("FORMING", 8)
    wishes = {wanted.role: wanted for wanted in aggregate.next_instructions()}
    assert {role: wanted.payload["serial"] for role, wanted in wishes.items()} == {"primary": 5, "secondary": 6}
    marker = wishes["primary"].payload["marker"]
    assert (marker["identity"], marker["epoch"], marker["store"]) == (PRIMARY, 8, SPACE.hex)
    assert marker["taken_over"] == {
        "from_store": "a" * 32, "by": "ann", "reason": "it burnt", "at_ms": marker["taken_over"]["at_ms"],
    }  # fmt: skip
    for wanted in wishes.values():
        assert aggregate.not_reached == ()
        aggregate.conclude(contexts(), wanted.id, succeeded(shown(wanted)))
    assert (aggregate.state, aggregate.not_reached) == ("STEADY", ())
    assert aggregate.cluster_with(SECONDARY) == "south"
    assert tables.same_state(tables.rebuilt(aggregate), aggregate)


def test_a_cluster_that_was_not_reached_is_taken_over_by_doing_it_again() -> None:
    contexts = Contexts()
    aggregate = taken(contexts, {"south": (1, 1)})
    (wanted,) = aggregate.next_instructions()
    assert wanted.role == "secondary"
    aggregate.conclude(contexts(), wanted.id, succeeded(shown(wanted)))
    assert (aggregate.state, aggregate.next_instructions()) == ("FORMING", ())
    assert aggregate.not_reached == ("north",)
    aggregate.note_stall(contexts(), aggregate.waits_since, "it waits for another take-over")
    (stall,) = aggregate.alarms
    assert "pair take-over main" in stall["remedy"]
    taken(contexts, {"north": (1, 1), "south": (2, 2)}, aggregate)
    assert aggregate.epoch == 3
    again = {w.role: w for w in aggregate.next_instructions()}
    assert again["secondary"].id != wanted.id, "the older one is in the gateway's spool"
    assert {role: w.payload["serial"] for role, w in again.items()} == {"primary": 2, "secondary": 3}


def test_the_epoch_never_goes_back() -> None:
    contexts = Contexts()
    aggregate = taken(contexts, {"south": (1, 9)})
    assert taken(contexts, {"north": (1, 1)}, aggregate).epoch == 11


@pytest.mark.parametrize("words", ["", " ", "x" * 501, "a\0b"])
def test_taking_over_needs_a_reason(words: str) -> None:
    contexts = Contexts()
    aggregate = steady_pair(contexts)
    with pytest.raises(InvalidInput, match="reason"):
        aggregate.take_over(
            contexts(), from_store="a", reason=words, store=SPACE, host="h", found={}, endpoints=ENDPOINTS
        )
    assert aggregate.state == "STEADY"
