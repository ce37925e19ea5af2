"""Signed notes, as C2SP `signed-note` describes them: a text, an empty line, signatures.

Only Ed25519 signatures (type 0x01) are made and accepted here; lines by other keys are passed over,
as the specification asks, so that a log may change its key and a witness may add its own line
(type 0x04, see `cosignature`).
"""

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256
from typing import ClassVar, NamedTuple, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from bridge.model.errors import DecodeError, LogCorrupt

ED25519 = b"\x01"

PRIVATE_PREFIX = "PRIVATE+KEY"

# The limits of the reference implementation: a note is read by people.
SIGNATURES_MAX = 100
NOTE_BYTES_MAX = 1_000_000


class SignatureLine(NamedTuple):
    """One signature of a note, not yet believed."""

    name: str
    key_hash: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteKey:
    """A name and an Ed25519 public key; a subclass says for which type of signature.

    Raises:
        DecodeError: no key may have this name, or it has not 32 bytes.
    """

    signature_type: ClassVar[bytes]

    name: str
    public: bytes

    def __post_init__(self) -> None:
        check_key(self.name, self.public)

    @property
    def key_hash(self) -> bytes:
        """The 4 bytes that tell keys of one name apart."""
        return key_hash(self.name, self.signature_type, self.public)

    def format(self) -> str:
        """Return the vkey: `name+hash+base64`."""
        return format_vkey(self.name, self.signature_type, self.public)

    @classmethod
    def parse(cls, vkey: str) -> Self:
        """Return the key that `format` wrote; raises `DecodeError` for anything else."""
        name, public = parse_vkey(vkey, cls.signature_type)
        return cls(name=name, public=public)


class VerifierKey(NoteKey):
    """Whose signatures of notes we believe."""

    __slots__ = ()
    signature_type = ED25519


def sign_note(text: str, name: str, *privates: Ed25519PrivateKey) -> bytes:
    """Return the note of `text`, which ends with a line feed, signed by each key in turn."""
    assert text.endswith("\n"), "a note's text ends with a line feed"
    lines = [
        format_line(
            name,
            key_hash(name, ED25519, private.public_key().public_bytes_raw()),
            private.sign(text.encode()),
        )
        for private in privates
    ]
    return f"{text}\n{''.join(lines)}".encode()


def open_note(note: bytes, *keys: VerifierKey) -> str:
    """Return the text of `note`, which at least one of `keys` has signed.

    Raises:
        DecodeError: it is not a signed note.
        LogCorrupt: none of `keys` signed it, or a signature by one of them does not fit the text.
    """
    text, signatures = split_note(note)
    known = {(key.name, key.key_hash): key for key in keys}
    signed = False
    for name, key_id, signature in signatures:
        key = known.get((name, key_id))
        if key is None:
            continue
        verify_ed25519(key.name, key.public, signature, text.encode())
        signed = True
    if not signed:
        names = ", ".join(f"{key.name!r} ({key.key_hash.hex()})" for key in keys) or "no key"
        raise LogCorrupt(f"cannot believe a note: {names} has not signed it")
    return text


def has_signature(note: bytes, key: VerifierKey) -> bool:
    """Return whether `note` has a line by `key`, right or wrong; raises `DecodeError`."""
    _, signatures = split_note(note)
    return any((name, key_id) == (key.name, key.key_hash) for name, key_id, _ in signatures)


def verify_ed25519(name: str, public: bytes, signature: bytes, message: bytes) -> None:
    """Raise `LogCorrupt` unless `signature` by the key of `name` fits `message`."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError) as exc:
        raise LogCorrupt(
            f"cannot believe a note: its signature by {name!r} does not fit its text"
        ) from exc


def key_hash(name: str, kind: bytes, public: bytes) -> bytes:
    """Return the 4 bytes that tell keys of one name, and their uses, apart."""
    return sha256(name.encode() + b"\n" + kind + public).digest()[:4]


def check_key(name: str, public: bytes) -> None:
    """Raise `DecodeError` unless `name` may stand in a note and `public` can be an Ed25519 key."""
    if not name or "+" in name or any(c.isspace() or ord(c) < 0x20 for c in name):
        raise DecodeError(f"cannot use key name {name!r}: it is empty, or has '+' or space")
    if len(public) != 32:
        raise DecodeError(f"cannot use key {name!r}: {len(public)} bytes, an Ed25519 key has 32")


def format_vkey(name: str, kind: bytes, public: bytes) -> str:
    """Return a verifier key: `name+hash+base64(kind ‖ public)`."""
    return f"{name}+{key_hash(name, kind, public).hex()}+{_base64(kind + public)}"


def parse_vkey(vkey: str, kind: bytes) -> tuple[str, bytes]:
    """Return name and public key of a verifier key of `kind`; raises `DecodeError`."""
    name, key_id, data = _split_key(vkey, vkey, kind)
    if key_hash(name, kind, data[1:]).hex() != key_id:
        raise DecodeError(f"cannot read key {vkey!r}: its hash does not fit its name and key")
    return name, data[1:]


def format_private_key(name: str, private: Ed25519PrivateKey) -> str:
    """Return the signing key in the reference implementation's form; keep it secret."""
    key = VerifierKey(name=name, public=private.public_key().public_bytes_raw())
    seed = _base64(ED25519 + private.private_bytes_raw())
    return f"{PRIVATE_PREFIX}+{name}+{key.key_hash.hex()}+{seed}"


def parse_private_key(text: str) -> tuple[str, Ed25519PrivateKey]:
    """Return name and key; raises `DecodeError`, whose message does not hold the key."""
    if not text.startswith(PRIVATE_PREFIX + "+"):
        raise DecodeError(f"cannot read a signing key: it does not begin with {PRIVATE_PREFIX!r}")
    name, key_id, data = _split_key(text.removeprefix(PRIVATE_PREFIX + "+"), "signing key", ED25519)
    private = Ed25519PrivateKey.from_private_bytes(data[1:])
    key = VerifierKey(name=name, public=private.public_key().public_bytes_raw())
    if key.key_hash.hex() != key_id:
        raise DecodeError(f"cannot read signing key {name!r}: its hash does not fit")
    return name, private


def _split_key(text: str, shown: str, kind: bytes) -> tuple[str, str, bytes]:
    parts = text.split("+", 2)
    data = _unbase64(parts[2]) if len(parts) == 3 else None
    if data is None or data[:1] != kind or len(data) != 33:
        raise DecodeError(
            f"cannot read key {shown!r}: expected 'name+hash+base64' of an Ed25519 key of type "
            f"0x{kind.hex()}"
        )
    return parts[0], parts[1], data


def format_line(name: str, key_id: bytes, signature: bytes) -> str:
    """Return a signature line with its line feed."""
    return f"\N{EM DASH} {name} {_base64(key_id + signature)}\n"


def split_note(note: bytes) -> tuple[str, list[SignatureLine]]:
    """Return text and signature lines of a note; nothing is verified.

    Raises:
        DecodeError: it is not a signed note.
    """
    if len(note) > NOTE_BYTES_MAX:
        raise DecodeError(f"cannot read a note: more than {NOTE_BYTES_MAX} bytes")
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
        signatures.append(SignatureLine(name, data[:4], data[4:]))
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
