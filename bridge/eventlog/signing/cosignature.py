"""Cosignatures, as C2SP `tlog-cosignature` describes them: what a witness adds to a checkpoint.

Only the Ed25519 form (signature type 0x04): the signature is a time (POSIX seconds, 8 bytes,
big-endian) and an Ed25519 signature over `cosignature/v1`, `time SECONDS` and the whole text of the
checkpoint. It says: at that time this was the largest head of this log that I know, and it grew out
of every head that I knew before.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bridge.eventlog.signing.note import (
    NoteKey,
    format_line,
    split_note,
    verify_ed25519,
)
from bridge.model.errors import DecodeError, LogCorrupt

COSIGNATURE = b"\x04"

TIME_BYTES = 8
SIGNATURE_BYTES = TIME_BYTES + 64

TIME_S_MAX = 2**63 - 1


class CosignerKey(NoteKey):
    """Whose cosignatures we believe.

    One public key belongs to one cosigner name: what is signed does not hold the name.
    """

    __slots__ = ()
    signature_type = COSIGNATURE


def cosign(text: str, name: str, private: Ed25519PrivateKey, time_s: int) -> bytes:
    """Return the signature line of a cosigner under the checkpoint `text`, with its line feed.

    Args:
        text: the checkpoint's text, with its last line feed and without signatures.
        name: the cosigner.
        private: its key.
        time_s: now, in seconds since 1970 (POSIX).
    """
    assert text.endswith("\n"), "a note's text ends with a line feed"
    key = CosignerKey(name=name, public=private.public_key().public_bytes_raw())
    signature = time_s.to_bytes(TIME_BYTES, "big") + private.sign(_message(text, time_s))
    return format_line(name, key.key_hash, signature).encode()


def verify(note: bytes, key: CosignerKey) -> int:
    """Return when `key` cosigned `note`, in seconds since 1970 (POSIX).

    Of several lines by `key` the latest time counts; each of them has to be right.

    Raises:
        DecodeError: it is not a signed note.
        LogCorrupt: `key` has not cosigned it, or a cosignature by it does not fit.
    """
    text, signatures = split_note(note)
    times = []
    for name, key_id, signature in signatures:
        if (name, key_id) != (key.name, key.key_hash):
            continue
        time_s = int.from_bytes(signature[:TIME_BYTES], "big")
        if len(signature) != SIGNATURE_BYTES or time_s > TIME_S_MAX:
            raise LogCorrupt(
                f"cannot believe a cosignature by {name!r}: it has {len(signature)} bytes, not a "
                f"time and a signature ({SIGNATURE_BYTES})"
            )
        verify_ed25519(name, key.public, signature[TIME_BYTES:], _message(text, time_s))
        times.append(time_s)
    if not times:
        raise LogCorrupt(
            f"cannot believe a cosignature: {key.name!r} ({key.key_hash.hex()}) has not made it"
        )
    return max(times)


def has_cosignature(note: bytes, key: CosignerKey) -> bool:
    """Return whether `note` has a line by `key`, right or wrong; raises `DecodeError`."""
    _, signatures = split_note(note)
    return any((name, key_id) == (key.name, key.key_hash) for name, key_id, _ in signatures)


def add_line(note: bytes, line: bytes) -> bytes:
    """Return `note` with one more signature line, after the others.

    A line of the same name and key is replaced, so that a note does not grow when a witness
    cosigns the same checkpoint again at a later time.

    Raises:
        DecodeError: `note` is no signed note or `line` no signature line.
    """
    text, signatures = split_note(note)
    _, added = split_note(b"line\n\n" + line)
    if len(added) != 1:
        raise DecodeError(f"cannot add to a note: expected one signature line, found {len(added)}")
    kept = [each for each in signatures if each[:2] != added[0][:2]]
    lines = "".join(format_line(*each) for each in [*kept, *added])
    whole = f"{text}\n{lines}".encode()
    split_note(whole)  # It may have become too long.
    return whole


def _message(text: str, time_s: int) -> bytes:
    return f"cosignature/v1\ntime {time_s}\n{text}".encode()
