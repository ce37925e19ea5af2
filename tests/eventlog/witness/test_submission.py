"""The bytes between a log and a witness."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.eventlog.witness.submission import (
    PROOF_LINES_MAX,
    SUBMISSION_BYTES_MAX,
    format_submission,
    parse_size,
    parse_submission,
)
from bridge.model.errors import DecodeError

# The example of C2SP tlog-witness.
EXAMPLE = """old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\N{EM DASH} example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/\
Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
""".encode()

HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=PROOF_LINES_MAX)


def test_the_example_of_the_specification_is_read() -> None:
    found = parse_submission(EXAMPLE)
    assert found.old_size == 20_852_014
    assert len(found.proof) == 4
    assert found.note.startswith(b"example.com/behind-the-sofa\n20852163\n")
    assert format_submission(found.old_size, found.proof, found.note) == EXAMPLE


@given(st.integers(min_value=0, max_value=2**63 - 1), HASHES, st.binary(min_size=1, max_size=200))
def test_what_is_written_is_read(old_size: int, proof: list[bytes], note: bytes) -> None:
    found = parse_submission(format_submission(old_size, proof, note))
    assert (found.old_size, list(found.proof), found.note) == (old_size, proof, note)


@given(st.binary(max_size=400))
def test_noise_is_refused_or_read_but_never_fails_otherwise(body: bytes) -> None:
    try:
        found = parse_submission(body)
    except DecodeError:
        return
    assert format_submission(found.old_size, found.proof, found.note) == body


@given(st.integers(min_value=0, max_value=len(EXAMPLE) - 1), st.binary(min_size=1, max_size=1))
def test_each_changed_byte_is_refused_or_kept(place: int, byte: bytes) -> None:
    body = EXAMPLE[:place] + byte + EXAMPLE[place + 1 :]
    try:
        found = parse_submission(body)
    except DecodeError:
        return
    assert format_submission(found.old_size, found.proof, found.note) == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"old 1\n",
        b"old 1\n\n",
        b"new 1\n\nnote",
        b"old\n\nnote",
        b"old 01\n\nnote",
        b"old +1\n\nnote",
        b"old -1\n\nnote",
        b"old 1 \n\nnote",
        b"old \xd9\xa1\n\nnote",  # An Arabic digit.
        b"old 9223372036854775808\n\nnote",
        b"old " + b"9" * 5_000 + b"\n\nnote",
        b"old 1\nAAAA\n\nnote",
        b"old 1\n" + base64.b64encode(bytes(32)).rstrip(b"=") + b"\n\nnote",
        b"old 1\n" + (base64.b64encode(bytes(32)) + b"\n") * 64 + b"\nnote",
        b"old 1\n\n" + b"x" * SUBMISSION_BYTES_MAX,
    ],
)
def test_what_is_not_a_submission_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_submission(body)


@pytest.mark.parametrize("text", [b"", b"00", b"1\n", b"1.0", b" 1", b"1_0"])
def test_what_is_not_a_size_is_refused(text: bytes) -> None:
    with pytest.raises(DecodeError):
        parse_size(text)
