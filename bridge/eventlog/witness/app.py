"""The witness over HTTP: `POST /add-checkpoint`, and what it saw last for whoever asks.

There is no login: a checkpoint's signature is what is checked (C2SP `tlog-witness`).
"""

import asyncio
import json
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from bridge.eventlog.signing.checkpoint import parse_checkpoint
from bridge.eventlog.signing.cosignature import verify
from bridge.eventlog.signing.note import split_note
from bridge.eventlog.witness.cosigner import Answer, Witness
from bridge.eventlog.witness.submission import SUBMISSION_BYTES_MAX
from bridge.model.errors import BridgeError

# A submission is 4 KB: who needs longer than this holds a place that others may want.
BODY_TIMEOUT_S = 10.0


def create_app(witness: Witness) -> Starlette:
    """Return the witness as an ASGI application."""

    async def add_checkpoint(request: Request) -> Response:
        try:
            async with asyncio.timeout(BODY_TIMEOUT_S):
                body = await _body(request)
        except (TimeoutError, ClientDisconnect):
            return Response("the request did not come in time\n", status_code=408)
        if body is None:
            return Response(
                f"a submission has at most {SUBMISSION_BYTES_MAX} bytes\n", status_code=413
            )
        return _response(await asyncio.to_thread(witness.add_checkpoint, body))

    async def checkpoints(_request: Request) -> Response:
        found = await asyncio.to_thread(_seen, witness)
        return Response(json.dumps(found, indent=2) + "\n", media_type="application/json")

    async def health(_request: Request) -> Response:
        return Response("ok\n", media_type="text/plain")

    return Starlette(
        routes=[
            Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
            Route("/checkpoints", checkpoints, methods=["GET"]),
            Route("/health", health, methods=["GET"]),
        ]
    )


async def _body(request: Request) -> bytes | None:
    """Return the body, or None as soon as it is too long."""
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > SUBMISSION_BYTES_MAX:
            return None
    return bytes(parts)


def _response(answer: Answer) -> Response:
    return Response(
        answer.body, status_code=answer.status, headers={"Content-Type": answer.content_type}
    )


def _seen(witness: Witness) -> dict[str, object]:
    """Return what an auditor compares with the log: the newest head that was cosigned of each."""
    logs = []
    for origin in sorted(witness.logs):
        seen: dict[str, object] = {"origin": origin, "size": None}
        try:
            note = witness.kept(origin)
            if note is not None:
                _, head = parse_checkpoint(split_note(note)[0])
                at = datetime.fromtimestamp(verify(note, witness.key), UTC)
                seen |= {
                    "size": head.size,
                    "root": head.root.hex(),
                    "cosigned": at.isoformat().replace("+00:00", "Z"),
                    "checkpoint": note.decode(),
                }
        except BridgeError as exc:
            seen["error"] = type(exc).__name__
        logs.append(seen)
    return {"key": witness.key.format(), "logs": logs, "evidence": witness.evidence()}
