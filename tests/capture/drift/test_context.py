"""What a context message may say, and what is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.capture.mapping.context import (
    CONTEXT_BYTES_MAX,
    Context,
    ContextRefused,
    parse_context,
)


def test_everything_that_can_be_said() -> None:
    said = parse_context(
        b'{"actor": "u-4711", "reason": "wrong address", "ticket": "#815", "correlation": "a:1"}'
    )
    assert isinstance(said, Context)
    assert said.fields == {
        "actor": {"id": "u-4711", "known": "declared", "type": "person"},
        "ticket": "#815",
        "correlation": "a:1",
    }
    assert json.loads(b"{" + said.attributes[1:] + b"}") == {
        "authtype": "unknown",
        "authid": "u-4711",
        "correlationid": "a:1",
        "ticket": "#815",
        "reason": "wrong address",
    }


def test_an_empty_object_takes_it_back() -> None:
    assert parse_context(b" {} ") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a JSON object"),
        (b"\xff\xfe", "is not a JSON object"),
        (b"[]", "is not a JSON object"),
        (b'"u-1"', "is not a JSON object"),
        (b"[" * 3000, "is not a JSON object"),
        (b'{"actor": "u-1", "actor": "u-2"}', "with each key once"),
        (b'{"actor": "u-1", "user": "canary"}', "has 1 unknown keys"),
        (b'{"actor": 4711}', "'actor' is not an id"),
        (b'{"actor": ""}', "'actor' is not an id"),
        (b'{"actor": "Canary Smith"}', "'actor' is not an id"),
        (b'{"actor": "canary@example.com"}', "'actor' is not an id"),
        (b'{"ticket": null}', "'ticket' is not an id"),
        (b'{"reason": "two\\nlines"}', "'reason' is not a line"),
        (b'{"reason": "%b"}' % (b"x" * 501), "'reason' is not a line"),
        (b'{"reason": "%b"}' % (b" " * CONTEXT_BYTES_MAX), "bytes; at most 4096 are read"),
    ],
)
def test_anything_else_is_refused_without_its_values(content: bytes, reason: str) -> None:
    said = parse_context(content)
    assert isinstance(said, ContextRefused)
    assert reason in said.reason
    assert "canary" not in said.reason.lower()


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_said_or_refused(content: bytes) -> None:
    said = parse_context(content)
    assert said is None or isinstance(said, Context | ContextRefused)
