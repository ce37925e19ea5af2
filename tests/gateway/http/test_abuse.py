"""What RFC 9110 and 9112 forbid is refused, and nothing behind it is taken for a request."""

import pytest

from tests.gateway.http.abuse import CASES, PATHS, Case
from tests.gateway.http.rig import Gateway
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import Message, Wire

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


def test_ids_are_unique_and_name_a_section() -> None:
    ids = [case.id for case in CASES] + [id_ for id_, _ in PATHS]
    assert len(ids) == len(set(ids))
    assert len(ids) >= 80
    assert all(id_[0].isdigit() for id_ in ids)


@pytest.mark.parametrize("pieces", [None, 7], ids=["whole", "in-pieces"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_refused_and_closed(
    case: Case, pieces: int | None, client: Wire, upstream: Upstream
) -> None:
    raw = case.raw + SMUGGLED
    if pieces is None or len(raw) > 4_096:
        client.send(raw)
    else:
        client.dribble(raw, pieces)
    answer = client.message()
    assert answer.status == case.status, answer.body
    check_own_answer(answer)
    assert answer.one(b"connection") == b"close"
    assert client.rest() == b""
    assert upstream.requests_to(b"/smuggled") == []


@pytest.mark.parametrize(("id_", "path"), PATHS, ids=[id_ for id_, _ in PATHS])
def test_ambiguous_path_is_refused(id_: str, path: bytes, client: Wire, upstream: Upstream) -> None:
    for _ in range(2):
        client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
        answer = client.message()
        assert answer.status == 400, id_
        assert answer.one(b"legacy-bridge-error") == b"ambiguous-path"
    assert upstream.requests_to(path) == []


def check_own_answer(answer: Message) -> None:
    """The gateway's own errors are marked, dated and problem+json."""
    assert answer.one(b"content-type") == b"application/problem+json"
    assert answer.one(b"legacy-bridge-error")
    assert answer.one(b"date")
    assert answer.one(b"via") is None


def test_a_good_request_after_all_that(gateway: Gateway, client: Wire) -> None:
    client.send(b"GET /fine HTTP/1.1\r\nHost: a\r\n\r\n")
    assert client.message().body == b"ok"
