"""The statements of the log's index in PostgreSQL, and its schema `bridge_index`."""

from typing import Final, LiteralString

from bridge.eventlog.history.index_rows import SLOTS
from bridge.eventlog.history.ports import Column
from bridge.storage.log_index.predicate import ROW_COLUMNS

SCHEMA_VERSION: Final = 1

# Any number that nothing else uses: makers of the schema wait for one another.
SCHEMA_LOCK: Final = 0x4C42_4958

# The wide column first, so that no row is padded.
SCHEMA: Final = f"""
CREATE SCHEMA IF NOT EXISTS bridge_index;
CREATE TABLE IF NOT EXISTS bridge_index.state (
    one integer PRIMARY KEY CHECK (one = 1),
    schema_version integer NOT NULL,
    next_index bigint NOT NULL,
    first_index bigint NOT NULL,
    anchor bytea NOT NULL,
    segment_entries integer NOT NULL
);
CREATE TABLE IF NOT EXISTS bridge_index.forms (
    form_id integer PRIMARY KEY,
    kind text NOT NULL,
    type text,
    dataschema text,
    source text
);
CREATE TABLE IF NOT EXISTS bridge_index.slots (
    form_id integer NOT NULL,
    slot integer NOT NULL,
    field text NOT NULL,
    role text NOT NULL,
    field_id integer NOT NULL,
    PRIMARY KEY (form_id, slot)
);
CREATE TABLE IF NOT EXISTS bridge_index.rows (
    {ROW_COLUMNS[0]} bigint PRIMARY KEY,
    {ROW_COLUMNS[1]} integer NOT NULL,
    {", ".join(f"{column} bigint" for column in ROW_COLUMNS[2:])}
);
CREATE TABLE IF NOT EXISTS bridge_index.postings (
    value bigint NOT NULL,
    segment integer NOT NULL,
    field smallint NOT NULL,
    place smallint NOT NULL
);
CREATE INDEX IF NOT EXISTS postings_by_value
    ON bridge_index.postings (segment, field, value, place);
CREATE TABLE IF NOT EXISTS bridge_index.segments (
    segment integer PRIMARY KEY,
    time_low bigint,
    time_high bigint,
    recorded_low bigint,
    recorded_high bigint
);
"""

DROP: Final[LiteralString] = "DROP SCHEMA IF EXISTS bridge_index CASCADE"
FOUND: Final[LiteralString] = "SELECT to_regclass('bridge_index.state') IS NOT NULL"
START_STATE: Final[LiteralString] = """
INSERT INTO bridge_index.state VALUES (1, %s, 0, 0, '', %s) ON CONFLICT DO NOTHING
"""
LOAD_STATE: Final[LiteralString] = """
SELECT next_index, first_index, anchor, segment_entries, schema_version FROM bridge_index.state
"""
# A new index begins where the log does, which may have been pruned.
MOVE_STATE: Final[LiteralString] = """
UPDATE bridge_index.state SET next_index = %s, first_index = %s, anchor = %s
WHERE next_index = %s OR (next_index = 0 AND anchor = '' AND %s)
"""
LOAD_FORMS: Final[LiteralString] = """
SELECT form_id, kind, type, dataschema, source FROM bridge_index.forms ORDER BY form_id
"""
LOAD_SLOTS: Final[LiteralString] = """
SELECT form_id, field, role, field_id FROM bridge_index.slots ORDER BY form_id, slot
"""
ADD_FORM: Final[LiteralString] = "INSERT INTO bridge_index.forms VALUES (%s, %s, %s, %s, %s)"
ADD_SLOT: Final[LiteralString] = "INSERT INTO bridge_index.slots VALUES (%s, %s, %s, %s, %s)"
COPY_ROWS: Final[LiteralString] = "COPY bridge_index.rows FROM STDIN (FORMAT BINARY)"
ROW_TYPES: Final = ("int8", "int4", *["int8"] * (len(ROW_COLUMNS) - 2))
READ_ROWS: Final[LiteralString] = """
SELECT * FROM bridge_index.rows WHERE leaf_index >= %s ORDER BY leaf_index LIMIT %s
"""
SPANS: Final[LiteralString] = "SELECT * FROM bridge_index.segments ORDER BY segment"
ADD_SEGMENT: Final[LiteralString] = """
INSERT INTO bridge_index.segments
SELECT %s, min(time), max(time), min(time + lag), max(time + lag) FROM bridge_index.rows
WHERE leaf_index >= %s AND leaf_index < %s
"""
SIZE: Final[LiteralString] = """
SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
WHERE relnamespace = 'bridge_index'::regnamespace AND relkind = 'r'
"""

_WITHIN: Final = "leaf_index >= %(start)s AND leaf_index < %(stop)s"


def _posted(number: int, column: str) -> str:
    return (
        f"SELECT {number:d} AS field, {column}::bigint AS value, leaf_index "  # noqa: S608 - constants
        f"FROM bridge_index.rows WHERE {_WITHIN} AND {column} IS NOT NULL"
    )


def _posted_slot(slot: int) -> str:
    return (
        f"SELECT field_id, v{slot:d}, leaf_index FROM bridge_index.rows "  # noqa: S608 - constants
        f"JOIN bridge_index.slots ON form_id = form AND slot = {slot:d} "
        f"WHERE {_WITHIN} AND v{slot:d} IS NOT NULL"
    )


# Sorted before it is written: the tree grows at its end only, and its pages are full.
POST_SEGMENT: Final = f"""
INSERT INTO bridge_index.postings (value, segment, field, place)
SELECT value, %(segment)s, field, leaf_index - %(start)s FROM (
    {
    " UNION ALL ".join(
        [
            _posted(Column.FORM, "form"),
            _posted(Column.ENTITY, "entity"),
            _posted(Column.ENTITY, "former"),
            _posted(Column.ACTOR, "actor"),
            _posted(Column.CORRELATION, "correlation"),
            _posted(Column.TICKET, "ticket"),
            *(_posted_slot(slot) for slot in range(SLOTS)),
        ]
    )
}
) AS posted ORDER BY field, value, leaf_index
"""  # noqa: S608 - constants of this module

COUNT: Final[LiteralString] = """
SELECT count(*) FROM (
    SELECT 1 FROM unnest(%s::integer[]) AS asked (segment)
    JOIN bridge_index.postings USING (segment)
    WHERE field = %s AND value BETWEEN %s AND %s LIMIT %s
) AS counted
"""


def probe(condition: str, *, newest_first: bool) -> str:
    """Return the statement that finds posted rows; `condition` is made of constants."""
    return f"""
    SELECT DISTINCT leaf_index FROM unnest(%s::integer[]) AS asked (segment)
    JOIN bridge_index.postings USING (segment)
    JOIN bridge_index.rows ON leaf_index = segment * %s::bigint + place
    WHERE field = %s AND value BETWEEN %s AND %s
      AND leaf_index >= %s AND leaf_index < %s {condition}
    ORDER BY leaf_index {"DESC" if newest_first else "ASC"} LIMIT %s
    """  # noqa: S608 - values are parameters


def scan(condition: str, *, newest_first: bool) -> str:
    """Return the statement that reads rows; `condition` is made of constants."""
    return f"""
    SELECT leaf_index FROM bridge_index.rows
    WHERE leaf_index >= %s AND leaf_index < %s {condition}
    ORDER BY leaf_index {"DESC" if newest_first else "ASC"} LIMIT %s
    """  # noqa: S608 - values are parameters
