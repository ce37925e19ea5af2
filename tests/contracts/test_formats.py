"""Both validators assert the same formats."""

import pytest

from bridge.contracts.formats import PATTERNS
from bridge.contracts.schema import DIALECT, DataSchema

CASES = [
    ("date", "2024-02-29", True),
    ("date", "2023-02-29", False),
    ("date", "1900-02-29", False),
    ("date", "2000-02-29", True),
    ("date", "2024-04-31", False),
    ("date", "2024-1-1", False),
    ("date", "2024-01-01\n", False),
    ("date", "infinity", False),
    ("time", "03:04:05Z", True),
    ("time", "03:04:05+05:30", True),
    ("time", "03:04:05", False),
    ("time", "23:59:60Z", True),
    ("time", "24:00:00Z", False),
    ("date-time", "2024-01-02T03:04:05.123Z", True),
    ("date-time", "2024-01-02t03:04:05z", True),
    ("date-time", "1998-12-31T23:59:60Z", True),
    ("date-time", "1998-12-31T23:58:60Z", False),
    ("date-time", "2024-01-02 03:04:05Z", False),
    ("date-time", "2024-01-02T03:04:05", False),
    ("local-time", "24:00:00", True),
    ("local-time", "03:04:05.5", True),
    ("local-time", "03:04:05Z", False),
    ("local-date-time", "2024-01-02T03:04:05", True),
    ("local-date-time", "-000043-03-15T12:00:00", True),
    ("local-date-time", "2024-01-02T03:04:05Z", False),
    ("far-date", "2024-02-29", True),
    ("far-date", "-000043-03-15", True),
    ("far-date", "+5874897-12-31", True),
    ("far-date", "43-03-15", False),
    ("far-date-time", "+294276-12-31T23:59:59.999999Z", True),
    ("far-date-time", "2024-01-02T03:04:05", False),
    ("far-date-time", "infinity", False),
    ("interval", "P1Y2M3DT4H5M6.789S", True),
    ("interval", "P-1Y2M-3DT-0.5S", True),
    ("interval", "PT0S", True),
    ("interval", "P", False),
    ("interval", "P1DT", False),
    ("interval", "1 day", False),
    ("interval", "infinity", False),
    ("decimal", "-0.10", True),
    ("decimal", "1e5", False),
    ("decimal", "NaN", False),
    ("decimal", "٣", False),
    ("decimal", "1\n", False),
    ("uuid", "6F1c1a2e-0000-4000-8000-000000000001", True),
    ("uuid", "6f1c1a2e000040008000000000000001", False),
]


@pytest.mark.parametrize(("name", "text", "fits"), CASES)
def test_a_format_is_asserted_alike_by_both_validators(name: str, text: str, fits: bool) -> None:
    schema = DataSchema({"$schema": DIALECT, "allOf": [{"format": name}]})
    assert schema.agreed(text) is fits
    assert (schema.reason(text) is None) is fits


def test_a_format_says_nothing_about_anything_but_texts() -> None:
    for name in PATTERNS:
        assert DataSchema({"$schema": DIALECT, "format": name}).agreed(7)


def test_every_format_has_cases_on_both_sides() -> None:
    for name in PATTERNS:
        assert {fits for case, _, fits in CASES if case == name} == {True, False}


def test_a_format_beside_a_pattern_leaves_both() -> None:
    schema = DataSchema({"$schema": DIALECT, "format": "decimal", "pattern": "^1"})
    assert schema.agreed("1.5")
    assert not schema.agreed("2.5")
    assert not schema.agreed("1x")


def test_a_path_into_a_json_column_is_cut() -> None:
    schema = DataSchema(
        {
            "$schema": DIALECT,
            "additionalProperties": {
                "additionalProperties": {"additionalProperties": {"type": "integer"}}
            },
        }
    )
    reason = schema.reason({"after": {"attributes": {"name of a person": "x"}}})
    assert reason is not None
    assert reason.startswith("/after/attributes/…: breaks rule 'type'")
    assert "person" not in reason
