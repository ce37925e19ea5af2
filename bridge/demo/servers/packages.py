"""Install PostgreSQL and RabbitMQ from the distribution's packages, if they are absent.

`python -m bridge.demo.servers.packages`. Installed programs are only run privately: the system
services that the packages bring are not started, and existing ones are not touched.
With `--for-tests` also MariaDB, which polling is tested on, openssl, the tests' time-stamp
authority, Node.js, which runs the second verifier, and the gateway's peers; with `--all-versions`
also every PostgreSQL that capture is tested on, into a temporary folder.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from bridge.demo.servers.mariadb import server_program
from bridge.demo.servers.postgres_programs import VERSIONS, bin_dir, fetch
from bridge.demo.servers.process import ServerNotStarted
from bridge.demo.servers.rabbitmq import scripts_dir

# Debian's own hook: what it exits with decides whether a package may start its service.
_POLICY = Path("/usr/sbin/policy-rc.d")
_POLICY_TEXT = "#!/bin/sh\nexit 101\n"
# Another installation may hold the lock; on a fresh machine its own updates do for a while.
_LOCK_TIMEOUT_S = 180
_ERROR_LINES = 3
# What stands before and behind the gateway in its tests: package and program.
_PEERS = (
    ("haproxy", "haproxy"),
    ("nginx-light", "nginx"),
    ("curl", "curl"),
    ("varnish", "varnishtest"),
)
_EX_UNAVAILABLE = 69


class PackagesMissing(ServerNotStarted):
    """The servers are absent and cannot be installed; the message says what to run by hand."""


def missing(*, for_tests: bool = False) -> list[str]:
    """Return the names of the packages whose programs are not on this machine."""
    found = []
    looks: list[tuple[str, Callable[[], object]]] = [
        ("postgresql", bin_dir),
        ("rabbitmq-server", scripts_dir),
    ]
    if for_tests:
        looks += [
            ("mariadb-server", server_program),
            ("openssl", _openssl),
            ("nodejs", _node),
            *((package, partial(_program, name)) for package, name in _PEERS),
        ]
    for package, look in looks:
        try:
            look()
        except ServerNotStarted:
            found.append(package)
    return found


def _program(name: str) -> str:
    """Return a program, also one that only administrators usually start."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise ServerNotStarted(f"cannot find {name}")
    return found


def _openssl() -> str:
    """Return the program that plays a time-stamp authority."""
    found = shutil.which("openssl")
    if found is None:
        raise ServerNotStarted("cannot find openssl")
    return found


def _node() -> str:
    """Return the program that runs the second verifier."""
    found = shutil.which("node")
    if found is None:
        raise ServerNotStarted("cannot find node")
    return found


def ensure(*, for_tests: bool = False) -> list[str]:
    """Install what is missing and return it; `for_tests`, also what the demo does without.

    Raises:
        PackagesMissing: it cannot be installed by us, or the installation failed.
    """
    packages = missing(for_tests=for_tests)
    if packages:
        install(packages)
    if still := missing(for_tests=for_tests):
        raise PackagesMissing(
            f"cannot find the programs of {' and '.join(still)} although apt-get installed them; "
            "is this distribution's layout unknown to us?"
        )
    return packages


def install(packages: Sequence[str]) -> None:
    """Install `packages` of the distribution, without starting their services.

    Raises:
        PackagesMissing: it cannot be done by us, or the installation failed.
    """
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise PackagesMissing(
            f"cannot install {' and '.join(packages)}: this machine has no apt-get; install "
            "PostgreSQL 13 or later and RabbitMQ 3.10 or later by its own means"
        )
    as_root = _as_root(command)
    print(f"installing {' and '.join(packages)} with apt-get (their services stay off)", flush=True)
    options = ["-qq", "-o", f"DPkg::Lock::Timeout={_LOCK_TIMEOUT_S}"]
    with _services_stay_off(as_root):
        _run([*as_root, "apt-get", *options, "update"], command)
        _run(
            [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *options, "install",
             "-y", "--no-install-recommends", *packages],
            command,
        )  # fmt: skip


def _as_root(command: str) -> list[str]:
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if (
        sudo is None
        or subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode != 0
    ):
        raise PackagesMissing(
            f"cannot install the servers: we are not root and sudo asks for a password; "
            f"run once as root: {command}"
        )
    return [sudo, "-n"]


@contextlib.contextmanager
def _services_stay_off(as_root: Sequence[str]) -> Iterator[None]:
    """Keep packages from starting their services; an administrator's own policy stands."""
    if _POLICY.exists():
        yield
        return
    write = f"printf '%b' '{_POLICY_TEXT.encode('unicode_escape').decode()}' > {_POLICY}"
    _run([*as_root, "sh", "-c", f"{write} && chmod 755 {_POLICY}"], f"write {_POLICY}")
    try:
        yield
    finally:
        _run([*as_root, "rm", "-f", str(_POLICY)], f"remove {_POLICY}")


def _run(argv: Sequence[str], command: str) -> None:
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = (result.stderr or result.stdout).strip().splitlines()[-_ERROR_LINES:]
        raise PackagesMissing(
            f"cannot install the servers: {' '.join(argv[:8])} ended with {result.returncode}: "
            f"{' / '.join(lines)}; run as root: {command}"
        )


def main() -> int:
    """Install what is missing; say what was done, or why it cannot be."""
    try:
        installed = ensure(for_tests="--for-tests" in sys.argv[1:])
        if "--all-versions" in sys.argv[1:]:
            for version in VERSIONS:
                fetch(version)
    except ServerNotStarted as exc:
        print(exc, file=sys.stderr)
        return _EX_UNAVAILABLE
    if installed:
        print(
            f"installed {' and '.join(installed)}; their system services were not started "
            "(they may start at the next boot: `systemctl disable` prevents it)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
