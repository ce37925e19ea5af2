"""What a client or an upstream repeats is not done again, and comes to what it would have been."""

import dataclasses
import re

from bridge.gateway.http.head_reader import HeadReader
from bridge.gateway.http.relay import Client
from bridge.gateway.http.response_head import parse_response_head
from bridge.gateway.plane.edited_heads import relayed_answer
from bridge.gateway.plane.settings import PlaneSettings
from bridge.gateway.routes.block_edit import SideRewriting, side_rewriting
from bridge.gateway.routes.sections.rewriting import AnswerRewriting, RequestRewriting
from bridge.model.stage import Side
from tests.gateway.http.rig import Gateway, ports, route
from tests.gateway.http.upstream import Upstream, replies
from tests.gateway.http.wire import GET

HEAD = b"GET /a HTTP/1.1\r\nHost: a\r\nX-Tenant: one"
ANSWER = b"HTTP/1.1 200 OK\r\nX-Powered-By: old\r\nContent-Length: 2"
CLIENT = Client(b"GET", 1, keep_alive=True)


def rules(served_by: str) -> SideRewriting:
    answers = {"set": {"X-Served-By": served_by}, "remove": ("X-Powered-By",)}
    found = side_rewriting(
        RequestRewriting(),
        AnswerRewriting.model_validate({"both": {"headers": answers}}),
        Side.LEGACY,
    )
    assert found is not None
    return found


def test_the_same_head_is_the_same_object_and_any_other_is_another() -> None:
    reader = HeadReader()
    first = reader.read(HEAD)
    assert reader.read(HEAD) is first
    for other in (
        HEAD.replace(b"/a", b"/b"),
        HEAD.replace(b"one", b"two"),
        HEAD.replace(b"GET", b"HEAD"),
        HEAD.replace(b"1.1", b"1.0"),
        HEAD + b"\r\nX-More: 1",
    ):
        assert reader.read(other) == HeadReader().read(other)
        assert reader.read(HEAD) == first


def test_a_head_that_is_not_plain_is_read_every_time() -> None:
    reader = HeadReader()
    special = HEAD + b"\r\nConnection: close"
    assert not reader.read(special).keep_alive
    assert not reader.read(special).keep_alive
    assert reader.read(HEAD).keep_alive


def test_a_relayed_head_is_kept_for_its_rules_its_client_and_its_second() -> None:
    head = parse_response_head(ANSWER, b"GET")
    edits, via = rules("bench"), b"Via: 1.1 x"
    first = relayed_answer(head, edits, CLIENT, via, date := b"Date: 1")
    assert first.head == (
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Served-By: bench\r\n"
        b"Via: 1.1 x\r\nDate: 1\r\n\r\n"
    )
    assert relayed_answer(head, edits, CLIENT, via, date) is first
    assert b"Date: 2" in relayed_answer(head, edits, CLIENT, via, b"Date: 2").head
    assert b"other" in relayed_answer(head, rules("other"), CLIENT, via, date).head
    last = relayed_answer(head, edits, CLIENT._replace(keep_alive=False), via, date)
    assert last.close
    assert b"X-Powered-By: old" in relayed_answer(head, None, CLIENT, via, date).head


def test_repeated_requests_are_each_forwarded_by_the_rules_with_a_trace_of_its_own(
    upstream: Upstream,
) -> None:
    upstream.at[b"/a"] = replies(ANSWER + b"\r\n\r\n{}")
    headers = {"set": {"X-Gateway": "here"}, "remove": ("X-Tenant",)}
    ruled = dataclasses.replace(
        route("all", "/{rest...}"),
        request=RequestRewriting.model_validate({"both": {"headers": headers}}),
    )
    settings = PlaneSettings(trace=True, drain_ms=100)
    gateway = Gateway(ports(upstream), routes=[ruled], settings=settings)
    with gateway, gateway.connect() as client:
        for _ in range(3):
            client.send(HEAD + b"\r\n\r\n")
            assert client.message().body == b"{}"
        client.send(GET % b"/b")
        client.message()
    traces = [message.all(b"traceparent") for message in upstream.received]
    assert [len(each) for each in traces] == [1, 1, 1, 1]
    assert len({each[0] for each in traces}) == 4
    form = re.compile(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-00")
    assert all(form.fullmatch(each[0]) for each in traces)
    for message in upstream.received:
        assert message.all(b"X-Gateway") == [b"here"]
        assert message.all(b"X-Tenant") == []
