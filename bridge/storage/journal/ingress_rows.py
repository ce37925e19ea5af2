"""Rows of queued requests to values and back."""

from collections.abc import Sequence
from typing import Any

from bridge.gateway.ingress.ports import Kept, QueuedRequest, QueueState
from bridge.model.http import HttpRequest, HttpResponse
from bridge.storage.journal.rows import pack_headers, unpack_headers


def queued_row(queued: QueuedRequest) -> tuple[Any, ...]:
    """Return the values of `ACCEPT`."""
    request = queued.request
    return (
        queued.request_id,
        queued.group,
        queued.route,
        queued.lane,
        queued.client_key,
        queued.fingerprint,
        queued.caller,
        queued.accepted_at,
        request.method,
        request.target,
        pack_headers(request.headers),
        request.body,
        len(request.body),
    )


def ended_row(
    request_id: str, state: QueueState, at: float, response: HttpResponse | None
) -> tuple[Any, ...]:
    """Return the values of `END`."""
    if response is None:
        return (state.value, at, None, None, None, None, request_id)
    headers = pack_headers(response.headers)
    return (state.value, at, response.status, response.reason, headers, response.body, request_id)


def kept_of(row: Sequence[Any]) -> Kept:
    """Return the request of a row of `FIND`."""
    response = None
    if row[15] is not None:
        response = HttpResponse(
            status=row[15], reason=row[16], headers=unpack_headers(row[17]), body=row[18]
        )
    return Kept(
        queued=QueuedRequest(
            request_id=row[0],
            group=row[1],
            route=row[2],
            lane=row[3],
            client_key=row[4],
            fingerprint=row[5],
            caller=row[6],
            accepted_at=row[7],
            request=HttpRequest(
                method=bytes(row[8], "ascii") if isinstance(row[8], str) else row[8],
                target=bytes(row[9], "ascii") if isinstance(row[9], str) else row[9],
                headers=unpack_headers(row[10]),
                body=bytes(row[11], "ascii") if isinstance(row[11], str) else row[11],
            ),
        ),
        state=QueueState(row[12]),
        guarded=bool(row[13]),
        epoch=row[14],
        response=response,
    )
