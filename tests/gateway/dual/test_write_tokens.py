"""Tokens of a client's own writes: its reads go where it wrote, on any replica."""

import asyncio
import base64
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bridge.gateway.dual.admission import WriteLimits
from bridge.gateway.dual.write_tokens import (
    COOKIE,
    FIELD,
    KEY_BYTES,
    LIFETIME_S,
    WRITES_MAX,
    WriteTokens,
)
from bridge.gateway.dual.writer import DualWriter
from bridge.gateway.routes.decision import Decision
from bridge.gateway.routes.route import IdRules
from bridge.gateway.routes.sections.dual import DualRules
from bridge.model.errors import ConfigInvalid, StorageUnavailable
from bridge.model.http import Headers, HttpRequest, HttpResponse
from bridge.model.stage import Side, Stage
from bridge.runtime.wiring.write_token_key import load_write_tokens
from bridge.storage.journal.postgres import PostgresJournal
from bridge.storage.journal.sqlite import SqliteJournal
from tests.gateway.dual.peer import Hold
from tests.gateway.dual.rig import GROUP, ROUTES, Rig, Worker, a_request, value_of
from tests.waiting import RecordingObserver
from tests.warrants import by

KEY = bytes(range(KEY_BYTES))
NOON = 1_800_000_000.0
ID = "{:032x}"


def tokens(
    *, at: float = NOON, key: bytes = KEY, observer: RecordingObserver | None = None
) -> WriteTokens:
    return WriteTokens(key, now=lambda: at, observer=observer)


def a_read(*headers: tuple[bytes, bytes]) -> HttpRequest:
    return a_request("GET", "/orders/1", None, headers)


def made(maker: WriteTokens, lane: str = "order:1", number: int = 1, *old: bytes) -> bytes:
    request = a_read(*((FIELD, token) for token in old))
    (name, token), (cookie_name, cookie) = maker.answer(
        request, GROUP, lane, Side.LEGACY, ID.format(number)
    )
    assert (name, cookie_name) == (FIELD, b"Set-Cookie")
    assert cookie.startswith(COOKIE + b"=" + token + b"; Max-Age=600; Path=/; HttpOnly")
    return token


@pytest.mark.parametrize("carrier", [FIELD, b"Cookie"])
def test_a_token_brings_back_what_was_written(carrier: bytes) -> None:
    token = made(tokens())
    value = token if carrier == FIELD else b'a=b; %b="%b"; c=d' % (COOKIE, token)
    (written,) = tokens().brought(a_read((carrier, value)))
    assert (written.side, written.intent_id) == (Side.LEGACY, ID.format(1))
    assert written.concerns(GROUP, "order:1")
    assert written.concerns(GROUP, None)
    assert not written.concerns(GROUP, "order:2")
    assert not written.concerns("customers", None)


def test_a_create_concerns_every_read_of_its_group() -> None:
    (written,) = tokens().brought(a_read((FIELD, made(tokens(), "new:abc"))))
    assert written.concerns(GROUP, "order:99")


def test_the_newest_write_of_each_lane_is_kept_and_the_oldest_lanes_go_first() -> None:
    token = made(tokens(), "order:1", 1)
    token = made(tokens(at=NOON + 1), "order:2", 2, token)
    token = made(tokens(at=NOON + 2), "order:1", 3, token)
    assert [one.intent_id for one in tokens().brought(a_read((FIELD, token)))] == [
        ID.format(2),
        ID.format(3),
    ]
    for number in range(3 * WRITES_MAX):
        token = made(tokens(), f"order:{number}", number, token)
    assert len(token) == 727
    lanes = [f"order:{number}" for number in range(2 * WRITES_MAX, 3 * WRITES_MAX)]
    found = tokens().brought(a_read((FIELD, token)))
    assert [one.concerns(GROUP, lane) for one, lane in zip(found, lanes, strict=True)] == (
        [True] * WRITES_MAX
    )


