"""Two applications with stores of their own, a journal, a replayer, and what reconciles them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bridge.gateway.dual.forwarder import Forwarder
from bridge.gateway.dual.replay_attempt import Attempts
from bridge.gateway.reconciliation.after_writes import WriteSampler
from bridge.gateway.reconciliation.checking import Checker
from bridge.gateway.reconciliation.repairing import Repairer
from bridge.gateway.reconciliation.rules import EntityRule, entity_rules
from bridge.gateway.reconciliation.scrubbing import IDS, Scrubber
from bridge.gateway.reconciliation.sides import Sides
from bridge.gateway.routes.route import IdRules, KeyPlace, KeyRule, Route
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.gateway.routes.sections.dual import DualRules
from bridge.gateway.routes.sections.reconciliation import ReconciliationRules
from bridge.storage.reconciliation.sqlite import SqliteFindingStore
from tests.gateway.comparison.answers import rule
from tests.gateway.dual.peer import Peer
from tests.gateway.dual.rig import ROUTES, Rig

SIDE = rule("ignore", "/side", name="who-answers")


class House(Rig):
    """A rig whose routes say how orders are reconciled."""

    def __init__(self, folder: Path, **reconcile: Any) -> None:
        super().__init__(folder, Peer("legacy", "{}"), Peer("modern", "ord_{}"))
        self.routes = _routes(reconcile)
        (self.orders,) = entity_rules(self.routes.values())
        self.findings = SqliteFindingStore(folder / "reconciliation.db")
        forwarder = Forwarder(self.journal, self.upstreams)
        attempts = Attempts(forwarder, credentials={}, now=_now)
        self.checker = self.make_checker(forwarder, attempts)
        self.scrubber = Scrubber(checker=self.checker, store=self.findings, ids=self.desk, now=_now)
        self.sampler = WriteSampler(self.checker, self.desk)
        self.repairer = Repairer(
            checker=self.checker,
            journal=self.journal,
            store=self.findings,
            owner="reconcile-test",
            now=_now,
        )

    def make_checker(self, forwarder: Forwarder, attempts: Attempts) -> Checker:
        """Return the checker."""
        return Checker(
            sides=Sides(forwarder, attempts),
            journal=self.journal,
            groups=self.journal,
            store=self.findings,
            now=_now,
        )

    def route(self, group: str, route_id: str) -> Route | None:
        """Return a route as the replayer looks it up."""
        return self.routes.get(route_id)

    def rule(self, route_id: str, **rules: Any) -> None:
        """Give a route dual rules, for workers and replayers that are made afterwards."""
        self.routes[route_id] = replace(self.routes[route_id], dual=DualRules.model_validate(rules))

    async def walk(self, entity: EntityRule | None = None) -> int:
        """Walk over all keys once; return how many there were."""
        total = 0
        while count := await self.scrubber.step(entity or self.orders, IDS):
            total += count
        return total

    def open_keys(self) -> dict[str, str]:
        """Return key → divergence of all findings."""
        return {one.key: one.divergence.value for one in self.findings.findings()}

    def close(self) -> None:
        """Release everything."""
        self.findings.close()
        super().close()


@contextmanager
def house(folder: Path, **reconcile: Any) -> Iterator[House]:
    """Open a house."""
    made = House(folder, **reconcile)
    try:
        yield made
    finally:
        made.close()


def _routes(reconcile: dict[str, Any]) -> dict[str, Route]:
    routes = dict(ROUTES)
    repair = {
        "put": "order-status",
        "create": "order-restore",
        "delete": "order-delete",
        "without": ["/side"],
    }
    routes["order-read"] = replace(
        routes["order-read"],
        comparison=ComparisonRules.model_validate({"rules": [SIDE]}),
        reconcile=ReconciliationRules.model_validate(
            {
                "entity": "order",
                "sample": 1.0,
                "range_count": 5,
                "wait_ms": 5,
                "repair": repair,
                **reconcile,
            }
        ),
    )
    routes["order-restore"] = replace(
        routes["order-create"],
        route_id="order-restore",
        key=KeyRule(place=KeyPlace.JSON, name="/order_id", entity="order"),
        ids=IdRules(request={"/order_id": "order"}),
    )
    return routes


def _now() -> datetime:
    return datetime.now(UTC)


async def eventually_empty(house: House) -> None:
    """Let the replayer drain what is in the journal."""
    async with house.replaying():
        await house.drained()
