"""Settings: one YAML file and the environment, both strict.

An environment variable overrides the file: `BRIDGE_` + the path of the key, with `__` between its
parts (`BRIDGE_CONTROL__TOKEN`, `BRIDGE_SOURCES__SHOP__DSN`), so that secrets need not stand in it.
A value that begins with `[` or `{` is read as YAML (`BRIDGE_DELIVERY__GROUPS=[{name: orders}]`).
Relative paths in the file are relative to the file's own folder.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from bridge.capture.protocol.pgoutput_options import OriginFilter
from bridge.capture.protocol.stage_files import STAGE_BYTES_MAX_DEFAULT
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.control_settings import ControlSettings
from bridge.runtime.configuration.evidence_settings import TimestampSettings, WitnessSettings
from bridge.runtime.configuration.gateway_settings import GatewaySettings
from bridge.runtime.configuration.keeping_settings import (
    ClassName,
    FloorSettings,
    RetentionSettings,
    class_rules,
)
from bridge.runtime.configuration.polling_settings import PollingSettings
from bridge.runtime.configuration.section import Section
from bridge.runtime.configuration.telemetry_settings import TelemetrySettings

_NAME = r"^[a-z][a-z0-9_]{0,30}$"
"""Source names become parts of event ids and slot names: lower case, 31 characters at most."""

_GIVEN_NAME = r"^[a-z][a-z0-9_-]{0,30}$"
"""Names of witnesses and authorities become parts of metrics and file names."""


class EventLogSettings(Section):
    """Where the event log lives and what its checkpoints call it."""

    url: str = "sqlite"
    """`sqlite` (a file in `data_dir`) or a `postgresql://` URI of a database that is ours."""
    origin: str = "legacy-bridge.local/log"
    """First line of every checkpoint: a schema-less name that is unique to this log."""
    local_zone: str = "UTC"
    """The zone whose wall clock stands beside UTC in the tables of an export (`Asia/Tokyo`)."""
    sign_interval_s: float = Field(default=10.0, ge=0.5, le=3_600.0)
    """How long entries may be without a signature while the log grows; an idle log is signed
    daily."""
    sign_entries: int = Field(default=1_000, ge=1, le=1_000_000)
    """How many entries may be without a signature, whatever the time."""
    publish_dir: Path | None = None
    """Folder to which checkpoint and tiles are written for a static file server; none when
    absent."""
    publish_http: Literal["token", "open", "off"] = "token"
    """Who may fetch checkpoint and tiles from the control API below `/log/`: holders of a token,
    everybody, nobody. Tiles hold leaves (actors, tickets, pseudonyms), never payloads."""
    prune_floor_days: int = Field(default=3_653, ge=0)
    """Entries younger than this are never pruned, whoever asks: the legal term for which they must
    be kept. Ten years, the longest that common commercial law asks for, unless it is set."""
    witnesses: dict[Annotated[str, Field(pattern=_GIVEN_NAME)], WitnessSettings] = Field(
        default_factory=dict
    )
    """Who cosigns the checkpoints; each is asked after each checkpoint."""
    timestamps: dict[Annotated[str, Field(pattern=_GIVEN_NAME)], TimestampSettings] = Field(
        default_factory=dict
    )
    """Time-stamp authorities that are asked for a token over the newest checkpoint."""
    key_backup_days: int = Field(default=35, ge=0, le=3_650)
    """For how long backups of `keys.db` and of the master key are kept; certificates of erasure say
    from when they are gone. Keep them no longer than this."""
    retention: dict[ClassName, RetentionSettings] = Field(default_factory=dict)
    """How long sealed records stay readable, by the contracts' classes; for ever without a rule."""
    floors: dict[ClassName, FloorSettings] = Field(default_factory=dict)
    """Legal floors beside ours, or in their place."""
    webhook: str | None = None
    """Where alarms about witnesses and time stamps are posted as JSON; best given by
    `BRIDGE_EVENT_LOG__WEBHOOK`."""
    webhook_token: str | None = Field(default=None, min_length=8)
    """Sent as bearer token to the webhook; best given by the environment."""

    @model_validator(mode="after")
    def _not_below_floors(self) -> Self:
        class_rules(self.retention, self.floors)
        return self


