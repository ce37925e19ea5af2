"""Make values unreadable before they are logged: mask, keyed hash, token.

All three are functions of the column's text, the key and the scope alone, so that a replayed change
gives the same event. `hash` (HMAC-SHA-256) cannot be undone; `token` (AES-SIV) can, by who holds
the key; `mask` needs no key. Equal values of one scope give equal hashes and tokens, so that they
still join; another scope gives others. A hash of a value from a small set can be guessed only with
the key: keep it as you keep the values.
"""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.ciphers.aead import AESSIV

KEY_BYTES_MIN: Final = 32
"""As strong as the hash and the cipher that are keyed with it."""

_MASK: Final = "********"
_TOKEN_PREFIX: Final = "tok_"  # noqa: S105 - marks a token; no secret
_KINDS: Final = ("mask", "hash", "token")
_KEEP_LAST_MAX: Final = 8

Protect = Callable[[str | bytes], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """How one field is protected."""

    kind: str
    scope: str | None = None
    """Fields of one scope give equal results for equal values; None: the field's own scope."""
    keep_last: int = 0
    """How many characters at the end a mask leaves readable, of values at least twice as long."""


@dataclass(frozen=True, slots=True)
class ProtectionKeys:
    """The two keys that a deployment's one secret gives."""

    _hash_key: bytes = field(repr=False)
    _token_key: bytes = field(repr=False)

    @classmethod
    def derive(cls, secret: bytes) -> "ProtectionKeys":
        """Return the keys that come from `secret` (at least `KEY_BYTES_MIN` random bytes)."""
        if len(secret) < KEY_BYTES_MIN:
            raise ValueError(f"the key has {len(secret)} bytes, needs {KEY_BYTES_MIN}")
        return cls(_derived(secret, b"hash"), _derived(secret, b"token"))

    def hashed(self, value: str | bytes, scope: str) -> str:
        """Return 64 hex digits that only this key gives for this value."""
        scoped = scope.encode() + b"\0" + _bytes(value)
        return hmac.new(self._hash_key, scoped, hashlib.sha256).hexdigest()

    def token(self, value: str | bytes, scope: str) -> str:
        """Return a text from which `reveal` gets the value back."""
        # AES-SIV refuses the empty text; the mark in front also tells texts from bytes.
        marked = (b"b" if isinstance(value, bytes) else b"t") + _bytes(value)
        sealed = AESSIV(self._token_key).encrypt(marked, [scope.encode()])
        return _TOKEN_PREFIX + base64.urlsafe_b64encode(sealed).decode("ascii")

    def reveal(self, token: str, scope: str) -> str | bytes:
        """Return the value of a token; raises an error of `cryptography` for any other text."""
        sealed = base64.urlsafe_b64decode(token.removeprefix(_TOKEN_PREFIX))
        marked = AESSIV(self._token_key).decrypt(sealed, [scope.encode()])
        return marked[1:] if marked[:1] == b"b" else marked[1:].decode()


def masked(value: str | bytes, keep_last: int) -> str:
    """Return a mask; its length says nothing about the value's."""
    if keep_last and isinstance(value, str) and len(value) >= 2 * keep_last:
        return _MASK + value[-keep_last:]
    return _MASK


def protector(protection: Protection, keys: ProtectionKeys | None, own_scope: str) -> Protect:
    """Return the function that protects one field.

    Raises:
        ValueError: it needs a key and there is none.
    """
    if protection.kind == "mask":
        return lambda value: masked(value, protection.keep_last)
    if keys is None:
        raise ValueError
    scope = protection.scope or own_scope
    protect = keys.hashed if protection.kind == "hash" else keys.token
    return lambda value: protect(value, scope)


def protection_problems(field_type: str, tree: Any) -> Iterator[str]:
    """Yield what is wrong with a field's `protect`."""
    if field_type != "string":
        yield "a protected field has type 'string': its value is a text, whatever the column is"
    kind = tree.get("kind") if isinstance(tree, dict) else tree
    if kind not in _KINDS:
        yield f"'protect' is one of {', '.join(_KINDS)}, or {{kind: …, scope: …}}"
        return
    if not isinstance(tree, dict):
        return
    known = ("kind", "keep_last") if kind == "mask" else ("kind", "scope")
    for key in tree:
        if key not in known:
            yield f"'protect' by {kind!r} has no key {str(key)!r}; known here: {', '.join(known)}"
    if not isinstance(tree.get("scope", ""), str):
        yield "'scope' of 'protect' must be a text"
    keep_last = tree.get("keep_last", 0)
    if type(keep_last) is not int or not 0 <= keep_last <= _KEEP_LAST_MAX:
        yield f"'keep_last' of 'protect' must be a number from 0 to {_KEEP_LAST_MAX}"


def parse_protection(tree: Any) -> Protection | None:
    """Return what `protect` says; it has no `protection_problems`."""
    if tree is None:
        return None
    if isinstance(tree, str):
        return Protection(kind=tree)
    return Protection(
        kind=tree["kind"], scope=tree.get("scope"), keep_last=tree.get("keep_last", 0)
    )


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return hmac.new(secret, b"legacy-bridge " + purpose, hashlib.sha256).digest()


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
