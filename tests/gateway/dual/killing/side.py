"""One side's application as a process with a durable store, to be killed at any moment.

It logs every write that it carries out, in the same commit as its effect and its stored answer, so
that the log is what really happened. It carries a request out once for each `Idempotency-Key`.
"""

import asyncio
import json
import os
import signal
import sqlite3
from email.utils import formatdate
from pathlib import Path
from typing import Any

from tests.waiting import be_slow

SCHEMA = """
CREATE TABLE IF NOT EXISTS orders (id TEXT PRIMARY KEY, value TEXT NOT NULL, version INTEGER);
CREATE TABLE IF NOT EXISTS log
    (n INTEGER PRIMARY KEY, id TEXT NOT NULL, value TEXT NOT NULL, idempotency_key TEXT);
CREATE TABLE IF NOT EXISTS answers (idempotency_key TEXT PRIMARY KEY, status INTEGER, body TEXT);
"""

# Late enough to be overtaken by everything, early enough for the routes' `quiet_ms`.
LATE_S = 0.4
BUSY_AT_ONCE = frozenset({"busy", "busy-date", "conflict"})


def connect(path: Path) -> sqlite3.Connection:
    """Open a side's store; a killed process loses nothing that was committed."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL").fetchone()
    connection.execute("PRAGMA synchronous = OFF")
    connection.executescript(SCHEMA)
    return connection


def serve(port: int, path: str, id_format: str) -> None:
    """Serve until killed."""
    asyncio.run(_Side(connect(Path(path)), id_format).serve(port))


class _Side:
    def __init__(self, store: sqlite3.Connection, id_format: str) -> None:
        self._store = store
        self._id_format = id_format
        self._faults: list[str] = []
        """For the coming writes, first come first served."""

    async def serve(self, port: int) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", port)
        await server.serve_forever()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                method, target, headers, body = await _request(reader)
                answer = await self._answer(method, target, headers, body)
                if answer is None:
                    break
                writer.write(answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(
        self, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> bytes | None:
        if target == "/fault":
            self._faults = json.loads(body)
            return _encode(200, "{}")
        if method == "GET":
            return _encode(*self._read(target))
        fault = self._faults.pop(0) if self._faults else ""
        if fault == "die-before":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "deaf":
            await asyncio.Event().wait()  # The wire is half open: nothing comes any more.
        if fault in BUSY_AT_ONCE:
            when = "0" if fault == "busy" else formatdate(usegmt=True)
            status = 409 if fault == "conflict" else 503
            return _encode(status, '{"error": "not now"}', f"Retry-After: {when}\r\n")
        if fault == "late":
            await be_slow(LATE_S)
        status, text = self._write(method, target, headers.get("idempotency-key"), body)
        if fault == "die-after":
            os.kill(os.getpid(), signal.SIGKILL)
        if fault == "lose":
            return None
        if fault == "late-answer":
            await be_slow(LATE_S)
        encoded = _encode(status, text)
        return encoded * 2 if fault == "twice" else encoded

    def _read(self, target: str) -> tuple[int, str]:
        _, kind, name = target.split("/")
        if kind == "requests":
            name = name.replace("%22", '"')
            row = self._store.execute(
                "SELECT body FROM answers WHERE idempotency_key = ?", (name,)
            ).fetchone()
            return (404, "{}") if row is None else (200, row[0])
        row = self._store.execute(
            "SELECT value, version FROM orders WHERE id = ?", (name,)
        ).fetchone()
        if row is None:
            return 404, "{}"
        return 200, _shown(name, *row)

    def _write(self, method: str, target: str, key: str | None, body: bytes) -> tuple[int, str]:
        value = json.loads(body)["value"]
        store = self._store
        store.execute("BEGIN IMMEDIATE")
        try:
            known = store.execute(
                "SELECT status, body FROM answers WHERE idempotency_key = ?", (key,)
            ).fetchone()
            if known is not None:
                return int(known[0]), str(known[1])
            if target == "/orders":
                count = store.execute("SELECT count(*) FROM orders").fetchone()[0]
                order_id = self._id_format.format(count + 1)
                store.execute("INSERT INTO orders VALUES (?, ?, 1)", (order_id, value))
                status, version = 201, 1
            else:
                order_id = target.split("/")[2]
                row = store.execute(
                    "UPDATE orders SET value = ?, version = version + 1 WHERE id = ? "
                    "RETURNING version",
                    (value, order_id),
                ).fetchone()
                if row is None:
                    return 404, '{"error": "no such order"}'
                status, version = 200, row[0]
            store.execute(
                "INSERT INTO log (id, value, idempotency_key) VALUES (?, ?, ?)",
                (order_id, value, key),
            )
            text = _shown(order_id, value, version)
            if key is not None:
                store.execute("INSERT INTO answers VALUES (?, ?, ?)", (key, status, text))
            return status, text
        finally:
            store.execute("COMMIT")


def _shown(order_id: str, value: str, version: int) -> str:
    return json.dumps({"order_id": order_id, "value": value, "version": version})


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return method, target, headers, body


def _encode(status: int, text: str, extra: str = "") -> bytes:
    body = text.encode()
    return (
        f"HTTP/1.1 {status} Whatever\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{extra}\r\n"
    ).encode() + body


def faults_of(chance: Any, side: str) -> list[str]:
    """Return faults for a side's coming writes."""
    known = ["lose", "late", "late-answer", "twice", "deaf", "die-after", "die-before", "busy"]
    if side == "modern":
        known += ["busy-date", "conflict"]
    return [chance.choice(known) if chance.random() < 0.5 else "" for _ in range(4)]
