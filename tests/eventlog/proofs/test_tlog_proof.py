"""Proof files: what is written is read, what is shown holds, and what was changed is found."""

import base64
import contextlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from bridge.eventlog.merkle import EMPTY_FRONTIER, check_inclusion, leaf_hash, prove_inclusion
from bridge.eventlog.proofs.tlog_proof import HASHES_MAX, TlogProof, check_proof
from bridge.eventlog.signing.checkpoint import format_checkpoint, parse_checkpoint
from bridge.eventlog.signing.cosignature import CosignerKey
from bridge.eventlog.signing.note import VerifierKey, open_note, sign_note, split_note
from bridge.model.entry import TreeHead
from bridge.model.errors import DecodeError, LogCorrupt
from tests.eventlog.examples import EXAMPLES
from tests.eventlog.test_merkle import LeafReader

ORIGIN = "legacy-bridge.example/log"
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
KEY = VerifierKey(name=ORIGIN, public=PRIVATE.public_key().public_bytes_raw())
LEAVES = [b"leaf %d" % at for at in range(13)]


def made(index: int = 5, size: int = 13) -> TlogProof:
    """Return the proof of a leaf in a signed tree."""
    frontier, _ = EMPTY_FRONTIER.extend([leaf_hash(leaf) for leaf in LEAVES[:size]])
    head = TreeHead(size=size, root=frontier.root())
    return TlogProof(
        index=index,
        hashes=tuple(prove_inclusion(LeafReader(LEAVES), index, size)),
        checkpoint=sign_note(format_checkpoint(ORIGIN, head), ORIGIN, PRIVATE),
        extra=LEAVES[index],
    )


# The example of the specification (C2SP tlog-proof.md), whose signatures are abridged there.
EXAMPLE = """\
c2sp.org/tlog-proof@v1
extra YWdlLXYxLjIuMS1kYXJ3aW4tYXJtNjQudGFyLmd6kYXJ3aW4tYXJ
index 73894
gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=
EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=
RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=
AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=

example.com/fancylog
109482
sFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=

— example.com/fancylog hI2DJw==
"""

# project-oak/oak, tests of its tlog verifier: an entry of a log that was made by Tessera.
OAK_ENTRY = b"hello tesseroak\n"
OAK_INDEX, OAK_SIZE = 76_958, 76_959
OAK_HASHES = [
    "fGRlLyuz+L9Jb8+uTSut/2aVc4z7fKFW+clvsb6xjEM=",
    "F6LautOHD5eppkWC0xn/lz00X5g2yLlZAkl2jCI/wdE=",
    "qH7OJxFNup+TDvJuohd2HphKVngfMeMzUK8QChEDcas=",
    "+Y3g758yXtPCRh/eqhLTA3bdcx+cCV1Uah0JdgB0YEs=",
    "vq8cJSjj8dPVmFBRUqDLlaMqW6aAYR2GKugVhgudXLs=",
    "J0z3X5qTb9WFC1gABhVFx0bW1rVZRL+DAoBL2e2h4G4=",
    "NmSbYg25xNFzTRerIsF3HbEMyTIDqW87AQd9ekzopE8=",
    "L8BZipjURnkctkjJtGJs+YyTXMssvNKA7+a8nV2JT/s=",
    "pva4RFzCejMkVMVmYc93As2lbk7WAyrw58TvrzEOjNc=",
]
OAK_ROOT = "QYfrD7XAd4qUHbRBs4dDyDZwpZN4M/cccXr2G56pxkY="


def test_the_example_of_the_specification_is_read() -> None:
    proof = TlogProof.parse(EXAMPLE.encode())
    assert (proof.index, len(proof.hashes)) == (73_894, 5)
    assert proof.extra is not None
    assert proof.extra.startswith(b"age-v1.2.1-darwin-arm64.tar.gz")
    assert proof.checkpoint.startswith(b"example.com/fancylog\n109482\n")
    assert proof.format() == EXAMPLE.encode()


def test_a_proof_of_another_implementation_holds() -> None:
    hashes = tuple(base64.b64decode(line) for line in OAK_HASHES)
    root = base64.b64decode(OAK_ROOT)
    assert check_inclusion(leaf_hash(OAK_ENTRY), OAK_INDEX, OAK_SIZE, root, hashes)
    head = TreeHead(size=OAK_SIZE, root=root)
    note = sign_note(format_checkpoint(ORIGIN, head), ORIGIN, PRIVATE)
    proof = TlogProof(index=OAK_INDEX, hashes=hashes, checkpoint=note)
    assert check_proof(TlogProof.parse(proof.format()), leaf_hash(OAK_ENTRY), [KEY]) == head


@EXAMPLES
@given(
    index=st.integers(0, 2**63 - 1),
    hashes=st.lists(st.binary(min_size=32, max_size=32), max_size=HASHES_MAX),
    extra=st.none() | st.binary(max_size=100),
)
def test_what_is_written_is_read(index: int, hashes: list[bytes], extra: bytes | None) -> None:
    note = made().checkpoint
    proof = TlogProof(index=index, hashes=tuple(hashes), checkpoint=note, extra=extra)
    assert TlogProof.parse(proof.format()) == proof


