"""Who is alive over all machines, and what they decide by: leases in the journal's database.

Each process renews its leases twice a second, by the server's clock. One that cannot (its wire is
cut, its machine stands still) has its intents refused as soon as the lease is over, because `open`
asks for the lease in the statement that writes. Switches wake the replicas by `NOTIFY`; the renewal
reads the generation as well, should a notification be lost.
"""

import os
import secrets
import select
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, LiteralString

import psycopg

from bridge.model.errors import StorageUnavailable
from bridge.storage.journal.postgres_connection import (
    TimedConnection,
    connect,
    make_tables,
    unavailable,
)
from bridge.switching.ports import SlotView

# A switch waits this long for a replica that it does not hear; a stalled process has as long to
# come back before its writes are taken for lost.
LEASE_S_DEFAULT: Final = 2.0
_RENEWALS_PER_LEASE: Final = 4

# Whoever does alone what nobody else may do stops earlier than another one can begin.
_SURE_PART: Final = 0.6

_RENEW: LiteralString = """
INSERT INTO bridge_journal.replicas (owner, lease_until, serves, adopted)
SELECT owner, clock_timestamp() + %s * interval '1 second', serves, adopted
FROM unnest(%s::text[], %s::boolean[], %s::bigint[]) AS r(owner, serves, adopted)
ON CONFLICT (owner) DO UPDATE SET lease_until = excluded.lease_until, serves = excluded.serves,
    adopted = excluded.adopted, beat_at = clock_timestamp()
RETURNING owner, slot
"""

_RENEW_LEASES: LiteralString = """
UPDATE bridge_journal.leases SET lease_until = clock_timestamp() + %s * interval '1 second'
WHERE holder = ANY(%s::text[]) AND lease_until > clock_timestamp() RETURNING holder
"""

_TAKE_LEASE: LiteralString = """
INSERT INTO bridge_journal.leases AS l
VALUES (%(name)s, %(holder)s, clock_timestamp() + %(lease_s)s * interval '1 second')
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
WHERE l.lease_until < clock_timestamp() RETURNING holder
"""

# Names are never used again: after a day nobody asks about one that died.
_FORGET: LiteralString = (
    "DELETE FROM bridge_journal.replicas WHERE lease_until < clock_timestamp() - interval '1 day'"
)

_LIVE: LiteralString = """
SELECT slot, owner, adopted, extract(epoch FROM clock_timestamp() - beat_at)::float8
FROM bridge_journal.replicas WHERE serves AND lease_until > clock_timestamp() ORDER BY slot
"""

_BUMP: LiteralString = "UPDATE bridge_journal.generation SET number = number + 1 RETURNING number"


class _Owned:
    """One owner of ours, as it is written at the next renewal."""

    def __init__(self) -> None:
        self.serves = False
        self.adopted = 0


class Lease:
    """Something held until `close`, or until it could not be renewed in time."""

    def __init__(self, sure_s: float, end: Callable[[], None]) -> None:
        self._sure_s = sure_s
        self._end = end
        self.renewed_at = time.monotonic()

    def held(self) -> bool:
        """Whether nobody else can hold it now."""
        return time.monotonic() - self.renewed_at < self._sure_s

    def close(self) -> None:
        """Give it back."""
        self._end()


