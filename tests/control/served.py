"""The control API over real HTTP and real stores, as the control role serves it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn

from bridge.control.app import ControlParts, create_app
from bridge.control.auth import NamedToken
from bridge.eventlog.records.access_book import AccessBook
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.watching.metrics import render_metrics
from bridge.runtime.watching.status import collect_status
from bridge.runtime.wiring.drilling import drill_desk
from tests.cli.deployment import Deployment
from tests.waiting import wait_until


class Api:
    """A client of the served API."""

    def __init__(self, deployment: Deployment, url: str, token: str | None) -> None:
        self.deployment = deployment
        self.url = url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.client = httpx.Client(base_url=url, headers=headers, timeout=30)
        self.answers: list[httpx.Response] = []
        """Everything that was answered, to be searched for what must not be in it."""

    def get(self, path: str, **query: Any) -> httpx.Response:
        """Ask."""
        return self._kept(self.client.get(path, params=query))

    def post(self, path: str, **body: Any) -> httpx.Response:
        """Act, with an actor and a reason unless `body` says otherwise."""
        decided = {"actor": "ana", "reason": "a test", "ticket": "T-1", **body}
        return self._kept(self.client.post(path, json=decided))

    def send(self, method: str, path: str, **how: Any) -> httpx.Response:
        """Send anything."""
        return self._kept(self.client.request(method, path, **how))

    def _kept(self, answer: httpx.Response) -> httpx.Response:
        self.answers.append(answer)
        return answer


@contextmanager
def served(
    deployment: Deployment,
    token: str | None = None,
    parts: ControlParts | None = None,
    tokens: Mapping[str, NamedToken] | None = None,
) -> Iterator[Api]:
    """Serve the API of `deployment` (or of `parts`) on a free port meanwhile."""
    settings = load_settings(deployment.config, {})
    with deployment.stores() as stores:
        parts = parts or ControlParts(
            status=lambda: collect_status(settings),
            metrics=lambda: render_metrics(stores.run_dir),
            switchboard=stores.switchboard(),
            desk=stores.desk(),
            book=AccessBook(stores.event_log),
            comparisons=stores.comparisons(),
            findings=stores.findings(),
            drills=drill_desk(stores),
            token=token,
            tokens=tokens or {},
        )
        server = uvicorn.Server(
            uvicorn.Config(create_app(parts), host="127.0.0.1", port=0, log_config=None)
        )
        thread = threading.Thread(target=server.run, name="api")
        thread.start()
        try:
            wait_until(lambda: server.started, what="the API to listen")
            port = server.servers[0].sockets[0].getsockname()[1]
            api = Api(deployment, f"http://127.0.0.1:{port}", token)
            try:
                yield api
            finally:
                api.client.close()
        finally:
            server.should_exit = True
            thread.join(30)
            assert not thread.is_alive()


def problem(answer: httpx.Response, status: int, remedy: str) -> str:
    """Check that `answer` is a problem of this kind, and return what it says."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["remedy"] == remedy
    assert body["title"]
    detail = body["detail"]
    assert isinstance(detail, str)
    return detail
