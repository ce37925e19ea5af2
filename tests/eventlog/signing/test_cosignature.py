"""Cosignatures are what C2SP tlog-cosignature says, and nothing else is believed."""

import base64
import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from bridge.eventlog.signing.cosignature import (
    SIGNATURE_BYTES,
    TIME_S_MAX,
    CosignerKey,
    add_line,
    cosign,
    has_cosignature,
    verify,
)
from bridge.eventlog.signing.note import VerifierKey, open_note, sign_note, split_note
from bridge.model.errors import DecodeError, LogCorrupt
from tests.eventlog.examples import EXAMPLES

# The example of the specification (C2SP tlog-cosignature.md): it publishes no public keys, so its
# frame is what can be checked: who, which key, when.
EXAMPLE = """\
example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa \
Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 \
jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
""".encode()
EXAMPLE_TIME_S = 1_679_315_147

TEXT = "example.com/log\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
LOG = Ed25519PrivateKey.from_private_bytes(b"\x01" * 32)
WITNESS = Ed25519PrivateKey.from_private_bytes(b"\x02" * 32)
NAME = "witness.example.com/w1"
KEY = CosignerKey(name=NAME, public=WITNESS.public_key().public_bytes_raw())
NOTE = sign_note(TEXT, "example.com/log", LOG)


def test_the_example_of_the_specification_has_the_frame_it_says() -> None:
    text, signatures = split_note(EXAMPLE)
    assert text.startswith("example.com/behind-the-sofa\n20852163\n")
    log, witness = signatures
    assert len(log.signature) == 64
    assert (witness.name, witness.key_hash.hex()) == ("witness.example.com/w1", "8d66cf3f")
    assert len(witness.signature) == SIGNATURE_BYTES
    assert int.from_bytes(witness.signature[:8], "big") == EXAMPLE_TIME_S


@EXAMPLES
@given(time_s=st.integers(0, TIME_S_MAX), seed=st.binary(min_size=32, max_size=32))
def test_what_one_cosigns_the_other_verifies(time_s: int, seed: bytes) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    key = CosignerKey(name=NAME, public=private.public_key().public_bytes_raw())
    note = add_line(NOTE, cosign(TEXT, NAME, private, time_s))
    assert verify(note, key) == time_s
    assert CosignerKey.parse(key.format()) == key


def test_the_signed_message_is_the_one_of_the_specification() -> None:
    _, (_, line) = split_note(add_line(NOTE, cosign(TEXT, NAME, WITNESS, EXAMPLE_TIME_S)))
    message = b"cosignature/v1\ntime 1679315147\n" + TEXT.encode()
    WITNESS.public_key().verify(line.signature[8:], message)


def test_a_cosignature_does_not_disturb_the_signature_of_the_log() -> None:
    key = VerifierKey(name="example.com/log", public=LOG.public_key().public_bytes_raw())
    assert open_note(add_line(NOTE, cosign(TEXT, NAME, WITNESS, 1)), key) == TEXT


def test_the_same_key_has_another_id_as_log_and_as_witness() -> None:
    assert VerifierKey(name=NAME, public=KEY.public).key_hash != KEY.key_hash
    with pytest.raises(DecodeError, match="type 0x04"):
        CosignerKey.parse(VerifierKey(name=NAME, public=KEY.public).format())


def test_a_later_cosignature_of_the_same_key_replaces_the_earlier() -> None:
    once = add_line(NOTE, cosign(TEXT, NAME, WITNESS, 1))
    twice = add_line(once, cosign(TEXT, NAME, WITNESS, 2))
    assert (verify(twice, KEY), len(twice)) == (2, len(once))


def test_a_note_without_the_cosignature_is_not_cosigned() -> None:
    assert not has_cosignature(NOTE, KEY)
    with pytest.raises(LogCorrupt, match="has not made it"):
        verify(NOTE, KEY)


@EXAMPLES
@given(at=st.integers(0, SIGNATURE_BYTES - 1), bit=st.integers(0, 7))
def test_a_changed_bit_is_found(at: int, bit: int) -> None:
    _, (_, line) = split_note(add_line(NOTE, cosign(TEXT, NAME, WITNESS, EXAMPLE_TIME_S)))
    changed = bytearray(line.signature)
    changed[at] ^= 1 << bit
    data = base64.b64encode(line.key_hash + bytes(changed)).decode()
    with pytest.raises(LogCorrupt):
        verify(NOTE + f"\N{EM DASH} {NAME} {data}\n".encode(), KEY)


@pytest.mark.parametrize("bytes_count", [1, 8, 64, 71, 73])
def test_a_cosignature_of_another_length_is_refused(bytes_count: int) -> None:
    data = base64.b64encode(KEY.key_hash + bytes(bytes_count)).decode()
    with pytest.raises(LogCorrupt, match="72"):
        verify(NOTE + f"\N{EM DASH} {NAME} {data}\n".encode(), KEY)


@pytest.mark.parametrize("line", [b"", b"x\n", b"\n", cosign(TEXT, NAME, WITNESS, 1) * 2])
def test_only_one_signature_line_is_added(line: bytes) -> None:
    with pytest.raises(DecodeError):
        add_line(NOTE, line)


@EXAMPLES
@given(line=st.binary(max_size=200))
def test_bytes_from_a_witness_are_a_line_or_a_decode_error(line: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert split_note(add_line(NOTE, line))[0] == TEXT
