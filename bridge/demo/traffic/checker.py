"""Compare what clients were told with what the databases hold.

For each key its client waited for each answer, so its writes have one order, and the last one that
was acknowledged must stand. Writes whose outcome is unknown may have been done or not: they excuse
what they would explain, and are listed.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from bridge.demo.traffic.found import FoundOrder, find_customers, find_legacy, find_modern
from bridge.demo.traffic.journal import Outcome, Write, read_journals
from bridge.model.stage import Side

Span: TypeAlias = tuple[float, float]
"""From and to, in seconds since the epoch."""

# Enough to see the pattern; the count tells the rest.
PROBLEMS_TOLD_MAX = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What the checker found; `ok` when nothing contradicts the clients."""

    writes: int
    acknowledged: int
    refused: int
    unknown: int
    keys: int
    """Orders and customers that were written to."""
    checked: dict[str, int]
    """Facts compared, per side."""
    excused: int
    """Facts left open: a later write has no known outcome, or did not go to this side."""
    unknown_writes: tuple[str, ...]
    problem_count: int
    problems: tuple[str, ...]
    """The first of them; keys and values are the traffic's own."""

    @property
    def ok(self) -> bool:
        """Whether nothing is missing, changed or out of order."""
        return self.problem_count == 0

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON-able values."""
        return {**asdict(self), "ok": self.ok}


class _Said(NamedTuple):
    """One value that was written to a place of a key."""

    value: object
    certain: bool
    """Acknowledged, and a write that this side must have."""


_Places: TypeAlias = dict[tuple[str, object], list[_Said]]
"""(attribute, which one) → what was written there, in order."""


def check(
    journals: Iterable[Path],
    *,
    legacy_dsn: str,
    modern_dsn: str | None = None,
    pairs: Iterable[tuple[str, str]] = (),
    mirrored: Sequence[Span] | None = None,
) -> CheckReport:
    """Check both databases after the lanes are drained, or the legacy one alone.

    The journals must be those of everything that wrote, in the order of their runs. `pairs` are
    (legacy id, modern id) as the gateway knows them. `mirrored` are the times during which writes
    went to both sides; a write outside of them need not be on the modern side, though it may be
    (an import brings it). None means that all were mirrored.
    """
    writes = read_journals(journals)
    by_key: dict[str, list[Write]] = defaultdict(list)
    for write in writes:
        if write.outcome is not Outcome.REFUSED:
            by_key[write.key].append(write)
    checking = _Checking(by_key, dict(pairs))
    checking.customers(legacy_dsn)
    order_keys = [key for key in by_key if not key.startswith("customer ")]
    legacy = find_legacy(legacy_dsn, order_keys)
    checking.orders(Side.LEGACY, legacy, None)
    if modern_dsn is not None:
        modern = find_modern(modern_dsn, order_keys, checking.modern_ids)
        checking.orders(Side.MODERN, modern, mirrored)
        checking.ids(legacy, modern)
    outcomes = Counter(write.outcome for write in writes)
    return CheckReport(
        writes=len(writes),
        acknowledged=outcomes[Outcome.ACKNOWLEDGED],
        refused=outcomes[Outcome.REFUSED],
        unknown=outcomes[Outcome.UNKNOWN],
        keys=len(by_key),
        checked={side.value: count for side, count in checking.checked.items()},
        excused=checking.excused,
        unknown_writes=tuple(
            f"{write.operation} of {write.key!r} (journal number {write.number}, "
            f"status {write.status or 'none'})"
            for write in writes
            if write.outcome is Outcome.UNKNOWN
        ),
        problem_count=len(checking.problems),
        problems=tuple(checking.problems[:PROBLEMS_TOLD_MAX]),
    )


class _Checking:
    """Collects problems over all keys."""

    def __init__(self, by_key: Mapping[str, list[Write]], modern_ids: Mapping[str, str]) -> None:
        self.modern_ids = modern_ids
        self.problems: list[str] = []
        self.checked: Counter[Side] = Counter()
        self.excused = 0
        self._by_key = by_key

    def customers(self, dsn: str) -> None:
        """Check the customers, who are in the legacy system alone."""
        keys = [key for key in self._by_key if key.startswith("customer ")]
        found = find_customers(dsn, keys)
        for key in keys:
            said = [
                _Said(dict(write.body), write.outcome is Outcome.ACKNOWLEDGED)
                for write in self._by_key[key]
            ]
            self._compare(Side.LEGACY, key, ("customer", None), said, found.get(key))

    def orders(
        self, side: Side, found: Mapping[str, FoundOrder], mirrored: Sequence[Span] | None
    ) -> None:
        """Check what one side holds of every order that was written to."""
        for key, writes in self._by_key.items():
            if key.startswith("customer "):
                continue
            certain = [
                write.outcome is Outcome.ACKNOWLEDGED and _within(write, mirrored)
                for write in writes
            ]
            order = found.get(key)
            if order is None:
                if any(certain):
                    self._problem(side, key, f"is missing; {sum(certain)} writes were acknowledged")
                elif writes:
                    self.excused += 1
                continue
            places = _places(writes, certain)
            for place, said in places.items():
                self._compare(side, key, place, said, _held(order, place))
            self._check_history(side, key, order, places)

    def ids(self, legacy: Mapping[str, FoundOrder], modern: Mapping[str, FoundOrder]) -> None:
        """Check that clients were told ids of their own orders, and that the id map agrees."""
        for key, writes in self._by_key.items():
            known = {side[key].order_id for side in (legacy, modern) if key in side}
            told = {write.order_id for write in writes if write.order_id is not None}
            if known and not told <= known:
                self.problems.append(f"{key!r}: answers named {told - known}, it is {known}")
            if key in legacy and key in modern:
                paired = self.modern_ids.get(legacy[key].order_id)
                if paired not in (None, modern[key].order_id):
                    self.problems.append(f"{key!r}: the id map pairs {known} with {paired!r}")

    def _compare(
        self,
        side: Side,
        key: str,
        place: tuple[str, object],
        said: Sequence[_Said],
        held: object,
    ) -> None:
        """`held` must be the last certain value, or one that came later and may have been done."""
        last = max((index for index, one in enumerate(said) if one.certain), default=None)
        if last is None:
            self.excused += 1
            return
        self.checked[side] += 1
        if held == said[last].value:
            return
        if any(held == later.value for later in said[last + 1 :]):
            self.excused += 1
            return
        attribute, which = place
        name = attribute if which is None else f"{attribute} {which}"
        self._problem(side, key, f"{name} is {held!r}, acknowledged last was {said[last].value!r}")

    def _check_history(self, side: Side, key: str, order: FoundOrder, places: _Places) -> None:
        """Statuses must have been set in the order in which they were sent."""
        said = iter([one.value for one in places.get(("status", None), ())])
        for status in order.history:
            if not any(status == value for value in said):
                told = " > ".join(order.history)
                self._problem(side, key, f"statuses were set out of order: {told}")
                return
        self.checked[side] += 1

    def _problem(self, side: Side, key: str, what: str) -> None:
        self.problems.append(f"{side.value}: {key!r}: {what}")


def _within(write: Write, spans: Sequence[Span] | None) -> bool:
    if spans is None:
        return True
    answered = write.answered_at
    return answered is not None and any(
        start <= write.sent_at and answered <= end for start, end in spans
    )


def _places(writes: Sequence[Write], certain: Sequence[bool]) -> _Places:
    """Sort the values of an order's writes by the place that each was written to."""
    places: _Places = defaultdict(list)
    for write, sure in zip(writes, certain, strict=True):
        for place, value in _values(write):
            places[place].append(_Said(value, sure))
    return places


def _values(write: Write) -> Iterator[tuple[tuple[str, object], object]]:
    body = write.body
    if write.operation == "status":
        yield ("status", None), body["status"]
    elif write.operation == "line":
        yield ("line", write.line_no), (body["qty"], Decimal(body["unit_price"]))
    elif write.operation == "payment":
        yield ("payment", body["payment_ref"]), (body["method"], Decimal(body["amount"]))
    elif write.operation == "create":
        yield ("header", None), (body["customer_id"], body["gift"], body["note"])
        yield ("status", None), "open"
        for number, line in enumerate(body["lines"], start=1):
            yield ("goods", number), (line["sku"], line["warehouse"])
            yield ("line", number), (line["qty"], Decimal(line["unit_price"]))


def _held(order: FoundOrder, place: tuple[str, Any]) -> object:
    """Return what the order holds at a place, in the form of `_values`."""
    attribute, which = place
    if attribute == "status":
        return order.status
    if attribute == "header":
        return (order.customer_id, order.gift, order.note)
    if attribute == "payment":
        return order.payments.get(which)
    line = order.lines.get(which)
    if line is None:
        return None
    return line[:2] if attribute == "goods" else line[2:]
