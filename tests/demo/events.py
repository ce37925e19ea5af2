"""The shop's rows as the events that a snapshot would make of them, without capture or broker."""

import itertools
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from bridge.consumer.event import EventReader, ReceivedEvent
from bridge.contracts import ContractSet
from bridge.contracts.means import Means
from bridge.model.change import BeforeImage, ChangeKind, Column, Relation, Row, RowChange
from bridge.model.event import Breach, ChangeOrigin, Event

# What is never logged needs no keys: consumers get these events as the contracts promise them.
CONTRACTS = ContractSet.load(
    Path(__file__).parents[2] / "contracts", type_prefix="com.example", means=Means(unsealed=True)
)
SOURCE = "shop"

# What the replication stream says about a table's columns; the key's columns are its identity.
COLUMNS = """
SELECT attname, atttypid::bigint, atttypmod, attnum = ANY(coalesce(indkey, '')::int[])
  FROM pg_attribute LEFT JOIN pg_index ON indrelid = attrelid AND indisprimary
 WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""


def relation(connection: psycopg.Connection[Any], table: str) -> Relation:
    schema, _, name = table.partition(".")
    columns = tuple(
        Column(name=column, type_oid=oid, type_modifier=modifier, is_key=is_key)
        for column, oid, modifier, is_key in connection.execute(COLUMNS, (table,))
    )
    return Relation(oid=1, schema=schema, table=name, identity="d", columns=columns)


def text_rows(connection: psycopg.Connection[Any], table: str) -> Iterator[Row]:
    """Yield the rows in PostgreSQL's text form, the same as pgoutput's."""
    query = sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(*table.split(".")))
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        yield from copy.rows()


def mapped(dsn: str) -> Iterator[Event | Breach]:
    """Yield an event per row of every table with a contract, lines before their orders."""
    ordinal = itertools.count()
    time = datetime(2025, 1, 1, tzinfo=UTC)
    with psycopg.connect(dsn) as connection:
        for table in sorted(CONTRACTS.tables(SOURCE), reverse=True):
            shape = relation(connection, table)
            mapper = CONTRACTS.mapper(SOURCE, shape)
            assert mapper is not None, "the table has a contract"
            for row in text_rows(connection, table):
                sequence = f"{0x100:016X}:R{next(ordinal):08X}"
                origin = ChangeOrigin(
                    SOURCE, f"{SOURCE}:{sequence}", sequence, 0, time, "2025-01-01T00:00:00Z"
                )
                event = mapper.map(
                    RowChange(ChangeKind.READ, shape, None, BeforeImage.NONE, row), origin
                )
                assert isinstance(event, Event | Breach), "only a changed key gives two"
                yield event


def snapshot(dsn: str) -> list[ReceivedEvent]:
    """Return the events of all rows as a consumer reads them; each must fit its contract."""
    reader = EventReader(CONTRACTS)
    events = []
    for leaf, event in enumerate(mapped(dsn)):
        assert isinstance(event, Event), "a seeded row breaks its contract"
        received = reader.read(
            event.payload, {"lb-leaf": leaf}, message_id=event.event_id, redelivered=False
        )
        assert isinstance(received, ReceivedEvent), "the reader refuses what the mapper made"
        events.append(received)
    return events


def change(
    subject: str, number: int, kind: ChangeKind = ChangeKind.UPDATED, **data: Mapping[str, Any]
) -> ReceivedEvent:
    """Return a live event, the `number`th of its stream; all come after the snapshot."""
    sequence = f"{0x1000 + number:016X}:00000000"
    key = data.get("key")
    return ReceivedEvent(
        f"{SOURCE}:{sequence}",
        f"urn:legacy-bridge:{SOURCE}",
        f"com.example.{subject}.{kind.value}.v1",
        subject,
        "1.0",
        kind,
        key,
        data,
        datetime(2025, 1, 2, tzinfo=UTC),
        sequence,
        1_000_000 + number,
        False,
    )
