"""Pseudonyms: names for entities and persons that only the holder of a key can tell apart.

They stand in leaves, which are shown to anybody and kept for ever. Equal inputs give equal
pseudonyms, so that entries of one entity can be counted; without the key nobody can try out what a
pseudonym stands for.
"""

import hmac
from dataclasses import dataclass, field
from typing import Final

KEY_BYTES: Final = 32
"""As strong as the hash that is keyed with it."""

_TAKEN_BYTES: Final = 16
"""128 bits: among 2^40 pseudonyms two that are equal by chance are rarer than 1 in 2^48."""


@dataclass(frozen=True, slots=True)
class Pseudonyms:
    """Makes pseudonyms with one secret key (HMAC-SHA-256, RFC 2104, its first 16 bytes)."""

    _key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self._key) != KEY_BYTES:
            raise ValueError(f"the key has {len(self._key)} bytes, needs {KEY_BYTES}")

    def entity(self, subject: str, key: str) -> str:
        """Return the pseudonym of the entity with `key` (JSON text) of contract `subject`."""
        return self._of(f"entity\n{subject}\n{key}")

    def person(self, kind: str, value: str) -> str:
        """Return the pseudonym of the data subject of `kind` that `value` names."""
        return self._of(f"person\n{kind}\n{value}")

    def _of(self, text: str) -> str:
        found = hmac.digest(self._key, text.encode("utf-8", "surrogateescape"), "sha256")
        return found[:_TAKEN_BYTES].hex()
