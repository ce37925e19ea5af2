"""No row value, body, header value or password leaves by a log line, metric, status or message.

Canaries are planted wherever values of others come in; then everything that the run wrote or said
is searched for them. The stores (`log.db`, `journal.db`) hold payloads: that is their purpose.
"""

import json
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from psycopg import sql

from bridge.demo.servers import PrivateRabbitMQ
from tests.cli.deployment import Deployment
from tests.conftest import Database
from tests.gateway.dual.peer import ActThenFail, Peer, Reject
from tests.runtime.running import Running, answer_of, running
from tests.waiting import wait_until

ROW = "telltalerowvalue"
BROKEN_ROW = "telltalebrokenrow"
LATE_ROW = "telltalelaterow"
BODY = "telltalebody"
HEADER = "telltaleheader"
COOKIE = "telltalecookie"
ANSWER = "telltaleanswer"
DSN_PASSWORD = "telltaledsnpassword"
AMQP_PASSWORD = "telltaleamqppassword"
TOKEN = "telltalecontroltoken"
TELLTALE = "telltale"

CONTRACTS = Path(__file__).parents[1] / "pgbench_contracts"
STORES = {"log.db", "journal.db"}

# As pgbench makes them, but for `filler`: as text it can hold more than the contract allows.
TABLES = """
CREATE TABLE pgbench_branches (bid int PRIMARY KEY, bbalance int, filler text);
CREATE TABLE pgbench_tellers (tid int PRIMARY KEY, bid int, tbalance int, filler text);
CREATE TABLE pgbench_accounts (aid int PRIMARY KEY, bid int, abalance int, filler text);
CREATE TABLE pgbench_history
    (tid int, bid int, aid int, delta int, mtime timestamp, filler text);
"""


@pytest.fixture
def peers() -> Iterator[tuple[Peer, Peer]]:
    legacy, modern = Peer("legacy", "{}"), Peer("modern", "ord_{}")
    yield legacy, modern
    legacy.close()
    modern.close()


@pytest.fixture
def broker(rabbitmq: PrivateRabbitMQ, broker_url: str) -> Iterator[str]:
    """The broker's address for a user whose password is a telltale."""
    vhost, user = urlsplit(broker_url).path.removeprefix("/"), "secretive"
    rabbitmq.ctl("add_user", user, AMQP_PASSWORD)
    rabbitmq.ctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
    yield f"amqp://{user}:{AMQP_PASSWORD}@127.0.0.1:{urlsplit(broker_url).port}/{vhost}"
    rabbitmq.ctl("delete_user", user)


@pytest.fixture
def deployment(
    tmp_path: Path, database: Database, broker: str, peers: tuple[Peer, Peer]
) -> Deployment:
    user = f"secretive_{database.name}"
    with psycopg.connect(database.dsn, autocommit=True) as legacy:
        # Any password is right for it, and it ends with the server: it owns the publication.
        legacy.execute(sql.SQL("CREATE ROLE {} SUPERUSER LOGIN").format(sql.Identifier(user)))
        legacy.execute(TABLES)
        legacy.execute("INSERT INTO pgbench_branches VALUES (1, 0, %s)", [ROW])
    parts = urlsplit(database.dsn)
    slot = database.name
    made = Deployment(
        tmp_path,
        log_level="debug",
        contracts={"dir": str(CONTRACTS)},
        sources={
            "pgbench": {
                "dsn": f"postgresql://{user}:{DSN_PASSWORD}@{parts.hostname}"
                f":{parts.port}{parts.path}",
                "slot": slot,
                "publication": slot,
            }
        },
        delivery={"url": broker, "groups": [{"name": "audit"}]},
    )
    for name, peer in zip(("legacy-app", "modern-orders"), peers, strict=True):
        upstream = made.settings["gateway"]["upstreams"][name]
        upstream["url"] = f"http://127.0.0.1:{peer.port}"
    made.settings["control"]["token"] = TOKEN
    made.write()
    return made


@pytest.mark.long
def test_nothing_that_belongs_to_others_is_told(
    deployment: Deployment, database: Database, peers: tuple[Peer, Peer]
) -> None:
    said: dict[str, str] = {}
    with running(deployment, "up") as up:
        up.await_roles("control", "capture:pgbench", "delivery", "gateway:0", "replay")
        up.await_answers()
        change_rows(database)
        assert (
            deployment.call("switch", "orders", "dual", "-r", "a test", "--ticket", "T-1").code == 0
        )
        write_orders(deployment, *peers)
        send_malformed(deployment.gateway_port)
        # Once, or twice when it was changed while its table was read.
        wait_until(lambda: parked_events(deployment) >= 1, 30, "the broken row to be parked")
        wait_until(lambda: decisions(deployment) == {"parked", "in_doubt"}, 30, "writes to decide")
        wait_until(lambda: behind(deployment) == 0, 30, "all events at the broker")
        up.kill("delivery")
        change_shape(database)
        wait_until(lambda: drifted(deployment) != [], 60, "the row of a new shape to be parked")
        said |= ask_everything(deployment)
    said |= everything_written(deployment, up)
    assert_planted(deployment)
    # The search is of something: these are the places where a value would slip in.
    for where, words in (
        ("parked list", "/after/filler"),
        ("writes list", "422"),
        ("/metrics", "legacy_bridge_up"),
        ("log", "schema_drift"),
        ("source drift list pgbench", "pgbench_tellers"),
    ):
        assert words in said[where], where
    told = {
        name: line
        for name, text in said.items()
        for line in text.splitlines()
        if TELLTALE in line.lower()
    }
    assert not told


