"""Requests are counted by route, stage and side, and shown with these labels."""

import logging
from pathlib import Path

from bridge.model.stage import Stage
from bridge.runtime.watching.metrics import render_metrics
from bridge.runtime.watching.telemetry import RunFileObserver
from tests.gateway.http.rig import Gateway, ports
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import GET


def test_answers_are_counted_by_route_stage_and_side(tmp_path: Path, upstream: Upstream) -> None:
    with Gateway(ports(upstream)) as gateway, gateway.connect() as client:
        for path in (b"/x", b"/only-get", b"/y"):
            client.send(GET % path)
            client.message()
        client.send(b"PUT /small HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        client.message()
        gateway.switch(Stage.MODERN, 1)
        client.send(b"PUT /orders/1 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        client.message()
        gateway.stop()
        notes = gateway.observer.notes()
    observer = RunFileObserver("gateway:0", tmp_path, logging.getLogger("test"))
    for note in notes:
        if note.name.startswith("requests."):
            observer.note(note.name, **note.facts)
    observer.write()
    text = render_metrics(tmp_path).decode()
    assert _has(text, route="all", stage="legacy", side="legacy", status="2xx")
    assert _has(text, route="only-get", answered_by="upstream")
    assert _has(text, route="order-write", stage="modern", side="modern", status="2xx")


def _has(text: str, **labels: str) -> bool:
    return any(
        line.startswith("legacy_bridge_requests_total{")
        and all(f'{name}="{value}"' in line for name, value in labels.items())
        for line in text.splitlines()
    )
