"""New routes in running workers: applied under load, back again, and never by accident."""

import http.client
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.deployment import Deployment
from tests.runtime.running import Running, running
from tests.waiting import wait_until

WHY = ("-r", "new paths", "-t", "CHG-9", "--actor", "ana")

FIRST = """
group: catalog
sides: {legacy: legacy-app}
routes:
  - {id: all, path: "/{rest...}", request: {legacy: {headers: {set: {X-Version: "1"}}}}}
"""
SECOND = FIRST.replace('X-Version: "1"', 'X-Version: "2"')
THIRD = SECOND.replace("id: all", "id: every")


class Echo(BaseHTTPRequestHandler):
    """Answers with the version that a rule wrote."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer one request."""
        body = json.dumps({"version": self.headers["X-Version"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def deployment(tmp_path: Path, echo: int) -> Deployment:
    deployment = Deployment(tmp_path)
    deployment.settings["gateway"]["workers"] = 2
    deployment.settings["gateway"]["upstreams"]["legacy-app"]["url"] = f"http://127.0.0.1:{echo}"
    deployment.write()
    (tmp_path / "routes" / "orders.yaml").unlink()
    edit(deployment, FIRST)
    return deployment


def edit(deployment: Deployment, text: str) -> None:
    """Write the route file, as an editor does: not at once."""
    (deployment.folder / "routes" / "catalog.yaml").write_text(text)


class Client:
    """A client that goes on over one connection, and remembers every answer."""

    def __init__(self, port: int, stop: threading.Event) -> None:
        self.versions: list[str] = []
        self.failure: BaseException | None = None
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._stop = stop
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._connection.connect()
            self._connection.auto_open = 0  # A connection that was dropped is an error.
            while not self._stop.is_set():
                self._connection.request("GET", "/x")
                answer = self._connection.getresponse()
                assert answer.status == 200
                self.versions.append(json.loads(answer.read())["version"])
        except BaseException as exc:
            self.failure = exc
        finally:
            self._connection.close()

    def join(self) -> None:
        """Wait for its end."""
        self._thread.join(30)


def version(port: int) -> str | None:
    """Return the version that a new connection gets; None when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/x")
        return str(json.loads(connection.getresponse().read())["version"])
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def apply(deployment: Deployment) -> None:
    """Plan and apply what stands in the files."""
    plan = deployment.call("routes", "plan", "--json").json()["plan"]
    said = deployment.call("routes", "apply", plan, *WHY, "--json")
    assert said.code == 0, said.err
    assert said.json()["workers"] == 2


@pytest.mark.long
def test_routes_are_applied_without_dropping_a_request(deployment: Deployment) -> None:
    with running(deployment, "up") as up:
        up.await_roles("gateway:0", "gateway:1", "replay", "control")
        wait_until(lambda: version(deployment.gateway_port) == "1", 30, "the first routes")
        _under_load(deployment)
        _not_by_accident(deployment, up)
        _refused_by_the_workers(deployment)
    log = up.log.read_text()
    assert '"routes_not_applied"' not in log, "at its start the files were those in force"


def _under_load(deployment: Deployment) -> None:
    stop = threading.Event()
    clients = [Client(deployment.gateway_port, stop) for _ in range(4)]
    wait_until(lambda: all(client.versions for client in clients), 30, "answers")
    edit(deployment, SECOND)
    apply(deployment)
    seen = [len(client.versions) for client in clients]
    wait_until(
        lambda: all(len(c.versions) > at + 5 for c, at in zip(clients, seen, strict=True)),
        30,
        "answers after the change",
    )
    stop.set()
    for client, at in zip(clients, seen, strict=True):
        client.join()
        assert client.failure is None
        assert client.versions == sorted(client.versions), "never back to the old routes"
        # One was under way when the call returned.
        assert set(client.versions[at + 1 :]) == {"2"}, "who applied them sees them in force"


def _not_by_accident(deployment: Deployment, up: Running) -> None:
    edit(deployment, "group: [half an edit")
    assert version(deployment.gateway_port) == "2"
    up.kill("gateway:0")
    up.kill("gateway:1")
    wait_until(lambda: version(deployment.gateway_port) == "2", 30, "the applied routes")
    edit(deployment, THIRD)
    assert deployment.call("routes", "apply", "--back", *WHY).code == 0
    # The other worker that was killed may still be on its way back, and lose a connection.
    wait_until(lambda: version(deployment.gateway_port) == "1", 30, "the routes before")
    _half_applied(deployment)
    apply(deployment)
    assert version(deployment.gateway_port) == "2"


def _half_applied(deployment: Deployment) -> None:
    """Who applied died after the pointer and before the workers were told: they look themselves."""
    with deployment.stores() as stores:
        store = stores.routes_in_force().store
        now = store.current()
        assert now is not None
        assert now.previous is not None
        store.put_in_force(now.previous, instead_of=now.digest, at=now.applied_at)
    wait_until(lambda: version(deployment.gateway_port) == "2", 30, "what the pointer says")
    assert deployment.call("routes", "apply", "--back", *WHY).code == 0
    # The other worker that was killed may still be on its way back, and lose a connection.
    wait_until(lambda: version(deployment.gateway_port) == "1", 30, "the routes before")


def _refused_by_the_workers(deployment: Deployment) -> None:
    """The workers' settings lack an upstream: what was before is in force again."""
    before = deployment.config.read_text()
    deployment.settings["gateway"]["upstreams"]["new-app"] = {"url": "http://127.0.0.1:1"}
    deployment.write()
    edit(deployment, THIRD.replace("legacy: legacy-app", "legacy: new-app"))
    plan = deployment.call("routes", "plan", "--json").json()["plan"]
    said = deployment.call("routes", "apply", plan, *WHY)
    assert said.code != 0
    assert "the routes before are in force again" in said.err
    assert version(deployment.gateway_port) == "2"
    deployment.config.write_text(before)