def _flipped(token: bytes, at: int) -> bytes:
    raw = bytearray(base64.urlsafe_b64decode(token + b"=" * (-len(token) % 4)))
    raw[at] ^= 1
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda token: _flipped(token, 0),
        lambda token: _flipped(token, 5),
        lambda token: _flipped(token, 20),
        lambda token: _flipped(token, -1),
        lambda token: token[:-4],
        lambda token: token + b"A" * 5_000,
        lambda token: b"",
        lambda token: b"%%%",
        lambda token: b"\xff" * 40,
        lambda token: made(tokens(key=bytes(KEY_BYTES))),
    ],
)
def test_a_token_that_we_did_not_make_is_counted_and_ignored(
    spoil: Callable[[bytes], bytes],
) -> None:
    observer = RecordingObserver()
    reader = tokens(observer=observer)
    assert not reader.brought(a_read((FIELD, spoil(made(tokens())))))
    assert len(observer.notes("write_token_forged")) == 1


@pytest.mark.parametrize("later", [LIFETIME_S, -3_600])
def test_a_token_out_of_its_time_is_counted_and_ignored(later: int) -> None:
    observer = RecordingObserver()
    token = made(tokens())
    assert tokens(at=NOON + LIFETIME_S - 1).brought(a_read((FIELD, token)))
    assert not tokens(at=NOON + later, observer=observer).brought(a_read((FIELD, token)))
    assert len(observer.notes("write_token_expired")) == 1


def test_the_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path, observer = tmp_path / "keys" / "write-tokens.key", RecordingObserver()
    token = load_write_tokens(path, observer).answer(
        a_read(), GROUP, "order:1", Side.MODERN, ID.format(1)
    )[0]
    assert load_write_tokens(path, observer).brought(a_read(token))
    path.chmod(0o644)
    with pytest.raises(ConfigInvalid, match="0644"):
        load_write_tokens(path, observer)
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(ConfigInvalid, match="5 bytes"):
        load_write_tokens(path, observer)


class Replica:
    """A gateway of its own, with a connection of its own to the journal."""

    def __init__(self, rig: Rig, name: str, journal: Any) -> None:
        self.journal = journal
        self.observer = RecordingObserver()
        self._rig = rig
        self._worker = Worker(
            lambda redecide: DualWriter(
                journal=journal,
                ids=journal,
                upstreams=rig.upstreams,
                owner=name,
                redecide=redecide,
                limits=WriteLimits(look_again_ms=5),
                tokens=WriteTokens(KEY, observer=self.observer),
            ),
            journal,
            rig.route,
        )

    async def write(self, status: str, headers: Headers = ()) -> HttpResponse:
        return await self._worker.send("PUT", "/orders/1/status", {"status": status}, headers)

    async def listing(self, headers: Headers = (), *, wait_ms: int = 0) -> HttpResponse:
        """Read by a route that knows nothing of keys, as a list is read."""
        self._worker.refresh()
        rules = DualRules.model_validate({"read_your_writes": "token", "read_wait_ms": wait_ms})
        route = replace(ROUTES["order-read"], path="/orders/1", ids=IdRules(), dual=rules)
        request = a_request("GET", "/orders/1", None, headers)
        decision: Decision = self._worker.decide(request)._replace(route=route, params={})
        return await self._worker.writer.read(decision, request)

    @property
    def writer(self) -> DualWriter:
        return self._worker.writer


@pytest.fixture
def replicas(rig: Rig, request: pytest.FixtureRequest) -> Iterator[tuple[Replica, Replica]]:
    """Two gateways on one journal; order 1 is new on both sides, and legacy takes writes."""
    rig.legacy.orders["1"], rig.modern.orders["1"] = ["new"], ["new"]
    rig.desk.import_ids(GROUP, "order", [("1", "1")], by())
    rig.rule("order-status", read_your_writes="token")
    rig.switch(Stage.DUAL)
    second: SqliteJournal | PostgresJournal
    if isinstance(rig.journal, SqliteJournal):
        second = SqliteJournal(rig.path)
    else:
        second = PostgresJournal(request.getfixturevalue("journal_dsn"))
    rig.worker("replica-a"), rig.worker("replica-b")
    yield Replica(rig, "replica-a", rig.journal), Replica(rig, "replica-b", second)
    second.close()


def _token(answer: HttpResponse) -> Headers:
    value = answer.header(FIELD)
    assert value is not None
    return ((FIELD, value),)


