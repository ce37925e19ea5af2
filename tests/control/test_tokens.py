"""Named tokens: who acts is known, an auditor only reads, and failed logins are entries."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge.control.auth import NamedToken, Role, may
from bridge.eventlog.sequencer import Sequencer
from bridge.model.errors import ConfigInvalid
from bridge.model.warrant import ActorType
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.roles.control import named_tokens
from tests.cli.deployment import Deployment
from tests.control.served import Api, problem, served

SHARED = "a-token-that-everybody-has"
TOKENS = {
    "ana": NamedToken(token="operator-token-of-ana", role=Role.OPERATOR),
    "nightly": NamedToken(token="token-of-a-scheduler", role=Role.OPERATOR, type=ActorType.SERVICE),
    "ines": NamedToken(token="auditor-token-of-ines", role=Role.AUDITOR),
}
WHY = {"reason": "x", "ticket": "T-1"}


@pytest.fixture
def api(tmp_path: Path) -> Iterator[Api]:
    with served(Deployment(tmp_path), token=SHARED, tokens=TOKENS) as served_api:
        yield served_api


def ask(api: Api, holder: str | None, method: str, path: str, **how: Any) -> httpx.Response:
    """Send a request with the token of `holder`; None: with a wrong one."""
    if holder is None:
        shown = "a-token-of-nobody"
    else:
        shown = TOKENS[holder].token if holder in TOKENS else SHARED
    headers = {"Authorization": f"Bearer {shown}", **how.pop("headers", {})}
    return api.send(method, path, headers=headers, **how)


def switch(api: Api, holder: str | None, **body: Any) -> httpx.Response:
    path = "/api/groups/orders/switch"
    return ask(api, holder, "POST", path, json={"to": "dual", **WHY, **body})


def leaves(api: Api) -> list[dict[str, Any]]:
    """Return what all entries say, those of the journal sequenced first."""
    with api.deployment.stores() as stores:
        log = stores.event_log()
        Sequencer(stores.desk(), log).step()
        return [json.loads(entry.leaf)["fields"] for entry in log.read(0, 100)]


def test_the_holder_of_a_token_is_the_actor(api: Api) -> None:
    assert switch(api, "ana", actor="on behalf of bob").status_code == 200
    answer = ask(api, "nightly", "POST", "/api/groups/orders/rollback", json=WHY)
    assert answer.status_code == 200
    done, back = leaves(api)
    assert done["actor"] == {
        "declared": "on behalf of bob", "id": "ana", "known": "token", "type": "person",
    }  # fmt: skip
    assert back["actor"] == {"id": "nightly", "known": "token", "type": "service"}
    assert (back["action"], back["ticket"], back["outcome"]) == ("rollback", "T-1", "done")


def test_behind_the_shared_token_the_actor_is_declared(api: Api) -> None:
    assert "body.actor" in problem(switch(api, "all"), 422, "operator")
    assert switch(api, "all", actor="bob").status_code == 200
    (done,) = leaves(api)
    assert done["actor"] == {"id": "bob", "known": "declared", "type": "person"}


def test_an_auditor_reads_and_changes_nothing(api: Api) -> None:
    assert ask(api, "ines", "GET", "/api/writes").status_code == 200
    assert ask(api, "ines", "GET", "/api/status").status_code == 200
    for path in ("switch", "rollback", "lanes", "ids"):
        answer = ask(api, "ines", "POST", f"/api/groups/orders/{path}", json={})
        assert "has the role auditor" in problem(answer, 403, "operator")
    with api.deployment.stores() as stores:
        group = stores.desk().group("orders")
    assert group is not None
    assert group.epoch == 0
    read, *refused = leaves(api)
    assert (read["action"], read["actor"]["id"], read["found"]) == ("writes-list", "ines", 0)
    assert len(refused) == 4
    assert {(one["outcome"], one["error"], one["actor"]["id"]) for one in refused} == {
        ("refused", "RoleForbids", "ines")
    }


@pytest.mark.parametrize(
    ("role", "method", "path", "allowed"),
    [
        (Role.AUDITOR, "GET", "/api/groups", True),
        (Role.AUDITOR, "POST", "/api/log/export", True),
        (Role.AUDITOR, "POST", "/api/logs", False),
        (Role.AUDITOR, "DELETE", "/api/groups/orders", False),
        (Role.OPERATOR, "POST", "/api/groups/orders/switch", True),
        (Role.OPERATOR, "GET", "/api/log/search", True),
        (Role.OPERATOR, "POST", "/api/log/export", False),
        (None, "POST", "/api/log/export", True),
    ],
)
def test_duties_are_separate(role: Role | None, method: str, path: str, allowed: bool) -> None:
    assert may(role, method, path) is allowed


def test_a_wrong_token_is_an_entry(api: Api) -> None:
    for _ in range(3):
        problem(switch(api, None, actor="ana"), 401, "operator")
    failed = leaves(api)
    assert [one["action"] for one in failed] == ["login"] * 3
    assert {one["outcome"] for one in failed} == {"refused"}
    assert "nobody" not in json.dumps(failed)


@pytest.mark.parametrize(
    ("headers", "actor"),
    [
        ({}, {"known": "unknown"}),
        (
            {"Legacy-Bridge-Actor": "bob"},
            {"id": "bob", "known": "declared", "type": "person"},
        ),
    ],
)
def test_a_read_with_the_shared_token_is_of_whom_it_says_or_of_nobody_known(
    api: Api, headers: dict[str, str], actor: dict[str, str]
) -> None:
    assert ask(api, "all", "GET", "/api/writes", headers=headers).status_code == 200
    (read,) = leaves(api)
    assert read["actor"] == actor


def settings_with(tmp_path: Path, tokens: Any) -> Deployment:
    return Deployment(tmp_path, control={"port": 8081, "token": SHARED, "tokens": tokens})


def test_tokens_come_from_the_settings(tmp_path: Path) -> None:
    deployment = settings_with(
        tmp_path,
        {
            "ana": {"token": "operator-token-of-ana", "role": "operator"},
            "nightly": {
                "token": "token-of-a-scheduler", "role": "operator", "type": "service",
            },
            "ines": {"token": "auditor-token-of-ines", "role": "auditor"},
        },
    )  # fmt: skip
    control = load_settings(deployment.config, {}).control
    assert control is not None
    assert control.guarded
    assert named_tokens(control) == TOKENS


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ({"ana": {"token": SHARED, "role": "operator"}}, "two tokens are equal"),
        ({"ana": {"token": "short", "role": "operator"}}, "at least 16"),
        ({"ana": {"token": "operator-token-of-ana", "role": "admin"}}, "'operator' or 'auditor'"),
        ({"Ana B": {"token": "operator-token-of-ana", "role": "operator"}}, "pattern"),
    ],
)
def test_tokens_that_cannot_be(tmp_path: Path, tokens: Any, words: str) -> None:
    deployment = settings_with(tmp_path, tokens)
    with pytest.raises(ConfigInvalid, match=words) as refused:
        load_settings(deployment.config, {})
    assert SHARED not in str(refused.value)
