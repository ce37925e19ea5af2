"""The smallest honest `Upstream`: one connection per request over plain sockets."""

import asyncio

from bridge.model.errors import OutcomeUnknown, UpstreamUnavailable
from bridge.model.http import HttpRequest, HttpResponse


class RawUpstream:
    """See `bridge.gateway.dual.ports.Upstream`."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def exchange(self, request: HttpRequest, *, timeout_ms: int) -> HttpResponse:
        """Send `request` once and return the whole answer."""
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError as exc:
            raise UpstreamUnavailable(f"cannot connect: {exc}") from exc
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                writer.write(_encode(request))
                await writer.drain()
                return await _read_response(reader)
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as exc:
            raise OutcomeUnknown(f"no whole answer: {type(exc).__name__}") from exc
        finally:
            # A write whose answer was lost must not linger either.
            writer.transport.abort()


def _encode(request: HttpRequest) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (request.method, request.target), b"Host: peer"]
    lines += [b"%b: %b" % field for field in request.headers if field[0].lower() != b"host"]
    lines.append(b"Content-Length: %d" % len(request.body))
    return b"\r\n".join([*lines, b"", request.body])


async def _read_response(reader: asyncio.StreamReader) -> HttpResponse:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head[:-4].split(b"\r\n")
    fields = []
    length = 0
    for line in lines:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        else:
            fields.append((name, value.strip()))
    body = await reader.readexactly(length)
    status = int(first.split(b" ", 2)[1])
    return HttpResponse(
        status=status, reason=first.split(b" ", 2)[2], headers=tuple(fields), body=body
    )
