"""What the server's settings and our role mean for capture: effects, costs, traps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import psycopg

from adapters.postgres.catalog import ServerFacts, Slot, fetch_rows
from adapters.postgres.inspection.required import SLOTS_NEEDED
from bridge.capture.findings import Finding, Level

# A client that dies without a word holds its slot for this long; much longer holds up a restart.
_SENDER_TIMEOUT_S_MAX: Final = 300
_SENDER_TIMEOUT_S_MIN: Final = 10

# The walsender, the reader of tables, the two that look at slot and catalog, and the walsender of
# a temporary slot while a table without a key is read.
_CONNECTIONS_NEEDED: Final = 5

VERSION_MAX_TESTED: Final = 18

_SETTINGS: Final = (
    "max_slot_wal_keep_size", "wal_sender_timeout", "idle_replication_slot_timeout",
    "logical_decoding_work_mem", "synchronized_standby_slots", "fsync", "server_encoding",
    "hot_standby_feedback", "max_connections",
)  # fmt: skip

_READ = """
select name, setting, case when name = any(%s) then current_setting(name) end as shown
  from pg_settings where name = any(%s)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting of the server."""

    value: str
    """In the unit that the server counts in."""
    shown: str
    """As a person writes it: `64MB`."""


def read_settings(connection: psycopg.Connection) -> dict[str, Setting]:
    """Return the settings that matter; one that the server's version has not is not there."""
    names = list(_SETTINGS)
    return {
        row.name: Setting(value=row.setting, shown=row.shown)
        for row in fetch_rows(connection, _READ, (names, names))
    }


def server_notes(
    facts: ServerFacts, slot: Slot | None, settings: Mapping[str, Setting]
) -> Iterator[Finding]:
    """Judge what does not keep capture from starting."""
    yield from _version(facts)
    yield from _role(facts)
    yield from _room(facts, slot)
    yield from _wal_limit(settings["max_slot_wal_keep_size"])
    yield from _sender_timeout(settings["wal_sender_timeout"])
    yield from _idle_timeout(settings.get("idle_replication_slot_timeout"))
    memory = settings["logical_decoding_work_mem"].shown
    yield Finding(
        level=Level.NOTICE,
        check="decoding-memory",
        what=f"logical_decoding_work_mem is {memory}",
        why="changes of open transactions beyond it are written to the server's disk, or sent at "
        "once where the stream allows that",
    )
    yield from _encoding(settings["server_encoding"].value)
    if settings["fsync"].value != "on":
        yield Finding(
            level=Level.WARNING,
            check="fsync",
            what="fsync is off",
            why="after a crash of the machine the database may lack commits that the event log has",
            fix="set fsync = on",
            sql="ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf();",
        )
    if facts.in_recovery and settings["hot_standby_feedback"].value != "on":
        yield Finding(
            level=Level.WARNING,
            check="standby",
            what="the server is a standby with hot_standby_feedback off",
            why="the primary may remove rows of the catalog that decoding needs: the slot is lost",
            fix="set hot_standby_feedback = on, and call pg_log_standby_snapshot() on the primary "
            "when the creation of the slot waits",
            sql="ALTER SYSTEM SET hot_standby_feedback = on; SELECT pg_reload_conf();",
        )


def _version(facts: ServerFacts) -> Iterator[Finding]:
    major = facts.version // 10_000
    if major > VERSION_MAX_TESTED:
        yield Finding(
            level=Level.NOTICE,
            check="server-version",
            what=f"server version is {facts.version_text}; tested up to {VERSION_MAX_TESTED}",
        )
    else:
        yield _ok("server-version", f"server version is {facts.version_text}")
    if facts.wal_level == "logical":
        yield _ok("wal-level", "wal_level is 'logical'")


