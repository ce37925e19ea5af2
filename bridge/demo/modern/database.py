"""The service's database: schema and engine."""

import base64
import uuid
from importlib import resources

import psycopg
from sqlalchemy import Engine, create_engine, make_url

# More would not help: requests run on threads of one process with one interpreter lock.
CONNECTIONS_MAX = 16
# Shorter than callers wait, so that a stuck statement is answered and not abandoned.
SESSION_OPTIONS = "-c TimeZone=UTC -c statement_timeout=10000"


def create_schema(dsn: str) -> None:
    """Create what is not there yet; forget idempotency keys of more than a day ago."""
    script = resources.files(__package__).joinpath("schema.sql").read_text(encoding="utf-8")
    with psycopg.connect(dsn) as connection:
        # Two services that start at once would otherwise trip over each other's CREATE.
        connection.execute("SELECT pg_advisory_xact_lock(4711)")
        connection.execute(script.encode())
        # Callers that repeat a request do so within a day; the table must not grow for ever.
        connection.execute(
            "DELETE FROM idempotency WHERE created_at < clock_timestamp() - interval '24 hours'"
        )


def engine_for(dsn: str) -> Engine:
    """Return a pooled engine; connections that died while idle are found and replaced."""
    return create_engine(
        make_url(dsn).set(drivername="postgresql+psycopg"),
        pool_size=CONNECTIONS_MAX,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        connect_args={"options": SESSION_OPTIONS, "application_name": "modern-orders"},
    )


def new_order_id() -> str:
    """Return a fresh id; nothing about the order can be read from it."""
    return "ord_" + base64.b32encode(uuid.uuid4().bytes).decode().rstrip("=").lower()
