"""What is found is what a look at every entry finds, in order, page by page."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.eventlog.history.business_values import FieldCondition, between, parse_condition
from bridge.eventlog.history.follower import IndexFollower
from bridge.eventlog.history.query import EntityKey, LogQuery
from bridge.eventlog.history.search import LogSearch, SearchPage
from bridge.model.entry import EntryDraft, EntryKind, StoredEntry
from bridge.model.errors import ConfigInvalid
from bridge.model.search_role import Role
from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.log_index.sqlite import SqliteLogIndex
from tests.eventlog.history.logs import FIELDS, ORDER, PAYMENT, START, key_text, row_event

NAMES = ["山田商店", "ヤマダ商店", "ABC", "abc", "ﾔﾏﾀﾞ商店", "x y"]
SEGMENT = 8


@contextmanager
def searching(drafts: list[EntryDraft], **more: Any) -> Iterator[LogSearch]:
    log = MemoryEventLog()
    log.append(drafts)
    with TemporaryDirectory() as folder:
        index = SqliteLogIndex(Path(folder) / "index.db", segment_entries=SEGMENT)
        IndexFollower(log, index, lambda: FIELDS, batch_entries=5).catch_up()
        yield LogSearch(log, index, FIELDS, **more)
        index.close()


@st.composite
def drafts(draw: st.DrawFn) -> list[EntryDraft]:
    made = []
    for number in range(draw(st.integers(0, 60))):
        more: dict[str, Any] = {}
        if draw(st.booleans()):
            more["actor"] = {"id": draw(st.sampled_from(["ana", "bo"]))}
            more["correlation"] = draw(st.sampled_from(["c1", "c2"]))
            more["ticket"] = draw(st.sampled_from(["T-1", "T-2"]))
        number_of_day = draw(st.integers(1, 4))
        if draw(st.integers(0, 3)):
            key = {"order_id": draw(st.integers(1, 4))}
            after = {
                **key,
                "ordered_at": f"2026-01-0{number_of_day}T{draw(st.integers(0, 23)):02d}:00:00",
                "total": draw(st.sampled_from(["1.00", "1.00001", "-2.5", "100", "1E+2", "NaN"])),
                "customer_name": draw(st.sampled_from(NAMES)),
            }
            op = draw(st.sampled_from(["created", "updated", "deleted"]))
            made.append(row_event(number, op, key, None if op == "deleted" else after, **more))
        else:
            key = {"payment_id": draw(st.integers(1, 3))}
            after = {**key, "amount": "1.0000", "paid_at": f"2026-01-0{number_of_day}"}
            kind = draw(st.sampled_from([EntryKind.EVENT, EntryKind.PARKED]))
            made.append(row_event(number, "read", key, after, subject=PAYMENT, kind=kind, **more))
    return made


def moments() -> st.SearchStrategy[datetime | None]:
    return st.one_of(st.none(), st.integers(0, 60).map(lambda s: START + timedelta(seconds=s)))


CONDITIONS = st.sampled_from(
    [
        "total>=1", "total=1", "total<100", "amount=1..100", "amount>1", "amount=100",
        "date=2026-01-02", "date>2026-01-02", "ordered_at<=2026-01-02",
        "date=2026-01-02..2026-01-03",
        "counterparty=Abc", "counterparty=ヤマダ商店", "customer_name=山田商店",
        "counterparty=X  Y", "paid_at>=2026-01-02",
    ]
)  # fmt: skip
QUERIES = st.builds(
    LogQuery,
    time_from=moments(),
    time_to=moments(),
    recorded_from=moments(),
    kinds=st.frozensets(st.sampled_from([EntryKind.EVENT, EntryKind.PARKED]), max_size=1),
    subjects=st.frozensets(st.sampled_from([ORDER, PAYMENT]), max_size=1),
    types=st.frozensets(st.sampled_from(["*.deleted.*", "com.example.shop.order.created.v1"])),
    entity=st.one_of(
        st.none(),
        st.integers(1, 4).map(lambda n: EntityKey(subject=ORDER, key=key_text({"order_id": n}))),
    ),
    actor=st.sampled_from([None, None, "ana", "nobody"]),
    correlation=st.sampled_from([None, None, "c1"]),
    ticket=st.sampled_from([None, None, "T-2"]),
    fields=st.lists(CONDITIONS.map(parse_condition), max_size=2).map(tuple),
    newest_first=st.booleans(),
    limit=st.sampled_from([1, 3, 100]),
)


def fits(entry: StoredEntry, query: LogQuery) -> bool:
    """Look at one entry, in the plainest words: the model that searching is held against."""
    fields = json.loads(entry.leaf)["fields"]
    subject = fields["dataschema"].split(":")[3]
    time, recorded = (datetime.fromisoformat(fields[n]) for n in ("time", "recordedtime"))
    kind = fields.get("type", "")
    return (
        (query.time_from is None or query.time_from <= time)
        and (query.time_to is None or time < query.time_to)
        and (query.recorded_from is None or query.recorded_from <= recorded)
        and (not query.kinds or entry.kind in query.kinds)
        and (not query.subjects or subject in query.subjects)
        and (
            not query.types
            or any(".deleted." in kind if "*" in asked else kind == asked for asked in query.types)
        )
        and (
            query.entity is None
            or (subject == query.entity.subject and entry.partition_key == query.entity.key)
        )
        and query.actor in (None, fields.get("actor", {}).get("id"))
        and query.correlation in (None, fields.get("correlation"))
        and query.ticket in (None, fields.get("ticket"))
        and all(_holds(entry, subject, condition) for condition in query.fields)
    )


def _holds(entry: StoredEntry, subject: str, condition: FieldCondition) -> bool:
    after = json.loads(entry.payload)["data"].get("after", {})
    for name, role in FIELDS[f"urn:legacy-bridge:contract:{subject}:1.0"]:
        if condition.field in (name, role.value) and name in after:
            return _value_holds(str(after[name]), role, condition)
    return False


def _value_holds(value: str, role: Role, condition: FieldCondition) -> bool:
    low, high = condition.low, condition.high
    if role is Role.COUNTERPARTY:
        same = {"ABC": 1, "abc": 1, "Abc": 1, "ﾔﾏﾀﾞ商店": 3, "ヤマダ商店": 3, "x y": 2, "X  Y": 2}
        return same.get(value, value) == same.get(low or "", low)
    if role is Role.DATE:
        # As texts: a day is before all its moments, and `~` behind all of them.
        return (low is None or (value > f"{low}~" if condition.low_open else value >= low)) and (
            high is None or (value < high if condition.high_open else value < f"{high}~")
        )
    amount = Decimal(value)
    if not amount.is_finite():
        return False
    over = low is None or (amount > Decimal(low) if condition.low_open else amount >= Decimal(low))
    return over and (
        high is None or (amount < Decimal(high) if condition.high_open else amount <= Decimal(high))
    )


ASKED = given(drafts(), QUERIES, st.sampled_from([0.0, 1e9]))


@settings(max_examples=30, deadline=None)
@ASKED
def test_all_pages_together_are_what_a_look_at_every_entry_finds(
    made: list[EntryDraft], query: LogQuery, effort_max: float
) -> None:
    check_pages(made, query, effort_max)


@pytest.mark.soak
@settings(max_examples=3_000, deadline=None)
@ASKED
def test_the_same_of_many_more_logs_and_queries(
    made: list[EntryDraft], query: LogQuery, effort_max: float
) -> None:
    check_pages(made, query, effort_max)


def check_pages(made: list[EntryDraft], query: LogQuery, effort_max: float) -> None:
    with searching(made, effort_max=effort_max) as search:
        naive = [entry.leaf_index for entry in search._log.read(0, 100) if fits(entry, query)]
        if query.newest_first:
            naive.reverse()
        pages = list(all_pages(search, query))
        assert [hit.index for page in pages for hit in page.hits] == naive
        assert all(len(page.hits) <= query.limit for page in pages)
        assert all(page.behind == 0 for page in pages)


def all_pages(search: LogSearch, query: LogQuery) -> Iterator[SearchPage]:
    for _ in range(200):
        page = search.search(query)
        yield page
        if page.next_page is None:
            return
        # Either it is full, or it says that the effort ran out.
        assert page.cut or len(page.hits) == query.limit
        query = replace(query, page=page.next_page)
    raise AssertionError("pages without end")


def test_a_condition_by_role_finds_all_fields_of_the_role() -> None:
    made = [
        row_event(0, "created", {"order_id": 1}, {"total": "5.00", "customer_name": "a"}),
        row_event(1, "created", {"payment_id": 1}, {"amount": "5"}, subject=PAYMENT),
    ]
    with searching(made) as search:
        page = search.search(LogQuery(fields=(parse_condition("amount=5"),)))
        assert [(hit.subject, dict(hit.values)) for hit in page.hits] == [
            (PAYMENT, {"amount": "5"}),
            (ORDER, {"total": "5.00", "customer_name": "a"}),
        ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour=red", "no contract declares it"),
        ("counterparty=a..b", "ranges are for dates and amounts"),
        ("date=yesterday", "a date has the form"),
        ("amount>=much", "an amount is a number"),
    ],
)
def test_a_condition_that_cannot_be_compared_says_why(text: str, said: str) -> None:
    with searching([]) as search, pytest.raises(ConfigInvalid, match=said):
        search.search(LogQuery(fields=(parse_condition(text),)))


def test_a_token_of_another_query_is_refused() -> None:
    made = [row_event(n, "created", {"order_id": n}, {"total": "1"}) for n in range(3)]
    with searching(made) as search:
        token = search.search(LogQuery(limit=1)).next_page
        with pytest.raises(ConfigInvalid, match="belongs to another query"):
            search.search(LogQuery(limit=1, actor="ana", page=token))
        with pytest.raises(ConfigInvalid, match="none of ours"):
            search.search(LogQuery(page="%%%"))


def test_limits_are_told() -> None:
    with pytest.raises(ConfigInvalid, match="ask for 1 to 1000"):
        LogQuery(limit=1_001)
    with pytest.raises(ConfigInvalid, match="without a zone"):
        LogQuery(time_from=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused
    with pytest.raises(ConfigInvalid, match="at most 8"):
        LogQuery(fields=(parse_condition("a=1"),) * 9)


def test_conditions_are_read_as_they_are_shown() -> None:
    for text in ("total=5", "total=1..5", "total>=1", "total<5", "total>1", "total<=5"):
        assert parse_condition(text).text() == text
    assert between("amount", "..5").text() == "amount<=5"
    assert between("amount", "3..").text() == "amount>=3"
    with pytest.raises(ConfigInvalid, match="cannot read a condition"):
        parse_condition("total")
