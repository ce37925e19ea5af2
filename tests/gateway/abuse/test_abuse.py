"""Every case of abuse against our gateway, judged as every other proxy is in `http_abuse`."""

import re
from collections import Counter

import pytest

from bridge.gateway.wires.turns import run_in_turns
from tests.gateway.abuse.case import Seen
from tests.gateway.abuse.cases import CASES, CATEGORIES
from tests.gateway.abuse.judge import wrongs
from tests.gateway.abuse.ours import ours
from tests.gateway.abuse.runner import play_all

_RFC = re.compile(r"[0-9]{4} [0-9]+(\.[0-9]+)*( \([0-9]\))?")


def test_at_least_200_cases_with_ids_and_sections() -> None:
    assert len(CASES) >= 200
    repeated = [id_ for id_, count in Counter(case.id for case in CASES).items() if count > 1]
    assert repeated == []
    assert [case.id for case in CASES if _RFC.fullmatch(case.rfc) is None] == []
    assert all(CATEGORIES.values())


@pytest.mark.parametrize("pieces", [False, True], ids=["whole", "in-pieces"])
def test_ours_has_nothing_wrong(pieces: bool) -> None:
    seen = run_in_turns(_play(pieces=pieces))
    wrong = [f"{case.id}: {why}" for case in CASES if (why := wrongs(case, seen[case.id]))]
    assert wrong == []


async def _play(*, pieces: bool) -> dict[str, Seen]:
    async with ours() as start:
        return await play_all(CASES, start, pieces=pieces)
