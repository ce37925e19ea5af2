"""Writes in the journal of a deployment, in the states that a person meets."""

import asyncio
from typing import Any

from bridge.model.http import HttpRequest, HttpResponse
from bridge.model.write import WriteIntent, WriteState
from bridge.runtime.wiring.journal_opening import Journal
from tests.cli.deployment import Deployment
from tests.storage.journal_kit import an_intent

BODY_CANARY = "canary-of-a-body"
HEADER_CANARY = "canary-of-a-header"
ANSWER_CANARY = "canary-of-an-answer"
CANARIES = (BODY_CANARY, HEADER_CANARY, ANSWER_CANARY)

_REQUEST = HttpRequest(
    method=b"PUT",
    target=b"/orders/7/status",
    headers=((b"Content-Type", b"application/json"), (b"Cookie", HEADER_CANARY.encode())),
    body=BODY_CANARY.encode(),
)
_ANSWER = HttpResponse(
    status=200,
    reason=b"OK",
    headers=((b"Set-Cookie", HEADER_CANARY.encode()),),
    body=ANSWER_CANARY.encode(),
)


def journalled(deployment: Deployment, *states: WriteState, **changes: Any) -> list[str]:
    """Take one new write of group `orders` to each of `states`; return their intent ids."""
    with deployment.stores() as stores:
        journal = stores.journal()
        epoch = {state.group: state.epoch for state in stores.desk().groups()}["orders"]
        intents = [an_intent(request=_REQUEST, epoch=epoch, **changes) for _ in states]
        asyncio.run(_take(journal, list(zip(intents, states, strict=True))))
    return [intent.intent_id for intent in intents]


async def _take(journal: Journal, writes: list[tuple[WriteIntent, WriteState]]) -> None:
    for intent, state in writes:
        await journal.open(intent)
        if state is WriteState.INTENT:
            continue
        if state is WriteState.IN_DOUBT:
            await journal.settle(intent.intent_id, state, reason="no answer within 2000 ms")
            continue
        await journal.settle(intent.intent_id, WriteState.APPLIED, response=_ANSWER)
        if state is not WriteState.APPLIED:
            await journal.finish(intent.intent_id, state, reason="modern answered 422 [/red]")
