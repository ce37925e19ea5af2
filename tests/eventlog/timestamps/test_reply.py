"""Answers of an authority that were cut or changed on their way: read, or refused."""

from typing import Any

import pytest
import rfc3161_client

from adapters.timestamp.authority import HttpTimestampAuthority
from adapters.timestamp.reply import token_of, with_sorted_certificates
from bridge.model.errors import DecodeError
from tests.eventlog.timestamps.openssl_authority import OpensslAuthority

DATA = b"legacy-bridge.example/log\n300\nAAAA\n"


@pytest.fixture
def request_made() -> Any:
    builder = rfc3161_client.TimestampRequestBuilder().data(DATA)
    return builder.hash_algorithm(rfc3161_client.HashAlgorithm.SHA256).build()


@pytest.fixture
def reply(authority: OpensslAuthority, request_made: Any) -> bytes:
    return authority.reply(request_made.as_bytes())


def test_certificates_are_sorted_and_nothing_else_is_moved(reply: bytes) -> None:
    found = with_sorted_certificates(reply)
    assert found != reply, "openssl sends the signer's certificate first"
    assert sorted(found) == sorted(reply)
    assert with_sorted_certificates(found) == found
    with pytest.raises(ValueError, match="SetOrdering"):
        rfc3161_client.decode_timestamp_response(reply)
    # Kept is what came, not what was sorted.
    assert reply.endswith(token_of(reply))


def test_what_is_cut_at_any_byte_is_refused(
    authority: OpensslAuthority, reply: bytes, request_made: Any
) -> None:
    reader = HttpTimestampAuthority("local", "http://tsa", ca_file=authority.ca_file)
    assert reader.read(request_made, reply, DATA).der == token_of(reply)
    for end in range(len(reply)):
        with pytest.raises(DecodeError):
            reader.read(request_made, reply[:end], DATA)


def test_what_is_changed_in_any_byte_is_refused_or_says_the_same(
    authority: OpensslAuthority, reply: bytes, request_made: Any
) -> None:
    reader = HttpTimestampAuthority("local", "http://tsa", ca_file=authority.ca_file)
    honest = reader.read(request_made, reply, DATA)
    accepted = 0
    for place in range(len(reply)):
        changed = bytearray(reply)
        changed[place] ^= 0x41
        try:
            found = reader.read(request_made, bytes(changed), DATA)
        except DecodeError:
            continue
        accepted += 1
        # Names of algorithms and spare certificates are not under the signature.
        assert found.time == honest.time
    assert accepted < len(reply) // 2
