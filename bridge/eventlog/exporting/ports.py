"""What an export asks of others: contracts, opened fields, an index, signatures of witnesses."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

ContractFiles = Callable[[str, str], Mapping[str, bytes]]
"""Subject and version of a contract → its files by relative path; empty when it is not known."""

Progress = Callable[[str, int, int], None]
"""Hears of each step: its name, how much of it is done, of how much."""


class SealedEntry(NamedTuple):
    """An entry of which fields are sealed."""

    leaf_index: int
    leaf: bytes
    payload: bytes


class Opened(NamedTuple):
    """A sealed item that could be opened."""

    leaf_index: int
    """The entry's."""
    item: int
    """Which of the leaf's `fields.sealed`, from 0."""
    plaintext: bytes
    """32 random bytes and a JSON object from path to value; its SHA-256 is the leaf's `commit`."""


class Opener(Protocol):
    """Opens sealed fields."""

    def open(self, entries: Sequence[SealedEntry]) -> Sequence[Opened]:
        """Return what can be opened of `entries`, in their order; what was erased is left out."""


class Selector(Protocol):
    """Finds entries by business values, with an index over payloads."""

    def indices(self, conditions: Sequence[str], start: int, stop: int) -> Iterator[int]:
        """Return the entries of `[start, stop)` that fit all conditions, ascending.

        Raises:
            ConfigInvalid: a condition is malformed, or names a field that no contract declares.
        """


class Cosigner(Protocol):
    """Has checkpoints signed by witnesses."""

    def __call__(self, size: int, note: bytes) -> bytes:
        """Return `note`, with the signatures of witnesses that are to be had in time."""


def no_contract(subject: str, version: str) -> Mapping[str, bytes]:
    """Know no contract."""
    return {}


def no_progress(step: str, done: int, total: int) -> None:
    """Hear nothing."""
