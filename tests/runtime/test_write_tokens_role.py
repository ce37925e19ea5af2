"""Tokens of a client's writes in the running gateway: given, believed, and counted when forged."""

import json
import socket
import stat
from pathlib import Path

from tests.cli.deployment import ROUTES, Deployment
from tests.gateway.http.upstream import Upstream
from tests.gateway.http.wire import Message, Wire
from tests.gateway.shadow.rig import json_answer, sides
from tests.runtime.running import answer_of, running
from tests.waiting import wait_until

WHY = ("--reason", "read what was written", "--ticket", "T-1")
FIELD = b"legacy-bridge-writes"
# It reads by no key, as a list does.
LIST = """
defaults: {dual: {read_your_writes: token}}
routes:
  - {id: order-list, methods: [GET], path: /orders}"""


def _says(upstream: Upstream, name: bytes) -> None:
    def behave(wire: Wire, request: Message) -> None:
        wire.send(json_answer(b'{"side": "%b"}' % name))

    upstream.default = behave


def _ask(port: int, head: bytes, body: bytes = b"", **fields: bytes) -> Message:
    lines = b"".join(b"%b: %b\r\n" % (name.encode(), value) for name, value in fields.items())
    with Wire(socket.create_connection(("127.0.0.1", port))) as client:
        client.send(
            b"%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n%b"
            % (head, len(body), lines, body)
        )
        return client.message()


def test_a_list_shows_what_its_client_wrote(tmp_path: Path) -> None:
    deployment = Deployment(tmp_path)
    routes = ROUTES["orders"].replace("\nroutes:", LIST, 1)
    (tmp_path / "routes" / "orders.yaml").write_text(routes)
    with sides() as (legacy, modern):
        _says(legacy, b"legacy")
        _says(modern, b"modern")
        upstreams = deployment.settings["gateway"]["upstreams"]
        for name, side in (("legacy-app", legacy), ("modern-orders", modern)):
            upstreams[name]["url"] = f"http://127.0.0.1:{side.port}"
        deployment.write()
        with running(deployment, "run", "gateway") as gateway:
            gateway.await_roles("gateway:0")
            port = deployment.gateway_port
            wait_until(lambda: answer_of(port), 30, "the gateway to listen")
            assert deployment.call("switch", "orders", "dual", *WHY).code == 0
            body = b'{"status": "paid"}'
            written = _ask(port, b"PUT /orders/1/status", body)
            token = written.one(FIELD)
            assert written.status == 200
            assert token is not None
            said = deployment.call("switch", "orders", "modern", *WHY)
            assert said.code == 0, said
            for value, side_name in ((b"nonsense", b"modern"), (token, b"legacy")):
                read = _ask(port, b"GET /orders", Cookie=b"legacy_bridge_writes=" + value)
                assert (read.status, json.loads(read.body)["side"].encode()) == (200, side_name)
            counted = deployment.run_dir / "gateway.0.json"
            wait_until(lambda: '"write_token_forged": 1' in counted.read_text(), 30, "the count")
            assert gateway.stop() == 0
    key = tmp_path / "data" / "keys" / "write-tokens.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
