"""The log's index: how quickly it is made, what it takes, and how long typical searches take.

Synthetic orders of a shop, as capture writes them (some 330 bytes of leaf, 600 of payload): a
hundredth as many customers as orders, updates that follow on their order, a few clerks as actors,
a correlation for every third transaction, a rare type. `python -m tests.bench.log_search 1000000`
prints the whole table; `run()` is the row of `make bench`, at 100,000 entries.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import orjson

from bridge.eventlog.history.business_values import parse_condition
from bridge.eventlog.history.follower import IndexFollower
from bridge.eventlog.history.ports import LogIndexWriter
from bridge.eventlog.history.query import EntityKey, LogQuery
from bridge.eventlog.history.search import LogSearch
from bridge.eventlog.ports import EventLogStore
from bridge.model.entry import EntryDraft, EntryKind
from bridge.model.search_role import Role
from bridge.storage.event_log.sqlite import SqliteEventLog
from bridge.storage.log_index.sqlite import SqliteLogIndex

NAME = "log_search"
ENTRIES = 100_000
BATCH = 1_000
REPEATS = 40
TARGET, MOONSHOT = 1.0, 0.2

URN: Final = "urn:legacy-bridge:contract:shop.order:1.0"
FIELDS: Final = {
    URN: (("ordered_at", Role.DATE), ("total", Role.AMOUNT), ("customer_id", Role.COUNTERPARTY))
}
START: Final = datetime(2026, 1, 1, tzinfo=UTC)
_STEP: Final = timedelta(milliseconds=400)
_CUSTOMER_SHARE: Final = 100


def moment(index: int) -> str:
    """Return the commit time of the entry at `index`."""
    return (START + index * _STEP).isoformat().replace("+00:00", "Z")


def order_drafts(start: int, count: int) -> list[EntryDraft]:
    """Return the entries `start` … of the synthetic log; each is a function of its index alone."""
    return [_draft(index) for index in range(start, start + count)]


def _draft(index: int) -> EntryDraft:
    chance = random.Random(index)
    created = index % 3 == 0
    # Every order is created, then updated twice; some updates come a good deal later.
    order = index // 3 if created or index < 3_000 else (index - chance.choice((1, 2, 3_000))) // 3
    of_order = random.Random(~order)
    customer = of_order.randrange(max(1, order // _CUSTOMER_SHARE) + 10)
    op = "created" if created else ("deleted" if chance.random() < 0.0005 else "updated")
    time_text = moment(index)
    event_id = f"shop:{index:016X}:00000000"
    fields: dict[str, Any] = {
        "source": "urn:legacy-bridge:shop",
        "type": f"com.example.shop.order.{op}.v1",
        "dataschema": URN,
        "time": time_text,
        "recordedtime": moment(index + 1),
        "legacy": {
            "system": "postgresql", "lsn": f"0/{index:X}", "xid": index,
            "table": "public.t_ord_hdr", "op": op,
        },
    }  # fmt: skip
    if index % 3 == 1:
        fields["actor"] = {"id": f"clerk-{chance.randrange(40)}", "via": "application message"}
        fields["correlation"] = f"req-{index // 9}"
    key = {"order_id": order}
    ordered = (START + order * 3 * _STEP).replace(tzinfo=None).isoformat()
    data: dict[str, Any] = {"key": key}
    if op == "deleted":
        data["before"] = key
    else:
        data["after"] = {
            "order_id": order,
            "customer_id": customer,
            "client_ref": f"web-{order}",
            "status": ("open", "paid", "shipped")[index % 3],
            "ordered_at": ordered,
            "shipped_at": None,
            # Log-normal, as amounts are: most small, a few very large.
            "total": f"{of_order.lognormvariate(9, 1):.2f}",
            "gift": False,
            "note": "x" * of_order.randrange(200),
            "changed_at": ordered,
        }
    partition_key = orjson.dumps(key).decode()
    payload = orjson.dumps(
        {
            "specversion": "1.0", "id": event_id, "source": fields["source"],
            "type": fields["type"], "time": time_text, "recordedtime": fields["recordedtime"],
            "datacontenttype": "application/json", "dataschema": URN,
            "sequence": event_id[5:], "beforeimage": "none", "partitionkey": partition_key,
            "data": data,
        }
    )  # fmt: skip
    return EntryDraft(
        EntryKind.EVENT, event_id, fields, payload, f"shop.order.{op}.v1", partition_key,
        entity=f"{order:032x}",
    )  # fmt: skip


def fill(log: EventLogStore, entries: int) -> float:
    """Append synthetic orders up to `entries`; return the seconds that appending took."""
    took_s = 0.0
    for start in range(log.head().size, entries, BATCH):
        drafts = order_drafts(start, min(BATCH, entries - start))
        began = time.perf_counter()
        log.append(drafts)
        took_s += time.perf_counter() - began
    return took_s


def make_index(log: EventLogStore, index: LogIndexWriter) -> tuple[float, float]:
    """Take in the whole log; return the seconds that it took, and those of a core."""
    began, worked = time.perf_counter(), time.process_time()
    IndexFollower(log, index, lambda: FIELDS).catch_up()
    return time.perf_counter() - began, time.process_time() - worked


def queries(entries: int, chance: random.Random) -> dict[str, LogQuery]:
    """Return typical searches over a log of `entries`, with values by chance."""
    at = chance.randrange(entries // 4, entries)
    day = START + at * _STEP
    customer = f"counterparty={chance.randrange(max(10, entries // 3 // _CUSTOMER_SHARE))}"
    # Three days, or what a short log has instead.
    width = min(timedelta(days=3), entries * _STEP / 4)
    first, last = day.date(), (day + width).date()
    dates = f"date={first}..{last}"
    low = chance.choice((5_000, 20_000, 60_000))
    near = FieldConditions(f"amount={low}..{low + 5}")
    order = chance.randrange(entries // 3)
    return {
        "one entity": LogQuery(
            entity=EntityKey(subject="shop.order", key=f'{{"order_id":{order}}}')
        ),
        "correlation": LogQuery(correlation=f"req-{at // 9}"),
        "counterparty": LogQuery(fields=FieldConditions(customer)),
        "narrow amount": LogQuery(fields=near),
        "time and actor": LogQuery(
            time_from=day, time_to=day + width, actor=f"clerk-{chance.randrange(40)}"
        ),
        "rare type": LogQuery(types=frozenset({"*.deleted.*"})),
        "date, amount and counterparty": LogQuery(
            fields=FieldConditions(dates, "amount>=1000", customer)
        ),
        "date range and amount range": LogQuery(fields=FieldConditions(dates, f"amount>={low}")),
        "half and half": LogQuery(fields=FieldConditions("amount>=8000", "date>=2026-01-01")),
        "nothing fits": LogQuery(
            fields=FieldConditions(f"date={first}..{first}", "amount>=8000"),
            time_to=START + entries // 8 * _STEP,
        ),
        "oldest first, unfiltered": LogQuery(newest_first=False),
    }


def FieldConditions(*texts: str) -> tuple[Any, ...]:  # noqa: N802 - reads as a value
    return tuple(parse_condition(text) for text in texts)


def search_ms(
    log: EventLogStore, index: LogIndexWriter, repeats: int = REPEATS
) -> dict[str, tuple[float, float, int, bool]]:
    """Return p50 and p95 in ms, hits of the last page and whether one was cut, by search."""
    entries = log.head().size
    search = LogSearch(log, index, FIELDS)
    times: dict[str, list[float]] = {}
    hits: dict[str, int] = {}
    cut: dict[str, bool] = {}
    for number in range(repeats):
        for name, query in queries(entries, random.Random(number)).items():
            began = time.perf_counter()
            page = search.search(query)
            times.setdefault(name, []).append((time.perf_counter() - began) * 1000)
            hits[name] = max(hits.get(name, 0), len(page.hits))
            cut[name] = cut.get(name, False) or page.cut
    return {
        name: (_percentile(found, 50), _percentile(found, 95), hits[name], cut[name])
        for name, found in times.items()
    }


def measure(
    folder: Path,
    entries: int,
    *,
    log: EventLogStore | None = None,
    index: LogIndexWriter | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Fill, index and search; a log that is given is filled up to `entries`."""
    log = log or SqliteEventLog(folder / "log.db")
    index = index or SqliteLogIndex(folder / "index.db")
    fill_s = fill(log, entries)
    say(f"{entries:,} entries in the log, {fill_s:.1f} s of appends")
    index_s, core_s = make_index(log, index)
    say(f"indexed in {index_s:.1f} s, {core_s:.1f} s of a core")
    found = search_ms(log, index)
    return {
        "entries": entries,
        "index_per_s": round(entries / index_s),
        "index_core_us_per_event": round(core_s / entries * 1e6, 1),
        "append_per_s": round(entries / fill_s) if fill_s else None,
        "index_bytes_per_event": round(index.size_bytes() / entries, 1),
        "search_ms": {
            name: {"p50": round(p50, 2), "p95": round(p95, 2), "hits_max": hits, "cut": cut}
            for name, (p50, p95, hits, cut) in found.items()
        },
    }


def run() -> dict[str, Any]:
    """Measure at 100,000 entries, and return the row for the table."""
    with tempfile.TemporaryDirectory(prefix="lb-bench-") as name:
        found = measure(Path(name), ENTRIES)
    slowest = max(search["p95"] for search in found["search_ms"].values())
    return {
        "name": NAME,
        "value": found["index_per_s"],
        "unit": "entries/s indexed",
        "against": "100 ms for the slowest search (p95)",
        "against_value": slowest,
        "ratio": round(slowest / 100, 3),
        "target": TARGET,
        "moonshot": MOONSHOT,
        "better": "lower",
        "runs": REPEATS,
        "spread": f"{found['index_bytes_per_event']} bytes/event",
        "details": found,
    }


def _percentile(values: Sequence[float], share: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[share - 1]


def main() -> None:
    """Print the table of one size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("entries", type=int, nargs="?", default=ENTRIES)
    parser.add_argument("--folder", type=Path, help="kept; a new temporary one when absent")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lb-bench-") as name:
        folder = given.folder or Path(name)
        print(json.dumps(measure(folder, given.entries, say=print), indent=2))


if __name__ == "__main__":
    main()
