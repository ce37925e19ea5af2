"""Trees of programs that every account may run, each made once per machine and content.

They lie in a temporary folder, because an environment's own may be closed to the account that a
server runs as (a home with mode 0700) or hold files without the bits to execute them. Nothing is
written anywhere else.
"""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from bridge.demo.servers.process import ServerNotStarted

# Beside each tree: how many files belong to it. Cleaners of temporary folders take old files one
# by one, and a server without half of its time zones fails in ways nobody would understand.
_COUNT = "files"
_TREE = "tree"


def tree(name: str, fill: Callable[[Path], None]) -> Path:
    """Return the tree called `name`, made by `fill` in an empty folder if it is not there whole.

    `name` must say its content (a version and a hash): a tree that is there is never renewed. Safe
    for processes that ask at once: each makes its own, and the first one's is taken.

    Raises:
        ServerNotStarted: the cache belongs to somebody else.
    """
    place = _root() / name
    if _is_whole(place):
        return place / _TREE
    made = Path(tempfile.mkdtemp(prefix="making-", dir=_root()))
    try:
        made.chmod(0o755)
        (made / _TREE).mkdir()
        fill(made / _TREE)
        _open_to_all(made / _TREE)
        (made / _COUNT).write_text(str(_count(made / _TREE)), encoding="ascii")
        _publish(made, place)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return place / _TREE


def existing(name: str) -> Path | None:
    """Return the tree called `name` if it is there whole."""
    place = _root() / name
    return place / _TREE if _is_whole(place) else None


def _root() -> Path:
    """Return our folder; others could put programs of their own into one that is not ours."""
    root = Path(tempfile.gettempdir()).resolve() / f"legacy-bridge-programs-{os.geteuid()}"
    root.mkdir(mode=0o755, exist_ok=True)
    status = root.lstat()
    if not root.is_dir() or root.is_symlink() or status.st_uid != os.geteuid():
        raise ServerNotStarted(
            f"cannot keep programs in {str(root)!r}: it belongs to user {status.st_uid}, not to "
            f"us ({os.geteuid()}); remove it or set TMPDIR"
        )
    root.chmod(0o755)
    return root


def _is_whole(place: Path) -> bool:
    try:
        wanted = int((place / _COUNT).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return False
    return _count(place / _TREE) == wanted


def _count(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def _open_to_all(folder: Path) -> None:
    """Let everybody read everything, and run what its owner may run."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & 0o100 or path.parent.name == "bin"
            path.chmod(0o755 if runs else 0o644)


def _publish(made: Path, place: Path) -> None:
    """Rename `made` to `place`; keep what another process put there meanwhile if it is whole."""
    for _ in range(2):
        try:
            made.rename(place)
        except OSError:
            if _is_whole(place):
                return
            # Half of an older one: out of the way first, so that nobody sees it being removed.
            broken = Path(tempfile.mkdtemp(prefix="broken-", dir=place.parent))
            place.rename(broken / "old")
            shutil.rmtree(broken, ignore_errors=True)
        else:
            return
    raise ServerNotStarted(f"cannot keep programs in {str(place)!r}: something else is there")
