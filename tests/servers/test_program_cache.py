"""Programs are copied once, whole, for every account, and never trusted from a stranger."""

import base64
import hashlib
import json
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bridge.demo.servers import ServerNotStarted, postgres_programs, program_cache
from bridge.demo.servers.postgres_programs import bin_dir, check_integrity, restore_links


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def _fill(folder: Path) -> None:
    (folder / "bin").mkdir(mode=0o700)
    for name in ("bin/server", "data"):
        (folder / name).write_text(name)
        (folder / name).chmod(0o600)


def test_everybody_may_run_what_is_cached(temporary: Path) -> None:
    tree = program_cache.tree("one-1", _fill)
    assert tree.is_relative_to(temporary)
    assert (tree / "bin" / "server").stat().st_mode & 0o777 == 0o755
    assert (tree / "data").stat().st_mode & 0o777 == 0o644
    for folder in (tree, tree / "bin", *tree.parents[:2]):
        assert folder.stat().st_mode & 0o005 == 0o005


def test_a_whole_tree_is_not_made_again(temporary: Path) -> None:
    first = program_cache.tree("one-1", _fill)

    def never(folder: Path) -> None:
        raise AssertionError("made again")

    assert program_cache.tree("one-1", never) == first
    assert program_cache.existing("one-1") == first
    assert program_cache.existing("other-1") is None


def test_a_tree_that_lost_files_is_made_again(temporary: Path) -> None:
    tree = program_cache.tree("one-1", _fill)
    (tree / "data").unlink()
    assert program_cache.existing("one-1") is None
    assert program_cache.tree("one-1", _fill) == tree
    assert (tree / "data").read_text() == "data"


def test_many_may_ask_at_once_and_nothing_half_made_stays(temporary: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        trees = set(pool.map(lambda _: program_cache.tree("one-1", _fill), range(32)))
    (tree,) = trees
    assert (tree / "bin" / "server").exists()
    assert [path.name for path in tree.parents[1].iterdir()] == ["one-1"]


def test_a_failure_leaves_nothing(temporary: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise ServerNotStarted("no more")

    with pytest.raises(ServerNotStarted, match="no more"):
        program_cache.tree("one-1", fail)
    assert program_cache.existing("one-1") is None
    (root,) = temporary.iterdir()
    assert list(root.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to somebody else")
def test_a_strangers_folder_is_refused(temporary: Path) -> None:
    root = temporary / f"legacy-bridge-programs-{os.geteuid()}"
    root.mkdir()
    os.chown(root, 12_345, 12_345)
    with pytest.raises(ServerNotStarted, match="belongs to user 12345"):
        program_cache.tree("one-1", _fill)


def test_an_archive_must_be_what_its_hash_promises(tmp_path: Path) -> None:
    archive = tmp_path / "a.tgz"
    archive.write_bytes(b"as published")
    integrity = base64.b64encode(hashlib.sha512(b"as published").digest()).decode()
    check_integrity(archive, "a@1", integrity)
    archive.write_bytes(b"as changed")
    with pytest.raises(ServerNotStarted, match="somebody changed it"):
        check_integrity(archive, "a@1", integrity)


def _listing(folder: Path, source: str, target: str) -> None:
    (folder / "lib").mkdir()
    (folder / "lib" / "libpq.so.5.14").write_text("library")
    links = [{"source": source, "target": target}]
    (folder / "pg-symlinks.json").write_text(json.dumps(links))


def test_links_that_npm_cannot_hold_are_made(tmp_path: Path) -> None:
    _listing(tmp_path, "native/lib/libpq.so.5.14", "native/lib/libpq.so.5")
    restore_links(tmp_path)
    restore_links(tmp_path)
    assert (tmp_path / "lib" / "libpq.so.5").read_text() == "library"
    assert (tmp_path / "lib" / "libpq.so.5").readlink() == Path("libpq.so.5.14")


@pytest.mark.parametrize(
    ("source", "target"),
    [("native/lib/a", "native/../../a"), ("native/../x", "native/../y"), ("/etc/a", "native/a")],
)
def test_a_link_out_of_the_package_is_refused(tmp_path: Path, source: str, target: str) -> None:
    _listing(tmp_path, source, target)
    with pytest.raises(ServerNotStarted, match="a link leads to"):
        restore_links(tmp_path)


def test_a_version_that_is_not_here_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> None:
    monkeypatch.setattr(postgres_programs, "unsupported_platform", lambda: None)
    monkeypatch.setattr(postgres_programs, "_installed", dict)
    with pytest.raises(ServerNotStarted, match="--all-versions"):
        bin_dir(16)
    with pytest.raises(ServerNotStarted, match="versions 14 to 18"):
        bin_dir(9)
    monkeypatch.setattr(postgres_programs, "unsupported_platform", lambda: "not on this machine")
    with pytest.raises(ServerNotStarted, match="not on this machine; not on this machine"):
        bin_dir(17)