@EXAMPLES
@given(data=st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_a_proof_or_a_decode_error(data: bytes) -> None:
    for given_bytes in (data, b"c2sp.org/tlog-proof@v1\n" + data):
        with contextlib.suppress(DecodeError):
            TlogProof.parse(given_bytes)


@EXAMPLES
@given(size=st.integers(1, 13), data=st.data())
def test_a_proof_shows_its_leaf_and_no_other(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    proof = made(index, size)
    assert check_proof(proof, leaf_hash(LEAVES[index]), [KEY]).size == size
    other = data.draw(st.integers(0, 12).filter(lambda at: at != index))
    with pytest.raises(LogCorrupt, match="is not entry"):
        check_proof(proof, leaf_hash(LEAVES[other]), [KEY])


def read_and_check(data: bytes) -> None:
    proof = TlogProof.parse(data)
    check_proof(proof, leaf_hash(proof.extra or b""), [KEY])


@EXAMPLES
@given(at=st.integers(0, len(made().format()) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found(at: int, bit: int) -> None:
    flipped = bytearray(made().format())
    flipped[at] ^= 1 << bit
    with pytest.raises((DecodeError, LogCorrupt)):
        read_and_check(bytes(flipped))


@pytest.mark.parametrize("end", range(len(made().format())))
def test_any_cut_is_found(end: int) -> None:
    with pytest.raises((DecodeError, LogCorrupt)):
        read_and_check(made().format()[:end])


def test_another_key_and_another_log_are_not_believed() -> None:
    stranger = VerifierKey(name=ORIGIN, public=bytes(31) + b"\x01")
    with pytest.raises(LogCorrupt, match="has not signed it"):
        check_proof(made(), leaf_hash(LEAVES[5]), [stranger])
    # A key that signs for another log, too, says nothing about this one.
    text, _ = split_note(made().checkpoint)
    elsewhere = sign_note(text, "other.example", PRIVATE)
    other = VerifierKey(name="other.example", public=KEY.public)
    proof = TlogProof(index=5, hashes=made().hashes, checkpoint=elsewhere)
    with pytest.raises(LogCorrupt, match="it is about log"):
        check_proof(proof, leaf_hash(LEAVES[5]), [other])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c2sp.org/tlog-proof@v2\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n\n",
        "c2sp.org/tlog-proof@v1\nindex notanumber\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 01\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex -1\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 99999999999999999999\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nextra !!notbase64!!\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nextra AB==\nindex 0\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 0\nextra AA==\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 0\nAAAA\n\ncheckpoint\n",
        "c2sp.org/tlog-proof@v1\nindex 0\n" + ("A" * 43 + "=\n") * 64 + "\ncheckpoint\n",
    ],
)
def test_a_malformed_proof_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="cannot read a proof"):
        TlogProof.parse(text.encode())


# FiloSottile/torchwood, testdata of litewitness: a checkpoint of another log, signed by another
# program; keys of other logs and witnesses from there, transparency-dev/formats and project-oak.
SIGSUM = (
    "sigsum.org/v1/tree/985ea163f5af026723561354f51f2ebcdcf2af809ce254ccfb64aa9aadd80f90\n"
    "1\n"
    "KgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
    "\n"
    "— sigsum.org/v1/tree/985ea163f5af026723561354f51f2ebcdcf2af809ce254ccfb64aa9aadd80f90 "
    "7BKT0gOfNZ1J0So9unY3BZtm2YkPIoNYM/dce0Z2avJDs8dxN6ts9bOSwwrVrbjm6P9K3ZxpK6jJngOG6YvGGzV/lwo=\n"
)
SIGSUM_KEY = "52c05edad1bf5feffa81354faae59a655d9a9a1a793ed2f62c39c26c0be2aecd"


def test_a_checkpoint_of_another_implementation_is_believed() -> None:
    name = SIGSUM.partition("\n")[0]
    key = VerifierKey(name=name, public=bytes.fromhex(SIGSUM_KEY))
    origin, head = parse_checkpoint(open_note(SIGSUM.encode(), key))
    assert (origin, head.size, head.root[0]) == (name, 1, 42)


@pytest.mark.parametrize(
    "vkey",
    [
        "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        "test-witness+26349ef0+BIQDFTUlktisMqJzWn8qhteWrRr4dLcQ9R37T+8LQyQF",
    ],
)
def test_keys_of_other_witnesses_are_read(vkey: str) -> None:
    assert CosignerKey.parse(vkey).format() == vkey


def test_keys_of_other_logs_are_read() -> None:
    vkey = "fake.log.origin/log+527eabb8+AddT9PtBhhNAsDYZ0V0euiRbXuvrLsw4L6vKARfipnmz"
    assert VerifierKey.parse(vkey).format() == vkey
