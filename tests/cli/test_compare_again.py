"""A sample's request, sent to both sides once more by a person with a reason."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from bridge.eventlog.sequencer import Sequencer
from bridge.gateway.comparison.book import ComparisonBook
from bridge.gateway.comparison.sealed_request import RequestSeal
from bridge.model.errors import ConfigInvalid
from bridge.model.http import HttpRequest
from bridge.model.stage import Stage
from bridge.runtime.wiring.shadowing import sample_key
from tests.cli.deployment import Deployment
from tests.gateway.comparison.answers import answer
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import Message, Wire
from tests.gateway.shadow.rig import json_answer, sides
from tests.warrants import by

WHY = ("--reason", "is it mended", "--ticket", "T-8", "--actor", "ana")
SECRET = "canary-4711"
REQUEST = HttpRequest(
    method=b"GET",
    target=b"/orders/7?mail=canary-4711",
    headers=(
        (b"Host", b"shop.example"), (b"Accept", b"application/json"),
        (b"Authorization", b"Bearer canary-4711"), (b"Cookie", b"s=canary-4711"),
        (b"X-Forwarded-For", b"canary-4711"),
    ),
    body=b"",
)  # fmt: skip


class Sides(Deployment):
    """A deployment with two upstreams, and a sample of each request that is given."""

    def __init__(self, folder: Path, legacy: Upstream, modern: Upstream) -> None:
        super().__init__(folder)
        self.legacy, self.modern = legacy, modern
        upstreams = self.settings["gateway"]["upstreams"]
        upstreams["legacy-app"]["url"] = f"http://127.0.0.1:{legacy.port}"
        upstreams["modern-orders"]["url"] = f"http://127.0.0.1:{modern.port}"
        upstreams["modern-orders"]["shadow_headers"] = {"Authorization": "Bearer of-modern"}
        self.write()

    def sampled(self, request: HttpRequest = REQUEST) -> str:
        """Store a sample of an answer whose total differs; return its id."""
        with self.stores() as stores:
            desk, key = stores.comparisons(), sample_key(stores.settings)
            made = ComparisonBook(
                key=key, chance=lambda: 0.0, new_id=lambda: "s1", seal=RequestSeal(key, os.urandom)
            )
            route = desk.route("order-read")
            kept = made.of(route.route_id, route.comparison)
            mine, theirs = answer({"total": 1}), answer({"total": 2})
            found = kept.comparer.compare(mine, theirs)
            kept.add(found, mine, theirs, made_at=1_780_000_000.0, request=request)
            desk.store.add(made.drain())
        return "s1"

    def deeds(self) -> list[dict[str, Any]]:
        """Return the entries of what was sent again."""
        with self.stores() as stores:
            while Sequencer(stores.desk(), stores.event_log()).step():
                pass
            leaves = [json.loads(entry.leaf)["fields"] for entry in stores.event_log().read(0, 99)]
        return [one for one in leaves if one.get("action") == "compare-again"]


def answers(upstream: Upstream, body: Any) -> None:
    raw = orjson.dumps(body)

    def behave(wire: Wire, request: Message) -> None:
        wire.send(json_answer(raw))

    upstream.default = behave


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Sides]:
    with sides() as (legacy, modern):
        yield Sides(tmp_path, legacy, modern)


def fields(message: Message) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in message.fields}


def test_both_sides_are_asked_once_and_compared_now(deployment: Sides) -> None:
    answers(deployment.legacy, {"total": 1, "name": SECRET})
    answers(deployment.modern, {"total": 1, "name": "other"})
    sample = deployment.sampled()
    (shown,) = deployment.call("compare", "samples", "order-read", "--json").json()
    assert shown["repeatable"]
    assert "request" not in shown
    told = deployment.call("compare", "again", sample, *WHY, "--json").json()
    assert (told["outcome"], told["status"]) == ("mismatch", {"legacy": 200, "modern": 200})
    assert [one["place"] for one in told["differences"]] == ["/name"]
    assert SECRET not in json.dumps(told)
    (mine,), (theirs,) = deployment.legacy.received, deployment.modern.received
    assert mine.start.startswith(b"GET /orders/7?mail=canary-4711 ")
    assert (fields(mine)["legacy-bridge-shadow"], fields(theirs)["legacy-bridge-shadow"]) == (
        "probe", "copy"
    )  # fmt: skip
    assert fields(mine)["accept"] == "application/json"
    for gone in ("authorization", "cookie", "x-forwarded-for"):
        assert gone not in fields(mine), "a client's credentials are not kept"
    assert fields(theirs)["authorization"] == "Bearer of-modern"
    (deed,) = deployment.deeds()
    assert (deed["route"], deed["answers"], deed["sample"]) == ("order-read", "mismatch", "s1")
    assert deed["actor"]["id"] == "ana"
    for path in (deployment.folder / "data").glob("comparisons.db*"):
        assert SECRET.encode() not in path.read_bytes()


def test_what_was_mended_is_equal_now(deployment: Sides, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(deployment.legacy, {"total": 1})
    answers(deployment.modern, {"total": 1})
    monkeypatch.setenv("LEGACY_LOGIN", "Authorization: Bearer of-legacy")
    sample = deployment.sampled()
    said = deployment.call("compare", "again", sample, *WHY, "--header-env", "LEGACY_LOGIN")
    assert said.code == 0, said.err
    assert "order-read: identical now (legacy 200, modern 200)" in said.out
    assert fields(deployment.legacy.received[0])["authorization"] == "Bearer of-legacy"
    assert fields(deployment.modern.received[0])["authorization"] == "Bearer of-modern"


def test_ids_are_those_of_each_side(deployment: Sides) -> None:
    answers(deployment.legacy, {"total": 1})
    answers(deployment.modern, {"total": 1})
    with deployment.stores() as stores:
        stores.desk().import_ids("orders", "order", [("7", "ord_7")], by("backfill", "T-1"))
        stores.desk().switch("orders", Stage.SHADOW, expected_epoch=0, warrant=by("go", "T-2"))
    assert deployment.call("compare", "again", deployment.sampled(), *WHY).code == 0
    assert deployment.legacy.received[0].start.startswith(b"GET /orders/7?")
    assert deployment.modern.received[0].start.startswith(b"GET /orders/ord_7?")


def test_what_cannot_be_sent_again_is_refused_and_recorded(deployment: Sides) -> None:
    write = HttpRequest(method=b"POST", target=b"/orders", headers=(), body=b"")
    sample = deployment.sampled(write)
    said = deployment.call("compare", "again", sample, *WHY)
    assert said.code != 0
    assert "only GET and HEAD without a body are" in said.err
    said = deployment.call("compare", "again", sample, *WHY, "--header-env", "NOT_THERE")
    assert "does not hold 'Name: value'" in said.err
    assert deployment.call("compare", "again", "s9", *WHY).code != 0
    assert not deployment.legacy.received
    assert [one["outcome"] for one in deployment.deeds()] == ["refused"] * 3


def test_a_side_that_does_not_answer_is_told(deployment: Sides) -> None:
    answers(deployment.legacy, {"total": 1})
    sample = deployment.sampled()
    deployment.modern.close()
    told = deployment.call("compare", "again", sample, *WHY, "--json").json()
    assert (told["outcome"], told["status"]) == ("no-answer", {"legacy": 200, "modern": None})


def test_a_sealed_request_is_bound_to_its_sample_and_key() -> None:
    seal = RequestSeal(b"k" * 32, os.urandom)
    text = seal.seal(REQUEST, "s1")
    assert text is not None
    assert SECRET not in text
    opened = seal.unseal(text, "s1")
    assert opened.target == REQUEST.target
    assert [name for name, _ in opened.headers] == [b"Host", b"Accept"]
    for other, sample in ((seal, "s2"), (RequestSeal(b"x" * 32, os.urandom), "s1")):
        with pytest.raises(ConfigInvalid, match="another key"):
            other.unseal(text, sample)
    long = HttpRequest(method=b"GET", target=b"/" + b"x" * 20_000, headers=(), body=b"")
    assert seal.seal(long, "s1") is None
