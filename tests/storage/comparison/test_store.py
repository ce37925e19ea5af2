"""Every `ComparisonStore` keeps counts and samples alike."""

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import pytest

from bridge.gateway.comparison.ports import ComparisonStore, RouteNews
from bridge.gateway.comparison.samples import Sample
from bridge.gateway.comparison.tally import Tally
from bridge.storage.comparison.limits import CLASS_SAMPLES_MAX, ROUTE_SAMPLES_MAX
from bridge.storage.comparison.memory import MemoryComparisonStore
from bridge.storage.comparison.sqlite import SqliteComparisonStore

Open: TypeAlias = Callable[[], ComparisonStore]
NOON = datetime(2026, 11, 2, 12, tzinfo=UTC)


class Hands:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Hands:
    return Hands()


@pytest.fixture(params=["sqlite", "memory"])
def store(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Hands
) -> Iterator[ComparisonStore]:
    made: SqliteComparisonStore | MemoryComparisonStore
    if request.param == "sqlite":
        made = SqliteComparisonStore(tmp_path / "comparison.db", clock=clock)
    else:
        made = MemoryComparisonStore(clock=clock)
    with closing(made):
        yield made


def sample(number: int, difference: str = "value /total", route: str = "orders") -> Sample:
    return Sample(
        sample_id=f"s{number}-{route}",
        route=route,
        difference=difference,
        made_at=NOON.timestamp() + number,
        document=b'{"n":%d}' % number,
    )


def news(route: str = "orders", rules: str = "r1", /, *samples: Sample, **counts: int) -> RouteNews:
    return RouteNews(route, rules, Tally({(name, ""): n for name, n in counts.items()}), samples)


def test_counts_of_all_workers_are_added_up(store: ComparisonStore) -> None:
    store.add([news(compared=3, probed=1), news("carts", "r1", compared=7)])
    store.add([news(compared=2), RouteNews("orders", "r1", Tally({("field.differs", "/a"): 1}))])
    assert store.counts("orders", "r1") == Tally(
        {("compared", ""): 5, ("probed", ""): 1, ("field.differs", "/a"): 1}
    )
    assert store.counts("carts", "r1")["compared", ""] == 7
    assert not store.counts("orders", "other")


def test_counts_of_two_versions_of_the_rules_stay_apart(
    store: ComparisonStore, clock: Hands
) -> None:
    store.add([news(compared=3)])
    clock.now += timedelta(hours=1)
    store.add([news("orders", "r2", compared=4)])
    assert [(one.rules, one.began_at) for one in store.series()] == [
        ("r2", clock.now),
        ("r1", NOON),
    ]
    assert store.counts("orders", "r1")["compared", ""] == 3


def test_samples_come_newest_first_and_one_at_a_time(store: ComparisonStore) -> None:
    store.add([news("orders", "r1", sample(1), sample(2, "missing /items"))])
    store.add([news("carts", "r1", sample(3, route="carts")), news("orders", "r1", sample(1))])
    assert [one.sample_id for one in store.samples()] == ["s3-carts", "s2-orders", "s1-orders"]
    assert [one.sample_id for one in store.samples(route="orders", count_max=1)] == ["s2-orders"]
    assert [one.sample_id for one in store.samples(difference="/total")] == [
        "s3-carts",
        "s1-orders",
    ]
    found = store.sample("s2-orders")
    assert found == sample(2, "missing /items")
    assert found.read() == {"n": 2}
    assert store.sample("none") is None


def test_samples_are_bounded_by_class_and_by_route(store: ComparisonStore) -> None:
    many = [sample(number) for number in range(CLASS_SAMPLES_MAX + 5)]
    store.add([news("orders", "r1", *many)])
    kept = store.samples(count_max=1_000)
    assert [one.sample_id for one in kept] == [one.sample_id for one in reversed(many[5:])]
    more = [sample(100 + number, f"value /f{number}") for number in range(ROUTE_SAMPLES_MAX + 5)]
    store.add([news("orders", "r1", *more)])
    assert len(store.samples(count_max=10_000)) == ROUTE_SAMPLES_MAX


def test_a_route_is_begun_anew(store: ComparisonStore) -> None:
    store.add([news("orders", "r1", sample(1), compared=3), news("carts", "r1", compared=1)])
    assert store.restart("orders") == 1
    assert store.restart("orders") == 0
    assert not store.counts("orders", "r1")
    assert not store.samples()
    assert [one.route for one in store.series()] == ["carts"]
    store.add([news(compared=2)])
    assert store.counts("orders", "r1")["compared", ""] == 2


def test_what_is_old_is_forgotten(store: ComparisonStore, clock: Hands) -> None:
    store.add([news("orders", "r1", sample(1), compared=3)])
    clock.now += timedelta(days=30)
    store.add([news("carts", "r1", compared=1)])
    assert store.prune(NOON + timedelta(days=1)) == 2
    assert [one.route for one in store.series()] == ["carts"]
    assert not store.samples()
    assert not store.counts("orders", "r1")


def test_the_file_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "comparison.db"
    with closing(SqliteComparisonStore(path)) as first:
        first.add([news("orders", "r1", sample(1), compared=3)])
    with closing(SqliteComparisonStore(path)) as second, closing(SqliteComparisonStore(path)) as he:
        he.add([news(compared=1)])
        assert second.counts("orders", "r1")["compared", ""] == 4
        assert second.sample("s1-orders") == sample(1)
    assert path.stat().st_mode & 0o077 == 0, "nobody else may read what answers hold"