class PostgresReplicas:
    """Leases of owners, the sole holder of a name, the generation, and who adopted it.

    `AdoptionBoard` for the switchboard, `Generation` for a worker's tables.
    """

    def __init__(self, dsn: str, *, lease_s: float = LEASE_S_DEFAULT) -> None:
        make_tables(dsn)
        self._dsn = dsn
        self._lease_s = lease_s
        self._lock = threading.Lock()
        self._asking: TimedConnection | None = None
        self._owned: dict[str, _Owned] = {}
        self._slots: dict[int, str] = {}
        self._leases: dict[str, Lease] = {}
        [(generation,)] = self._ask("SELECT number FROM bridge_journal.generation")
        self._generation: int = generation
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._closing = False
        self._thread: threading.Thread | None = None

    def close(self) -> None:
        """Give up every lease and end."""
        self._closing = True
        if self._thread is not None:
            os.eventfd_write(self._wake, 1)
            self._thread.join()
        for owner in list(self._owned):
            with suppress(StorageUnavailable):
                self._give_up(owner)
        os.close(self._wake)
        if self._asking is not None:
            with suppress(psycopg.Error):
                self._asking.close()

    # Owners of intents

    def take(self, owner: str) -> Lease:
        """Be `owner` until the lease is closed. `owner` is new for every start of a process."""
        self._ask(_FORGET)
        self._owned[owner] = _Owned()
        self._renew_now(owner)
        self._start()
        return Lease(self._lease_s, lambda: self._give_up(owner))

    def alive(self, owner: str) -> bool:
        """Return whether the lease of `owner` is still running."""
        rows = self._ask(
            "SELECT 1 FROM bridge_journal.replicas WHERE owner = %s "
            "AND lease_until > clock_timestamp()",
            (owner,),
        )
        return bool(rows)

    def take_alone(self, name: str) -> Lease:
        """Be the only one of all processes that does `name`.

        Raises:
            StorageUnavailable: another one does.
        """
        holder = f"{name}-{secrets.token_hex(8)}"
        values = {"name": name, "holder": holder, "lease_s": self._lease_s}
        lease = Lease(self._lease_s * _SURE_PART, lambda: self._end_lease(holder))
        if not self._ask(_TAKE_LEASE, values):
            raise StorageUnavailable(f"cannot take lease {name!r}: another process holds it")
        self._leases[holder] = lease
        self._start()
        return lease

    # The generation

    def current(self) -> int:
        """Return the generation that everybody should decide by, as far as it was heard."""
        return self._generation

    def bump(self) -> int:
        """Begin a new generation, wake every replica, and return its number."""
        [(number,)] = self._ask(_BUMP)
        self._ask("SELECT pg_notify('bridge_journal', '')")
        return int(number)

    def claim_slot(self, owner: str) -> int:
        """Be seen by switches as `owner`, whose lease was taken before."""
        self._owned[owner].serves = True
        slot = self._renew_now(owner)
        self._slots[slot] = owner
        return slot

    def release_slot(self, slot: int) -> None:
        """Be seen no more."""
        owner = self._slots.pop(slot)
        self._owned[owner].serves = False
        self._renew_now(owner)

    def adopted(self, slot: int, generation: int) -> None:
        """Say that this replica decides by `generation` from now on; written in a moment."""
        self._owned[self._slots[slot]].adopted = generation
        os.eventfd_write(self._wake, 1)

    def live_slots(self) -> Sequence[SlotView]:
        """Return the replicas whose lease is running, over all machines."""
        return [SlotView(*row) for row in self._ask(_LIVE)]

    def _renew_now(self, owner: str) -> int:
        owned = self._owned[owner]
        values = (self._lease_s, [owner], [owned.serves], [owned.adopted])
        [(_, slot)] = self._ask(_RENEW, values)
        return int(slot)

    def _give_up(self, owner: str) -> None:
        self._owned.pop(owner, None)
        self._ask("DELETE FROM bridge_journal.replicas WHERE owner = %s", (owner,))

    def _end_lease(self, holder: str) -> None:
        self._leases.pop(holder, None)
        with suppress(StorageUnavailable):
            self._ask("DELETE FROM bridge_journal.leases WHERE holder = %s", (holder,))

    def _ask(self, query: LiteralString, values: Any = None) -> list[tuple[Any, ...]]:
        with self._lock:
            for again in (True, False):
                fresh = self._asking is None or self._asking.closed
                try:
                    if self._asking is None or self._asking.closed:
                        self._asking = connect(self._dsn, what="replicas")
                    cursor = self._asking.execute(query, values)
                    return cursor.fetchall() if cursor.description else []
                except psycopg.Error as exc:
                    lost = self._asking is not None and self._asking.closed
                    if again and lost and not fresh:
                        continue
                    raise unavailable("ask who is alive", self._dsn, exc) from exc
        raise AssertionError("the second try returns or raises")

    # The thread that renews

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="journal-lease", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        connection: TimedConnection | None = None
        pause_s = self._lease_s / _RENEWALS_PER_LEASE
        while not self._closing:
            try:
                if connection is None or connection.closed:
                    connection = connect(self._dsn, what="lease", patience_s=self._lease_s)
                    connection.execute("LISTEN bridge_journal")
                self._renew(connection)
                self._rest(connection.fileno(), pause_s)
                connection.pgconn.consume_input()
                while connection.pgconn.notifies() is not None:
                    pass
            except psycopg.Error:
                # Nobody is told here: whoever writes hears that the lease is over.
                if connection is not None:
                    connection.close()
                self._rest(None, pause_s)
        if connection is not None:
            connection.close()

    def _renew(self, connection: TimedConnection) -> None:
        asked_at = time.monotonic()
        owned = list(self._owned.items())
        with connection.pipeline():
            found = connection.execute("SELECT number FROM bridge_journal.generation")
            if owned:
                connection.execute(
                    _RENEW,
                    (
                        self._lease_s,
                        [name for name, _ in owned],
                        [one.serves for _, one in owned],
                        [one.adopted for _, one in owned],
                    ),
                )
            held = None
            if self._leases:
                held = connection.execute(_RENEW_LEASES, (self._lease_s, list(self._leases)))
        for (holder,) in held.fetchall() if held else ():
            if holder in self._leases:
                self._leases[holder].renewed_at = asked_at
        row = found.fetchone()
        assert row is not None, "the table is made with its row"
        self._generation = row[0]

    def _rest(self, descriptor: int | None, pause_s: float) -> None:
        watched = [self._wake] if descriptor is None else [self._wake, descriptor]
        ready, _, _ = select.select(watched, [], [], pause_s)
        if self._wake in ready:
            os.eventfd_read(self._wake)
