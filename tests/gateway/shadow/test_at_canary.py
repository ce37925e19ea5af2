"""At stage canary both sides are compared by sample: the copy goes to whoever did not answer."""

from bridge.gateway.dual.read_sides import ReadSides
from bridge.gateway.routes.route import KeyPlace, KeyRule
from bridge.gateway.routes.sections.shadow import ShadowRules
from bridge.model.stage import Stage
from tests.gateway.canary.rig import Book, a_key, canary
from tests.gateway.http.upstream import Upstream, replies
from tests.gateway.http.wire import GET, Message
from tests.gateway.shadow.rig import QUIET, ShadowGateway, all_of, json_answer

_RULES = ShadowRules(later_percent=100, copies_per_s=1_000_000, probes_per_s=1_000_000)


def test_the_copy_goes_to_the_side_that_did_not_answer() -> None:
    legacy, modern = Upstream(), Upstream()
    for side in (legacy, modern):
        side.default = replies(json_answer(b'{"a": 1}'))
    book = Book()
    one = all_of(
        _RULES,
        path="/orders/{id}",
        key=KeyRule(place=KeyPlace.PATH, name="id", entity="order"),
        cohort_salt="orders",
        comparison=QUIET,
    )
    inside, outside = (f"/orders/{a_key(50, inside=each)}".encode() for each in (True, False))
    gateway = ShadowGateway(
        {"legacy": legacy.port, "modern": modern.port},
        routes=(one,),
        stage=Stage.CANARY,
        sides=ReadSides(journal=book, ids=book),
    )
    gateway.groups = (canary(50.0),)
    with gateway, gateway.connect() as client:
        for target in (inside, outside, inside):
            client.send(GET % target)
            assert client.message().status == 200
        told = gateway.await_count("all.compared.identical", 3)
    marked = {
        side: [message.target for message in upstream.received if _is_copy(message)]
        for side, upstream in (("legacy", legacy), ("modern", modern))
    }
    assert marked == {"legacy": [inside, inside], "modern": [outside]}
    assert told["all.took.modern.in.count"] == told["all.took.legacy.in.count"] == 2
    assert told["all.took.legacy.out.count"] == told["all.took.modern.out.count"] == 1
    legacy.close()
    modern.close()


def _is_copy(message: Message) -> bool:
    return bool(message.all(b"legacy-bridge-shadow"))
