"""Score the gateway, nginx, HAProxy and Envoy by the same cases of HTTP/1.1 abuse.

The cases, the judge and what each proxy is asked for: `tests/gateway/abuse`, `http_peers`. Writes
the table of scores into `docs/http-scores.md`. No speed is measured: one run is enough.
"""

import asyncio
import logging
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.bench.http_abuse_table import scores_page
from tests.bench.http_peers.peers import NAMES, peer, version
from tests.gateway.abuse.cases import CASES, CATEGORIES
from tests.gateway.abuse.judge import wrongs
from tests.gateway.abuse.ours import ours
from tests.gateway.abuse.runner import play_all

NAME: Final = "http_abuse"
PEERS: Final = {"nginx": "nginx-light", "haproxy": "haproxy"}
OURS: Final = "ours"
_PAGE: Final = Path("docs/http-scores.md")


def run() -> dict[str, Any]:
    """Score them all, write the page, and return the row of the table."""
    # The runner writes on connections that a proxy has closed; asyncio warns of each.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    wrong = {OURS: asyncio.run(_ours())}
    for name in NAMES:
        wrong[name] = asyncio.run(_peer(name))
    versions = {name: version(name) for name in NAMES}
    _PAGE.write_text(scores_page(CATEGORIES, wrong, versions))
    counts = {name: len(found) for name, found in wrong.items()}
    best = min(NAMES, key=counts.__getitem__)
    return {
        "name": NAME,
        "value": counts[OURS],
        "unit": "wrong cases",
        "against": f"{best} (the best of {len(NAMES)})",
        "against_value": counts[best],
        "ratio": counts[OURS] / max(1, counts[best]),
        "better": "lower",
        "target": 0,
        "moonshot": 0,
        "runs": 1,
        "spread": "-",
        "cases": len(CASES),
        "wrong": counts,
        "versions": versions,
        "wrong_cases": wrong,
    }


async def _ours() -> dict[str, str]:
    async with ours() as start:
        seen = await play_all(CASES, start)
    return {case.id: why for case in CASES if (why := wrongs(case, seen[case.id]))}


async def _peer(name: str) -> dict[str, str]:
    with tempfile.TemporaryDirectory(prefix="lb-bench-") as folder:
        async with peer(name, Path(folder)) as start:
            seen = await play_all(CASES, start)
    return {case.id: why for case in CASES if (why := wrongs(case, seen[case.id]))}