class ContractsSettings(Section):
    """Where the contracts are and how their event types begin."""

    dir: Path = Path("contracts")
    type_prefix: str = "com.example"
    """Reverse-DNS prefix of CloudEvents `type`."""
    protection_key_file: Path | None = None
    """File of at least 32 random bytes, readable by its owner only: the secret behind columns that
    contracts hash or turn into tokens. Losing it makes tokens unreadable; changing it, all hashes
    and tokens different."""


class GuardSettings(Section):
    """When the WAL that a slot holds is an alarm, and who hears of it."""

    interval_s: float = Field(default=10.0, ge=1.0, le=3_600.0)
    """Seconds between two looks at the slot; each is one query that reads shared memory."""
    warning_bytes: int = Field(default=1 << 30, ge=1 << 20)
    critical_bytes: int = Field(default=5 << 30, ge=1 << 20)
    """Retained WAL at which the level is raised; choose them well below the free disk."""
    warning_left_s: float = Field(default=21_600.0, ge=0)
    critical_left_s: float = Field(default=3_600.0, ge=0)
    """Time until `max_slot_wal_keep_size` is reached, at the present rate; 0 never alarms."""
    stall_s: float = Field(default=60.0, ge=1.0)
    """How long the server may have WAL for us and send nothing."""
    webhook: str | None = None
    """Where alarms are posted as JSON; best given by `BRIDGE_SOURCES__NAME__GUARD__WEBHOOK`."""
    webhook_token: str | None = Field(default=None, min_length=8)
    """Sent as bearer token to the webhook; best given by the environment."""
    drop_slot_bytes: int | None = Field(default=None, ge=1 << 20)
    """Retained WAL at which the slot is DROPPED, after a gap was recorded; never when absent."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.warning_bytes > self.critical_bytes:
            raise ValueError("warning_bytes must not be above critical_bytes")
        if self.warning_left_s < self.critical_left_s:
            raise ValueError("warning_left_s must not be below critical_left_s")
        if self.drop_slot_bytes is not None and self.drop_slot_bytes < self.critical_bytes:
            raise ValueError("drop_slot_bytes must not be below critical_bytes")
        return self


class MessagesSettings(Section):
    """What messages of the application (`pg_logical_emit_message`) mean."""

    context_prefix: str | None = Field(default="lb.context", min_length=1)
    """Messages with exactly this prefix say who changes the rows behind them in their transaction,
    and why; null: none does."""
    publish_prefixes: tuple[str, ...] = ()
    """Messages whose prefix begins with one of these become events; an empty text takes all."""


DriftPolicyName = Literal["continue", "park", "stop"]


class DriftSettings(Section):
    """What becomes of a table whose shape changes."""

    policy: DriftPolicyName = "park"
    """For a shape that breaks the contract: map what can be mapped, keep the table's rows aside
    until a person accepts, or end capture before the first of them."""
    tables: dict[str, DriftPolicyName] = Field(default_factory=dict)
    """Another policy for single tables, by `schema.table`."""
    keep_unmapped: bool = False
    """Whether rows kept aside also hold columns that no contract maps or drops: nobody has decided
    about these yet, and the log is kept for ever."""
    catalog_interval_s: float = Field(default=60.0, ge=1.0, le=86_400.0)
    """How often the catalog is compared with what it was; two queries of a few milliseconds."""


class SnapshotSettings(Section):
    """What reading tables may cost the source; the stream goes on meanwhile."""

    chunk_rows: int = Field(default=5_000, ge=1, le=100_000)
    """How many rows one short transaction reads at most; it is one commit of the log."""
    query_ms_target: int = Field(default=250, ge=5, le=30_000)
    """Chunks are sized so that each keeps the source busy for about this long."""
    duty: float = Field(default=0.5, gt=0, le=1)
    """The share of time in which the source is read; 1 reads without rests."""
    lag_bytes_max: int = Field(default=256 * 1024**2, ge=1024**2)
    """Nothing is read while the log is further behind the source than this."""
    keyless_rows_max: int = Field(default=10_000_000, ge=0)
    """A table without a key that has more rows than this is not read: the stream waits while such
    a table is read, and the source keeps its WAL."""


class SourceSettings(Section):
    """A legacy database to capture."""

    kind: Literal["postgres"] = "postgres"
    dsn: str
    """libpq URI or key-value string; best given by `BRIDGE_SOURCES__NAME__DSN`."""
    slot: str | None = Field(default=None, pattern=_NAME)
    """Replication slot; `bridge_NAME` when absent."""
    publication: str | None = Field(default=None, pattern=_NAME)
    """Publication; `bridge_NAME` when absent."""
    no_identity: Literal["insert_only", "refuse"] = "insert_only"
    """What becomes of a table without a usable replica identity, of which the server would refuse
    the application's own UPDATE if that were published: only its inserts and truncates are
    captured, or capture does not start."""
    guard: GuardSettings = GuardSettings()
    on_gap: Literal["stop", "resnapshot"] = "stop"
    """What follows when changes of the source are lost: wait for `source resume`, or read the
    tables again at once."""
    failover: Literal["auto", "off"] = "auto"
    """Whether the slot is created as a failover slot where the server has them (from 17 on)."""
    streaming: bool = True
    """Whether large transactions may come while they are open (PostgreSQL 14 and later), to be kept
    in `data_dir/spool/NAME` until they commit; else the source keeps them on its own disk."""
    stage_bytes_max: int = Field(default=STAGE_BYTES_MAX_DEFAULT, ge=16 * 1024**2)
    """How much all open transactions together may take in that folder."""
    origin: OriginFilter = "any"
    """`none` leaves out what the source itself got by replication (PostgreSQL 16 and later)."""
    messages: MessagesSettings = MessagesSettings()
    drift: DriftSettings = DriftSettings()
    snapshot: SnapshotSettings = SnapshotSettings()
    transactions: bool = False
    """Whether begin and end of each transaction become events too."""


SOURCE_KINDS: dict[str, type[SourceSettings] | type[PollingSettings]] = {
    "postgres": SourceSettings,
    "polling": PollingSettings,
}
"""Value of `kind` → what a source of that kind has; `postgres` when a source does not say."""


def _source_kind(given: Any) -> Any:
    if isinstance(given, dict):
        return given.get("kind", "postgres")
    return getattr(given, "kind", "postgres")


AnySource = Annotated[
    Annotated[SourceSettings, Tag("postgres")] | Annotated[PollingSettings, Tag("polling")],
    Discriminator(_source_kind),
]


class GroupSettings(Section):
    """A consumer group whose queue is made before its first consumer comes, so it misses nothing.

    Its queue is `c.NAME`; what it cannot handle goes to `c.NAME.park`.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,60}$")
    bind: tuple[str, ...] = ("#",)
    """Binding patterns of the topic exchange, e.g. `shop.order.*.v1`."""


