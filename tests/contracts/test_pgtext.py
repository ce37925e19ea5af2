"""The grammars read back what they write, and refuse whatever else with `ValueError` alone."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.contracts.pgtext.arrays import ParsedArray, format_array, parse_array
from bridge.contracts.pgtext.composites import format_composite, parse_composite
from bridge.contracts.pgtext.hstores import format_hstore, parse_hstore
from bridge.contracts.pgtext.intervals import ParsedInterval, format_interval, parse_interval
from bridge.contracts.pgtext.ranges import (
    ParsedRange,
    format_multirange,
    format_range,
    parse_multirange,
    parse_range,
)
from bridge.model.payloads import elements, members

TEXTS = st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
AWKWARD = st.text(alphabet='\\"{}()[],;= aN\n', max_size=12)
CELLS = st.none() | TEXTS | AWKWARD
RANGES = st.builds(ParsedRange, CELLS, CELLS, st.booleans(), st.booleans())


@given(st.lists(CELLS), st.sampled_from(",;"))
def test_an_array_survives(items: list[str | None], delimiter: str) -> None:
    assert parse_array(format_array(items, None, delimiter), delimiter) == (items, None)


@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), min_size=1), st.integers(-9, 9))
def test_an_array_of_two_dimensions_survives_with_its_bounds(
    items: list[list[str | None]], low: int
) -> None:
    bounds = (low, 5)
    assert parse_array(format_array(items, bounds)) == ParsedArray(items, bounds)


@given(st.lists(CELLS, min_size=2))
def test_a_row_survives(fields: list[str | None]) -> None:
    assert parse_composite(format_composite(fields)) == fields


@given(RANGES, st.lists(RANGES))
def test_ranges_survive(one: ParsedRange, several: list[ParsedRange]) -> None:
    assert parse_range(format_range(one)) == one
    assert parse_multirange(format_multirange(several)) == several


@given(st.dictionaries(TEXTS | AWKWARD, CELLS))
def test_an_hstore_survives(pairs: dict[str, str | None]) -> None:
    assert parse_hstore(format_hstore(pairs)) == pairs


@given(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**62), 2**62),
)
def test_an_interval_survives(months: int, days: int, microseconds: int) -> None:
    parsed = ParsedInterval(months, days, microseconds)
    assert parse_interval(format_interval(parsed)) == parsed


READERS: list[Callable[[str], Any]] = [
    parse_array,
    parse_composite,
    parse_range,
    parse_multirange,
    parse_hstore,
    parse_interval,
    members,
    elements,
]


@pytest.mark.parametrize("read", READERS)
@given(text=AWKWARD | st.text() | st.from_regex(r'[{(\["]["\\a-c,={}()\[\]P0-9TYMDHS.-]*'))
def test_any_text_is_a_value_or_a_value_error(read: Callable[[str], Any], text: str) -> None:
    try:
        read(text)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (parse_array, '{1,"a b",NULL}'),
        (parse_array, "[0:1]={1,2}"),
        (parse_array, "{{1,2},{3,4}}"),
        (parse_composite, '(1,"a ""b""",)'),
        (parse_range, '["a",b)'),
        (parse_multirange, "{[1,2),[3,)}"),
        (parse_interval, "P1Y2M3DT4H5M6.5S"),
        (members, '{"a":{"b":[1,"}"]},"c":null}'),
        (elements, '[1,{"a":[]},"],"]'),
    ],
)
def test_a_text_cut_short_is_refused(read: Callable[[str], Any], text: str) -> None:
    read(text)
    for end in range(len(text)):
        # Units of an interval are complete parts of their own.
        if read is parse_interval and text[end - 1 : end] in "YMDHS" and end > 1:
            continue
        with pytest.raises(ValueError):
            read(text[:end])


def test_members_are_cut_and_never_read() -> None:
    text = '{"a": 1.10 ,"b":"x\\"},{","c":{"d":[1e400,{}]},"e":[]}'
    assert members(text) == {
        "a": " 1.10 ",
        "b": '"x\\"},{"',
        "c": '{"d":[1e400,{}]}',
        "e": "[]",
    }
    assert elements('[ {"a":1} ,[2,3],"],"]') == [' {"a":1} ', "[2,3]", '"],"']
