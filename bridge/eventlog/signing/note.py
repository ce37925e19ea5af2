"""Signed notes, as C2SP `signed-note` describes them: a text, an empty line, signatures.

Only Ed25519 signatures (type 0x01) are made and accepted; lines by other keys are passed over, as
the specification asks, so that a witness may add its own.
"""

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bridge.model.errors import DecodeError, LogCorrupt

ED25519 = b"\x01"

PRIVATE_PREFIX = "PRIVATE+KEY"

# The limit of the reference implementation: a note is read by people.
SIGNATURES_MAX = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """Whose signatures we believe: a name and an Ed25519 public key."""

    name: str
    public: bytes

    def __post_init__(self) -> None:
        if not self.name or "+" in self.name or any(map(str.isspace, self.name)):
            raise DecodeError(
                f"cannot use key name {self.name!r}: it is empty, or has '+' or space"
            )
        if len(self.public) != 32:
            raise DecodeError(
                f"cannot use key {self.name!r}: {len(self.public)} bytes, an Ed25519 key has 32"
            )

    @property
    def key_hash(self) -> bytes:
        """The 4 bytes that tell keys of one name apart."""
        return sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def format(self) -> str:
        """Return the vkey: `name+hash+base64`."""
        return f"{self.name}+{self.key_hash.hex()}+{_base64(ED25519 + self.public)}"

    @classmethod
    def parse(cls, vkey: str) -> "VerifierKey":
        """Return the key that `format` wrote; raises `DecodeError` for anything else."""
        name, key_hash, data = _split_key(vkey, vkey)
        key = cls(name=name, public=data[1:])
        if key.key_hash.hex() != key_hash:
            raise DecodeError(f"cannot read key {vkey!r}: its hash does not fit its name and key")
        return key


def sign_note(text: str, name: str, private: Ed25519PrivateKey) -> bytes:
    """Return the note of `text`, which ends with a line feed."""
    assert text.endswith("\n"), "a note's text ends with a line feed"
    key = VerifierKey(name=name, public=private.public_key().public_bytes_raw())
    signature = _base64(key.key_hash + private.sign(text.encode()))
    return f"{text}\n\N{EM DASH} {name} {signature}\n".encode()


def open_note(note: bytes, key: VerifierKey) -> str:
    """Return the text of `note`, which `key` has signed.

    Raises:
        DecodeError: it is not a signed note.
        LogCorrupt: it is not signed by `key`, or its signature does not fit the text.
    """
    text, signatures = _split_note(note)
    for name, key_hash, signature in signatures:
        if name != key.name or key_hash != key.key_hash:
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, text.encode())
        except InvalidSignature as exc:
            raise LogCorrupt(
                f"cannot believe a note: its signature by {name!r} does not fit its text"
            ) from exc
        return text
    raise LogCorrupt(
        f"cannot believe a note: {key.name!r} ({key.key_hash.hex()}) has not signed it"
    )


def has_signature(note: bytes, key: VerifierKey) -> bool:
    """Return whether `note` has a line by `key`, right or wrong; raises `DecodeError`."""
    _, signatures = _split_note(note)
    return any((name, key_hash) == (key.name, key.key_hash) for name, key_hash, _ in signatures)


def format_private_key(name: str, private: Ed25519PrivateKey) -> str:
    """Return the signing key in the reference implementation's form; keep it secret."""
    key = VerifierKey(name=name, public=private.public_key().public_bytes_raw())
    seed = _base64(ED25519 + private.private_bytes_raw())
    return f"{PRIVATE_PREFIX}+{name}+{key.key_hash.hex()}+{seed}"


def parse_private_key(text: str) -> tuple[str, Ed25519PrivateKey]:
    """Return name and key; raises `DecodeError`, whose message does not hold the key."""
    if not text.startswith(PRIVATE_PREFIX + "+"):
        raise DecodeError(f"cannot read a signing key: it does not begin with {PRIVATE_PREFIX!r}")
    name, key_hash, data = _split_key(text.removeprefix(PRIVATE_PREFIX + "+"), "signing key")
    private = Ed25519PrivateKey.from_private_bytes(data[1:])
    key = VerifierKey(name=name, public=private.public_key().public_bytes_raw())
    if key.key_hash.hex() != key_hash:
        raise DecodeError(f"cannot read signing key {name!r}: its hash does not fit")
    return name, private


def _split_key(text: str, shown: str) -> tuple[str, str, bytes]:
    parts = text.split("+", 2)
    data = _unbase64(parts[2]) if len(parts) == 3 else None
    if data is None or data[:1] != ED25519 or len(data) != 33:
        raise DecodeError(
            f"cannot read key {shown!r}: expected 'name+hash+base64' of an Ed25519 key"
        )
    return parts[0], parts[1], data


def _split_note(note: bytes) -> tuple[str, list[tuple[str, bytes, bytes]]]:
    try:
        whole = note.decode()
    except UnicodeDecodeError as exc:
        raise DecodeError(f"cannot read a note: it is not UTF-8 (byte {exc.start})") from exc
    text, blank, lines = whole.rpartition("\n\n")
    if not blank or not lines.endswith("\n") or any(ord(c) < 0x20 and c != "\n" for c in whole):
        raise DecodeError("cannot read a note: expected a text, an empty line, and signatures")
    signatures = []
    for line in lines.removesuffix("\n").split("\n")[: SIGNATURES_MAX + 1]:
        dash, _, rest = line.partition(" ")
        name, _, encoded = rest.partition(" ")
        data = _unbase64(encoded)
        if dash != "\N{EM DASH}" or not name or data is None or len(data) < 5:
            raise DecodeError("cannot read a note: a signature line is malformed")
        signatures.append((name, data[:4], data[4:]))
    if len(signatures) > SIGNATURES_MAX:
        raise DecodeError(f"cannot read a note: more than {SIGNATURES_MAX} signatures")
    return text + "\n", signatures


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unbase64(text: str) -> bytes | None:
    """Return the bytes, or None unless `text` is exactly how they are written."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _base64(data) == text else None
