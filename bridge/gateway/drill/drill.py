"""A drill: a fault that an operator lets a test cohort meet for a bounded time."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from bridge.gateway.routes.cohort import bucket_of, in_cohort
from bridge.model.errors import ConfigInvalid
from bridge.model.stage import Side

SECONDS_MAX: Final = 3_600.0
"""A rehearsal that takes longer than an hour is an outage: start another one."""
SHARE_PERCENT_MAX: Final = 50.0
"""Most keys keep what they have, unless somebody insists (`force`)."""
KEYS_MAX: Final = 1_000
"""A list that somebody typed or pasted; more keys are a share."""
_DELAY_S_MAX: Final = 60.0
_DURATION: Final = re.compile(r"^([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s|m|h)$")
_UNIT_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0}
_TOKEN: Final = re.compile(r"^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,80}$")
_VALUE: Final = re.compile(r"^[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?$")


class FaultKind(Enum):
    """What becomes of a request of the cohort."""

    DELAY = "delay"  # It is sent later by so much: the side is slow.
    STATUS = "status"  # It is not sent; the answer is this status.
    CUT = "cut"  # It is sent; its answer is thrown away and the connection seems lost.
    REFUSE = "refuse"  # It is not sent; no connection can be made.


class Touch(Enum):
    """What kind of request a drill may touch."""

    READS = "reads"  # Requests of clients with safe methods, on routes that do not write.
    REPLAYS = "replays"  # Journalled writes on their way to this side.
    WRITES = "writes"  # Writes of which this side is the authority; only when asked for.


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault, as `delay:800ms`, `status:503`, `cut` or `refuse`."""

    kind: FaultKind
    delay_s: float = 0.0
    status: int = 0

    def __str__(self) -> str:
        if self.kind is FaultKind.DELAY:
            return f"delay:{self.delay_s * 1000:.0f}ms"
        return f"status:{self.status}" if self.kind is FaultKind.STATUS else self.kind.value

    @property
    def never_executed(self) -> bool:
        """Whether a request that meets it was provably not carried out, and says so."""
        return self.kind is FaultKind.REFUSE or (
            self.kind is FaultKind.STATUS and self.status == 503
        )


def fault_of(text: str) -> Fault:
    """Return the fault that `text` names; raises `ConfigInvalid`."""
    name, colon, rest = text.partition(":")
    if name in ("cut", "refuse") and not colon:
        return Fault(kind=FaultKind(name))
    if name == "status" and rest.isdecimal() and len(rest) == 3 and 400 <= int(rest) <= 599:
        return Fault(kind=FaultKind.STATUS, status=int(rest))
    if name == "delay" and rest:
        delay_s = duration_s(rest)
        if delay_s <= _DELAY_S_MAX:
            return Fault(kind=FaultKind.DELAY, delay_s=delay_s)
    raise ConfigInvalid(
        f"cannot start a drill: no fault is called {text!r}; known: delay:800ms (up to 60 s),"
        " status:503 (400 to 599), cut, refuse"
    )


