"""What the queue takes, and what has to wait for it, is never begun past it."""

from typing import cast

import pytest

from bridge.gateway.http.answer_taker import AnswerTaker
from bridge.gateway.routes.decision import Decision
from bridge.model.http import Headers, HttpRequest
from bridge.model.stage import Stage
from tests.gateway.ingress.rig import ASYNC, Rig


@pytest.mark.parametrize(
    ("method", "target", "headers", "begun"),
    [
        (b"PUT", b"/orders/1", ASYNC, False),  # Is queued.
        (b"PUT", b"/orders/1", (), False),  # May have to wait for what is queued of its key,
        (b"PATCH", b"/orders/1", (), False),  # whatever its own route takes.
        (b"PUT", b"/stock/1", (), True),
    ],
)
def test_only_what_has_nothing_to_do_with_a_queue_is_begun(
    monkeypatch: pytest.MonkeyPatch, method: bytes, target: bytes, headers: Headers, begun: bool
) -> None:
    rig = Rig(Stage.DUAL)
    rig.desk.ensure_groups(["stock"])
    monkeypatch.setattr(rig.path, "begin", lambda *_: True)
    request = HttpRequest(method=method, target=target, headers=headers, body=b"{}")
    decision = rig.table().decide(method, b"a", target)
    assert isinstance(decision, Decision)
    nobody = cast(AnswerTaker, None)
    assert rig.ingress.begin(decision, request, b"", nobody) is begun
