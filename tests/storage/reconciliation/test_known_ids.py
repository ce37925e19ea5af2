"""Every journal's desk lists the ids of its map in one order, from any place on."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from bridge.storage.journal.postgres_desk import PostgresJournalDesk
from bridge.storage.journal.sqlite_desk import SqliteJournalDesk
from tests.warrants import by

GROUP = "orders"


@pytest.fixture(params=["sqlite", "postgres"])
def desk(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[SqliteJournalDesk | PostgresJournalDesk]:
    made: SqliteJournalDesk | PostgresJournalDesk
    if request.param == "sqlite":
        made = SqliteJournalDesk(tmp_path / "journal.db")
    else:
        made = PostgresJournalDesk(request.getfixturevalue("journal_dsn"))
    with closing(made):
        made.ensure_groups([GROUP])
        yield made


def test_ids_are_walked_from_any_place_on(desk: SqliteJournalDesk | PostgresJournalDesk) -> None:
    word = by("backfill", "T-1")
    desk.import_ids(GROUP, "order", [(str(n), f"ord_{n}") for n in (30, 4, 17)], word)
    desk.import_ids(GROUP, "customer", [("1", "c_1")], word)
    desk.import_ids(GROUP, "order", [("2", "ord_2")], word)
    first = desk.id_keys(GROUP, "order", 0, 2)
    rest = desk.id_keys(GROUP, "order", first[-1].place, 10)
    assert {one.key for one in (*first, *rest)} == {"30", "4", "17", "2"}
    places = [one.place for one in (*first, *rest)]
    assert places == sorted(places)
    assert places[0] > 0
    assert rest[-1].key == "2", "what became known last comes last"
    assert not desk.id_keys(GROUP, "order", places[-1], 10)
