"""Names of tiles, against the specification's examples and the vectors of implementations."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.eventlog.tiles.tile_paths import (
    ENTRIES,
    INDEX_MAX,
    TILE_WIDTH,
    TileName,
    full_tiles,
    parse_tile_path,
    partial_tiles,
)
from bridge.model.errors import DecodeError
from tests.eventlog.examples import EXAMPLES

# transparency-dev/tessera, api/layout/paths_test.go and example_test.go; C2SP tlog-tiles.md.
PATHS = {
    "tile/0/000": (0, 0, 256),
    "tile/0/000.p/255": (0, 0, 255),
    "tile/1/000": (1, 0, 256),
    "tile/15/x455/667": (15, 455667, 256),
    "tile/15/x123/x456/789.p/41": (15, 123456789, 41),
    "tile/0/x001/x234/067": (0, 1234067, 256),
    "tile/0/x001/x234/067.p/8": (0, 1234067, 8),
    "tile/2/000.p/1": (2, 0, 1),
    "tile/entries/000": (ENTRIES, 0, 256),
    "tile/entries/000.p/8": (ENTRIES, 0, 8),
    "tile/entries/255": (ENTRIES, 255, 256),
    "tile/entries/255.p/253": (ENTRIES, 255, 253),
    "tile/entries/x001/x234/067.p/6": (ENTRIES, 1234067, 6),
    "tile/entries/x001/000": (ENTRIES, 1000, 256),
    "tile/0/x999/x999/999": (0, 999999999, 256),
}

names = st.builds(
    TileName,
    st.integers(ENTRIES, 63),
    st.integers(0, INDEX_MAX) | st.integers(0, 2_000),
    st.integers(1, TILE_WIDTH),
)


@pytest.mark.parametrize(("path", "parts"), PATHS.items())
def test_paths_of_other_implementations(path: str, parts: tuple[int, int, int]) -> None:
    assert TileName(*parts).path() == path
    assert parse_tile_path(path) == parts


@EXAMPLES
@given(name=names)
def test_a_path_is_read_as_it_is_written(name: TileName) -> None:
    assert parse_tile_path(name.path()) == name


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/-1/000",
        "tile/64/000",
        "tile/0/-01",
        "tile/data/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/01",
        "tile/0/000.p/256",
        "tile/0/000.p/300",
        "tile/0/x000/001",
        "tile/0/001/067",
        "tile/0/x001/x067",
        "tile/0/000/",
        "/tile/0/000",
        "tile/0/../../keys/log.ed25519",
        "tile/0/\u0660\u0660\u0660",
        "tile/8/0/000",
        "tile/0/x999/x999/x999/x999/x999/x999/x999/999",
        # The forms of x/mod's own examples, which name the tile's height first.
        "tile/4/0/001",
        "tile/3/5/123/456/078",
    ],
)
def test_another_path_is_refused(path: str) -> None:
    with pytest.raises(DecodeError, match="tile"):
        parse_tile_path(path)


@EXAMPLES
@given(path=st.text(alphabet="tile/entris.px0123456789", max_size=40))
def test_any_text_is_a_tile_or_a_decode_error(path: str) -> None:
    with contextlib.suppress(DecodeError):
        assert parse_tile_path(path).path() == path


def count_by_level(names: list[TileName]) -> dict[int, int]:
    return {level: sum(name.level == level for name in names) for level in range(4)}


def test_the_examples_of_the_specification() -> None:
    # "A tree of size 70,000 will be represented by 273 full level 0 tiles, one partial level 0
    # tile of width 112, one full level 1 tile, one partial level 1 tile of width 17, and one
    # partial level 2 tile of width 1."
    assert count_by_level(list(full_tiles(0, 70_000))) == {0: 273, 1: 1, 2: 0, 3: 0}
    assert [name for name in partial_tiles(70_000) if name.level != ENTRIES] == [
        (0, 273, 112), (1, 1, 17), (2, 0, 1),
    ]  # fmt: skip
    # "A tree of size 256 will be represented by a full level 0 tile and a partial level 1 tile of
    # width 1."
    assert list(full_tiles(0, 256)) == [(ENTRIES, 0, 256), (0, 0, 256)]
    assert list(partial_tiles(256)) == [(1, 0, 1)]
    assert not [*full_tiles(0, 0), *partial_tiles(0)]


@EXAMPLES
@given(sizes=st.lists(st.integers(0, 300_000), min_size=2, max_size=4).map(sorted))
def test_growth_in_steps_names_every_full_tile_once(sizes: list[int]) -> None:
    steps = [
        name for old, new in zip([0, *sizes], sizes, strict=False) for name in full_tiles(old, new)
    ]
    assert sorted(steps) == sorted(full_tiles(0, sizes[-1]))


@EXAMPLES
@given(size=st.integers(0, 10**12), name=names)
def test_tiles_of_a_size_are_within_it_and_no_wider_ones_are(size: int, name: TileName) -> None:
    for partial in partial_tiles(size):
        assert partial.is_within(size)
        assert not partial._replace(width=partial.width + 1).is_within(size)
    # By the specification's own formula: its last hash covers leaves up to this index.
    last = (name.start + name.width) * 256 ** max(name.level, 0)
    assert name.is_within(size) == (last <= size)