def change_rows(database: Database) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as legacy:
        legacy.execute("INSERT INTO pgbench_accounts VALUES (1, 1, 0, %s)", [ROW])
        legacy.execute("UPDATE pgbench_accounts SET filler = %s", [f"{ROW} again"])
        legacy.execute("INSERT INTO pgbench_accounts VALUES (2, 1, 0, %s)", [BROKEN_ROW * 20])


def change_shape(database: Database) -> None:
    """Take a column away that the table's contract needs."""
    with psycopg.connect(database.dsn, autocommit=True) as legacy:
        legacy.execute("ALTER TABLE pgbench_tellers RENAME tbalance TO memo")
        legacy.execute("INSERT INTO pgbench_tellers VALUES (1, 1, 0, %s)", [LATE_ROW])


def write_orders(deployment: Deployment, legacy: Peer, modern: Peer) -> None:
    """One write that both sides take, one that modern refuses, one whose answer is lost."""
    modern.faults.append(Reject(422, body=json.dumps({"error": ANSWER}).encode()))
    assert send_order(deployment) == 201
    assert send_order(deployment) == 201
    legacy.faults.append(ActThenFail())
    assert send_order(deployment) in (502, 504)


def send_order(deployment: Deployment) -> int:
    answer = httpx.post(
        f"http://127.0.0.1:{deployment.gateway_port}/orders",
        json={"status": BODY},
        headers={
            "Authorization": f"Bearer {HEADER}",
            "Cookie": f"session={COOKIE}",
            "X-Customer": HEADER,
        },
        timeout=30,
    )
    return answer.status_code


def send_malformed(port: int) -> None:
    """Requests that the gateway refuses, each with a telltale in what is wrong."""
    for head in (
        f"GET /products HTTP/1.1\r\nHost: a\r\nX-Bad\x01: {HEADER}\r\n\r\n",
        f"GET /products HTTP/1.1\r\nHost: a\r\nCookie: {COOKIE}\x00\r\n\r\n",
        f"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: {HEADER}\r\n\r\n",
        f"POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {HEADER}\r\n\r\n",
        f"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{BODY}",
    ):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(head.encode())
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(65_536):
                pass


def parked_events(deployment: Deployment) -> int:
    return len(deployment.call("parked", "list", "--json").json())


def drifted(deployment: Deployment) -> list[object]:
    found: list[object] = deployment.call("source", "drift", "list", "pgbench", "--json").json()
    return found


def decisions(deployment: Deployment) -> set[str]:
    found = deployment.call("writes", "list", "--json").json()
    return {write["state"] for write in found}


def behind(deployment: Deployment) -> int:
    (sink,) = deployment.call("status", "--json").json()["sinks"]
    return int(sink["behind"])


def ask_everything(deployment: Deployment) -> dict[str, str]:
    """Return what the API and every reading command say."""
    said = {}
    base = f"http://127.0.0.1:{deployment.control_port}"
    for path in ("/metrics", "/api/status", "/api/groups", "/api/writes"):
        answer = httpx.get(
            f"{base}{path}", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=30
        )
        assert answer.status_code == 200
        said[path] = f"{answer.headers}\n\n{answer.text}"
    assert answer_of(deployment.control_port, "/api/status") == 401
    intents = [write["intent_id"] for write in json.loads(said["/api/writes"].partition("\n\n")[2])]
    commands = [
        *(["status"], ["lanes", "list"], ["writes", "list"], ["log", "list"], ["parked", "list"]),
        *([*command, "--json"] for command in (["status"], ["writes", "list"], ["parked", "list"])),
        *(["writes", "show", intent] for intent in intents),
        *(["log", "list", "--count", "1000", "--json"], ["log", "head"], ["check"]),
        *(
            ["writes", "skip", "nobody", "-r", "x", "--ticket", "T-1"],
            ["run", "nothing"],
            ["up"],
            ["doctor"],
        ),
        *(["source", "drift", "list", "pgbench"], ["source", "snapshot", "status", "pgbench"]),
        *(["source", "setup", "pgbench", "--dry-run"], ["source", "diff", "pgbench"]),
    ]
    for command in commands:
        found = deployment.call(*command)
        said[" ".join(command)] = found.out + found.err
    return said


def everything_written(deployment: Deployment, up: Running) -> dict[str, str]:
    """Return the log and all files of the data folder but the stores."""
    said = {"log": up.log.read_text()}
    for path in (deployment.folder / "data").rglob("*"):
        if path.is_file() and path.name.removesuffix("-wal").removesuffix("-shm") not in STORES:
            said[str(path)] = path.read_bytes().decode("latin-1")
    return said


def assert_planted(deployment: Deployment) -> None:
    """Check that the canaries came in, where they are allowed to be."""
    data = deployment.folder / "data"
    with closing(sqlite3.connect(data / "log.db")) as log:
        payloads = b"".join(row[0] for row in log.execute("SELECT payload FROM entries"))
    assert ROW.encode() in payloads
    assert BROKEN_ROW.encode() in payloads
    with closing(sqlite3.connect(data / "journal.db")) as journal:
        requests = repr(journal.execute("SELECT * FROM requests").fetchall())
    for telltale in (BODY, HEADER, COOKIE):
        assert telltale in requests