class DeliverySettings(Section):
    """The broker that events are published to."""

    url: str
    """`amqp://user:password@host:port/vhost`; best given by `BRIDGE_DELIVERY__URL`."""
    exchange: str = "lb.events"
    groups: tuple[GroupSettings, ...] = ()


class Settings(Section):
    """Everything that a deployment decides."""

    data_dir: Path = Path("data")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    event_log: EventLogSettings = EventLogSettings()
    contracts: ContractsSettings = ContractsSettings()
    sources: dict[Annotated[str, Field(pattern=_NAME)], AnySource] = Field(default_factory=dict)
    delivery: DeliverySettings | None = None
    gateway: GatewaySettings | None = None
    control: ControlSettings | None = None
    telemetry: TelemetrySettings = TelemetrySettings()

    def source(self, name: str) -> SourceSettings | PollingSettings:
        """Return source `name`; raises `ConfigInvalid` when there is none."""
        found = self.sources.get(name)
        if found is None:
            known = ", ".join(sorted(self.sources)) or "none"
            raise ConfigInvalid(f"cannot find source {name!r}: configured sources are {known}")
        return found

    def replicated(self, name: str) -> SourceSettings:
        """Return source `name`; raises `ConfigInvalid` when there is none, or it is polled."""
        found = self.source(name)
        if isinstance(found, PollingSettings):
            raise ConfigInvalid(
                f"cannot do this with source {name!r}: it is polled, so nothing of ours is in it"
            )
        return found
