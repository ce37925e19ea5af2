"""Only what is an event of a known contract reaches a handler."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.consumer.event import EventReader, OwnEvent, ReceivedEvent, Unreadable
from bridge.model.change import ChangeKind
from tests.consumer.samples import contracts, events, received

READER = EventReader(contracts())
BODY = events(1, start=7)[0].payload


def read(body: bytes, headers: dict[str, Any] | None = None, message_id: str | None = None) -> Any:
    return READER.read(
        body,
        {"lb-leaf": 7} if headers is None else headers,
        message_id=message_id,
        redelivered=False,
    )


def changed(**attributes: Any) -> bytes:
    envelope = {**orjson.loads(BODY), **attributes}
    return orjson.dumps({name: value for name, value in envelope.items() if value is not ...})


def test_a_sound_message_is_an_event() -> None:
    event = read(BODY, message_id="pgbench:0000000000000007:00000000")
    assert event == received(7)
    assert event.kind is ChangeKind.UPDATED
    assert event.key == {"branch_id": 7}
    assert event.data["after"]["balance"] == 7


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "not a CloudEvent"),
        (b"\xff", "not a CloudEvent"),
        (b"[]", "not a CloudEvent"),
        (b'"text"', "not a CloudEvent"),
        (changed(id=...), "attribute 'id' is missing"),
        (changed(data=...), "attribute 'data' is missing"),
        (changed(id=7), "attributes 'id' and 'source' must be texts"),
        (changed(source=""), "attributes 'id' and 'source' must be texts"),
        (changed(specversion="0.3"), "specversion is not '1.0'"),
        (changed(time="soon"), "not a CloudEvent"),
        (changed(time=7), "not a CloudEvent"),
        (changed(type=["a"]), "not a CloudEvent"),
        (changed(type="com.example.pgbench.branch.updated.v2"), "do not agree"),
        (changed(dataschema="https://example.com/"), "do not agree"),
        (changed(dataschema="urn:legacy-bridge:contract:pgbench.branch:1.9"), "is not known here"),
        (changed(data={"key": {"branch_id": "7"}}), "/key/branch_id: breaks rule 'type'"),
        (changed(data=7), "breaks rule 'type'"),
    ],
)
def test_anything_else_says_why_not(body: bytes, said: str) -> None:
    unreadable = read(body)
    assert isinstance(unreadable, Unreadable)
    assert said in unreadable.reason


def test_a_message_id_must_be_the_events() -> None:
    assert "differs from the message id" in read(BODY, message_id="other").reason


@pytest.mark.parametrize("headers", [{}, {"lb-leaf": "7"}, {"lb-leaf": -1}, {"lb-leaf": None}])
def test_the_place_in_the_log_must_be_told(headers: dict[str, Any]) -> None:
    assert "'lb-leaf'" in read(BODY, headers).reason


def test_a_message_cut_anywhere_is_refused_and_never_raises() -> None:
    for size in range(len(BODY)):
        assert isinstance(read(BODY[:size]), Unreadable)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(list(orjson.loads(BODY))), _JSON)
def test_any_value_of_any_attribute_is_an_event_or_a_reason(name: str, value: Any) -> None:
    assert isinstance(read(changed(**{name: value})), ReceivedEvent | Unreadable)


def test_what_is_told_about_a_source_is_no_event_of_a_row() -> None:
    own = "com.example.bridge.shop.schema-drift.v1"
    urn = "urn:legacy-bridge:contract:bridge."
    assert read(changed(type=own, dataschema=f"{urn}schema-drift:1.0")) == OwnEvent(own)
    for data_schema in (f"{urn}message:1.0", f"{urn}schema-drift:2.0", "urn:x"):
        assert isinstance(read(changed(type=own, dataschema=data_schema)), Unreadable)
