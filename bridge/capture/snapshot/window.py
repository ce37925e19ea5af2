"""What changed while rows are read: the keys that each transaction touched.

A row that was read is stale when a transaction changed it that the reading's snapshot does not
contain, although its change is in the log already. The window remembers the keys of every
transaction until a snapshot is known to contain it. It keeps no values but keys.
"""

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from bridge.capture.snapshot.visibility import Visibility
from bridge.model.change import (
    UNSENT,
    Cell,
    Change,
    ChangeKind,
    Relation,
    Row,
    RowChange,
    TransactionPart,
)

Key: TypeAlias = tuple[str, ...]
"""The key of a row, in the server's text form, in the order of the table's key columns."""

# About 100 MB of keys at worst. Between two chunks a busy source touches some thousands; only one
# very large transaction reaches this, and reading goes on when a snapshot contains it.
WINDOW_KEYS_MAX: Final = 300_000


class Touch(IntEnum):
    """What the log's changes of a key leave to a later reading of its row; the greater counts."""

    WHOLE = 0  # Nothing: every value was sent.
    PARTIAL = 1  # A value that did not change was not sent.
    MOVED = 2  # That too, and the row had another key before: it may come from where was read.


class Touched(NamedTuple):
    """What transactions that a snapshot does not contain did to one table."""

    keys: Mapping[Key, Touch]
    emptied: bool
    """Whether one of them truncated it."""


class _Transaction:
    """What one transaction touched, by table."""

    __slots__ = ("emptied", "keys")

    def __init__(self) -> None:
        self.keys: dict[str, dict[Key, Touch]] = {}
        self.emptied: set[str] = set()


class ChangeWindow:
    """Remembers what was touched since it was made; see `lost`."""

    def __init__(self, tables: Mapping[str, Key], *, keys_max: int = WINDOW_KEYS_MAX) -> None:
        """Watches `tables`: each name with the names of its key columns."""
        self._tables = dict(tables)
        self._keys_max = keys_max
        self._transactions: dict[int, _Transaction] = {}
        self._places: dict[int, tuple[Relation, tuple[int, ...] | None]] = {}
        self.key_count = 0
        self.lost = False
        """Set when it could not remember everything: rows that were read meanwhile may be stale.
        Throw both away and begin again."""

    def observe(self, part: TransactionPart) -> None:
        """Remember what `part` touches."""
        if self.lost:
            return
        transaction = self._transactions.get(part.xid)
        for change in part.changes:
            if not isinstance(change, RowChange) or change.relation.name not in self._tables:
                continue
            if transaction is None:
                transaction = self._transactions[part.xid] = _Transaction()
            if change.kind is ChangeKind.TRUNCATED:
                transaction.emptied.add(change.relation.name)
            else:
                self._touch(change, transaction)
        if self.key_count > self._keys_max:
            self.lost = True

    def forget(self, visibility: Visibility) -> None:
        """Forget the transactions that a snapshot contains."""
        for xid in [xid for xid in self._transactions if visibility.contains(xid)]:
            ended = self._transactions.pop(xid)
            self.key_count -= sum(map(len, ended.keys.values()))

    def touched(self, table: str) -> Touched:
        """Return what the transactions that are remembered did to `table`."""
        keys: dict[Key, Touch] = {}
        emptied = False
        for transaction in self._transactions.values():
            emptied = emptied or table in transaction.emptied
            for key, touch in transaction.keys.get(table, {}).items():
                keys[key] = max(touch, keys.get(key, touch))
        return Touched(keys, emptied)

    def _touch(self, change: RowChange, transaction: _Transaction) -> None:
        places = self._key_places(change.relation)
        keys = None if places is None else changed_keys(change, places)
        if keys is None:
            self.lost = True  # Not to be compared with rows: the table's identity was altered.
            return
        touch = Touch.PARTIAL if is_partial(change) else Touch.WHOLE
        known = transaction.keys.setdefault(change.relation.name, {})
        for key in keys:
            if touch and keys[0] != keys[-1] and key == keys[-1]:
                touch = Touch.MOVED
            if key not in known:
                self.key_count += 1
                known[key] = touch
            elif touch > known[key]:
                known[key] = touch

    def _key_places(self, relation: Relation) -> tuple[int, ...] | None:
        found = self._places.get(relation.oid)
        if found is None or found[0] is not relation:
            places = key_places(relation, self._tables[relation.name])
            found = self._places[relation.oid] = (relation, places)
        return found[1]


def key_places(relation: Relation, key: Iterable[str]) -> tuple[int, ...] | None:
    """Return where the columns of `key` are in a row, or None when one is not there."""
    names = [column.name for column in relation.columns]
    try:
        return tuple(names.index(name) for name in key)
    except ValueError:
        return None


def key_of(row: Row, places: tuple[int, ...]) -> Key:
    """Return the key of a row that was read; its key columns are never NULL."""
    return tuple(_text(row[place]) for place in places)


def key_row(relation: Relation, names: Iterable[str], key: Key) -> Row:
    """Return a row of which only the key is known."""
    cells = dict(zip(names, key, strict=True))
    return tuple(cells.get(column.name, UNSENT) for column in relation.columns)


def changed_keys(change: RowChange, places: tuple[int, ...]) -> tuple[Key, ...] | None:
    """Return the key before and after, or None when a change does not say."""
    _, _, before, _, after, _ = change
    keys = []
    for row, other in ((before, after), (after, before)):
        if row is None:
            continue
        cells = [row[place] for place in places]
        if UNSENT in cells and other is not None:
            # A large key that did not change is sent once only.
            cells = [
                other[place] if cell is UNSENT else cell
                for cell, place in zip(cells, places, strict=True)
            ]
        if any(cell is None or cell is UNSENT for cell in cells):
            return None
        keys.append(tuple(_text(cell) for cell in cells))
    return tuple(keys)


def moved_keys(changes: Iterable[Change], table: str, key: Iterable[str]) -> list[Key]:
    """Return the keys that rows of `table` moved to without every value being sent."""
    found = []
    for change in changes:
        if (
            isinstance(change, RowChange)
            and change.before is not None
            and change.relation.name == table
            and is_partial(change)
        ):
            places = key_places(change.relation, key)
            keys = None if places is None else changed_keys(change, places)
            if keys is not None and keys[0] != keys[-1]:
                found.append(keys[-1])
    return found


def is_partial(change: RowChange) -> bool:
    """Whether its event lacks a value that only a reading of the row can give."""
    # With REPLICA IDENTITY FULL the old row, which is in the event, has it.
    return change.after is not None and UNSENT in change.after and change.relation.identity != "f"


def _text(cell: Cell) -> str:
    if isinstance(cell, bytes):  # Not UTF-8: kept apart from every real text.
        return cell.decode("utf-8", "surrogateescape")
    assert isinstance(cell, str), "a key has no NULL and is always read whole"
    return cell
