"""The statements of the log's index in SQLite."""

from typing import Final

from bridge.eventlog.history.index_rows import SLOTS
from bridge.eventlog.history.ports import Column
from bridge.storage.log_index.predicate import ROW_COLUMNS

APPLICATION_ID: Final = 0x4C42_4958  # "LBIX"
SCHEMA_VERSION: Final = 1

SCHEMA: Final = f"""
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    next_index INTEGER NOT NULL,
    first_index INTEGER NOT NULL,
    anchor BLOB NOT NULL,
    segment_entries INTEGER NOT NULL
) STRICT;
CREATE TABLE forms (
    form_id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    type TEXT,
    dataschema TEXT,
    source TEXT
) STRICT;
CREATE TABLE slots (
    form_id INTEGER NOT NULL,
    slot INTEGER NOT NULL,
    field TEXT NOT NULL,
    role TEXT NOT NULL,
    field_id INTEGER NOT NULL,
    PRIMARY KEY (form_id, slot)
) STRICT, WITHOUT ROWID;
CREATE TABLE rows (
    {ROW_COLUMNS[0]} INTEGER PRIMARY KEY,
    {", ".join(f"{column} INTEGER" for column in ROW_COLUMNS[1:])}
) STRICT;
CREATE TABLE postings (
    segment INTEGER NOT NULL,
    field INTEGER NOT NULL,
    value INTEGER NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (segment, field, value, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE segments (
    segment INTEGER PRIMARY KEY,
    time_low INTEGER,
    time_high INTEGER,
    recorded_low INTEGER,
    recorded_high INTEGER
) STRICT
"""  # Every name in it is a constant.
TABLES: Final = ("state", "forms", "slots", "rows", "postings", "segments")

LOAD_STATE: Final = "SELECT next_index, first_index, anchor, segment_entries FROM state"
START_STATE: Final = "INSERT OR IGNORE INTO state VALUES (1, 0, 0, x'', ?)"
MOVE_STATE: Final = """
UPDATE state SET next_index = ?, first_index = ?, anchor = ? WHERE next_index = ?
"""
LOAD_FORMS: Final = "SELECT form_id, kind, type, dataschema, source FROM forms ORDER BY form_id"
LOAD_SLOTS: Final = "SELECT form_id, field, role, field_id FROM slots ORDER BY form_id, slot"
ADD_FORM: Final = "INSERT INTO forms VALUES (?, ?, ?, ?, ?)"
ADD_SLOT: Final = "INSERT INTO slots VALUES (?, ?, ?, ?, ?)"
ADD_ROW: Final = "INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
READ_ROWS: Final = "SELECT * FROM rows WHERE leaf_index >= ? ORDER BY leaf_index LIMIT ?"
SPANS: Final = "SELECT * FROM segments ORDER BY segment"
ADD_SEGMENT: Final = """
INSERT INTO segments
SELECT ?, min(time), max(time), min(time + lag), max(time + lag) FROM rows
WHERE leaf_index >= ? AND leaf_index < ?
"""

_WITHIN: Final = "leaf_index >= :start AND leaf_index < :stop"


def _posted(number: int, column: str) -> str:
    return (
        f"SELECT {number:d} AS field, {column} AS value, leaf_index FROM rows "  # noqa: S608 - constants
        f"WHERE {_WITHIN} AND {column} IS NOT NULL"
    )


def _posted_slot(slot: int) -> str:
    return (
        f"SELECT field_id, v{slot:d}, leaf_index FROM rows "  # noqa: S608 - constants
        f"JOIN slots ON form_id = form AND slot = {slot:d} "
        f"WHERE {_WITHIN} AND v{slot:d} IS NOT NULL"
    )


# Sorted before it is written: the tree grows at its end only, and its pages are full.
POST_SEGMENT: Final = f"""
INSERT OR IGNORE INTO postings
SELECT :segment, field, value, leaf_index - :segment * :entries FROM (
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
) ORDER BY field, value, leaf_index
"""  # noqa: S608 - constants of this module

# CROSS JOIN keeps the order: segment by segment, each by its own stretch of the tree.
_FIND: Final = """
FROM json_each(?) AS asked CROSS JOIN postings
WHERE segment = asked.value AND field = ? AND postings.value BETWEEN ? AND ?
"""
COUNT: Final = f"SELECT count(*) FROM (SELECT 1 {_FIND} LIMIT ?)"  # noqa: S608 - constants


def probe(condition: str, *, newest_first: bool) -> str:
    """Return the statement that finds posted rows; `condition` is made of constants."""
    return f"""
    SELECT leaf_index FROM json_each(?) AS asked CROSS JOIN postings CROSS JOIN rows
    WHERE segment = asked.value AND field = ? AND postings.value BETWEEN ? AND ?
      AND leaf_index = segment * ? + place AND leaf_index >= ? AND leaf_index < ? {condition}
    ORDER BY leaf_index {"DESC" if newest_first else "ASC"} LIMIT ?
    """  # noqa: S608 - values are parameters


def scan(condition: str, *, newest_first: bool) -> str:
    """Return the statement that reads rows; `condition` is made of constants."""
    return f"""
    SELECT leaf_index FROM rows WHERE leaf_index >= ? AND leaf_index < ? {condition}
    ORDER BY leaf_index {"DESC" if newest_first else "ASC"} LIMIT ?
    """  # noqa: S608 - values are parameters
