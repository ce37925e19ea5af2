"""What must hold of a log whatever was written while tables were read."""

import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from bridge.capture.ports import CaptureLog
from tests.capture.running import events_of, ids_of, table_rows
from tests.waiting import wait_until

TABLE = "public.acct"

# `big` is stored outside the row: an UPDATE that leaves it alone does not send it.
SCHEMA = [
    """create table acct (region text, id int, version bigint not null, note text, big text,
       primary key (region, id))""",
    "alter table acct alter big set storage external",
    "create sequence versions",
    """insert into acct select chr(97 + x % 3), x, nextval('versions'), 'first',
       repeat(x::text, 1500) from generate_series(1, 400) x""",
]

_KINDS = ("insert", "update", "note", "delete", "move", "roll back", "savepoint")


class Application:
    """Several connections that write as fast as they can, with a seed."""

    def __init__(
        self, dsn: str, seed: int, *, threads: int = 3, truncates: bool = True, options: str = ""
    ) -> None:
        self._dsn = dsn
        self._options = options
        self._stop = threading.Event()
        self._truncates = truncates
        self.writes = 0
        self.failure: Exception | None = None
        self.threads = [
            threading.Thread(target=self._run, args=(random.Random(seed * 10 + number),))
            for number in range(threads)
        ]

    def _run(self, chance: random.Random) -> None:
        try:
            with psycopg.connect(self._dsn, autocommit=True, options=self._options) as connection:
                while not self._stop.is_set():
                    try:
                        self._write(connection, chance)
                    except (
                        psycopg.errors.DeadlockDetected,
                        psycopg.errors.UniqueViolation,
                    ):
                        continue
                    self.writes += 1
        except Exception as exc:
            self.failure = exc

    def _write(self, connection: psycopg.Connection, chance: random.Random) -> None:
        keys = [(chr(97 + chance.randint(0, 2)), chance.randint(1, 450)) for _ in range(2)]
        one, other = keys
        kind = chance.choice(_KINDS)
        if self._truncates and chance.random() < 0.003:
            connection.execute("truncate acct")
            return
        with connection.transaction(force_rollback=kind == "roll back"):
            if kind in ("insert", "roll back"):
                connection.execute(
                    "insert into acct values (%s, %s, nextval('versions'), 'new',"
                    " repeat(%s::text, 1500)) on conflict do nothing",
                    (*one, one[1]),
                )
            elif kind == "delete":
                connection.execute("delete from acct where (region, id) = (%s, %s)", one)
            elif kind == "move":
                connection.execute(
                    "update acct set region = %s, id = %s, version = nextval('versions')"
                    " where (region, id) = (%s, %s) and not exists"
                    " (select 1 from acct where (region, id) = (%s, %s))",
                    (*other, *one, *other),
                )
            else:
                if kind == "savepoint":
                    with connection.transaction(force_rollback=True):
                        connection.execute(
                            "update acct set note = 'never' where (region, id) = (%s, %s)", other
                        )
                big = ", big = repeat('w', 2500)" if kind == "update" else ""
                connection.execute(
                    f"update acct set note = note || '.', version = nextval('versions'){big}"
                    " where (region, id) in ((%s, %s), (%s, %s))",
                    (*one, *other),
                )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write for the duration of the block."""
        for thread in self.threads:
            thread.start()
        try:
            wait_until(lambda: self.failure or self.writes > 10, 10, "the first writes")
            yield
        finally:
            self.end()
        assert self.failure is None, self.failure

    def end(self) -> None:
        """Stop writing."""
        self._stop.set()
        for thread in self.threads:
            thread.join(20)


def assert_laws(log: CaptureLog, sql: psycopg.Connection) -> None:
    """The last value of each key is the table's; none goes back; ids are unique and in order."""
    assert_nothing_goes_back(log)
    rows = {f"{row['region']}/{row['id']}": row for row in table_rows(sql, "acct")}
    assert rebuilt(log) == rows
    ids = ids_of(log)
    assert len(ids) == len(set(ids))
    sequences = [event["sequence"] for event in events_of(log) if "sequence" in event]
    assert sequences == sorted(sequences), "ids do not sort as the log does"


def assert_nothing_goes_back(log: CaptureLog) -> None:
    """A row that was read is never older than what the log knew of its key."""
    newest: dict[str, int] = {}
    gone: set[str] = set()
    for event in events_of(log):
        if event.get("table") != TABLE:
            continue
        before, after = event["before"], event["after"]
        if event["kind"] == "truncated":
            gone |= set(newest)
        if before is not None and (after is None or _key(before) != _key(after)):
            gone.add(_key(before))
        if after is None:
            continue
        key, version = _key(after), int(after["version"])
        if event["kind"] == "read":
            known = newest.get(key, 0)
            assert version >= known, f"key {key} went back from {known} to {version}"
            assert key not in gone or version > known, f"key {key} came back from the dead"
        gone.discard(key)
        newest[key] = version


def rebuilt(log: CaptureLog) -> dict[str, dict[str, str]]:
    """Replay the log as a consumer would; a value that was not sent stays as it was."""
    rows: dict[str, dict[str, str]] = {}
    for event in events_of(log):
        if event.get("table") != TABLE:
            continue
        if event["kind"] == "truncated":
            rows.clear()
            continue
        before, after = event["before"], event["after"]
        old = rows.pop(_key(before), {}) if before else {}
        if after is not None:
            rows[_key(after)] = {**rows.get(_key(after), old), **after}
    return rows


def _key(row: dict[str, str]) -> str:
    return f"{row['region']}/{row['id']}"
