"""The log role with a witness and an authority that run elsewhere; time stamps on demand."""

import http.client
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.demo.servers.ports import free_port
from bridge.eventlog.signing.cosignature import CosignerKey, has_cosignature
from bridge.model.entry import EntryKind
from bridge.runtime.exit_codes import CONFIG
from bridge.runtime.watching.metrics import render_metrics
from tests.cli.deployment import Deployment, run
from tests.eventlog.drafts import drafts
from tests.eventlog.timestamps.openssl_authority import Desk, OpensslAuthority
from tests.eventlog.witness.logs import WITNESS
from tests.eventlog.witness.test_killed import running_witness
from tests.runtime.running import running
from tests.waiting import wait_until

WHY = ("--reason", "quarter end", "--ticket", "CHG-7", "--actor", "ana")


@pytest.fixture
def deployment(tmp_path: Path, url: str, authority: OpensslAuthority) -> Deployment:
    """A log with one authority, whose ca_file is named relative to the settings."""
    (tmp_path / "ca.pem").write_bytes(authority.ca_file.read_bytes())
    stamps = {"local": {"url": url, "ca_file": "ca.pem"}}
    made = Deployment(tmp_path, event_log={"timestamps": stamps})
    with made.stores() as stores:
        stores.event_log().append(drafts(0, 30))
    return made


def entries(deployment: Deployment, kind: EntryKind) -> list[dict[str, Any]]:
    with deployment.stores() as stores:
        found = stores.event_log().read(0, 1_000)
    return [json.loads(entry.leaf)["fields"] for entry in found if entry.kind is kind]


def test_a_person_has_the_head_stamped_and_that_is_recorded(deployment: Deployment) -> None:
    told = deployment.call("log", "timestamp", "--json", *WHY).json()
    assert told["size"] == 30
    (row,) = told["tokens"]
    assert (row["authority"], row["failure"]) == ("local", None)
    with deployment.stores() as stores:
        assert list(stores.event_log().tokens(30)) == ["local"]
    (entry,) = entries(deployment, EntryKind.CONTROL)
    assert (entry["action"], entry["outcome"], entry["ticket"]) == ("timestamp", "done", "CHG-7")
    assert (entry["authorities"], entry["stamped"], entry["size"]) == (["local"], ["local"], 30)
    assert entry["actor"]["id"] == "ana"


def test_a_failure_is_recorded_too(deployment: Deployment, desk: Desk) -> None:
    desk.status = 500
    assert "HTTP status 500" in deployment.refused("log", "timestamp", *WHY)
    (entry,) = entries(deployment, EntryKind.CONTROL)
    assert (entry["outcome"], entry["error"]) == ("failed", "UpstreamUnavailable")


def test_what_is_not_configured_is_refused(deployment: Deployment) -> None:
    said = deployment.refused("log", "timestamp", "--authority", "absent", *WHY)
    assert "configured are local" in said
    deployment.settings["event_log"] = {}
    deployment.write()
    assert "names no authority" in deployment.refused("log", "timestamp", *WHY)


def test_check_finds_keys_and_certificates_that_are_none(
    deployment: Deployment, tmp_path: Path
) -> None:
    assert "0 witnesses, 1 time-stamp authorities" in deployment.call("check").out
    (tmp_path / "ca.pem").write_text("nothing")
    said = deployment.call("check")
    assert said.code == CONFIG
    assert "holds no PEM certificate" in said.out
    log_key = deployment.call("log", "key").out.strip()
    deployment.settings["event_log"] = {
        "witnesses": {"partner": {"url": "http://127.0.0.1:1", "vkey": log_key}}
    }
    deployment.write()
    assert "event_log.witnesses.partner.vkey" in deployment.call("check").out
    # `run log` does not begin without what it was asked for.
    assert deployment.run("run", "log").code == CONFIG


@pytest.fixture
def witness(tmp_path: Path, deployment: Deployment) -> Iterator[str]:
    """A witness in a process of its own, known to the deployment; its verifier key."""
    port, folder = free_port(), tmp_path / "partner"
    folder.mkdir()
    vkey = deployment.call("log", "key").out.strip()
    own = deployment_less("witness", "key", "--key", str(folder / "witness.key"), "--name", WITNESS)
    deployment.settings["event_log"]["witnesses"] = {
        "partner": {"url": f"http://127.0.0.1:{port}", "vkey": own}
    }
    deployment.write()
    with running_witness(folder, port, vkey):
        yield own
        assert kept_size(port) is not None


def deployment_less(*arguments: str) -> str:
    """Run a command that needs no settings; return its first line."""
    said = run([sys.executable, "-m", "bridge.cli", *arguments])
    assert said.code == 0, said.err
    return said.out.strip()


def kept_size(port: int) -> int | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/checkpoints")
    (log,) = json.loads(connection.getresponse().read())["logs"]
    connection.close()
    size = log["size"]
    assert size is None or isinstance(size, int)
    return size


def test_an_export_asks_the_witness_itself(deployment: Deployment, witness: str) -> None:
    bundle = deployment.folder / "bundle"
    why = ("--reason", "audit", "--ticket", "AUD-1")
    assert deployment.call("log", "export", str(bundle), *why).code == 0
    # No role runs: it is the export that had its own checkpoint cosigned.
    assert has_cosignature((bundle / "checkpoint.txt").read_bytes(), CosignerKey.parse(witness))
    keys = ("--key", deployment.call("log", "key").out.strip(), "--witness", witness)
    assert deployment.call("log", "verify", str(bundle), *keys).code == 0


def test_the_log_role_has_its_checkpoints_cosigned_and_stamped(
    deployment: Deployment, witness: str
) -> None:
    key = CosignerKey.parse(witness)
    with running(deployment, "run", "log"), deployment.stores() as stores:
        log = stores.event_log()

        def evidence() -> bool:
            latest = log.latest_checkpoint()
            return latest is not None and has_cosignature(latest[1], key)

        wait_until(evidence, what="a cosignature")
        wait_until(
            lambda: any(log.tokens(size) for size, _ in log.checkpoints(1, 10)), what="token"
        )
        text = wait_until(
            lambda: _metrics(deployment, 'legacy_bridge_timestamp_level{role="log"'), what="metrics"
        )
        assert 'legacy_bridge_witness_level{role="log",witness="partner"} 0.0' in text
        assert 'legacy_bridge_witness_lag_entries{role="log",witness="partner"} 0.0' in text
        status = deployment.call("status", "--json").json()
    (told,) = status["witnesses"]
    assert (told["name"], told["standing"]) == ("partner", "ok")
    (stamp,) = status["timestamps"]
    assert (stamp["name"], stamp["standing"]) == ("local", "ok")
    said = deployment.call("status").out
    assert "Witnesses" in said
    assert "Time stamps" in said


def _metrics(deployment: Deployment, wanted: str) -> str:
    text = render_metrics(deployment.run_dir).decode()
    return text if wanted in text else ""
