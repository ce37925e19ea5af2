"""Filters: what the page says, provable by leaves; and limits that are never silent."""

import json
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.eventlog.exporting.leaf_filter import LeafFilter, six_digits
from bridge.eventlog.leaf import make_leaf
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.signer import Signer
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.examples import EXAMPLES
from tests.eventlog.exporting.orders import (
    check_verifies,
    make_bundle,
    make_means,
    make_signer,
)

WORDS = ("a", "b", "c")
TIMES = (
    "2026-11-21T13:23:04Z",
    "2026-11-21T13:23:04.5Z",
    "2026-11-21T13:23:04.500000Z",
    "2026-11-21T13:23:04.500000999Z",
    "2026-11-21T13:23:05.000001Z",
    "2026-11-21T22:23:04+09:00",
    "yesterday",
)
BOUNDS = ("2026-11-21T13:23:04.000000Z", "2026-11-21T13:23:04.500000Z",
          "2026-11-21T13:23:05.000001Z", "2026-11-21T13:23:06.000000Z")  # fmt: skip
KINDS = (EntryKind.EVENT, EntryKind.PARKED, EntryKind.ROUTE)

drafts = st.builds(
    EntryDraft,
    kind=st.sampled_from(KINDS),
    entry_id=st.uuids().map(str),
    fields=st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(WORDS),
            "correlation": st.sampled_from(WORDS),
            "actor": st.sampled_from(WORDS).map(lambda word: {"id": word}) | st.just("nobody"),
            "time": st.sampled_from(TIMES),
        },
    ),
    payload=st.just(b"{}"),
    entity=st.none() | st.sampled_from(WORDS),
)
some_words = st.lists(st.sampled_from(WORDS), max_size=2).map(tuple)
bounds = st.none() | st.sampled_from(BOUNDS)


@st.composite
def filters(draw: st.DrawFn) -> LeafFilter:
    first, last = draw(bounds), draw(bounds)
    if first is not None and last is not None and first >= last:
        last = None
    kinds = draw(st.lists(st.sampled_from([kind.value for kind in KINDS]), max_size=2))
    return LeafFilter(
        kinds=tuple(kinds), types=draw(some_words), entities=draw(some_words),
        actors=draw(some_words), correlations=draw(some_words), time_from=first, time_to=last,
    )  # fmt: skip


def fits(asked: dict[str, Any], leaf: dict[str, Any]) -> bool:
    """Say by the page's table whether a leaf is selected."""
    fields = leaf["fields"]
    actor = fields.get("actor")
    values = {
        "kinds": leaf["kind"],
        "types": fields.get("type"),
        "entities": leaf.get("entity"),
        "actors": actor.get("id") if isinstance(actor, dict) else None,
        "correlations": fields.get("correlation"),
    }
    if any(name in asked and value not in asked[name] for name, value in values.items()):
        return False
    if "time" not in asked:
        return True
    time = fields.get("time", "")
    if not time.endswith("Z"):
        return False
    seconds, _, fraction = time[:-1].partition(".")
    exact = f"{seconds}.{fraction[:6].ljust(6, '0')}Z"
    first, last = asked["time"]["from"], asked["time"]["to"]
    return (first is None or first <= exact) and (last is None or exact < last)


@EXAMPLES
@given(draft=drafts, asked=filters())
def test_a_filter_selects_what_the_page_says(draft: EntryDraft, asked: LeafFilter) -> None:
    leaf = make_leaf(draft, 7)
    assert asked.selects(draft.kind.value, leaf) == fits(asked.as_json(), json.loads(leaf))
    assert LeafFilter.from_json(json.loads(json.dumps(asked.as_json()))) == asked


@pytest.mark.parametrize(
    ("text", "exact"),
    [
        ("2026-11-21T13:23:04Z", "2026-11-21T13:23:04.000000Z"),
        ("2026-11-21T13:23:04.1234567Z", "2026-11-21T13:23:04.123456Z"),
        ("2026-11-21T13:23:04+00:00", None),
        ("2026-11-21T13:23:04.Z", None),
        ("2026-11-21T13:23:04.\uff10Z", None),
    ],
)
def test_times_have_six_digits(text: str, exact: str | None) -> None:
    assert six_digits(text) == exact


@pytest.mark.parametrize(
    "asked",
    [
        {"time_from": "2026-11-21"},
        {"time_from": BOUNDS[1], "time_to": BOUNDS[0]},
        {"types": tuple(str(number) for number in range(1_001))},
    ],
)
def test_an_impossible_filter_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ConfigInvalid, match="cannot filter by"):
        LeafFilter(**asked)


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return make_signer(tmp_path)


@pytest.fixture
def log() -> EventLogStore:
    """A log of 600 entries of two kinds, three types, and two entities."""
    store = MemoryEventLog()
    store.append(
        [
            EntryDraft(
                kind=EntryKind.PARKED if number % 5 == 0 else EntryKind.EVENT,
                entry_id=f"e{number}",
                fields={
                    "type": WORDS[number % 3],
                    "time": f"2026-11-21T13:{number // 60:02}:{number % 60:02}Z",
                },
                payload=b'{"data":{"number":%d}}' % number,
                entity=f"pseudonym-{number % 2}",
            )
            for number in range(600)
        ]
    )
    return store


