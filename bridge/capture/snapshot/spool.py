"""A file of rows between a snapshot and the log, for a table without a key.

Rows of such a table cannot be told apart, so a reading that broke off halfway could neither go on
(in another snapshot, nothing says which rows were read) nor start again (they would be in the log
twice). So all rows are first kept here, from one snapshot, and enter the log from here. The file
holds row values: it is readable by its owner only and removed once the log has them.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

from bridge.eventlog.durable_files import sync_folder
from bridge.model.change import Column, Relation, Row
from bridge.model.errors import LogCorrupt, StorageUnavailable


class RowSpool:
    """The spool of one table: written whole, then read from any byte offset between two rows.

    Its first line is the table's shape: the table may be altered before the last row is in the log.
    """

    def __init__(self, folder: Path, source: str, table: str) -> None:
        # Table names may hold anything, file names may not.
        name = sha256(f"{source}/{table}".encode()).hexdigest()[:16]
        self._path = folder / f"snapshot-{name}.rows"
        self._table = table

    def write(self, relation: Relation, chunks: Iterable[list[Row]]) -> None:
        """Keep all rows, durably; a spool that was there before is replaced."""
        draft = self._path.with_suffix(".part")
        try:
            draft.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_line(asdict(relation)))
                for rows in chunks:
                    file.writelines(_line(row) for row in rows)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as exc:
            raise StorageUnavailable(
                f"cannot spool rows of table {self._table!r} to {self._path}: {exc.strerror}"
            ) from exc

    def read(self, offset: int, rows_max: int) -> Iterator[tuple[list[Row], int]]:
        """Yield up to `rows_max` rows from byte `offset` on, with the offset after them."""
        with self._open() as file:
            offset = max(offset, len(file.readline()))
            file.seek(offset)
            rows: list[Row] = []
            for line in file:
                rows.append(tuple(json.loads(line)))
                offset += len(line)
                if len(rows) == rows_max:
                    yield rows, offset
                    rows = []
            if rows:
                yield rows, offset

    def relation(self) -> Relation:
        """Return the shape in which the rows were read."""
        with self._open() as file:
            shape = json.loads(file.readline())
        columns = tuple(Column(**column) for column in shape.pop("columns"))
        return Relation(**shape, columns=columns)

    @contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        try:
            with self._path.open("rb") as file:
                yield file
        except FileNotFoundError as exc:
            raise LogCorrupt(
                f"cannot go on reading table {self._table!r}: its spool {self._path} is gone; "
                "restore it, or name a new source to read the tables afresh"
            ) from exc
        except OSError as exc:
            raise StorageUnavailable(
                f"cannot read spool {self._path} of table {self._table!r}: {exc.strerror}"
            ) from exc

    def remove(self) -> None:
        """Delete the file, if it is there."""
        self._path.unlink(missing_ok=True)


def _line(value: Row | dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
