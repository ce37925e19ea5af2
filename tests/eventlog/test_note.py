"""Signed notes against the reference implementation's own vectors."""

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from bridge.eventlog.signing.checkpoint import format_checkpoint, parse_checkpoint
from bridge.eventlog.signing.note import (
    VerifierKey,
    format_private_key,
    has_signature,
    open_note,
    parse_private_key,
    sign_note,
)
from bridge.model.entry import TreeHead
from bridge.model.errors import DecodeError, LogCorrupt
from tests.eventlog.examples import EXAMPLES

# golang.org/x/mod/sumdb/note, note_test.go.
VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PRIVATE = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz"
TEXT = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
)
SIGNATURE = (
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvq"
    "fqdngotpRZb6KE6RyyBwJnAM=\n"
)
NOTE = f"{TEXT}\n{SIGNATURE}".encode()


def test_we_sign_the_reference_note_byte_for_byte() -> None:
    name, private = parse_private_key(PRIVATE)
    assert sign_note(TEXT, name, private) == NOTE
    assert format_private_key(name, private) == PRIVATE


def test_we_open_the_reference_note() -> None:
    key = VerifierKey.parse(VKEY)
    assert key.format() == VKEY
    assert open_note(NOTE, key) == TEXT
    assert has_signature(NOTE, key)


def test_signatures_by_others_are_passed_over() -> None:
    key = VerifierKey.parse(VKEY)
    other = sign_note(TEXT, "witness.example", Ed25519PrivateKey.generate())
    line = other.rpartition(b"\n\n")[2]
    both = NOTE + line
    assert open_note(both, key) == TEXT
    with pytest.raises(LogCorrupt, match="has not signed it"):
        open_note(other, key)


@EXAMPLES
@given(at=st.integers(0, len(NOTE) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found(at: int, bit: int) -> None:
    flipped = bytearray(NOTE)
    flipped[at] ^= 1 << bit
    with pytest.raises((DecodeError, LogCorrupt)):
        open_note(bytes(flipped), VerifierKey.parse(VKEY))


@pytest.mark.parametrize("end", range(len(NOTE)))
def test_any_cut_is_found(end: int) -> None:
    with pytest.raises((DecodeError, LogCorrupt)):
        open_note(NOTE[:end], VerifierKey.parse(VKEY))


@pytest.mark.parametrize("at", range(len(VKEY)))
def test_a_mangled_key_is_refused(at: int) -> None:
    with pytest.raises(DecodeError):
        VerifierKey.parse(VKEY[:at] + chr(ord(VKEY[at]) + 1) + VKEY[at + 1 :])
    with pytest.raises(DecodeError):
        VerifierKey.parse(VKEY[:at])


def test_the_error_for_a_signing_key_does_not_show_it() -> None:
    with pytest.raises(DecodeError) as caught:
        parse_private_key(PRIVATE[:-4] + "AAAA")
    assert PRIVATE[40:60] not in str(caught.value)


@EXAMPLES
@given(size=st.integers(0, 2**63), root=st.binary(min_size=32, max_size=32))
def test_checkpoints_are_read_as_they_are_written(size: int, root: bytes) -> None:
    head = TreeHead(size=size, root=root)
    assert parse_checkpoint(format_checkpoint("example.org/log", head)) == ("example.org/log", head)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "log\n",
        "log\n5\n",
        "log\n05\n" + "A" * 43 + "=\n",
        "log\n-5\n" + "A" * 43 + "=\n",
        "log\n5\nAAAA\n",
        "log\n5\n" + "A" * 43 + "=",
        "log\n5\n" + "!" * 43 + "=\n",
        "\n5\n" + "A" * 43 + "=\n",
    ],
)
def test_a_malformed_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="checkpoint"):
        parse_checkpoint(text)
