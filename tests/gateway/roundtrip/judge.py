"""What was changed on the way that no rule changes."""

from tests.gateway.abuse.strict import Message
from tests.gateway.roundtrip.messages import Exchange

# The gateway's own fields, added to every request, and what belongs to one hop.
_ADDED = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"via"}
_HOP = {b"connection", b"te", b"trailer"}


def judge_request(exchange: Exchange, raw_head: bytes, request: Message) -> None:
    """Compare what reached the upstream with what was sent."""
    start, *lines = raw_head.split(b"\r\n")
    _same(exchange, "request line", start, b"%b %b HTTP/1.1" % (exchange.method, exchange.target))
    kept = [line for line in lines if _name(line) not in _ADDED | _HOP]
    _same(exchange, "request fields", kept, _sent(exchange))
    _same(exchange, "Via", request.all(b"via"), [b"1.%d gateway" % exchange.minor])
    _same(exchange, "X-Forwarded-For", request.all(b"x-forwarded-for"), [b"127.0.0.1"])
    wanted = [b"trailers"] if exchange.wants_trailers else []
    _same(exchange, "TE", request.all(b"te"), wanted)
    _same(exchange, "request body", request.body, exchange.body)
    _same(exchange, "request trailers", request.trailers, _stripped(exchange.trailers))
    exchange.arrived += 1


def judge_answer(exchange: Exchange, raw_heads: list[bytes], answers: list[Message]) -> None:
    """Compare what reached the client with what was answered."""
    final = answers[-1]
    interims = exchange.answer.interims if exchange.minor else []
    got = [b"\r\n".join(_without(head, {b"via"})) for head in raw_heads[:-1]]
    _same(exchange, "interim answers", got, interims)
    start, *_ = raw_heads[-1].split(b"\r\n")
    _same(exchange, "status line", start, exchange.answer.status_line)
    hidden = {b"via"} | _HOP | (set() if exchange.answer.dated else {b"date"})
    if exchange.answer.until_close or exchange.minor == 0:
        hidden |= {b"transfer-encoding"}
    kept = _without(raw_heads[-1], hidden)[1:]
    said = [line for line in exchange.answer.said if _name(line) not in hidden]
    _same(exchange, "answer's fields", kept, said)
    _same(exchange, "answer's Date", len(final.all(b"date")), 1)
    _same(exchange, "answer's body", final.body, exchange.answer.body)
    trailers = exchange.answer.trailers if exchange.wants_trailers else []
    _same(exchange, "answer's trailers", final.trailers, _stripped(trailers))


def _sent(exchange: Exchange) -> list[bytes]:
    lines = exchange.kept
    if exchange.method == b"OPTIONS":
        # Counted down in requests that count (RFC 9110 7.6.2).
        lines = [b"Max-Forwards: 4" if _name(one) == b"max-forwards" else one for one in lines]
    return lines


def _stripped(pairs: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [(name, value.strip(b" \t")) for name, value in pairs]


def _name(line: bytes) -> bytes:
    return line.partition(b":")[0].lower()


def _without(head: bytes, names: set[bytes]) -> list[bytes]:
    return [line for line in head.split(b"\r\n") if _name(line) not in names]


def _same(exchange: Exchange, what: str, got: object, wanted: object) -> None:
    if got != wanted:
        exchange.seen.append(f"{what}: {got!r} instead of {wanted!r}")
