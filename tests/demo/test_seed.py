"""The seeded rows: how many, always the same, in agreement, and fit for their contracts."""

import hashlib
from collections import Counter
from collections.abc import Iterable
from typing import Any

import psycopg
import pytest

from bridge.demo.legacy.population import Population, Sizes
from bridge.demo.legacy.seed import SEED_DEFAULT, seed
from bridge.model.event import Event
from tests.demo.conftest import Named
from tests.demo.events import mapped

# Totals are the sums of lines, reserved stock is what unshipped orders hold, and a missing
# shipping time means that the order is not shipped.
DISAGREEMENTS = (
    """
SELECT count(*) FROM t_ord_hdr
  JOIN (SELECT ord_no, sum(ln_amt) AS amount FROM t_ord_ln GROUP BY ord_no) AS l USING (ord_no)
 WHERE tot_amt <> amount""",
    """
SELECT count(*) FROM t_stk LEFT JOIN (
       SELECT wh_cd, prd_cd, sum(qty) AS held FROM t_ord_ln JOIN t_ord_hdr USING (ord_no)
        WHERE stat_cd IN ('1', '2', '3') GROUP BY wh_cd, prd_cd) AS h USING (wh_cd, prd_cd)
 WHERE rsv_qty <> coalesce(held, 0)""",
    "SELECT count(*) FROM t_ord_hdr WHERE (ship_ts IS NULL) = (stat_cd IN ('4', '5'))",
)


def digest(tables: Iterable[tuple[str, list[tuple[Any, ...]]]]) -> str:
    return hashlib.sha256(repr([(name, list(rows)) for name, rows in tables]).encode()).hexdigest()


def test_the_same_seed_makes_the_same_rows() -> None:
    sizes = Sizes(customers=50, products=20, orders=100)
    first, again, other = (
        digest(Population(seed=number, sizes=sizes).tables()) for number in (7, 7, 8)
    )
    assert first == again != other


def test_the_default_population_is_known() -> None:
    # The demo's figures, and the traffic's idea of what is there, rest on these very rows.
    assert digest(Population(seed=SEED_DEFAULT, sizes=Sizes()).tables()) == (
        "32dff11435669e440a4f5fcb7cbf094c5113134303507d2b080625838072731b"
    )


def test_the_whole_seed_loads_and_agrees(database: Named) -> None:
    told: dict[str, int] = {}
    counts = seed(database.dsn, progress=told.__setitem__)
    assert told == counts
    assert len(counts) == 13
    assert sum(counts.values()) > 100_000
    with psycopg.connect(database.dsn) as connection:
        for query in DISAGREEMENTS:
            assert connection.execute(query).fetchone() == (0,)
        # Texts beyond 8 KB stand out of line, and some lines of the keyless table are equal.
        for table, column in (("m_cust", "rmks"), ("m_prd", "dsc_txt"), ("t_ord_hdr", "nte")):
            row = connection.execute(
                f"SELECT count(*), pg_relation_size(reltoastrelid) FROM {table}, pg_class"
                f" WHERE octet_length({column}) > 8192 AND pg_class.oid = '{table}'::regclass"
                " GROUP BY reltoastrelid"
            ).fetchone()
            assert row is not None
            assert row[0] >= 30
            assert row[1] > 100_000
        twins = connection.execute(
            "SELECT count(*) FROM (SELECT m FROM t_stk_mv AS m GROUP BY m HAVING count(*) > 1) AS t"
        ).fetchone()
        assert twins is not None
        assert twins[0] > 10
    kinds = Counter(type(event) for event in mapped(database.dsn))
    assert list(kinds) == [Event]
    assert kinds[Event] > 100_000


def test_a_shop_is_not_seeded_twice(database: Named) -> None:
    sizes = Sizes(customers=5, products=6, orders=5)
    seed(database.dsn, sizes=sizes)
    with pytest.raises(psycopg.errors.DuplicateTable):
        seed(database.dsn, sizes=sizes)
