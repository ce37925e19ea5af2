"""Databases that declare no encoding: the server sends what is stored, whatever it is.

A SQL_ASCII server refuses to send bytes that are not UTF-8 to a client that asks for UTF-8, and the
stream would end at the first such row. Asked for a single-byte encoding, it sends every byte as it
is; what is UTF-8 is then for us to see. The driver must not believe that encoding either.
"""

from typing import Final

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.types.string import StrDumperUnknown

# Every byte is a character of it, so the server has nothing to refuse and nothing to convert.
_ANY_BYTE: Final = "SET client_encoding TO 'LATIN1'"


class _StoredText(Loader):
    def load(self, data: Buffer) -> str:
        return bytes(data).decode("utf-8", "surrogateescape")


class _StoredTextDumper(StrDumperUnknown):
    def dump(self, obj: str) -> Buffer:
        return obj.encode("utf-8", "surrogateescape")


def receive_as_stored(connection: psycopg.Connection) -> None:
    """Let `connection` receive every byte as it is, if its database declares no encoding."""
    if connection.info.parameter_status("server_encoding") != "SQL_ASCII":
        return
    connection.execute(_ANY_BYTE)
    for name in ("text", "name", "varchar", "bpchar", '"char"'):
        connection.adapters.register_loader(name, _StoredText)
    connection.adapters.register_dumper(str, _StoredTextDumper)
