"""A canary at the shell: what `routes explain` says of it, and tokens that force a side."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.cli.deployment import Deployment
from tests.cli.test_routes import WHY, explained


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    return Deployment(tmp_path)


def test_explain_says_the_cohort_of_a_read(deployment: Deployment) -> None:
    """The sentence: "for one request: key, bucket, cohort in or out, side and why"."""
    assert deployment.call("switch", "orders", "dual", *WHY).code == 0
    assert deployment.call("switch", "orders", "canary", "--share", "50", *WHY).code == 0
    sides = {}
    for order in range(20):
        facts = explained(deployment, "GET", f"/orders/{order}")
        assert (facts["stage"], facts["share_percent"]) == ("canary", 50.0)
        key, said = facts["key"], facts["answered_by"]
        assert key["lane"] == f"order:{order}"
        assert key["in_cohort"] is (key["cohort_bucket"] < 5_000)
        assert said["upstream"] == ("modern-orders" if key["in_cohort"] else "legacy-app")
        sides[said["side"]] = said["why"]
    assert sides == {
        "modern": "its key is in the cohort",
        "legacy": "its key is not in the cohort",
    }
    write = explained(deployment, "PUT", "/orders/7/status")
    assert (write["answered_by"]["side"], write["write"]["replayed_to"]) == ("legacy", "modern")


def test_a_forced_side_is_a_token_and_an_entry(deployment: Deployment) -> None:
    words = ("routes", "force", "--group", "orders", "--side", "modern", *WHY)
    refused = deployment.call(*words)
    assert "at stage legacy one side alone is asked" in refused.err
    assert deployment.call("switch", "orders", "shadow", *WHY).code == 0
    made = deployment.call(*words, "--expires", "2h", "--json").json()
    assert (made["group"], made["side"]) == ("orders", "modern")
    assert made["header"] == f"legacy-bridge-side: {made['token']}"
    assert made["cookie"] == f"legacy_bridge_side={made['token']}"
    with deployment.stores() as stores:
        state = stores.desk().group("orders")
        told = [each.fields for _, each in stores.desk().pending(100)]
    assert state is not None
    assert state.forced_until == datetime.fromisoformat(made["until"]).timestamp()
    forced = [each for each in told if each["action"] == "side-force"]
    assert [each["outcome"] for each in forced] == ["refused", "done"]
    assert made["token"] not in repr(told)
    for wrong in ("8d", "0s", "soon", "1.5h"):
        assert "cannot make a token for" in deployment.call(*words, "--expires", wrong).err
    assert (
        "no side is called 'newer'"
        in deployment.call("routes", "force", "--group", "orders", "--side", "newer", *WHY).err
    )
