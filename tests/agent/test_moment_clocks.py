"""Clock offsets: what samples prove, whatever the clocks do."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from infra.agent.core.clocks import Interval, as_offset, combine, drift_ms, interval_of

offsets = st.floats(-1e6, 1e6)
delays = st.floats(0.0, 500.0)
Sample = tuple[float, float, float]
samples = st.lists(st.tuples(st.floats(0.0, 1e6), delays, delays), min_size=1, max_size=12)


def measured(offset: float, at: float, there: float, back: float) -> Interval:
    """A request that takes ``there`` to the server, whose stamp is cut to whole milliseconds, and ``back``."""
    stamp = float(int(at + there + offset) if at + there + offset >= 0 else int(at + there + offset) - 1)
    return interval_of(at, stamp, at + there + back)


@given(offsets, samples)
def test_the_truth_is_always_within_and_never_less_sure_than_the_shortest_round_trip(
    offset: float, found: list[Sample]
) -> None:
    intervals = [measured(offset, *sample) for sample in found]
    combined = combine(intervals)
    value = as_offset(combined)
    assert abs(value["offset_ms"] - offset) <= value["uncertainty_ms"] + 1e-6
    assert combined.high - combined.low <= min(i.high - i.low for i in intervals) + 1e-9


@given(st.lists(st.tuples(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)), min_size=1, max_size=8))
def test_an_uncertainty_is_never_negative_whatever_the_clocks_did(found: list[Sample]) -> None:
    assert as_offset(combine([interval_of(*sample) for sample in found]))["uncertainty_ms"] >= 0


@given(offsets, st.floats(1_000.0, 1e6), samples, samples)
def test_a_clock_that_is_set_between_samples_widens_the_result_over_both(
    offset: float, step: float, before: list[Sample], after: list[Sample]
) -> None:
    earlier = [measured(offset, *sample) for sample in before]
    later = [measured(offset + step, *sample) for sample in after]
    combined = combine(earlier + later)
    assert combined.low <= offset + 1
    assert combined.high >= offset + step - 1


@given(offsets, samples, samples)
def test_measurements_of_one_offset_show_no_drift(offset: float, before: list[Sample], after: list[Sample]) -> None:
    values = [as_offset(combine([measured(offset, *sample) for sample in found])) for found in (before, after)]
    assert drift_ms(*values) <= 1e-6


@given(offsets, st.floats(0.0, 1e5), samples, samples)
def test_drift_is_never_exaggerated(offset: float, step: float, before: list[Sample], after: list[Sample]) -> None:
    values = [
        as_offset(combine([measured(true, *sample) for sample in found]))
        for true, found in ((offset, before), (offset + step, after))
    ]
    assert drift_ms(*values) <= step + 1e-6
