"""Settings of a source that is polled: which tables, how, how often, and at what cost at most."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bridge.capture.polling.limits import (
    DUTY_DEFAULT,
    LOOK_INTERVAL_S_DEFAULT,
    ROWS_MAX_DEFAULT,
    WORKERS_DEFAULT,
    PollLimits,
)
from bridge.capture.polling.plan import Deletes, Strategy, TablePlan
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.section import Section

_TABLE = r"^[^.]+\..+$"

STATEMENT_TIMEOUT_S_DEFAULT = 30.0


class PolledTableSettings(Section):
    """How one table is polled."""

    strategy: Literal["outbox", "keyset", "full"]
    """`outbox`: rows are only added, each is one event. `keyset`: read what is above the last value
    of `column`. `full`: read all rows and compare, for tables without any such column."""
    column: str | None = None
    """The column that grows with every change: a time that the database sets, or a sequence."""
    zone: str | None = None
    """Time zone that the database writes a column of local times in, e.g. `Asia/Tokyo`."""
    key: tuple[str, ...] | None = None
    """Columns that identify a row; the primary key when absent; `[]` when there are none."""
    interval_s: float = Field(default=5.0, ge=0.05, le=86_400)
    """Seconds between two runs."""
    deletes: Literal["none", "soft", "compare"] | None = None
    """`soft`: `deleted_column` says it. `compare`: all keys are read from time to time, and a row
    that two readings miss is gone. By default `compare` with `full`, else `none`."""
    compare_interval_s: float = Field(default=3_600.0, ge=0.05, le=7 * 86_400)
    """Seconds between two readings of all keys."""
    deleted_column: str | None = None
    deleted_value: str | None = None
    """Text of a deleted row's `deleted_column`; any value but NULL when absent."""
    overlap_s: float | None = Field(default=None, ge=0, le=86_400)
    """How far a run reads back: longer than the longest transaction where the database does not
    list its open ones (60 by default), else for clocks' sake (2 by default)."""
    ignore: tuple[str, ...] = ()
    """Columns that are never read."""

    def plan(self, table: str) -> TablePlan:
        """Return the plan of `table`; raises `ConfigInvalid` when keys do not go together."""
        deletes = self.deletes or ("compare" if self.strategy == "full" else "none")
        return TablePlan(
            table=table,
            strategy=Strategy(self.strategy),
            column=self.column,
            zone=self.zone,
            key=self.key,
            interval_s=self.interval_s,
            compare_interval_s=self.compare_interval_s,
            overlap_s=self.overlap_s,
            deletes=Deletes(deletes),
            deleted_column=self.deleted_column,
            deleted_value=self.deleted_value,
            ignore=self.ignore,
        )


class PollingSettings(Section):
    """A legacy database that is asked for its changes, through SQLAlchemy."""

    kind: Literal["polling"]
    url: str
    """`mysql+pymysql://user:password@host:port/database`, or any other SQLAlchemy URL; best given
    by `BRIDGE_SOURCES__NAME__URL`."""
    tables: dict[Annotated[str, Field(pattern=_TABLE)], PolledTableSettings] = Field(min_length=1)
    """By `schema.table`; on MariaDB a schema is a database, on SQLite it is `main`."""
    workers: int = Field(default=WORKERS_DEFAULT, ge=1, le=32)
    """Tables that are read at the same time, each over a connection of its own."""
    rows_max: int = Field(default=ROWS_MAX_DEFAULT, ge=10, le=10_000)
    """Rows of one query."""
    duty: float = Field(default=DUTY_DEFAULT, ge=0.01, le=1.0)
    """Share of the time that one worker may keep the database busy while it has much to read."""
    statement_timeout_s: float = Field(default=STATEMENT_TIMEOUT_S_DEFAULT, ge=1.0, le=3_600.0)
    """How long a query may take before the database ends it, where it can."""
    look_interval_s: float = Field(default=LOOK_INTERVAL_S_DEFAULT, ge=1.0, le=86_400.0)
    """How often the tables' columns are looked at."""

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        try:
            self.plans()
        except ConfigInvalid as exc:
            raise ValueError(str(exc)) from exc
        return self

    def plans(self) -> list[TablePlan]:
        """Return how each table is polled."""
        return [one.plan(table) for table, one in sorted(self.tables.items())]

    def limits(self) -> PollLimits:
        """Return how much the source may be asked."""
        return PollLimits(
            workers=self.workers,
            rows_max=self.rows_max,
            duty=self.duty,
            look_interval_s=self.look_interval_s,
        )
