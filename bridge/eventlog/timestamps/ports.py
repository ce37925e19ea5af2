"""What time stamping asks of an authority and of our own stores."""

from datetime import datetime
from typing import NamedTuple, Protocol

from bridge.eventlog.ports import CheckpointStore


class Token(NamedTuple):
    """A verified answer of an authority."""

    der: bytes
    """The `TimeStampToken` (RFC 3161 section 2.4.2), to be kept."""
    time: datetime
    """When the authority says that it saw what was hashed (aware)."""


class TimestampAuthority(Protocol):
    """A time-stamp authority (RFC 3161)."""

    def stamp(self, data: bytes) -> Token:
        """Return a token over SHA-256 of `data`; it is verified as far as the settings allow.

        Raises:
            UpstreamUnavailable: no answer within a bounded time; ask again later.
            DecodeError: its answer is a refusal, or not what was asked for.
        """


class Places(Protocol):
    """A durable number for each name, which only grows; 0 when it was never stored."""

    def load(self, sink: str) -> int:
        """Return the number of `sink`."""

    def store(self, sink: str, next_index: int) -> None:
        """Keep it durably."""


class StampedLog(CheckpointStore, Protocol):
    """What stamping needs of a log: its checkpoints."""
