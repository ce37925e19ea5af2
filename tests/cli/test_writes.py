"""`writes`: what a person sees of dual writes, and what one can decide."""

import pytest

from bridge.model.write import WriteState
from bridge.runtime.exit_codes import CONFIG, TEMPORARY
from tests.cli.deployment import Deployment
from tests.cli.journalled import CANARIES, journalled

S = WriteState


def state_of(deployment: Deployment, intent_id: str) -> WriteState:
    with deployment.stores() as stores:
        write = stores.desk().show(intent_id)
    assert write is not None
    return write.state


def test_writes_that_need_a_decision_are_listed(deployment: Deployment) -> None:
    ids = journalled(deployment, S.PARKED, S.IN_DOUBT, S.APPLIED, S.DONE)
    found = deployment.run("writes", "list", "--json").json()
    assert [write["intent_id"] for write in found] == [ids[1], ids[0]]
    table = deployment.call("writes", "list").out
    assert ids[0] in table
    assert "modern answered 422 [/red]" in table
    assert ids[2] not in table


def test_writes_by_state_and_group(deployment: Deployment) -> None:
    ids = journalled(deployment, S.DONE, S.APPLIED, S.APPLIED)
    for state, expected in ((S.DONE, ids[:1]), (S.APPLIED, [ids[2], ids[1]]), (S.FAILED, [])):
        found = deployment.call("writes", "list", "--state", state.value, "--json").json()
        assert [write["intent_id"] for write in found] == expected
    said = deployment.call("writes", "list", "--state", "applied", "--group", "catalog")
    assert said.out == "Writes: none\n"
    (one,) = deployment.call(
        "writes", "list", "--state", "applied", "--limit", "1", "--json"
    ).json()
    assert one["intent_id"] == ids[2]


def test_no_body_and_no_header_is_shown(deployment: Deployment) -> None:
    (intent_id,) = journalled(deployment, S.PARKED)
    shown = deployment.call("writes", "show", intent_id)
    assert shown.json()["request_bytes"] > 0
    listed = [deployment.call("writes", "list"), deployment.call("writes", "list", "--json")]
    for said in (shown, *listed):
        assert not [canary for canary in CANARIES if canary in said.out + said.err]


def test_a_write_in_doubt_is_resolved(deployment: Deployment) -> None:
    happened, lost = journalled(deployment, S.IN_DOUBT, S.IN_DOUBT)
    for intent_id, outcome in ((happened, "applied"), (lost, "failed")):
        said = deployment.run(
            "writes", "resolve", intent_id, outcome, "-r", "looked at the table", "--ticket", "T-1"
        )
        assert said.code == 0, said.err
        assert state_of(deployment, intent_id) is S(outcome)


def test_a_parked_write_is_replayed_or_skipped(deployment: Deployment) -> None:
    again, without = journalled(deployment, S.PARKED, S.PARKED)
    assert deployment.call("writes", "replay", again, "-r", "fixed", "--ticket", "T-1").code == 0
    assert (
        deployment.call("writes", "skip", without, "-r", "a duplicate", "--ticket", "T-1").code == 0
    )
    assert state_of(deployment, again) is S.APPLIED
    assert state_of(deployment, without) is S.SKIPPED


@pytest.mark.parametrize(
    "act", [("show",), ("resolve", "applied"), ("replay",), ("skip",)], ids=lambda act: act[0]
)
def test_an_unknown_write(deployment: Deployment, act: tuple[str, ...]) -> None:
    verb, *rest = act
    why = [] if verb == "show" else ["-r", "x", "--ticket", "T-1"]
    said = deployment.call("writes", verb, "nobody", *rest, *why)
    assert said.code == CONFIG
    assert said.err == (
        "legacy-bridge: cannot find write 'nobody': the journal has no such intent\n"
    )


def test_decisions_that_do_not_fit_the_state(deployment: Deployment) -> None:
    parked, done, sent = journalled(deployment, S.PARKED, S.DONE, S.INTENT)
    for arguments, words in (
        (("resolve", sent, "failed"), "it is intent, not in doubt"),
        (("resolve", parked, "applied"), "it is parked, not in doubt"),
        (("resolve", parked, "failed"), "it is parked"),
        (("resolve", parked, "done"), "it is applied or failed"),
        (("replay", done), "it is done"),
        (("skip", done), "it is done"),
    ):
        said = deployment.call("writes", *arguments, "-r", "x", "--ticket", "T-1")
        assert said.code == TEMPORARY
        assert words in said.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("list", "--state", "lost"), "known: intent, in_doubt"),
        (("resolve", "i", "lost", "-r", "x", "--ticket", "T-1"), "known: intent, in_doubt"),
        (
            ("resolve", "i", "applied", "-r", "x", "--ticket", "T-1", "--id", "order"),
            "expected ENTITY=ID",
        ),
        (("skip", "i", "-r", "\t", "--ticket", "T-1"), "--reason is blank"),
    ],
)
def test_wrong_words(deployment: Deployment, arguments: tuple[str, ...], words: str) -> None:
    assert words in deployment.refused("writes", *arguments)


def test_a_missing_reason_is_asked_for(deployment: Deployment) -> None:
    said = deployment.call("writes", "skip", "i")
    assert said.code == 2
    assert "--reason" in said.err
