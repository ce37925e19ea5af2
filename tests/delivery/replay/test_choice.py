"""Which events are replayed."""

import json

import pytest

from bridge.delivery.replay.choice import VALUES_MAX, Choice, Chooser, moment
from bridge.delivery.replay.job import (
    JobState,
    ReplayJob,
    Target,
    TargetKind,
    decode_job,
    encode_job,
)
from bridge.model.entry import EntryKind, StoredEntry
from bridge.model.errors import ConfigInvalid, DecodeError, LimitExceeded


def entry(
    *,
    kind: EntryKind = EntryKind.EVENT,
    routing_key: str | None = "shop.order.updated.v1",
    key: str | None = '{"order_id":7}',
    time: str | None = "2026-03-01T10:00:00.000000Z",
) -> StoredEntry:
    fields = {} if time is None else {"time": time}
    leaf = json.dumps({"fields": fields}).encode()
    return StoredEntry(0, kind, "id", routing_key, key, leaf, b"{}")


def wants(choice: Choice, found: StoredEntry) -> bool:
    return Chooser(choice, "com.example").chosen([found]) == [found]


def test_everything_is_every_event_and_nothing_else() -> None:
    assert Choice().is_everything
    assert wants(Choice(), entry())
    for kind in EntryKind:
        if kind is not EntryKind.EVENT:
            assert not wants(Choice(), entry(kind=kind))
    assert not wants(Choice(), entry(routing_key=None))


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ("shop.order.updated.v1", True),
        ("com.example.shop.order.updated.v1", True),
        ("shop.order.#", True),
        ("shop.*.updated.*", True),
        ("com.example.shop.#", True),
        ("shop.order.created.v1", False),
        ("shop.order", False),
        ("org.example.shop.order.updated.v1", False),
    ],
)
def test_types_are_names_or_patterns(asked: str, fits: bool) -> None:
    assert wants(Choice(types=(asked,)), entry()) is fits
    assert wants(Choice(types=("other", asked)), entry()) is fits


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ('{"order_id":7}', True),
        ('{ "order_id": 7 }', True),
        ('{"order_id":8}', False),
        ("7", False),
    ],
)
def test_keys_are_as_events_have_them(asked: str, fits: bool) -> None:
    assert wants(Choice(keys=(asked,)), entry()) is fits


def test_a_key_that_is_no_json_is_a_text() -> None:
    assert wants(Choice(keys=("plain",)), entry(key="plain"))
    assert not wants(Choice(keys=("plain",)), entry(key=None))


@pytest.mark.parametrize(
    ("since", "until", "fits"),
    [
        ("2026-03-01T10:00:00Z", None, True),
        ("2026-03-01T10:00:00.000001Z", None, False),
        (None, "2026-03-01T10:00:00Z", False),
        (None, "2026-03-01T10:00:01Z", True),
        ("2026-03-01T19:00:00+09:00", "2026-03-01T19:00:01+09:00", True),
    ],
)
def test_times_are_from_and_until(since: str | None, until: str | None, fits: bool) -> None:
    assert wants(Choice(since=since, until=until), entry()) is fits


def test_an_event_without_a_time_is_in_no_span() -> None:
    assert not wants(Choice(since="2020-01-01T00:00:00Z"), entry(time=None))
    assert not wants(Choice(since="2020-01-01T00:00:00Z"), entry(time="soon"))


def test_conditions_hold_together() -> None:
    both = Choice(types=("shop.#",), keys=('{"order_id":8}',))
    assert not wants(both, entry())
    assert wants(both, entry(key='{"order_id":8}'))


def test_what_nobody_can_mean_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="it is empty"):
        Choice(since="2026-03-01T10:00:00Z", until="2026-03-01T10:00:00Z")
    with pytest.raises(ConfigInvalid, match="at most 100"):
        Choice(keys=("k",) * (VALUES_MAX + 1))
    with pytest.raises(ConfigInvalid, match="cannot read the time 'noon'"):
        moment("noon")


def job(**changes: object) -> ReplayJob:
    given: dict[str, object] = {
        "replay_id": "20260301T100000Z-0123abcd",
        "target": Target(kind=TargetKind.QUEUE, name="orders"),
        "start": 10,
        "stop": 500,
        "choice": Choice(types=("shop.#",), since="2026-03-01T10:00:00.000000Z"),
        "rate": 100,
        "asked": "2026-03-01T10:00:00.000000Z",
        "next_index": 20,
        "sent": 7,
        "entities": ("aa", "bb"),
    }
    return ReplayJob(**given | changes)  # type: ignore[arg-type]  # Named above.


@pytest.mark.parametrize("state", JobState)
@pytest.mark.parametrize("kind", TargetKind)
def test_a_job_is_read_as_it_was_written(state: JobState, kind: TargetKind) -> None:
    made = job(state=state, target=Target(kind=kind, name="x"))
    assert decode_job(encode_job(made)) == made


def test_what_is_no_job_is_refused() -> None:
    whole = encode_job(job())
    for end in range(len(whole) - 2):
        with pytest.raises(DecodeError):
            decode_job(whole[:end])
    with pytest.raises(DecodeError, match="another version"):
        decode_job(whole.replace(b'"version": 1', b'"version": 2'))


def test_a_rate_has_bounds() -> None:
    for rate in (0, 50_001):
        with pytest.raises(LimitExceeded, match="per second"):
            job(rate=rate)
