"""A deployment with the contracts that come with the product, and a few orders in its log."""

from pathlib import Path
from typing import Any

from tests.cli.deployment import Deployment
from tests.eventlog.history.logs import PAYMENT, row_event

PROJECT = Path(__file__).parents[3]

ORDERED: dict[str, Any] = {
    "order_id": 7,
    "customer_id": 42,
    "client_ref": "=web-7",
    "status": "open",
    "ordered_at": "2026-01-10T09:00:00",
    "total": "1200.00",
    "note": "canary-of-a-note",
}
WHY: dict[str, Any] = {"actor": {"id": "u-9", "via": "application message"}, "ticket": "T-9"}


def shop(folder: Path) -> Deployment:
    """Return the deployment, its index made."""
    deployment = Deployment(folder, contracts={"dir": str(PROJECT / "contracts")})
    paid = {"payment_id": 1, "order_id": 7, "amount": "1200", "paid_at": "2026-01-11T10:00:00"}
    with deployment.stores() as stores:
        stores.event_log().append(
            [
                row_event(0, "created", {"order_id": 7}, ORDERED),
                row_event(1, "created", {"order_id": 8}, {**ORDERED, "order_id": 8, "total": "90"}),
                row_event(2, "created", {"payment_id": 1}, paid, subject=PAYMENT),
                row_event(3, "updated", {"order_id": 7}, {**ORDERED, "status": "paid"}, **WHY),
                row_event(4, "deleted", {"order_id": 8}, before={"order_id": 8}),
            ]
        )
    assert deployment.call("log", "index", "--update").code == 0
    return deployment
