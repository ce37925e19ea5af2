"""A program of the random workload: SQL statements of several sessions, interleaved, from a seed.

A program is a list of steps, so that a failing one can be printed, read and run again. Statements
may fail (a lock, a key that is taken): the transaction then ends as PostgreSQL ends it.
"""

import random
from dataclasses import dataclass, field

from tests.capture.random.tables import TABLES, Table, literal

SESSIONS = 4
# Keys of one session; another session's are touched now and then, for locks and conflicts.
_RANGE = 1_000_000
# Above 64 kB a transaction is streamed or spilled; above 5,000 changes it is appended in parts.
_BIG_ROWS = (300, 300, 300, 300, 2_000, 6_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One statement of one session; `copy` is what goes into a COPY FROM STDIN."""

    session: int
    sql: str
    copy: str | None = None

    def __str__(self) -> str:
        data = "" if self.copy is None else f"  -- {len(self.copy)} bytes of data"
        return f"session {self.session}: {self.sql}{data}"


@dataclass
class _Session:
    """What the generator believes about a session."""

    number: int
    in_transaction: bool = False
    savepoints: list[str] = field(default_factory=list)
    next_id: int = 0
    rows: dict[str, list[int]] = field(default_factory=dict)


class Generator:
    """Makes the steps of one seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self._sessions = [
            _Session(number, next_id=(number + 1) * _RANGE) for number in range(SESSIONS)
        ]
        self._columns: dict[str, list[str]] = {}
        self._prepared: list[str] = []
        self._names = 0

    def steps(self, count: int) -> list[Step]:
        """Return about `count` more steps; transactions may stay open behind them."""
        steps: list[Step] = []
        while len(steps) < count:
            session = self.chance.choice(self._sessions)
            steps += [
                one if isinstance(one, Step) else Step(session=session.number, sql=one)
                for one in self._next(session)
            ]
        return steps

    def closing(self) -> list[Step]:
        """Return what ends every open transaction."""
        steps = [
            Step(session=session.number, sql=self.chance.choice(["commit", "commit", "rollback"]))
            for session in self._sessions
            if session.in_transaction
        ]
        for session in self._sessions:
            session.in_transaction, session.savepoints = False, []
        steps += [Step(session=0, sql=self._decide(name)) for name in self._prepared]
        self._prepared.clear()
        return steps

    def _next(self, session: _Session) -> list[str | Step]:
        if not session.in_transaction and self.chance.random() < 0.45:
            session.in_transaction = True
            return ["begin"]
        if session.in_transaction and self.chance.random() < 0.3:
            return self._control(session)
        return self._statement(session)

    def _control(self, session: _Session) -> list[str | Step]:
        """Return a savepoint, or an end of the transaction or of a part of it."""
        choice = self.chance.random()
        if choice < 0.35:
            name = self._name("s")
            session.savepoints.append(name)
            return [f"savepoint {name}"]
        if choice < 0.6 and session.savepoints:
            name = session.savepoints[place := self.chance.randrange(len(session.savepoints))]
            if self.chance.random() < 0.7:
                del session.savepoints[place + 1 :]
                return [f"rollback to {name}"]
            del session.savepoints[place:]
            return [f"release {name}"]
        session.in_transaction, session.savepoints = False, []
        if choice < 0.68:
            name = self._name("g")
            self._prepared.append(name)
            return [f"prepare transaction '{name}'"]
        return ["rollback" if choice < 0.76 else "commit"]

    def _statement(self, session: _Session) -> list[str | Step]:
        if self._prepared and not session.in_transaction and self.chance.random() < 0.2:
            return [self._decide(self._prepared.pop(0))]
        table = self.chance.choice(TABLES)
        make = self.chance.choices(
            [self._insert, self._update, self._delete, self._rekey, self._copy, self._big,
             self._truncate, self._ddl, self._message, self._block],
            [30, 22, 10, 6, 5, 4, 3, 8, 6, 5],
        )[0]  # fmt: skip
        return make(session, table)

    def _decide(self, name: str) -> str:
        return f"{self.chance.choice(['commit', 'commit', 'rollback'])} prepared '{name}'"

    def _name(self, letter: str) -> str:
        self._names += 1
        return f"{letter}{self._names}"

    def _insert(self, session: _Session, table: Table) -> list[str | Step]:
        rows = [
            f"({', '.join(self._values(session, table))})"
            for _ in range(self.chance.choice([1, 1, 2, 5]))
        ]
        names = [*table.columns, *(["code"] if table.name == "pair" else [])]
        if table.name == "toasted":
            names.append("big")
        return [f"insert into {table.name} ({', '.join(names)}) values {', '.join(rows)}"]

    def _values(self, session: _Session, table: Table) -> list[str]:
        session.next_id += 1
        session.rows.setdefault(table.name, []).append(session.next_id)
        values = [str(session.next_id)]
        values += [literal(self.chance, type_) for type_ in list(table.columns.values())[1:]]
        if table.name == "pair":
            values.append(f"'k{self.chance.randrange(3)}'")
        if table.name == "toasted":
            values.append(f"repeat('{self.chance.choice('abc')}', {self.chance.choice([3, 9000])})")
        return values

    def _where(self, session: _Session, table: Table) -> str:
        """Return a condition that meets a few rows, sometimes another session's."""
        owner = session if self.chance.random() < 0.95 else self.chance.choice(self._sessions)
        ids = owner.rows.get(table.name, [])
        if not ids:
            return f"id between {owner.number * _RANGE} and {owner.number * _RANGE + 9}"
        picked = self.chance.sample(ids, min(len(ids), self.chance.choice([1, 1, 3])))
        return f"id in ({', '.join(map(str, picked))})"

    def _update(self, session: _Session, table: Table) -> list[str | Step]:
        if table.inserts_only:
            return self._insert(session, table)
        names = list(table.columns)[1:] + self._columns.get(table.name, [])
        picked = self.chance.sample(names, min(len(names), self.chance.choice([1, 2])))
        sets = [f"{name} = {self._new_value(table, name)}" for name in picked]
        if table.name == "toasted" and self.chance.random() < 0.2:
            sets.append(f"big = repeat('{self.chance.choice('xyz')}', 9000)")
        return [f"update {table.name} set {', '.join(sets)} where {self._where(session, table)}"]

    def _new_value(self, table: Table, name: str) -> str:
        type_ = table.columns.get(name)
        return literal(self.chance, type_) if type_ else f"'{self.chance.randrange(100)}'"

    def _delete(self, session: _Session, table: Table) -> list[str | Step]:
        if table.inserts_only:
            return self._insert(session, table)
        return [f"delete from {table.name} where {self._where(session, table)}"]

    def _rekey(self, session: _Session, table: Table) -> list[str | Step]:
        """Change keys: for `parted` rows move between partitions."""
        if table.inserts_only:
            return self._insert(session, table)
        where = self._where(session, table)
        if table.name == "pair" and self.chance.random() < 0.5:
            return [f"update pair set code = code || 'x' where {where}"]
        session.next_id += 10
        session.rows.setdefault(table.name, []).append(session.next_id)
        return [f"update {table.name} set id = {session.next_id} - id % 7 where {where}"]

    def _copy(self, session: _Session, table: Table) -> list[str | Step]:
        if table.name in ("pair", "wide"):
            return self._insert(session, table)
        count = self.chance.choice([1, 10, 200])
        first, session.next_id = session.next_id + 1, session.next_id + count
        data = "".join(f"{first + row}\tcopied {row}\n" for row in range(count))
        sql = f"copy {table.name} (id, note) from stdin"
        return [Step(session=session.number, sql=sql, copy=data)]

    def _big(self, session: _Session, table: Table) -> list[str | Step]:
        count = self.chance.choice(_BIG_ROWS)
        first, session.next_id = session.next_id + 1, session.next_id + count
        code = ", code" if table.name == "pair" else ""
        value = ", 'big'" if code else ""
        return [
            f"insert into {table.name} (id, note{code}) select x, 'big ' || x{value}"
            f" from generate_series({first}, {session.next_id}) x"
            if table.name != "wide"
            else f"insert into wide (id, c9) select x, repeat('w', 100)"
            f" from generate_series({first}, {session.next_id}) x"
        ]

    def _truncate(self, session: _Session, table: Table) -> list[str | Step]:
        other = self.chance.choice(TABLES)
        names = sorted({table.name, other.name}) if self.chance.random() < 0.5 else [table.name]
        option = self.chance.choice(["", " cascade", " restart identity"])
        return [f"truncate {', '.join(names)}{option}"]

    def _ddl(self, session: _Session, table: Table) -> list[str | Step]:
        added = self._columns.setdefault(table.name, [])
        choice = self.chance.random()
        if choice < 0.35 or not added:
            added.append(name := self._name("added"))
            default = self.chance.choice(["", " default 5", " not null default 7"])
            return [f"alter table {table.name} add column {name} integer{default}"]
        name = self.chance.choice(added)
        if choice < 0.5:
            added.remove(name)
            return [f"alter table {table.name} drop column {name}"]
        if choice < 0.65:
            added.remove(name)
            added.append(new := self._name("renamed"))
            return [f"alter table {table.name} rename column {name} to {new}"]
        if choice < 0.85 or table.name not in ("plain", "wide", "pair", "toasted"):
            type_ = self.chance.choice(["text", "bigint", "numeric"])
            return [f"alter table {table.name} alter {name} type {type_} using {name}::{type_}"]
        identity = self.chance.choice(["full", "default"])
        return [f"alter table {table.name} replica identity {identity}"]

    def _message(self, session: _Session, table: Table) -> list[str | Step]:
        transactional = self.chance.choice(["true", "false"])
        prefix = self.chance.choice(["audit", "other"])
        content = self.chance.choice(["", "who did it", '{"actor": "ana"}'])
        message = f"select pg_logical_emit_message({transactional}, '{prefix}', '{content}')"
        if not session.in_transaction or self.chance.random() < 0.5:
            return [message]
        # With nothing between, the commit begins where the message ends.
        session.in_transaction, session.savepoints = False, []
        return [message, "commit"]

    def _block(self, session: _Session, table: Table) -> list[str | Step]:
        """A PL/pgSQL block whose exceptions roll sub-transactions back."""
        first, session.next_id = session.next_id + 1, session.next_id + 10
        block = (
            f"do $$ begin for x in {first}..{session.next_id} loop begin"
            f" insert into plain values (x, 'block', x);"
            f" insert into bare (id) values (x);"
            f" if x % 3 = 0 then insert into plain values (x - 1, 'twice', 0); end if;"
            " exception when unique_violation then null; end; end loop; end $$"
        )
        return [block]
