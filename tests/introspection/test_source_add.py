"""`legacy-bridge source add`: contracts that load and fit their tables."""

import json
from pathlib import Path

import psycopg
import pytest
import yaml

from bridge.capture.ports import ChangeSource
from bridge.contracts.contract_set import ContractSet
from bridge.contracts.drafting.naming import NamingRule
from bridge.demo.servers import PrivatePostgres
from tests.cli.deployment import Deployment
from tests.conftest import Database

_TABLES = """
CREATE TYPE mood AS ENUM ('glad', 'sad');
CREATE TYPE place AS (street text, number int);
CREATE DOMAIN positive AS integer CHECK (value > 0);
CREATE TABLE t_ord_hdr (
    ord_no integer PRIMARY KEY, cust_no bigint NOT NULL, stat_cd char(1), tot_amt numeric(12,2),
    ord_ts timestamp NOT NULL, upd_ts timestamptz, gft bool, m mood, p place, d positive,
    tags text[], span int4range, spans datemultirange, dur interval, net inet, doc jsonb,
    raw bytea, id uuid, price money, f float8, nte text, t time, ttz timetz, day date,
    doubled integer GENERATED ALWAYS AS (ord_no * 2) STORED
);
COMMENT ON TABLE t_ord_hdr IS 'The header of an order.';
COMMENT ON COLUMN t_ord_hdr.tot_amt IS 'With tax.';
CREATE TABLE "Mixed Case" ("Key One" int, "key%two" text, "on" text, PRIMARY KEY ("Key One", "on"));
CREATE TABLE t_log (line text);
"""


def deployment(tmp_path: Path, dsn: str) -> Deployment:
    (tmp_path / "contracts").mkdir()
    return Deployment(
        tmp_path,
        contracts={"dir": "contracts", "type_prefix": "com.example"},
        sources={"shop": {"dsn": dsn}},
    )


def test_drafts_load_and_capture_takes_them(tmp_path: Path, database: Database) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as sql:
        sql.execute(_TABLES)
    place = deployment(tmp_path, database.dsn)
    said = place.run("source", "add", "shop", "--strip-prefix", "t_", "--json")
    assert said.code == 0, said.err
    rows = {row["table"]: row for row in said.json()}
    assert rows["public.t_ord_hdr"]["subject"] == "shop.ord-hdr"
    assert {row["outcome"] for row in rows.values()} == {"written"}
    assert any("'p'" in note for note in rows["public.t_ord_hdr"]["notes"])
    assert any("'doubled'" in note for note in rows["public.t_ord_hdr"]["notes"])
    assert any("primary key" in note for note in rows["public.t_log"]["notes"])

    contracts = ContractSet.load(tmp_path / "contracts", type_prefix="com.example")
    source = capture_source(database, contracts)
    fitted = []
    source.prepare(
        None, check=lambda table: fitted.append(contracts.mapper("shop", table.relation))
    )
    assert len(fitted) == 3
    assert None not in fitted

    schema = json.loads((tmp_path / "contracts/shop.ord-hdr/1.0/schema.json").read_text())
    total = schema["$defs"]["row"]["properties"]["tot_amt"]
    assert total["description"] == "With tax."
    assert total["x-lb-lineage"] == {
        "table": "public.t_ord_hdr", "column": "tot_amt", "type": "numeric(12, 2)",
    }  # fmt: skip
    assert schema["description"] == "The header of an order."


def capture_source(database: Database, contracts: ContractSet) -> ChangeSource:
    from adapters.postgres.source import PostgresSource

    return PostgresSource(
        database.dsn,
        slot=f"{database.name}_add",
        publication="bridge_add",
        tables=tuple(contracts.tables("shop")),
    )


