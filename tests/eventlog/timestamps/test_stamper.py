"""When checkpoints are stamped, and what is an alarm."""

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from adapters.timestamp.authority import HttpTimestampAuthority
from bridge.eventlog.ports import EventLogStore
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.signing.note import split_note
from bridge.eventlog.timestamps.ports import Token
from bridge.eventlog.timestamps.stamper import LATE_S, Stamper, StampStanding
from bridge.model.errors import DecodeError, UpstreamUnavailable
from bridge.storage.event_log.memory import MemoryEventLog
from bridge.storage.sink_cursors import SqliteSinkCursors
from tests.eventlog.drafts import drafts
from tests.eventlog.timestamps.openssl_authority import OpensslAuthority, openssl
from tests.eventlog.witness.logs import signer_in
from tests.waiting import RecordingObserver

START = 1_700_000_000.0


class FakeAuthority:
    """Stamps at once, or fails as it is told."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.stamped: list[bytes] = []

    def stamp(self, data: bytes) -> Token:
        if self.failure is not None:
            raise self.failure
        self.stamped.append(data)
        return Token(b"token over " + sha256(data).digest(), datetime.now(UTC))


class Stage:
    """A signed log, an authority, and a clock that tests move."""

    def __init__(self, folder: Path) -> None:
        self.now = START
        self.log = MemoryEventLog()
        self.signer = HeadSigner(signer_in(folder), self.log)
        self.authority = FakeAuthority()
        self.places = SqliteSinkCursors(folder / "state.db")
        self.observer = RecordingObserver()
        self.stamper = self.restarted()

    def restarted(self) -> Stamper:
        return Stamper(
            "tsa",
            self.authority,
            self.log,
            self.places,
            interval_s=86_400,
            observer=self.observer,
            clock=lambda: self.now,
        )

    def grow(self, count: int) -> None:
        size = self.log.head().size
        self.log.append(drafts(size, size + count))
        self.signer.sign()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_the_newest_checkpoint_is_stamped_daily(stage: Stage) -> None:
    assert stage.stamper.step() is None
    stage.grow(10)
    assert stage.stamper.step() is StampStanding.OK
    assert list(stage.log.tokens(10)) == ["tsa"]
    stage.grow(10)
    stage.now += 86_399
    stage.stamper.step()
    assert stage.log.tokens(20) == {}
    stage.now += 1
    stage.stamper.step()
    assert list(stage.log.tokens(20)) == ["tsa"]
    assert stage.observer.notes("timestamp")[-1].facts["tsa.size"] == 20


def test_what_is_hashed_is_the_text_without_signatures(stage: Stage) -> None:
    stage.grow(10)
    stage.stamper.step()
    _, note = stage.log.latest_checkpoint() or (0, b"")
    text, _ = split_note(note)
    assert stage.authority.stamped == [text.encode()]
    assert len(text.splitlines()) == 3


def test_a_log_that_did_not_grow_keeps_its_earlier_token(stage: Stage) -> None:
    stage.grow(10)
    stage.stamper.step()
    stage.now += 10 * 86_400
    stage.signer.sign()
    assert stage.stamper.step() is StampStanding.OK
    assert len(stage.authority.stamped) == 1


def test_a_restart_does_not_stamp_again(stage: Stage) -> None:
    stage.grow(10)
    stage.stamper.step()
    stage.grow(10)
    stage.now += 60
    stage.stamper = stage.restarted()
    stage.stamper.step()
    assert len(stage.authority.stamped) == 1


def test_an_authority_that_is_away_is_an_alarm_after_a_while(stage: Stage) -> None:
    stage.grow(10)
    stage.authority.failure = UpstreamUnavailable("away")
    assert stage.stamper.step() is StampStanding.OK
    stage.now += LATE_S + 1
    assert stage.stamper.step() is StampStanding.LATE
    stage.observer.await_note("timestamp_raised", authority="tsa", to_standing="late")
    stage.authority.failure = None
    stage.now += LATE_S
    assert stage.stamper.step() is StampStanding.OK
    stage.observer.await_note("timestamp_lowered", authority="tsa")
    assert list(stage.log.tokens(10)) == ["tsa"]


def test_an_answer_that_is_not_believed_is_an_alarm_at_once(stage: Stage) -> None:
    stage.grow(10)
    stage.authority.failure = DecodeError("the nonce differs")
    assert stage.stamper.step() is StampStanding.REFUSED
    assert stage.log.tokens(10) == {}


def test_who_is_away_is_not_asked_at_every_look(stage: Stage) -> None:
    stage.grow(10)
    stage.authority.failure = UpstreamUnavailable("away")
    for _ in range(720):
        stage.stamper.step()
        stage.now += 5
    assert 5 <= len(stage.observer.notes("timestamp_failed")) <= 15


def test_a_token_is_kept_in_each_store_and_verified_by_openssl(
    log: EventLogStore, url: str, authority: OpensslAuthority, tmp_path: Path
) -> None:
    log.append(drafts(0, 30))
    HeadSigner(signer_in(tmp_path), log).sign()
    places = SqliteSinkCursors(tmp_path / "state.db")
    asked = HttpTimestampAuthority("local", url, ca_file=authority.ca_file)
    assert Stamper("local", asked, log, places, interval_s=60).step() is StampStanding.OK
    size, note = log.latest_checkpoint() or (0, b"")
    path = tmp_path / "token.tsr"
    path.write_bytes(log.tokens(size)["local"])
    text, _ = split_note(note)
    said = openssl(
        "ts", "-verify", "-digest", sha256(text.encode()).hexdigest(), "-in", path, "-token_in",
        "-CAfile", authority.ca_file,
    )  # fmt: skip
    assert b"OK" in said
