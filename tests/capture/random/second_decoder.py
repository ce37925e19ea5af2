"""A second decoder of pgoutput, written from the protocol's description and not from ours.

Plain and slow on purpose: it reads the rows that `pg_logical_slot_peek_binary_changes` gives
(protocol version 1, text) into transactions of changes, for comparison with what capture logged.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

KINDS = {"I": "created", "U": "updated", "D": "deleted", "T": "truncated", "M": "message"}


@dataclass
class Table:
    """What a Relation message said."""

    name: str
    identity: str
    columns: list[str]
    keys: list[bool]


@dataclass
class Change:
    """One counted change; rows by column name, without what was not sent."""

    kind: str
    table: str = ""
    image: str = "none"
    before: dict[str, str | None] | None = None
    after: dict[str, str | None] | None = None
    prefix: str = ""
    content: bytes = b""
    transactional: bool = False


@dataclass
class Transaction:
    """One committed transaction, or a message that stands for itself."""

    commit_lsn: int
    end_lsn: int
    xid: int
    changes: list[Change] = field(default_factory=list)


class _Bytes:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def take(self, layout: str) -> Any:
        values = struct.unpack_from(">" + layout, self.data, self.at)
        self.at += struct.calcsize(">" + layout)
        return values[0] if len(values) == 1 else values

    def text(self) -> str:
        end = self.data.index(0, self.at)
        text = self.data[self.at : end].decode()
        self.at = end + 1
        return text

    def letter(self) -> str:
        self.at += 1
        return chr(self.data[self.at - 1])

    def cells(self) -> list[str | type | None]:
        """Return the cells of a tuple; `type` stands for "not sent"."""
        cells: list[str | type | None] = []
        for _ in range(self.take("H")):
            letter = self.letter()
            if letter == "n":
                cells.append(None)
            elif letter == "u":
                cells.append(type)
            else:
                assert letter == "t", f"cell kind {letter!r}"
                size = self.take("I")
                cells.append(self.data[self.at : self.at + size].decode())
                self.at += size
        return cells


def decode(messages: Iterable[bytes]) -> list[Transaction]:
    """Return all transactions, in stream order."""
    tables: dict[int, Table] = {}
    done: list[Transaction] = []
    current: Transaction | None = None
    for message in messages:
        data = _Bytes(message)
        letter = data.letter()
        if letter == "B":
            commit_lsn, _, xid = data.take("QqI")
            assert current is None, "a transaction began inside another"
            current = Transaction(commit_lsn, 0, xid)
        elif letter == "C":
            _, commit_lsn, end_lsn, _ = data.take("BQQq")
            assert current is not None, "a commit without a transaction"
            assert current.commit_lsn == commit_lsn, "another transaction's commit"
            current.end_lsn = end_lsn
            done.append(current)
            current = None
        elif letter == "R":
            oid = data.take("I")
            tables[oid] = _table(data)
        elif letter == "M":
            flags, lsn, prefix = data.take("B"), data.take("Q"), data.text()
            size = data.take("I")
            content = data.data[data.at : data.at + size]
            change = Change("message", prefix=prefix, content=content)
            change.transactional = bool(flags & 1)
            if change.transactional:
                assert current is not None, "a transactional message outside"
                current.changes.append(change)
            else:
                # Its LSN is where its record ends; a commit's is where its record begins.
                done.append(Transaction(lsn - 1, lsn, 0, [change]))
        elif letter in "IUDT":
            assert current is not None, "a change outside a transaction"
            current.changes += _changes(letter, data, tables)
        elif letter == "A":
            # PostgreSQL 18 sometimes tells that transactions ended which it never sent, although
            # streaming is off (seed 44).
            assert current is None, "an abort inside a transaction"
        else:
            assert letter in "OY", f"message {letter!r}"
    assert current is None, "the last transaction has no end"
    return done


def _table(data: _Bytes) -> Table:
    schema, name, identity = data.text(), data.text(), data.letter()
    table = Table(f"{schema}.{name}", identity, [], [])
    for _ in range(data.take("H")):
        flags = data.take("B")
        table.columns.append(data.text())
        table.keys.append(bool(flags & 1))
        data.take("Ii")
    return table


def _changes(letter: str, data: _Bytes, tables: dict[int, Table]) -> list[Change]:
    if letter == "T":
        count, _ = data.take("IB")
        return [Change("truncated", tables[data.take("I")].name) for _ in range(count)]
    table = tables[data.take("I")]
    change = Change(KINDS[letter], table.name)
    before: list[str | type | None] | None = None
    which = data.letter()
    if which in "KO":
        before = data.cells()
        change.image = "full" if which == "O" else "key"
        kept = table.keys if which == "K" else [True] * len(table.columns)
        change.before = _row(
            table, [cell if keep else type for cell, keep in zip(before, kept, strict=True)]
        )
        which = data.letter() if letter == "U" else ""
    if which == "N":
        after = data.cells()
        if change.image == "full" and before is not None:
            # Unchanged against the old row, which was sent whole.
            after = [old if new is type else new for old, new in zip(before, after, strict=True)]
        change.after = _row(table, after)
    assert data.at == len(data.data), "bytes are left over"
    return [change]


def _row(table: Table, cells: list[str | type | None]) -> dict[str, str | None]:
    named = zip(table.columns, cells, strict=True)
    return {name: cell for name, cell in named if not isinstance(cell, type)}
