"""Why a server refused a connection: libpq keeps the text of such an error, but not its SQLSTATE.

The text is in the server's language. English is read as it is; for another, the connection is tried
once more with libpq's trace on, which shows the code. A wrong password must never look like an
outage: it would be tried again for ever, and might lock the account.
"""

import contextlib
import os
import re
import select
import time
from typing import Final, NamedTuple

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq.abc import PGconn

_ENGLISH: Final = (
    (r"password authentication failed|no password supplied", "28P01"),
    (r"no pg_hba\.conf entry|pg_hba\.conf rejects", "28000"),
    (r"authentication failed for user|is not permitted to log in", "28000"),
    (r'role ".*" does not exist', "28000"),
    (r'database ".*" does not exist', "3D000"),
    (r"permission denied to start WAL sender|replication role to start walsender", "42501"),
    (r"permission denied for database", "42501"),
    (r"the database system is|not yet accepting connections", "57P03"),
    (r"too many (clients|connections)|remaining connection slots", "53300"),
)

# What libpq itself says, in its own language, which is English: nobody answered at all.
_NOBODY: Final = re.compile(
    r"refused|timeout|timed out|could not translate host name|unexpectedly|unreachable|reset by"
    r"|No such file|no response|certificate|SSL"
)

_HBA_HOST: Final = re.compile(r'(?:entry for|connection for|connection from) host "([^"]+)"')
_TRACED_STATE: Final = re.compile(rb"ErrorResponse\t.*? C \"([0-9A-Z]{5})\"")

# One more login, on a server that has just answered another.
_TRACE_S_MAX: Final = 5.0
_TRACE_BYTES_MAX: Final = 64 * 1024


class Refusal(NamedTuple):
    """What a server said to a connection."""

    state: str
    """SQLSTATE; empty when nobody answered, or the code cannot be known."""
    advice: str
    """What to do, when a person has to."""


def read_refusal(error: psycopg.Error, conninfo: str) -> Refusal:
    """Return why `error` ended a connection attempt made with `conninfo`."""
    text = str(error)
    state = error.sqlstate or english_state(text)
    if state is None:
        state = None if _NOBODY.search(text) else _traced_state(conninfo)
    return Refusal(state or "", _advice(state or "", text, conninfo))


def english_state(text: str) -> str | None:
    """Return the SQLSTATE that belongs to the message of an English server, if it is known."""
    return next((state for pattern, state in _ENGLISH if re.search(pattern, text)), None)


def _advice(state: str, text: str, conninfo: str) -> str:
    given = conninfo_to_dict(conninfo)
    user = str(given.get("user") or "USER")
    if state == "28P01":
        return f"correct the password of role {user!r} in the source's DSN"
    if state != "28000" or "does not exist" in text or "permitted to log in" in text:
        return ""
    found = _HBA_HOST.search(text)
    address = found[1] if found else "ADDRESS"
    if address == "[local]":
        start, place = "local", ""
    else:
        start = "host" if "no encryption" in text or "SSL off" in text else "hostssl"
        bits = "/128" if ":" in address else "/32"
        place = f" {address}{bits}"
    # Logical replication is matched by its database; the word `replication` is for physical only.
    database = given.get("dbname") or user
    return (
        "if the login is right, add to pg_hba.conf, before any line that rejects it, and reload: "
        f"{start} {database} {user}{place} scram-sha-256"
    )


def _traced_state(conninfo: str) -> str | None:
    """Return the SQLSTATE with which the server refuses; None when it cannot be known."""
    if not hasattr(os, "memfd_create"):
        return None
    # In memory only: with some methods the trace holds what the client proved itself with.
    trace = os.memfd_create("refusal")
    try:
        attempt = pq.PGconn.connect_start(conninfo.encode())
        try:
            with contextlib.suppress(psycopg.Error):
                attempt.trace(trace)
                _poll(attempt, time.monotonic() + _TRACE_S_MAX)
                attempt.untrace()
        finally:
            attempt.finish()
        found = _TRACED_STATE.search(os.pread(trace, _TRACE_BYTES_MAX, 0))
    finally:
        os.close(trace)
    return found[1].decode() if found else None


def _poll(attempt: PGconn, deadline: float) -> None:
    """Drive the attempt to its end, or to `deadline`."""
    while (left := deadline - time.monotonic()) > 0:
        state = attempt.connect_poll()
        if state == pq.PollingStatus.READING:
            event = select.POLLIN
        elif state == pq.PollingStatus.WRITING:
            event = select.POLLOUT
        else:
            return
        poll = select.poll()
        poll.register(attempt.socket, event)
        poll.poll(left * 1000)
