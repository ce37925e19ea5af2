"""A judge that sees nothing proves nothing: every kind of change is one that it names."""

from random import Random

import pytest

from tests.gateway.abuse.strict import read_answers, read_requests
from tests.gateway.roundtrip.judge import judge_answer, judge_request
from tests.gateway.roundtrip.messages import Exchange, Maker

_ADDED = b"X-Forwarded-For: 127.0.0.1\r\nVia: 1.1 gateway\r\n"


def _exchange() -> Exchange:
    """Return one with a body and several fields both ways, and nothing of one hop."""
    maker = Maker(Random(7))
    for number in range(10_000):
        found = maker.exchange(number, last=False)
        answer = found.answer
        raw = found.request + answer.raw
        plain = not any(word in raw.lower() for word in (b"connection", b"chunked", b"http://"))
        whole = found.body and answer.body and answer.dated and not answer.until_close
        if plain and whole and not answer.interims and min(len(found.kept), len(answer.said)) > 3:
            return found
    raise AssertionError("no such exchange")


def _judged(exchange: Exchange, request: bytes, answer: bytes) -> list[str]:
    read = read_requests(request)
    (message,), ((at, end),) = read.messages, read.spans
    judge_request(exchange, request[at:end], message)
    back = read_answers(answer, (exchange.method,), ended=False)
    (final,), ((at, end),) = back.messages, back.spans
    judge_answer(exchange, [answer[at:end]], [final])
    return exchange.seen


def _forwarded(exchange: Exchange) -> tuple[bytes, bytes]:
    head, _, body = exchange.request.partition(b"\r\n\r\n")
    request = head + b"\r\n" + _ADDED + b"\r\n" + body
    back, _, said = exchange.answer.raw.partition(b"\r\n\r\n")
    return request, back + b"\r\nVia: 1.1 gateway\r\n\r\n" + said


def test_what_is_not_changed_is_right() -> None:
    exchange = _exchange()
    assert _judged(exchange, *_forwarded(exchange)) == []


@pytest.mark.parametrize("what", ["body", "case", "order", "gone", "more", "target", "space"])
@pytest.mark.parametrize("side", [0, 1], ids=["request", "answer"])
def test_every_change_is_seen(what: str, side: int) -> None:
    exchange = _exchange()
    messages = list(_forwarded(exchange))
    head, _, body = messages[side].partition(b"\r\n\r\n")
    start, *lines = head.split(b"\r\n")
    plain = next(at for at, line in enumerate(lines) if not line.lower().startswith(b"content-l"))
    if what == "body":
        body = bytes((body[0] ^ 1,)) + body[1:]
    elif what == "case":
        lines[plain] = lines[plain].swapcase()
    elif what == "order":
        lines[0], lines[1] = lines[1], lines[0]
    elif what == "gone":
        del lines[plain]
    elif what == "more":
        lines.append(b"X-More: x")
    elif what == "target":
        start = start.replace(b" ", b" x", 1) if side else start.replace(b"/e/", b"/e//")
        start = start.replace(b"HTTP/1.1 x", b"HTTP/1.1 299 ") if side else start
    elif what == "space":
        lines[plain] += b" "
    messages[side] = b"\r\n".join((start, *lines)) + b"\r\n\r\n" + body
    assert _judged(exchange, *messages) != []
