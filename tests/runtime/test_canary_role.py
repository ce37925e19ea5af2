"""A canary in the running gateway: reads by cohort, a tester's token, counts; by commands alone."""

import json
import stat
from pathlib import Path

from bridge.runtime.watching.metrics import render_metrics
from tests.cli.deployment import Deployment
from tests.gateway.canary.rig import a_key
from tests.gateway.shadow.rig import sides
from tests.runtime.running import answer_of, running
from tests.runtime.test_write_tokens_role import _ask, _says
from tests.waiting import wait_until

WHY = ("--reason", "first users", "--ticket", "T-1")


def test_a_ramp_and_a_token_by_commands(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    with sides() as (legacy, modern):
        _says(legacy, b"legacy")
        _says(modern, b"modern")
        upstreams = deployment.settings["gateway"]["upstreams"]
        for name, side in (("legacy-app", legacy), ("modern-orders", modern)):
            upstreams[name]["url"] = f"http://127.0.0.1:{side.port}"
        deployment.write()
        with running(deployment, "run", "gateway") as gateway:
            gateway.await_roles("gateway:0")
            port = deployment.gateway_port
            wait_until(lambda: answer_of(port), 30, "the gateway to listen")

            def answers(key: str, **fields: bytes) -> str:
                read = _ask(port, f"GET /orders/{key}".encode(), **fields)
                assert read.status == 200
                return str(json.loads(read.body)["side"])

            early, late = a_key(5, inside=True), a_key(50, inside=False)
            assert deployment.call("switch", "orders", "dual", *WHY).code == 0
            token = deployment.call(
                "routes", "force", "--group", "orders", "--side", "modern", *WHY, "--json"
            ).json()["token"]
            assert (answers(late), answers(late, Cookie=_cookie(token))) == ("legacy", "modern")
            assert all(not message.all(b"cookie") for message in modern.received)
            for share in ("5", "50"):
                said = deployment.call("switch", "orders", "canary", "--share", share, *WHY)
                assert f"canary {share} %" in said.out, said
                assert (answers(early), answers(late)) == ("modern", "legacy")
            assert "canary 50 %" in deployment.call("status").out
            back = deployment.call("rollback", "orders", "--to", "dual", *WHY)
            assert (back.code, answers(early)) == (0, "legacy")
            assert gateway.stop() == 0
        text = render_metrics(deployment.run_dir).decode()
    for line in (
        'reads_chosen_total{reason="in_cohort",role="gateway:0",route="order-read"} 2.0',
        'reads_chosen_total{reason="outside",role="gateway:0",route="order-read"} 2.0',
        'side_tokens_total{role="gateway:0",verdict="holds"} 1.0',
    ):
        assert f"legacy_bridge_{line}" in text
    key = tmp_path / "data" / "keys" / "side-tokens.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def _cookie(token: str) -> bytes:
    return f"legacy_bridge_side={token}".encode()
