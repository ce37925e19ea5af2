"""Requests and answers with a few bytes changed: what we take, a strict reader takes, no more.

The oracle is the judge's own reader, which shares nothing with ours. For any bytes at all: every
whole request that reaches the upstream is one that the oracle reads in the client's bytes, in that
order; every whole answer that reaches the client is one that the oracle reads in the upstream's.
"""

import re
from dataclasses import replace
from random import Random

import pytest

from bridge.gateway.wires.turns import run_in_turns
from tests.gateway.abuse.case import OK, Act, Case, Ended, Seen
from tests.gateway.abuse.cases import CASES
from tests.gateway.abuse.cases.build import GET
from tests.gateway.abuse.ours import ours
from tests.gateway.abuse.outcomes import Passed
from tests.gateway.abuse.runner import play_all
from tests.gateway.abuse.strict import Message, read_answers, read_requests

_SENT_BYTES_MAX = 600
_NASTY = (
    b"\r", b"\n", b"\r\n", b"\0", b" ", b"\t", b"\x0b", b":", b";", b",", b"0", b"1", b"a", b"F",
    b"\xff",
    b"chunked", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n",
    b"\r\n\r\n",
    b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n", b"Connection: close\r\n", b"HTTP/1.0", b"/", b"%2e",
    b"_", b"X",
)  # fmt: skip


@pytest.mark.parametrize("seed", [1])
def test_what_we_take_a_strict_reader_takes(seed: int) -> None:
    _check(seed, 400)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 120))
def test_what_we_take_a_strict_reader_takes_100_000_times(seed: int) -> None:
    _check(seed, 5_000)


@pytest.mark.parametrize("seed", [1])
def test_what_we_relay_a_strict_reader_takes(seed: int) -> None:
    _check_answers(seed, 400)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(200, 210))
def test_what_we_relay_a_strict_reader_takes_50_000_times(seed: int) -> None:
    _check_answers(seed, 5_000)


def _check_answers(seed: int, count: int) -> None:
    rng = Random(seed)
    sources = [case for case in CASES if case.sends == (GET + b"\r\n",) and _said(case)]
    bases = [rng.choice(sources) for _ in range(count)]
    cases = [_mutated_answer(case, rng, number) for number, case in enumerate(bases)]
    seen = run_in_turns(_play(cases))
    wrong = [
        f"{case.id} {_said(case)!r}: {why}"
        for case in cases
        if (why := _why_not_answer(case, seen[case.id]))
    ]
    assert wrong == []
    assert sum(bool(_relayed(one)) for one in seen.values()) > count / 20


def _said(case: Case) -> bytes:
    """What the upstream answers at once, when that is not too much."""
    said = b"".join(step for step in case.answers if isinstance(step, bytes))
    return said if len(said) <= _SENT_BYTES_MAX and b"101 " not in said else b""


def _mutated_answer(case: Case, rng: Random, number: int) -> Case:
    raw = _changed(_said(case), rng)
    return replace(
        case, id=f"{number}-{case.id}", answers=(Act.WHOLE, raw, Act.END), probe=False,
        pieces=False,
    )  # fmt: skip


def _relayed(seen: Seen) -> list[Message]:
    """The upstream's own answers that look whole to the client."""
    whole = [one for one in seen.finals if one.complete and seen.ended is not Ended.RESET]
    return [one for one in whole if one.all(b"x-upstream")]


def _why_not_answer(case: Case, seen: Seen) -> str:
    if seen.answer_faults:
        return f"{seen.answer_faults}"
    raw = re.sub(rb"HTTP/1\.[2-9] ", b"HTTP/1.1 ", _said(case))
    said = read_answers(raw, (b"GET",), ended=True, forgiving=True).messages
    for answer in _relayed(seen):
        if not any(
            one.complete and (one.status, one.body) == (answer.status, answer.body) for one in said
        ):
            return f"client got {answer.start!r} {answer.body!r}, which nobody said"
    return ""


def _check(seed: int, count: int) -> None:
    rng = Random(seed)
    sources = [case for case in CASES if _is_plain(case)]
    good = [case for case in sources if isinstance(case.allow[0], Passed)]
    bases = [rng.choice(good if rng.random() < 0.7 else sources) for _ in range(count)]
    cases = [_mutated(case, rng, number) for number, case in enumerate(bases)]
    seen = run_in_turns(_play(cases))
    wrong = [
        f"{case.id} {_sent(case)!r}: {why}" for case in cases if (why := _why(case, seen[case.id]))
    ]
    assert wrong == []
    # Some are still good after all, or nothing was shown.
    taken = [one for one in seen.values() if any(request.complete for request in one.requests)]
    assert len(taken) > count / 20


async def _play(cases: list[Case]) -> dict[str, Seen]:
    async with ours() as start:
        return await play_all(cases, start, lanes=32)


def _is_plain(case: Case) -> bool:
    """Whether a case is bytes and no script, and not one that only waits."""
    if case.answers is not OK or not all(isinstance(step, bytes) for step in case.sends):
        return False
    return len(_sent(case)) <= _SENT_BYTES_MAX and b"pgrade" not in _sent(case)


def _sent(case: Case) -> bytes:
    return b"".join(step for step in case.sends if isinstance(step, bytes))


def _mutated(case: Case, rng: Random, number: int) -> Case:
    # The end of what is sent is told, so that nobody waits for more of it.
    raw = _changed(_sent(case), rng) + b"\r\n\r\n"
    return replace(
        case, id=f"{number}-{case.id}", sends=(raw,), probe=False, pieces=False, wait_for=1
    )


def _changed(raw: bytes, rng: Random) -> bytes:
    for _ in range(rng.randint(1, 3)):
        at = rng.randint(0, len(raw))
        cut = rng.choice((0, 0, 1, 1, 2, rng.randint(0, 20)))
        put = rng.choice((b"", rng.choice(_NASTY), rng.choice(_NASTY)))
        raw = raw[:at] + put + raw[at + cut :]
    return raw


def _why(case: Case, seen: Seen) -> str:
    if seen.request_faults or seen.answer_faults:
        return f"{seen.request_faults} {seen.answer_faults}"
    left = iter(_read(_sent(case)))
    for request in (one for one in seen.requests if one.complete):
        if not any(_same(request, wanted) for wanted in left):
            return f"upstream got {request.start!r} {request.body!r}, which nobody sent"
    return ""


def _same(request: Message, wanted: Message) -> bool:
    return (request.method, request.body) == (wanted.method, wanted.body)


def _read(raw: bytes) -> list[Message]:
    """Read requests strictly, but for what RFC 9112 2.2 and 9110 2.5 say to forgive.

    That is an empty line before a request, and a later minor version.
    """
    raw = re.sub(rb" HTTP/1\.[2-9]\r\n", b" HTTP/1.1\r\n", raw)
    return [one for one in read_requests(raw, forgiving=True).messages if one.complete]
