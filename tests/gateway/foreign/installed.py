"""Fetch programs that are no part of ours into `build/apps`, once."""

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from bridge.demo.servers.packages import install

_FOLDER: Final = Path("build/apps").absolute()
# Wagtail and Node-RED have hundreds of packages each.
_FETCH_S: Final = 600


def python_with(*packages: str) -> Path:
    """Return the Python of a virtual environment that has these packages of PyPI."""
    folder = _FOLDER / "python"
    python = folder / "bin" / "python"
    with _alone():
        if not python.exists():
            _run([sys.executable, "-m", "venv", str(folder)])
        if absent := [name for name in packages if not _noted(folder, name)]:
            _run([str(python), "-m", "pip", "install", "--quiet", *absent])
            _note(folder, absent)
    return python


def node_with(*packages: str) -> Path:
    """Return a folder whose `node_modules` has these packages of npm."""
    folder = _FOLDER / "node"
    with _alone():
        if absent := [name for name in packages if not _noted(folder, name)]:
            folder.mkdir(parents=True, exist_ok=True)
            if shutil.which("npm") is None:
                install(["npm"])
            npm = shutil.which("npm")
            assert npm is not None, "npm is not where its package puts it"
            quiet = ["--no-audit", "--no-fund", "--loglevel", "error"]
            _run([npm, "install", "--prefix", str(folder), *quiet, *absent])
            _note(folder, absent)
    return folder


def _noted(folder: Path, package: str) -> bool:
    return (folder / ".installed" / package).exists()


def _note(folder: Path, packages: Sequence[str]) -> None:
    (folder / ".installed").mkdir(exist_ok=True)
    for package in packages:
        (folder / ".installed" / package).touch()


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=_FETCH_S)
    assert done.returncode == 0, f"cannot fetch: {done.stderr[-1_000:]}"


@contextmanager
def _alone() -> Iterator[None]:
    """Let one test process fetch at a time."""
    _FOLDER.mkdir(parents=True, exist_ok=True)
    with (_FOLDER / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
