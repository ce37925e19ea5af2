"""The keys of a log over its life: which sign now, which did, and until when.

Pure. A ring is one small file beside the keys' own files; it is replaced as a whole, so it is the
one truth about which keys sign. A key comes in three steps, each of which may be the last before a
crash: its file is made, the ring announces it, and after its entry is in the log it signs.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from hashlib import sha256
from typing import Any

from bridge.eventlog.signing.note import VerifierKey
from bridge.model.errors import ConfigInvalid, DecodeError, LimitExceeded
from bridge.model.warrant import Actor, Warrant

RING_VERSION = 1

# A verifier has to accept 16 signatures of a note (C2SP signed-note): this leaves 12 to witnesses.
SIGNING_KEYS_MAX = 4


class KeyState(Enum):
    """How far a key has come."""

    ANNOUNCED = "announced"  # Set when the ring names it: its entry may not be in the log yet.
    SIGNING = "signing"  # Set after the log has the entry that it begins.
    RETIRED = "retired"  # Set after the log has the entry that it ends; its file is destroyed.


@dataclass(frozen=True, slots=True, kw_only=True)
class LogKey:
    """One key in the life of a log."""

    key: VerifierKey
    file: str
    """Name of the file of the private key, in the folder of the ring."""
    state: KeyState
    since: datetime
    until: datetime | None = None
    """When it ends; None while no other key follows it."""
    warrant: Warrant | None = None
    """Who asked for it; only until its entry says so."""

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name the key in entries."""
        return sha256(self.key.format().encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Keyring:
    """All keys that the log ever had, oldest first."""

    keys: tuple[LogKey, ...]

    @property
    def signing(self) -> tuple[LogKey, ...]:
        """The keys that sign now, the newest first; the first key signs before its entry, too."""
        found = [each for each in self.keys if each.state is KeyState.SIGNING]
        return tuple(found[::-1]) or self.announced[:1]

    @property
    def announced(self) -> tuple[LogKey, ...]:
        """The keys that wait for their entry."""
        return tuple(each for each in self.keys if each.state is KeyState.ANNOUNCED)

    @property
    def retired(self) -> tuple[LogKey, ...]:
        """The keys that must not sign any more."""
        return tuple(each for each in self.keys if each.state is KeyState.RETIRED)

    @property
    def known(self) -> tuple[VerifierKey, ...]:
        """Every key that ever signed for this log: a note by one of them is the log's own."""
        return tuple(each.key for each in self.keys)

    def ended(self, now: datetime) -> tuple[LogKey, ...]:
        """Return the keys whose time is over: never the newest one."""
        return tuple(
            each
            for each in self.signing
            if each.state is KeyState.SIGNING and each.until is not None and each.until <= now
        )

    def followed_by(self, new: LogKey, until: datetime) -> "Keyring":
        """Return the ring in which `new` is announced and the others end at `until` or before.

        Raises:
            LimitExceeded: too many keys sign already.
        """
        if len(self.signing) >= SIGNING_KEYS_MAX:
            ends = min(each.until for each in self.signing if each.until is not None)
            raise LimitExceeded(
                f"cannot rotate the log's key: {len(self.signing)} keys sign already; wait until "
                f"{ends:%Y-%m-%d %H:%M} UTC, when one of them ends"
            )
        olds = tuple(
            each
            if each.state is KeyState.RETIRED
            else replace(each, until=until if each.until is None else min(each.until, until))
            for each in self.keys
        )
        return Keyring((*olds, new))

    def changed(self, keys: Sequence[LogKey], state: KeyState) -> "Keyring":
        """Return the ring in which `keys` have come to `state`."""
        names = {each.key for each in keys}
        return Keyring(
            tuple(
                replace(each, state=state, warrant=None) if each.key in names else each
                for each in self.keys
            )
        )

    def format(self) -> bytes:
        """Return the ring's file: JSON, no secrets."""
        keys = [
            {
                "vkey": each.key.format(),
                "file": each.file,
                "state": each.state.value,
                "since": each.since.isoformat(),
                "until": None if each.until is None else each.until.isoformat(),
                "warrant": None if each.warrant is None else _warrant_json(each.warrant),
            }
            for each in self.keys
        ]
        return json.dumps({"version": RING_VERSION, "keys": keys}, indent=1).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> "Keyring":
        """Return the ring that `format` wrote; raises `ConfigInvalid` for anything else."""
        try:
            tree = json.loads(data)
            if tree["version"] != RING_VERSION:
                raise ValueError(f"version {tree['version']}")
            keys = tuple(_parse_key(each) for each in tree["keys"])
        except (ValueError, KeyError, TypeError, AttributeError, DecodeError) as exc:
            raise ConfigInvalid(f"cannot read the log's keyring: {exc!r}") from exc
        if not keys or all(each.state is KeyState.RETIRED for each in keys):
            raise ConfigInvalid("cannot use the log's keyring: no key in it may sign")
        return cls(keys)


def _warrant_json(warrant: Warrant) -> dict[str, Any]:
    return {"actor": warrant.actor.as_json(), "reason": warrant.reason, "ticket": warrant.ticket}


def _parse_key(tree: dict[str, Any]) -> LogKey:
    until, warrant = tree["until"], tree["warrant"]
    if "/" in tree["file"]:
        raise ValueError(f"file {tree['file']!r} is in another folder")
    return LogKey(
        key=VerifierKey.parse(tree["vkey"]),
        file=tree["file"],
        state=KeyState(tree["state"]),
        since=datetime.fromisoformat(tree["since"]),
        until=None if until is None else datetime.fromisoformat(until),
        warrant=None
        if warrant is None
        else Warrant(
            actor=Actor.from_json(warrant["actor"]),
            reason=warrant["reason"],
            ticket=warrant["ticket"],
        ),
    )
