"""Tokens of a real openssl, and answers that are not to be believed."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest

from adapters.timestamp.authority import HttpTimestampAuthority
from bridge.demo.servers.ports import free_port
from bridge.model.errors import ConfigInvalid, DecodeError, UpstreamUnavailable
from tests.eventlog.timestamps.openssl_authority import Desk, OpensslAuthority, openssl, served

DATA = b"legacy-bridge.example/log\n300\nAAAA\n"


def test_a_token_is_verified_by_us_and_by_openssl(
    desk: Desk, url: str, authority: OpensslAuthority, tmp_path: Path
) -> None:
    token = HttpTimestampAuthority("local", url, ca_file=authority.ca_file).stamp(DATA)
    assert abs(token.time - datetime.now(UTC)) < timedelta(minutes=5)
    path = tmp_path / "token.tsr"
    path.write_bytes(token.der)
    said = openssl(
        "ts", "-verify", "-digest", sha256(DATA).hexdigest(), "-in", path, "-token_in",
        "-CAfile", authority.certificate("root"), "-untrusted", authority.certificate("middle"),
    )  # fmt: skip
    assert b"OK" in said
    assert len(desk.asked) == 1


@pytest.mark.parametrize("with_middle", [True, False])
def test_the_root_alone_is_enough_when_answers_have_the_rest(
    url: str, authority: OpensslAuthority, with_middle: bool
) -> None:
    ca_file = authority.ca_file if with_middle else authority.certificate("root")
    assert HttpTimestampAuthority("local", url, ca_file=ca_file).stamp(DATA).der


def test_without_a_ca_file_the_signature_is_left_to_others(url: str) -> None:
    assert HttpTimestampAuthority("local", url).stamp(DATA).der


def test_a_token_of_another_authority_is_refused(
    url: str, other_authority: OpensslAuthority
) -> None:
    asked = HttpTimestampAuthority("local", url, ca_file=other_authority.ca_file)
    with pytest.raises(DecodeError, match="does not lead to ca_file"):
        asked.stamp(DATA)


def test_a_signer_that_is_not_for_time_stamps_is_refused(tmp_path: Path) -> None:
    wrong = OpensslAuthority(tmp_path / "wrong", extensions="signer_extensions")
    wrong._issue("signer", "middle", "other_extensions")
    query = _query(DATA)
    # openssl itself refuses to sign with it.
    with pytest.raises(AssertionError):
        wrong.reply(query)


def _query(data: bytes) -> bytes:
    return openssl("ts", "-query", "-digest", sha256(data).hexdigest(), "-sha256", "-cert")


def test_a_token_over_something_else_is_refused(desk: Desk, url: str) -> None:
    desk.query = _query(b"something else")
    with pytest.raises(DecodeError, match="over something else"):
        HttpTimestampAuthority("local", url).stamp(DATA)


def test_a_token_for_another_request_is_refused(desk: Desk, url: str) -> None:
    desk.query = _query(DATA)  # It has a nonce of its own.
    with pytest.raises(DecodeError, match="nonce differs"):
        HttpTimestampAuthority("local", url).stamp(DATA)


def test_a_changed_token_is_refused(desk: Desk, url: str, authority: OpensslAuthority) -> None:
    asked = HttpTimestampAuthority("local", url, ca_file=authority.ca_file)
    real = authority.reply

    class Forger(Desk):
        def answer(self, query: bytes) -> tuple[int, bytes]:
            reply = bytearray(real(query))
            reply[-5] ^= 1  # The signature stands at the end.
            return 200, bytes(reply)

    with served(Forger(authority)) as address:
        forged = HttpTimestampAuthority("local", address, ca_file=authority.ca_file)
        with pytest.raises(DecodeError):
            forged.stamp(DATA)
    assert asked.stamp(DATA).der


def test_a_rejection_is_told(desk: Desk, url: str) -> None:
    desk.query = openssl("ts", "-query", "-digest", "00" * 20, "-sha1", "-cert")
    with pytest.raises(DecodeError, match="rejects the request"):
        HttpTimestampAuthority("local", url).stamp(DATA)


@pytest.mark.parametrize("body", [b"", b"nonsense", b"\x30\x03\x02\x01\x00"])
def test_what_is_no_answer_is_refused(desk: Desk, url: str, body: bytes) -> None:
    desk.body = body
    with pytest.raises(DecodeError):
        HttpTimestampAuthority("local", url).stamp(DATA)


@pytest.mark.parametrize(("status", "error"), [(500, UpstreamUnavailable), (400, DecodeError)])
def test_statuses_say_whether_to_ask_again(
    desk: Desk, url: str, status: int, error: type[Exception]
) -> None:
    desk.status = status
    with pytest.raises(error):
        HttpTimestampAuthority("local", url).stamp(DATA)


def test_who_is_away_is_waited_for() -> None:
    with pytest.raises(UpstreamUnavailable, match="ConnectionRefusedError"):
        HttpTimestampAuthority("local", f"http://127.0.0.1:{free_port()}").stamp(DATA)


def test_addresses_and_files_that_are_none_are_refused(
    authority: OpensslAuthority, tmp_path: Path
) -> None:
    with pytest.raises(ConfigInvalid, match="address"):
        HttpTimestampAuthority("local", "ftp://tsa")
    with pytest.raises(ConfigInvalid, match="No such file"):
        HttpTimestampAuthority("local", "http://tsa", ca_file=tmp_path / "absent")
    with pytest.raises(ConfigInvalid, match="no self-signed"):
        HttpTimestampAuthority("local", "http://tsa", ca_file=authority.certificate("middle"))
