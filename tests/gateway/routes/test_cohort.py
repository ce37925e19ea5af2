"""Cohorts: even, stable, and growing without moving anybody back."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bridge.gateway.routes.cohort import BUCKETS_COUNT, bucket_of, in_cohort

KEYS = st.text(max_size=30)


@given(salt=KEYS, key=KEYS, ramp=st.lists(st.floats(0, 100), min_size=2, max_size=8))
def test_a_cohort_that_grows_keeps_every_key(salt: str, key: str, ramp: list[float]) -> None:
    bucket = bucket_of(salt, key)
    assert 0 <= bucket < BUCKETS_COUNT
    belongs = [in_cohort(bucket, share) for share in sorted(ramp)]
    assert belongs == sorted(belongs), "a key moves into a cohort once, and never out of it"
    assert not in_cohort(bucket, 0)
    assert in_cohort(bucket, 100)


def test_buckets_do_not_change_between_versions() -> None:
    """A change of these numbers would deal the keys of every running ramp anew."""
    assert [bucket_of("orders", str(key)) for key in (1, 7, 4711)] == [2586, 2806, 6198]


def test_shares_are_what_they_say() -> None:
    buckets = [bucket_of("orders", f"customer-{number}") for number in range(20_000)]
    for share in (1, 5, 25, 50):
        count = sum(in_cohort(bucket, share) for bucket in buckets)
        # Four standard deviations of a fair draw.
        expected = 20_000 * share / 100
        assert abs(count - expected) < 4 * (expected * (1 - share / 100)) ** 0.5


def test_groups_with_other_salts_have_other_cohorts() -> None:
    same = sum(
        in_cohort(bucket_of("orders", str(key)), 10) and in_cohort(bucket_of("carts", str(key)), 10)
        for key in range(5_000)
    )
    assert same < 100, "1 % by chance, and 10 % if the salt meant nothing"
    assert bucket_of("ab", "c") != bucket_of("a", "bc")
    assert max(Counter(bucket_of("s", str(key)) for key in range(5_000)).values()) < 10
