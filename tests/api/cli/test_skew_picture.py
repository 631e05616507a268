"""The picture of the skew, as golden text, and what must hold for any input."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.cli.remote.skew_picture import WIDTH, Line, skew_picture

THREE = (
    Line("hdfs:/data/orders", 1.2, 14.0, "EXACT"),
    Line("hbase:default:orders", 2.0, 398.0, "BOUNDED"),
    Line("hbase:default:carts", 2.0, 44.0, "FUZZY"),
)


def test_three_data_sets_around_the_moment() -> None:
    assert skew_picture(THREE, 3.4).splitlines() == [
        "                        ▼ the moment",
        "                  ms    0         +100      +200      +300      +400",
        "hdfs:/data/orders      ·├┤                                          EXACT    +1.2 ms … +14 ms",
        "hbase:default:orders   ·├──────────────────────────────────────┤·   BOUNDED  +2.0 ms … +398 ms",
        "hbase:default:carts    ·├───┤                                       FUZZY    +2.0 ms … +44 ms",
        "                      one column is 10 ms; ├─┤ asked to done; · the clocks' uncertainty, ± 3.4 ms",
    ]


def test_an_instant_shorter_than_a_column_is_one_mark() -> None:
    lines = [Line("a", 0.0, 0.2, "EXACT"), Line("b", 900.0, 990.0, "BOUNDED")]
    assert skew_picture(lines, 0.0).splitlines()[2].startswith("a   ■")


def test_a_snapshot_before_the_moment_is_left_of_it() -> None:
    rows = skew_picture([Line("a", -30.0, -10.0, "BOUNDED")], 0.0).splitlines()
    assert rows[2].index("┤") < rows[0].index("▼")


_LINES = st.builds(
    lambda asked, took: Line("set", asked, asked + took, "BOUNDED"),
    st.floats(-1e6, 1e6),
    st.floats(0, 1e6),
)


@given(lines=st.lists(_LINES, min_size=1, max_size=5), uncertainty=st.floats(0, 1e5))
def test_no_picture_is_wider_than_it_may_be_and_each_line_is_in_it(lines: list[Line], uncertainty: float) -> None:
    rows = skew_picture(lines, uncertainty).splitlines()
    assert len(rows) == len(lines) + 3
    for row in rows[2:-1]:
        picture = row[: row.index("BOUNDED")]
        assert len(picture) <= len("set") + 2 + WIDTH + 2
        assert "■" in picture or ("├" in picture and "┤" in picture)
