"""A seeded workload of several sessions that interleave, with all that a transaction can hold."""

import random
from collections.abc import Callable

import psycopg

SESSIONS = 3

# Enough rows of a hundred bytes for one statement to fill a work memory of 64 kB.
_MANY = 400


class Session:
    """One application, with a table of its own that it may alter without waiting for others."""

    def __init__(self, dsn: str, number: int, chance: random.Random) -> None:
        self._sql = psycopg.connect(dsn, autocommit=True)
        self._number = number
        self._chance = chance
        self._next_id = number * 1_000_000
        self._savepoints: list[str] = []
        self._columns = 0
        self._open = False

    def close(self) -> None:
        """End what is open."""
        if self._open:
            self._end()
        self._sql.close()

    def step(self) -> None:
        """Do one thing."""
        if not self._open:
            self._sql.execute("begin")
            self._open = True
        self._chance.choices(
            [
                self._insert,
                self._update,
                self._change_keys,
                self._delete,
                self._savepoint,
                self._roll_back_savepoint,
                self._release,
                self._message,
                self._alter,
                self._truncate,
                self._end,
            ],
            [30, 8, 4, 6, 14, 14, 6, 4, 4, 2, 14],
        )[0]()

    @property
    def _own(self) -> str:
        return f"own_{self._number}"

    def _run(self, statement: str) -> None:
        self._sql.execute(statement.encode())

    def _insert(self) -> None:
        count = self._chance.choice([1, 5, 50, _MANY, 2 * _MANY])
        table = self._chance.choice([self._own, self._own, "shared"])
        first, self._next_id = self._next_id, self._next_id + count
        self._run(
            f"insert into {table} (id, note) select x, repeat('x', 80) || x"
            f" from generate_series({first}, {self._next_id - 1}) x"
        )

    def _some(self) -> str:
        first = self._chance.randint(self._number * 1_000_000, self._next_id)
        return f"id between {first} and {first + self._chance.choice([0, 3, 200])}"

    def _update(self) -> None:
        self._run(f"update {self._own} set note = note || '!' where {self._some()}")

    def _change_keys(self) -> None:
        self._run(f"update {self._own} set id = -id where {self._some()}")

    def _delete(self) -> None:
        self._run(f"delete from {self._own} where {self._some()}")

    def _savepoint(self) -> None:
        name = f"s{len(self._savepoints)}"
        self._run(f"savepoint {name}")
        self._savepoints.append(name)

    def _roll_back_savepoint(self) -> None:
        if self._savepoints:
            place = self._chance.randrange(len(self._savepoints))
            self._run(f"rollback to {self._savepoints[place]}")
            del self._savepoints[place + 1 :]

    def _release(self) -> None:
        if self._savepoints:
            place = self._chance.randrange(len(self._savepoints))
            self._run(f"release {self._savepoints[place]}")
            del self._savepoints[place:]

    def _message(self) -> None:
        transactional = self._chance.choice(["true", "false"])
        self._run(f"select pg_logical_emit_message({transactional}, 'app', 'x{self._number}')")

    def _alter(self) -> None:
        self._columns += 1
        kind = self._chance.choice(["int default 7", "text", "numeric(8, 2)"])
        self._run(f"alter table {self._own} add column c{self._columns} {kind}")

    def _truncate(self) -> None:
        how = self._chance.choice(["", " cascade", " restart identity"])
        self._run(f"truncate {self._own}, {self._own}_too{how}")

    def _end(self) -> None:
        self._run(self._chance.choice(["commit", "commit", "commit", "rollback"]))
        self._savepoints.clear()
        self._open = False


def prepare(sql: psycopg.Connection, name: str) -> None:
    """Make the tables, a publication `name`, and the settings that make the server stream early."""
    sql.execute("create table shared (id bigint primary key, note text)")
    for number in range(SESSIONS):
        sql.execute(f"create table own_{number} (id bigint primary key, note text)".encode())
        sql.execute(f"create table own_{number}_too (id bigint primary key)".encode())
    sql.execute(f"create publication {name} for all tables".encode())
    sql.execute(f"alter database {name} set logical_decoding_work_mem = '64kB'".encode())


def run(dsn: str, seed: int, steps: int, beside: Callable[[], object] | None = None) -> None:
    """Run the workload to its end; `beside` is called before each step."""
    chance = random.Random(seed)
    sessions = [Session(dsn, number, chance) for number in range(SESSIONS)]
    for _ in range(steps):
        if beside is not None:
            beside()
        chance.choice(sessions).step()
    for session in sessions:
        session.close()