def duration_s(text: str) -> float:
    """Return the seconds of `800ms`, `90s`, `5m` or `1h`; raises `ConfigInvalid`."""
    found = _DURATION.match(text)
    if found is None or float(found[1]) == 0:
        raise ConfigInvalid(f"cannot read the time {text!r}: write 800ms, 90s, 5m or 1h")
    return float(found[1]) * _UNIT_S[found[2]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cohort:
    """Whose requests are touched: what fits any of the three."""

    keys: frozenset[str] = frozenset()
    """Keys as clients write them, or names of their lanes."""
    header: tuple[str, str] | None = None
    """A field that testers send, and its value."""
    share_percent: float = 0.0
    """Share of the group's keys: the same that a ramp takes first (see `routes.cohort`)."""

    @property
    def by_key(self) -> bool:
        """Whether a request's key has to be known."""
        return bool(self.keys or self.share_percent)

    def has_key(self, salt: str, lane: str | None) -> bool:
        """Whether the requests of a lane belong to it."""
        if lane is None:
            return False
        if lane in self.keys or lane.partition(":")[2] in self.keys:
            return True
        share = self.share_percent
        return share > 0 and in_cohort(bucket_of(salt, lane), share)

    def has_line(self, lines: Sequence[bytes]) -> bool:
        """Whether one of a request's field lines is the marker."""
        if self.header is None:
            return False
        name, value = (text.encode("ascii") for text in self.header)
        lower = name.lower()
        for line in lines:
            if line[: len(lower)].lower() == lower:
                found, colon, rest = line.partition(b":")
                if colon and found.lower() == lower and rest.strip(b" \t") == value:
                    return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """One drill, as every process of the gateway reads it."""

    drill_id: str
    group: str
    route: str | None
    """One route of the group; None for all."""
    side: Side
    fault: Fault
    touches: frozenset[Touch]
    cohort: Cohort
    epoch: int
    """The group's epoch when it began: any switch of the group ends it."""
    started_at: float
    """Seconds since 1970, as the other times."""
    ends_at: float
    actor: str
    ticket: str
    stopped_at: float | None = None

    @property
    def seconds(self) -> float:
        """How long it may last."""
        return self.ends_at - self.started_at

    def is_due(self, now: float) -> bool:
        """Whether it should be on at `now`, as far as its file tells."""
        # A clock that was set back makes no drill longer than it was meant to be.
        return self.stopped_at is None and self.started_at - 5 <= now < self.ends_at

    def as_json(self) -> dict[str, Any]:
        """Return it as its file has it."""
        cohort = self.cohort
        return {
            "drill_id": self.drill_id,
            "group": self.group,
            "route": self.route,
            "side": self.side.value,
            "fault": str(self.fault),
            "touches": sorted(touch.value for touch in self.touches),
            "keys": sorted(cohort.keys),
            "header": None if cohort.header is None else list(cohort.header),
            "share_percent": cohort.share_percent,
            "epoch": self.epoch,
            "started_at": self.started_at,
            "ends_at": self.ends_at,
            "actor": self.actor,
            "ticket": self.ticket,
            "stopped_at": self.stopped_at,
        }


def drill_from(value: dict[str, Any]) -> Drill:
    """Return the drill of a file; raises `ValueError`, `KeyError` or `TypeError` for another."""
    header = value["header"]
    return Drill(
        drill_id=str(value["drill_id"]),
        group=str(value["group"]),
        route=value["route"],
        side=Side(value["side"]),
        fault=_stored_fault(value["fault"]),
        touches=frozenset(Touch(each) for each in value["touches"]),
        cohort=Cohort(
            keys=frozenset(value["keys"]),
            header=None if header is None else (str(header[0]), str(header[1])),
            share_percent=float(value["share_percent"]),
        ),
        epoch=int(value["epoch"]),
        started_at=float(value["started_at"]),
        ends_at=float(value["ends_at"]),
        actor=str(value["actor"]),
        ticket=str(value["ticket"]),
        stopped_at=None if value["stopped_at"] is None else float(value["stopped_at"]),
    )


def _stored_fault(text: str) -> Fault:
    try:
        return fault_of(text)
    except ConfigInvalid as exc:
        raise ValueError(str(exc)) from exc


def check_request(
    fault: Fault, touches: frozenset[Touch], cohort: Cohort, seconds: float, *, force: bool
) -> None:
    """Raise `ConfigInvalid` for a drill that cannot be meant, or goes over a limit."""
    if not 1 <= seconds <= SECONDS_MAX:
        raise no(f"it would last {seconds:g} s; 1 s to {SECONDS_MAX / 60:.0f} minutes are allowed")
    if not touches:
        raise no("it would touch nothing; leave it reads or replays")
    if Touch.WRITES in touches and not fault.never_executed:
        raise no(
            f"fault {str(fault)!r} would leave writes in doubt; with writes only 'refuse' and"
            " 'status:503' are allowed, which provably execute nothing"
        )
    if not cohort.by_key and cohort.header is None:
        raise no("it has no cohort; name keys, a header, or a share of the keys")
    if len(cohort.keys) > KEYS_MAX:
        raise no(f"{len(cohort.keys)} keys are named, at most {KEYS_MAX} are allowed; use a share")
    if not 0 <= cohort.share_percent <= 100:
        raise no(f"a share of {cohort.share_percent:g} % is none; from 0 to 100")
    if cohort.share_percent > SHARE_PERCENT_MAX and not force:
        raise no(
            f"a share of {cohort.share_percent:g} % is more than {SHARE_PERCENT_MAX:g} %; if that"
            " is meant, force it"
        )


def no(why: str) -> ConfigInvalid:
    """Return why a drill is not started."""
    return ConfigInvalid(f"cannot start a drill: {why}")


def header_of(text: str) -> tuple[str, str]:
    """Return the marker `NAME: VALUE`; raises `ConfigInvalid`."""
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not _TOKEN.match(name) or not _VALUE.match(value):
        raise no("a header reads 'NAME: VALUE', as 'X-Drill: yes'")
    return name, value
