"""Signed notes against what the reference implementation accepts and refuses.

golang.org/x/mod/sumdb/note, note_test.go (TestNewVerifier, TestNewSigner, TestOpen).
"""

import pytest

from bridge.eventlog.signing.note import (
    SIGNATURES_MAX,
    VerifierKey,
    has_signature,
    open_note,
    parse_private_key,
    split_note,
)
from bridge.model.errors import DecodeError, LogCorrupt
from tests.eventlog.test_note import PRIVATE, SIGNATURE, TEXT, VKEY

PETER = VerifierKey.parse(VKEY)
ENOCH = VerifierKey.parse("EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop")
ENOCH_SIGNATURE = (
    "— EnochRoot rwz+eBzmZa0SO3NbfRGzPCpDckykFXSdeX+MNtCOXm2/5n2tiOHp+vAF1aGrQ5ovTG01oOTGwnWLox33"
    "WWd1RvMc+QQ=\n"
)


def note(*lines: str) -> bytes:
    return f"{TEXT}\n{''.join(lines)}".encode()


@pytest.mark.parametrize("keys", [(PETER,), (ENOCH,), (PETER, ENOCH), (ENOCH, PETER, ENOCH)])
def test_a_note_by_two_is_opened_by_either(keys: tuple[VerifierKey, ...]) -> None:
    assert open_note(note(SIGNATURE, ENOCH_SIGNATURE), *keys) == TEXT


def test_a_note_is_not_opened_without_a_key() -> None:
    with pytest.raises(LogCorrupt, match="no key has not signed it"):
        open_note(note(SIGNATURE, ENOCH_SIGNATURE))


def test_a_wrong_signature_by_a_known_key_rejects_the_note() -> None:
    wrong = SIGNATURE[:60] + "ABCD" + SIGNATURE[60:]
    with pytest.raises(LogCorrupt, match="does not fit"):
        open_note(note(wrong), PETER)
    # Even beside a right one by another key.
    with pytest.raises(LogCorrupt, match="does not fit"):
        open_note(note(wrong, ENOCH_SIGNATURE), PETER, ENOCH)


def test_repeated_and_wrong_signatures_by_unknown_keys_are_passed_over() -> None:
    wrong = ENOCH_SIGNATURE[:60] + "ABCD" + ENOCH_SIGNATURE[60:]
    whole = note(SIGNATURE, SIGNATURE, ENOCH_SIGNATURE, ENOCH_SIGNATURE, wrong)
    assert open_note(whole, PETER) == TEXT


def test_too_many_signatures_are_refused() -> None:
    assert open_note(note(SIGNATURE * SIGNATURES_MAX), PETER) == TEXT
    with pytest.raises(DecodeError, match="more than 100"):
        open_note(note(SIGNATURE * (SIGNATURES_MAX + 1)), PETER)


@pytest.mark.parametrize(
    "message",
    [
        TEXT,
        TEXT + "\n",
        TEXT + "\n" + SIGNATURE[:-1],
        "\x01" + TEXT + "\n" + SIGNATURE,
        TEXT + "\n" + SIGNATURE.replace("PeterNeumann", "Bad Name"),
        TEXT + "\n" + SIGNATURE + "Unexpected line.\n",
    ],
)
def test_malformed_messages_are_refused(message: str) -> None:
    with pytest.raises(DecodeError, match="cannot read a note"):
        open_note(message.encode(), PETER)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(DecodeError, match="not UTF-8"):
        open_note(b"\xff" + note(SIGNATURE), PETER)


def test_a_line_with_one_of_name_and_hash_is_another_key_s() -> None:
    renamed = SIGNATURE.replace("PeterNeumann", "CarmenSandiego")
    rehashed = SIGNATURE.replace("x08g", "xxxx")
    assert not has_signature(note(renamed, rehashed), PETER)
    with pytest.raises(LogCorrupt, match="has not signed it"):
        open_note(note(renamed, rehashed), PETER)


def test_no_part_of_a_key_is_a_key() -> None:
    for text, parse in ((VKEY, VerifierKey.parse), (PRIVATE, parse_private_key)):
        spans = [
            text[start:stop]
            for start in range(len(text))
            for stop in range(start + 1, len(text) + 1)
            if (start, stop) != (0, len(text))
        ]
        for span in spans:
            with pytest.raises(DecodeError):
                parse(span)


@pytest.mark.parametrize(
    "vkey",
    [
        # The wrong length, and an unknown algorithm, each with a hash that fits.
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ],
)
def test_other_keys_are_refused(vkey: str) -> None:
    with pytest.raises(DecodeError):
        VerifierKey.parse(vkey)


def test_the_text_ends_at_the_last_empty_line() -> None:
    text, signatures = split_note("line one\n\nline two\n\n— n AAAAAAAAAA==\n".encode())
    assert (text, len(signatures)) == ("line one\n\nline two\n", 1)