def test_what_is_there_is_never_overwritten(tmp_path: Path, database: Database) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as sql:
        sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
    place = deployment(tmp_path, database.dsn)
    dry = place.call("source", "add", "shop", "--dry-run", "--json")
    assert [row["outcome"] for row in dry.json()] == ["would be written"]
    assert list((tmp_path / "contracts").iterdir()) == []
    assert place.call("source", "add", "shop").code == 0
    mapping = tmp_path / "contracts/shop.t/1.0/mapping.yaml"
    mapping.write_text("mine")
    again = place.call("source", "add", "shop", "--json")
    assert [row["outcome"] for row in again.json()] == ["is there already"]
    assert mapping.read_text() == "mine"


def test_words_spell_names_out(tmp_path: Path, database: Database) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as sql:
        sql.execute("CREATE TABLE t_cust (cust_no int PRIMARY KEY, addr text)")
    place = deployment(tmp_path, database.dsn)
    words = tmp_path / "words.yaml"
    words.write_text('{cust: customer, "no": number, addr: address}')
    said = place.run(
        "source", "add", "shop", "--strip-prefix", "t_", "--words", str(words), "--json"
    )
    assert said.json()[0]["subject"] == "shop.customer"
    mapping = yaml.safe_load((tmp_path / "contracts/shop.customer/1.0/mapping.yaml").read_text())
    assert list(mapping["fields"]) == ["customer_number", "address"]
    assert mapping["key"] == ["customer_number"]


def test_nothing_is_written_to_the_database(tmp_path: Path, database: Database) -> None:
    with psycopg.connect(database.dsn, autocommit=True) as sql:
        sql.execute("CREATE TABLE t (id int PRIMARY KEY)")
        before = sql.execute("SELECT txid_current_if_assigned(), pg_current_xact_id()").fetchone()
        assert deployment(tmp_path, database.dsn).call("source", "add", "shop").code == 0
        after = sql.execute("SELECT pg_current_xact_id()").fetchone()
    assert before is not None
    assert after is not None
    # The server is shared with nobody while a test runs: no transaction id was taken in between.
    assert int(after[0]) - int(before[1]) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere"], "--url"),
        (["shop", "--table", "public.missing"], "public.missing"),
        (["shop", "--table", "missing"], "schema.table"),
        (["shop", "--url", "no dsn at all hunter2canary"], "connection string"),
        (["shop", "--url", "nosuch+driver://u:hunter2canary@h/d"], "driver"),
        (["shop", "--url", "postgresql://u:hunter2canary@127.0.0.1:1/d"], "127.0.0.1:1"),
        (["shop", "--domain", "Not A Domain"], "--domain"),
    ],
)
def test_bad_input_is_told(
    tmp_path: Path, database: Database, arguments: list[str], told: str
) -> None:
    said = deployment(tmp_path, database.dsn).call("source", "add", *arguments)
    assert said.code != 0
    assert told in said.err
    assert "hunter2canary" not in said.err + said.out


def test_names_are_names_whatever_the_column_is_called() -> None:
    rule = NamingRule(words={"ord": "order"}, strip_prefixes=("T_",))
    assert rule.subject("shop", "T_ORD_HDR") == "shop.order-hdr"
    assert rule.subject("shop", "2024") == "shop.t-2024"
    assert rule.subject("shop", "受注") == "shop.table"
    assert rule.subject("shop", "x" * 80) == f"shop.{'x' * 31}"
    assert rule.fields(["OrdNo", "ord_no", "受注", "1st", "a b"]) == {
        "OrdNo": "order_no", "ord_no": "order_no_2", "受注": "column", "1st": "c_1_st",
        "a b": "a_b",
    }  # fmt: skip


def test_other_servers(tmp_path: Path, postgres: PrivatePostgres) -> None:
    """SQLite through the same path: no schema of its own, no comments."""
    import sqlite3

    file = tmp_path / "legacy.db"
    with sqlite3.connect(file) as sql:
        sql.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total NUMERIC(9,2), note TEXT)")
    sql.close()
    place = deployment(tmp_path, postgres.dsn())
    said = place.run("source", "add", "files", "--url", f"sqlite:///{file}", "--json")
    assert said.code == 0, said.err
    assert said.json()[0]["subject"] == "files.orders"
    ContractSet.load(tmp_path / "contracts", type_prefix="com.example")
