"""Answers whose heads differ in nothing but the length of what follows."""

from collections.abc import Mapping
from functools import partial

import pytest

from bridge.gateway.routes.sections.comparison import ComparisonRules
from tests.gateway.http.upstream import replies
from tests.gateway.http.wire import GET
from tests.gateway.shadow.rig import EVERYTHING, ShadowGateway, all_of, json_answer, ports_of, sides
from tests.waiting import wait_until


@pytest.mark.parametrize(("counted", "equal"), [((), 11), (("content-length",), 0)])
def test_answers_of_many_lengths_are_compared_by_what_they_say(
    counted: tuple[str, ...], equal: int
) -> None:
    rules = ComparisonRules(noise_fraction=1e-9, headers=("content-type", *counted))
    once = EVERYTHING.model_copy(update={"probes_per_s": 1e-9})
    with (
        sides() as (legacy, modern),
        ShadowGateway(ports_of(legacy, modern), routes=[all_of(once, comparison=rules)]) as gateway,
        gateway.connect() as client,
    ):
        for number in range(12):
            # The last is a difference that only the bodies show.
            other = number if number < 11 else 0
            legacy.default = replies(json_answer(b'{"a": %d, "b": true}' % 10**number))
            modern.default = replies(json_answer(b'{"b":true,"a":%d}' % 10**other))
            target = b"/orders/%d" % number
            client.send(GET % target)
            client.message()
            wait_until(partial(modern.requests_to, target), what="the copy")
        wait_until(lambda: _compared(gateway.counts()) >= 12, what="all comparisons")
        counts = gateway.counts()
    assert counts["all.compared.equal"] == equal
    assert _compared(counts) == 12


def _compared(counts: Mapping[str, int]) -> int:
    return sum(count for name, count in counts.items() if name.startswith("all.compared."))