def test_a_list_shows_the_clients_write_on_any_replica(
    rig: Rig, replicas: tuple[Replica, Replica]
) -> None:
    async def check() -> None:
        one, other = replicas
        token = _token(await one.write("paid"))
        rig.switch(Stage.MODERN)
        for replica in replicas:
            assert value_of(await replica.listing())["side"] == "modern"
            answer = value_of(await replica.listing(token))
            assert (answer["side"], answer["status"]) == ("legacy", "paid")
        async with rig.replaying():
            await rig.drained()
        answer = value_of(await other.listing(token))
        assert (answer["side"], answer["status"]) == ("modern", "paid")
        assert "legacy-bridge-writes" not in rig.modern.seen[-1].headers

    asyncio.run(check())


def test_a_list_may_wait_for_the_replay(rig: Rig, replicas: tuple[Replica, Replica]) -> None:
    async def check() -> None:
        one, other = replicas
        fault = Hold()
        rig.modern.faults.append(fault)
        token = _token(await one.write("paid"))
        rig.switch(Stage.MODERN)
        async with rig.replaying():
            await asyncio.to_thread(fault.arrived.wait, 10)
            assert value_of(await other.listing(token, wait_ms=20))["side"] == "legacy"
            fault.released.set()
            await rig.drained()
            answer = value_of(await other.listing(token, wait_ms=50))
            assert (answer["side"], answer["status"]) == ("modern", "paid")

    asyncio.run(check())


def test_a_repeat_of_a_write_brings_its_token_too(
    rig: Rig, replicas: tuple[Replica, Replica]
) -> None:
    async def check() -> None:
        one, other = replicas
        key: Headers = ((b"Idempotency-Key", b'"k"'),)
        await one.write("paid", key)
        token = _token(await other.write("paid", key))
        rig.switch(Stage.MODERN)
        assert value_of(await other.listing(token))["side"] == "legacy"
        assert len(rig.legacy.writes()) == 1

    asyncio.run(check())


def test_what_cannot_be_believed_changes_no_answer(
    rig: Rig, replicas: tuple[Replica, Replica]
) -> None:
    async def check() -> None:
        one, other = replicas
        (field,) = _token(await one.write("paid"))
        rig.switch(Stage.MODERN)
        forged = await other.listing(((field[0], _flipped(field[1], 3)),))
        assert (forged.status, value_of(forged)["side"]) == (200, "modern")
        assert len(other.observer.notes("write_token_forged")) == 1
        written = await one.write("sent", ((FIELD, b"nonsense"),))
        assert written.status == 200
        assert _token(written)

    asyncio.run(check())


def test_without_the_journal_the_token_says_who_has_the_write(
    rig: Rig, replicas: tuple[Replica, Replica], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check() -> None:
        one, other = replicas
        token = _token(await one.write("paid"))
        rig.switch(Stage.MODERN)
        monkeypatch.setattr(other.journal, "state_of", lambda intent_id: None)
        assert value_of(await other.listing(token))["side"] == "legacy", "another one's journal"

        def away(intent_id: str) -> None:
            raise StorageUnavailable("the journal is away")

        monkeypatch.setattr(other.journal, "state_of", away)
        assert value_of(await other.listing(token))["side"] == "legacy"
        assert value_of(await other.listing())["side"] == "modern"

    asyncio.run(check())


def test_routes_that_do_not_ask_for_it_neither_give_nor_read_tokens(
    rig: Rig, replicas: tuple[Replica, Replica]
) -> None:
    async def check() -> None:
        one, _ = replicas
        token = _token(await one.write("paid"))
        rig.switch(Stage.MODERN)
        route = replace(ROUTES["order-read"], ids=IdRules(), dual=DualRules())
        request = a_request("GET", "/orders/1", None, token)
        state = rig.desk.group(GROUP)
        assert state is not None
        decision = Decision(
            route=route,
            stage=state.stage,
            epoch=state.epoch,
            authority=Side.MODERN,
            params={},
            journalled=False,
        )
        assert value_of(await one.writer.read(decision, request))["side"] == "modern"
        rig.rule("order-status")
        plain = Replica(rig, "replica-a", rig.journal)
        assert (await plain.write("sent")).header(FIELD) is None

    asyncio.run(check())