def manifest(folder: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return told


def selected(folder: Path) -> list[int]:
    data = (folder / "selection.bin").read_bytes()
    return list(struct.unpack(f">{len(data) // 8}Q", data))


def test_a_filtered_export_holds_all_leaves_and_what_was_asked_for(
    log: EventLogStore, signer: Signer, tmp_path: Path
) -> None:
    asked = LeafFilter(
        kinds=("event",), types=("a", "b"), entities=("pseudonym-1",),
        time_from="2026-11-21T13:01:00.000000Z", time_to="2026-11-21T13:04:00.000000Z",
    )  # fmt: skip
    report = make_bundle(log, signer, tmp_path / "bundle", filter=asked, start=10, stop=500)
    wanted = [n for n in range(60, 240) if n % 5 and n % 3 < 2 and n % 2]
    assert selected(report.folder) == wanted
    leaves = (report.folder / "leaves.jsonl").read_bytes().splitlines()
    assert [json.loads(leaf)["index"] for leaf in leaves] == list(range(10, 500))
    payloads = (report.folder / "payloads.jsonl").read_bytes().splitlines()
    assert [json.loads(payload)["data"]["number"] for payload in payloads] == wanted
    told = manifest(report.folder)
    assert told["filter"] == {
        "kinds": ["event"], "types": ["a", "b"], "entities": ["pseudonym-1"],
        "time": {"from": asked.time_from, "to": asked.time_to},
    }  # fmt: skip
    assert told["selection"] == {"count": len(wanted), "provable": True}
    check_verifies(report.folder, report.keys[0])


def test_nothing_selected_is_told(log: EventLogStore, signer: Signer, tmp_path: Path) -> None:
    report = make_bundle(
        log, signer, tmp_path / "bundle", filter=LeafFilter(actors=("nobody",))
    )  # fmt: skip
    assert report.selected == 0
    with pytest.raises(AssertionError, match="INCOMPLETE"):
        check_verifies(report.folder, report.keys[0])


@pytest.mark.parametrize("segment_entries", [50, 100_000])
def test_a_limit_ends_the_range_and_is_told(
    log: EventLogStore, signer: Signer, tmp_path: Path, segment_entries: int
) -> None:
    means = make_means(log, signer, segment_entries=segment_entries)
    report = make_bundle(
        log, signer, tmp_path / "bundle", means=means, entries_max=40,
        filter=LeafFilter(kinds=("parked",)),
    )  # fmt: skip
    # Entry 200 would have been the forty-first: the range ends before it, and has no gap.
    assert (report.stop, report.selected, report.limit_reached) == (200, 40, True)
    assert selected(report.folder) == list(range(0, 200, 5))
    assert manifest(report.folder)["limits"] == {"entries_max": 40, "reached": True}
    assert manifest(report.folder)["range"] == {"start": 0, "stop": 200}
    check_verifies(report.folder, report.keys[0])


def test_a_limit_that_is_just_enough_is_not_reached(
    log: EventLogStore, signer: Signer, tmp_path: Path
) -> None:
    report = make_bundle(log, signer, tmp_path / "bundle", entries_max=601)
    assert (report.stop, report.selected, report.limit_reached) == (601, 601, False)
    assert manifest(report.folder)["limits"] == {"entries_max": 601, "reached": False}


class Index:
    """Stands for an index over business values: the multiples of a number."""

    def __init__(self) -> None:
        self.asked: list[tuple[tuple[str, ...], int, int]] = []

    def indices(self, conditions: Sequence[str], start: int, stop: int) -> Iterator[int]:
        self.asked.append((tuple(conditions), start, stop))
        return iter(range(-(-start // 7) * 7, stop, 7))


def test_business_values_select_by_the_index_and_prove_nothing(
    log: EventLogStore, signer: Signer, tmp_path: Path
) -> None:
    index = Index()
    report = make_bundle(
        log, signer, tmp_path / "bundle", means=make_means(log, signer, selector=index),
        conditions=("amount>=100",), filter=LeafFilter(kinds=("event",)), stop=600,
    )  # fmt: skip
    assert selected(report.folder) == [n for n in range(0, 600, 7) if n % 5]
    told = manifest(report.folder)
    assert told["filter"] == {"kinds": ["event"], "fields": ["amount>=100"]}
    assert told["selection"]["provable"] is False
    assert index.asked == [(("amount>=100",), 0, 600)]
    check_verifies(report.folder, report.keys[0])


def test_business_values_need_an_index(log: EventLogStore, signer: Signer, tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="has no index"):
        make_bundle(log, signer, tmp_path / "bundle", conditions=("amount>=100",))
    assert not list(tmp_path.glob("*bundle*"))