def _role(facts: ServerFacts) -> Iterator[Finding]:
    if facts.is_superuser:
        yield Finding(
            level=Level.WARNING,
            check="role-superuser",
            what=f"role {facts.role!r} is a superuser",
            why="capture needs REPLICATION and SELECT only",
            fix="make a role for capture, and name it in the source's DSN",
            sql="CREATE ROLE legacy_bridge LOGIN REPLICATION PASSWORD '…';",
        )
    elif facts.may_replicate:
        yield _ok("role-replication", f"role {facts.role!r} has REPLICATION and is no superuser")
    if -1 < facts.connections_max < _CONNECTIONS_NEEDED:
        yield Finding(
            level=Level.WARNING,
            check="role-connections",
            what=f"role {facts.role!r} may have {facts.connections_max} connections",
            why=f"capture uses up to {_CONNECTIONS_NEEDED} while it reads tables",
            fix="raise the role's limit",
        )


def _room(facts: ServerFacts, slot: Slot | None) -> Iterator[Finding]:
    yield _ok(
        "replication-slots", f"{facts.slots_used} of {facts.slots_max} replication slots in use"
    )
    ours = slot is not None and slot.active_pid is not None
    needed = SLOTS_NEEDED - 1 if ours else SLOTS_NEEDED
    used = f"{facts.senders_used} of {facts.senders_max} WAL senders are in use"
    if facts.senders_used + needed > facts.senders_max:
        yield Finding(
            level=Level.ERROR,
            check="wal-senders",
            what=f"{used}, {needed} more are needed",
            fix="raise max_wal_senders and restart the server, or end one that is not used",
        )
    else:
        yield _ok("wal-senders", used)


def _wal_limit(limit: Setting) -> Iterator[Finding]:
    if limit.value == "-1":
        yield Finding(
            level=Level.WARNING,
            check="wal-limit",
            what="max_slot_wal_keep_size is -1: no limit",
            why="if capture stands still for long, its slot keeps WAL until the disk is full, and "
            "the database stops",
            fix="set a limit that the WAL volume has room for; beyond it the slot is given up "
            "rather than the database, and capture must read the tables again",
            sql="ALTER SYSTEM SET max_slot_wal_keep_size = '64GB'; SELECT pg_reload_conf();",
        )
    else:
        yield _ok(
            "wal-limit", f"max_slot_wal_keep_size is {limit.shown}: a slot is given up beyond it"
        )


def _sender_timeout(timeout: Setting) -> Iterator[Finding]:
    timeout_s = int(timeout.value) / 1000
    if timeout_s == 0 or timeout_s > _SENDER_TIMEOUT_S_MAX:
        why = "a reader that died without a word holds the slot until then: no other can take over"
    elif timeout_s < _SENDER_TIMEOUT_S_MIN:
        why = "a short pause of the network ends the stream"
    else:
        yield _ok("sender-timeout", f"wal_sender_timeout is {timeout.shown}")
        return
    yield Finding(
        level=Level.WARNING,
        check="sender-timeout",
        what=f"wal_sender_timeout is {'off' if timeout_s == 0 else timeout.shown}",
        why=why,
        fix="set it to a minute",
        sql="ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf();",
    )


def _idle_timeout(timeout: Setting | None) -> Iterator[Finding]:
    if timeout is None:
        return
    if timeout.value == "0":
        yield _ok("idle-slots", "idle_replication_slot_timeout is off")
        return
    yield Finding(
        level=Level.WARNING,
        check="idle-slots",
        what=f"idle_replication_slot_timeout is {timeout.shown}",
        why="if capture stands still for longer, the server gives its slot up, whatever the disk",
        fix="switch it off and bound WAL by max_slot_wal_keep_size, or make it longer than any "
        "maintenance",
        sql="ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();",
    )


def _encoding(encoding: str) -> Iterator[Finding]:
    if encoding == "SQL_ASCII":
        yield Finding(
            level=Level.NOTICE,
            check="encoding",
            what="the database's encoding is SQL_ASCII: texts have no known encoding",
            why="a text that is not UTF-8 is delivered as bytes (base64) and marked",
        )
    else:
        yield _ok("encoding", f"the database's encoding is {encoding}")


def _ok(check: str, what: str) -> Finding:
    return Finding(level=Level.OK, check=check, what=what)
