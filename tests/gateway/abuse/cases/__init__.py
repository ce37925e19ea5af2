"""The cases by category: the table that every proxy is held against."""

from collections.abc import Mapping
from typing import Final

from tests.gateway.abuse.case import Case
from tests.gateway.abuse.cases.answers import ANSWERS, BODIES, BODILESS, POISON
from tests.gateway.abuse.cases.chunks import CHUNKS
from tests.gateway.abuse.cases.exchanges import EXPECTATIONS, INTERIMS, PIPELINES, UPGRADES
from tests.gateway.abuse.cases.framing import CODINGS, LENGTHS
from tests.gateway.abuse.cases.heads import FIELDS, IMITATIONS, LIMITS, LINES
from tests.gateway.abuse.cases.hops import BACK_HOPS, HOPS
from tests.gateway.abuse.cases.hosts import HOSTS, PATHS, TARGETS

CATEGORIES: Final[Mapping[str, tuple[Case, ...]]] = {
    "Content-Length": LENGTHS,
    "Transfer-Encoding": CODINGS,
    "chunks and trailers": CHUNKS,
    "request line": LINES,
    "field lines": FIELDS,
    "limits and time": LIMITS,
    "imitated fields": IMITATIONS,
    "Host": HOSTS,
    "target": TARGETS,
    "paths to a locked door": PATHS,
    "hop by hop": HOPS,
    "Expect": EXPECTATIONS,
    "requests sent ahead": PIPELINES,
    "Upgrade": UPGRADES,
    "answers: head": ANSWERS,
    "answers: hop by hop": BACK_HOPS,
    "answers: interim": INTERIMS,
    "answers: body": BODIES,
    "answers: HEAD, 204, 304": BODILESS,
    "answers nobody asked for": POISON,
}

CASES: Final = tuple(case for cases in CATEGORIES.values() for case in cases)
