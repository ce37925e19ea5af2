"""The API's borders: wrong forms, lengths, tokens, metrics, exposure."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from bridge.control.app import ControlParts
from bridge.control.bodies import PAIRS_MAX
from bridge.control.exposure import check_exposure
from bridge.eventlog.records.access_book import AccessBook
from bridge.model.errors import ConfigInvalid, StorageUnavailable
from bridge.model.write import WriteState
from bridge.storage.event_log.memory import MemoryEventLog
from tests.cli.deployment import Deployment
from tests.cli.journalled import journalled
from tests.control.served import Api, problem, served

TOKEN = "a-token-of-some-length"
SECRET = "canary-that-was-refused"
WHY = {"reason": "x", "ticket": "T-1"}
WITHOUT = {"to": "dual"}
WHO = {"actor": "ana", "reason": "x", "ticket": "T-1"}


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        ("groups/orders/switch", {**WHO, "to": "dual", "forced": SECRET}, "body.forced: extra"),
        ("groups/orders/switch", {**WHO}, "body.to: field required"),
        ("groups/orders/switch", {**WHO, "to": "dual", "expected_epoch": SECRET}, "expected_epoch"),
        (
            "groups/orders/switch",
            {**WITHOUT, "actor": "ana", "ticket": "T-1"},
            "body.reason: field required",
        ),
        (
            "groups/orders/switch",
            {**WITHOUT, "actor": "ana", "reason": "x"},
            "body.ticket: field required",
        ),
        ("groups/orders/switch", {**WHO, "to": "dual", "ticket": "\n"}, "at least 1"),
        ("groups/orders/switch", {**WHO, "to": "dual", "ticket": SECRET * 20}, "at most 100"),
        ("groups/orders/switch", {**WITHOUT, **WHY}, "body.actor: field required"),
        ("groups/orders/switch", {**WHO, "to": "dual", "reason": " \t"}, "at least 1"),
        ("groups/orders/switch", {**WHO, "to": "dual", "actor": " "}, "at least 1"),
        ("groups/orders/rollback", {**WHO, "reason": SECRET * 100}, "at most 1000"),
        ("groups/orders/rollback", {**WHO, "actor": SECRET * 20}, "at most 200"),
        ("groups/orders/rollback", {**WHO, "to": SECRET * 20}, "at most 200"),
        ("groups/orders/lanes", {**WHO, "held": SECRET}, "body.held: input should be a valid bool"),
        (
            "groups/orders/ids",
            {**WHO, "entity": "o", "pairs": [["1"]]},
            "body.pairs.0.1: field required",
        ),
        ("groups/orders/ids", {**WHO, "entity": "o", "pairs": [["1", ""]]}, "at least 1"),
        ("groups/orders/ids", {**WHO, "entity": "o", "pairs": [["1", 2]]}, "valid string"),
        (
            "groups/orders/ids",
            {**WHO, "entity": "o", "pairs": [["1", "2"]] * (PAIRS_MAX + 1)},
            "at most",
        ),
        (
            "writes/WRITE/resolve",
            {**WHO, "outcome": "applied", "ids": {"order": 4}},
            "body.ids.order",
        ),
        (
            "writes/WRITE/resolve",
            {**WHO, "outcome": "applied", "ids": {str(n): "x" for n in range(21)}},
            "at most 20",
        ),
        ("writes/WRITE/skip", {**WHO, "ids": {}}, "body.ids: extra"),
        ("writes/WRITE/skip", [SECRET], "cannot take the request"),
    ],
)
def test_a_wrong_form_is_told_without_what_stood_there(
    api: Api, path: str, body: Any, words: str
) -> None:
    (write,) = journalled(api.deployment, WriteState.PARKED)
    answer = api.send("POST", f"/api/{path.replace('WRITE', write)}", json=body)
    assert words in problem(answer, 422, "operator")
    assert SECRET not in answer.text
    with api.deployment.stores() as stores:
        assert not stores.desk().history()


def test_thousands_of_faults_are_counted(api: Api) -> None:
    body = {**WHO, "entity": "order", "pairs": [[SECRET, 7]] * PAIRS_MAX}
    answer = api.send("POST", "/api/groups/orders/ids", json=body)
    said = problem(answer, 422, "operator")
    assert f"{PAIRS_MAX - 5} more" in said
    assert len(answer.content) < 2_000
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b'{"actor": "\\ud800"}', b"[" * 100_000], ids=repr
)
def test_a_body_that_is_no_json(api: Api, content: bytes) -> None:
    answer = api.send(
        "POST",
        "/api/groups/orders/rollback",
        content=content,
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/api/nothing", 404), ("DELETE", "/api/groups", 405), ("GET", "/metrics/x", 404)],
)
def test_what_is_not_there_is_a_problem_too(api: Api, method: str, path: str, status: int) -> None:
    problem(api.send(method, path), status, "operator")


@pytest.mark.parametrize(
    "sent",
    [
        None,
        "",
        "Bearer",
        "Bearer wrong",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        TOKEN,
        f"Basic {TOKEN}",
        b"Bearer \xe9\xff",
    ],
)
def test_without_the_right_token_nothing_is_answered(
    tmp_path: Path, sent: str | bytes | None
) -> None:
    headers = {} if sent is None else {"Authorization": sent}
    with served(Deployment(tmp_path), token=TOKEN) as guarded:
        del guarded.client.headers["Authorization"]
        for method, path in (
            ("GET", "/api/status"),
            ("GET", "/metrics"),
            ("GET", "/api/groups"),
            ("POST", "/api/groups/orders/switch"),
            ("GET", "/api/writes"),
            ("POST", "/api/writes/x/skip"),
        ):
            answer = guarded.send(method, path, headers=headers)
            assert "bearer token is missing or wrong" in problem(answer, 401, "operator")
            assert answer.headers["www-authenticate"] == "Bearer"
            assert TOKEN not in answer.text
        assert guarded.send("GET", "/health", headers=headers).json()["status"] == "ok"


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_with_the_right_token_all_is_answered(tmp_path: Path, scheme: str) -> None:
    with served(Deployment(tmp_path), token=TOKEN) as guarded:
        guarded.client.headers["Authorization"] = f"{scheme} {TOKEN}"
        for path in ("/health", "/api/status", "/metrics", "/api/groups", "/api/writes"):
            assert guarded.get(path).status_code == 200


def test_metrics_are_prometheus_text(api: Api) -> None:
    run_dir = api.deployment.run_dir
    run_dir.mkdir(parents=True, exist_ok=True)
    for role, counts in (
        ("gateway:0", {"forwarded": 3, "forwarded.took_ms": 1.5}),
        ("gateway:1", {"forwarded": 4}),
    ):
        body = {"role": role, "pid": os.getpid(), "updated_at": time.time() + 60, "counts": counts}
        (run_dir / f"{role.replace(':', '.')}.json").write_text(json.dumps(body))
    (run_dir / "broken.json").write_text("{")
    answer = api.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = {
        (sample.name, sample.labels.get("role")): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }
    assert samples["legacy_bridge_up", "gateway:0"] == 1
    assert samples["legacy_bridge_forwarded_total", "gateway:0"] == 3
    assert samples["legacy_bridge_forwarded_total", "gateway:1"] == 4
    assert samples["legacy_bridge_forwarded_took_ms_total", "gateway:0"] == 1.5


def test_a_deployment_without_gateway_has_no_groups(tmp_path: Path) -> None:
    def away() -> dict[str, Any]:
        raise StorageUnavailable("cannot open event log: it is away")

    parts = ControlParts(
        status=away,
        metrics=lambda: b"",
        switchboard=None,
        desk=None,
        book=AccessBook(MemoryEventLog),
    )
    with served(Deployment(tmp_path), parts=parts) as api:
        problem(api.get("/api/groups"), 404, "operator")
        assert "it is away" in problem(api.get("/api/status"), 503, "retry")


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9"])
def test_loopback_needs_no_token(host: str) -> None:
    check_exposure(host, guarded=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", ""])  # noqa: S104  # the very mistake
def test_elsewhere_a_token_is_needed(host: str) -> None:
    with pytest.raises(ConfigInvalid, match="without a token"):
        check_exposure(host, guarded=False)
    check_exposure(host, guarded=True)
