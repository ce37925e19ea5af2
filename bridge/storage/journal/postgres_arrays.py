"""Columns of a batch as PostgreSQL arrays, written in one go.

psycopg writes an array element by element through its adapters, which costs a commit more than all
else that this process does for it. The elements here are of five kinds, and written at once.
Source: PostgreSQL manual 8.15.2 (array literals), `array_recv` for the binary form.
"""

from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from psycopg.adapt import Dumper
from psycopg.pq import Format

_BYTEA_OID: Final = 17
_BYTEA_ARRAY_OID: Final = 1001
_HEAD: Final = Struct("!iIIii")  # Dimensions, whether there are NULLs, element; count, first index.
_LENGTH: Final = Struct("!i")


class ByteaArray(bytes):
    """An array of bytea in the binary form."""


class ByteaArrayDumper(Dumper):
    """Hands a `ByteaArray` to the server as it is."""

    format = Format.BINARY
    oid = _BYTEA_ARRAY_OID

    def dump(self, obj: ByteaArray) -> bytes:
        """Return it."""
        return obj


def array_of(values: Sequence[Any]) -> str | ByteaArray:
    """Return values of one kind (text, numbers, booleans with None among them; or bytes).

    Numbers and booleans are written as text, which the statement casts: `%s::bigint[]`.
    """
    if values and isinstance(values[0], bytes):
        return _bytea_array(values)
    return "{" + ",".join([_element(value) for value in values]) + "}"


def columns(rows: Sequence[Sequence[Any]]) -> tuple[str | ByteaArray, ...]:
    """Return rows as one array per column, which `unnest` takes."""
    return tuple([array_of(column) for column in zip(*rows, strict=True)])


def _element(value: str | float | bool | None) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        if "\\" in value or '"' in value:
            value = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{value}"'
    if isinstance(value, bool):
        return "t" if value else "f"
    return repr(value)


def _bytea_array(values: Sequence[bytes]) -> ByteaArray:
    parts = [_HEAD.pack(1, 0, _BYTEA_OID, len(values), 1)]
    for value in values:
        parts += (_LENGTH.pack(len(value)), value)
    return ByteaArray(b"".join(parts))
