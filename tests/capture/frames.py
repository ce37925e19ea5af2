"""Build pgoutput messages as the server would, for tests of the pure parts."""

import struct

from bridge.model.change import UNSENT, Cell


def frame(payload: bytes, *, lsn: int = 0x16_B374D848) -> bytes:
    """Return an XLogData frame around `payload`."""
    return b"w" + struct.pack(">QQq", lsn, lsn, 0) + payload


def begin(commit_lsn: int, *, xid: int = 7, clock_us: int = 0) -> bytes:
    return frame(b"B" + struct.pack(">QqI", commit_lsn, clock_us, xid))


def commit(commit_lsn: int, end_lsn: int, *, clock_us: int = 0) -> bytes:
    return frame(b"C" + struct.pack(">BQQq", 0, commit_lsn, end_lsn, clock_us))


def relation(
    oid: int,
    columns: list[tuple[str, int, bool]],
    *,
    identity: bytes = b"d",
    schema: str = "public",
    table: str = "t",
) -> bytes:
    """Return a Relation message; a column is (name, type OID, in the replica identity)."""
    body = struct.pack(">I", oid) + _text(schema) + _text(table) + identity
    body += struct.pack(">H", len(columns))
    for name, type_oid, is_key in columns:
        body += struct.pack(">B", is_key) + _text(name) + struct.pack(">Ii", type_oid, -1)
    return frame(b"R" + body)


def insert(oid: int, row: list[Cell]) -> bytes:
    return frame(b"I" + struct.pack(">I", oid) + b"N" + cells(row))


def update(oid: int, row: list[Cell], *, old: list[Cell] | None = None, how: bytes = b"K") -> bytes:
    before = b"" if old is None else how + cells(old)
    return frame(b"U" + struct.pack(">I", oid) + before + b"N" + cells(row))


def delete(oid: int, old: list[Cell], *, how: bytes = b"K") -> bytes:
    return frame(b"D" + struct.pack(">I", oid) + how + cells(old))


def truncate(*oids: int, options: int = 0) -> bytes:
    return frame(b"T" + struct.pack(f">IB{len(oids)}I", len(oids), options, *oids))


def message(prefix: bytes, content: bytes, *, lsn: int = 90, transactional: bool = True) -> bytes:
    body = struct.pack(">BQ", transactional, lsn) + prefix + b"\0"
    return frame(b"M" + body + struct.pack(">I", len(content)) + content)


def stream_start(xid: int, *, first: bool = True) -> bytes:
    return frame(b"S" + struct.pack(">IB", xid, first))


def stream_stop() -> bytes:
    return frame(b"E")


def stream_commit(xid: int, commit_lsn: int, end_lsn: int, *, clock_us: int = 0) -> bytes:
    return frame(b"c" + struct.pack(">IBQQq", xid, 0, commit_lsn, end_lsn, clock_us))


def stream_abort(xid: int, sub_xid: int) -> bytes:
    return frame(b"A" + struct.pack(">II", xid, sub_xid))


def streamed(xid: int, ordinary: bytes) -> bytes:
    """Return a frame as it is inside a block: with an xid behind its tag."""
    return ordinary[:26] + struct.pack(">I", xid) + ordinary[26:]


def origin(name: str = "elsewhere") -> bytes:
    return frame(b"O" + struct.pack(">Q", 5) + _text(name))


def type_name(oid: int = 16_400, name: str = "mood") -> bytes:
    return frame(b"Y" + struct.pack(">I", oid) + _text("public") + _text(name))


def cells(row: list[Cell]) -> bytes:
    out = struct.pack(">H", len(row))
    for cell in row:
        if cell is None:
            out += b"n"
        elif cell is UNSENT:
            out += b"u"
        else:
            text = cell if isinstance(cell, bytes) else cell.encode()
            out += b"t" + struct.pack(">I", len(text)) + text
    return out


def _text(text: str) -> bytes:
    return text.encode() + b"\0"
