"""Real applications as private servers: Wagtail, a Django CMS, and Node-RED, on Express."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from tests.child import child
from tests.gateway.foreign.installed import node_with, python_with
from tests.waiting import wait_until

USER: Final = "admin"
PASSWORD: Final = "a long secret"

_WAGTAIL: Final = "wagtail==8.0.1"
_NODE_RED: Final = "node-red@4.1.15"
_START_S: Final = 60
# Behind TLS, Django must be told by whom the scheme is told.
_SETTINGS: Final = 'SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")\n'


@contextmanager
def wagtail(folder: Path) -> Iterator[int]:
    """Run a fresh site with one administrator; yield its port."""
    python = python_with(_WAGTAIL)
    site = folder / "site"
    site.mkdir()
    _made(python, site)
    port = _free_port()
    argv = [str(python), "manage.py", "runserver", "--noreload", f"127.0.0.1:{port}"]
    with _served(argv, site, port):
        yield port


@contextmanager
def node_red(folder: Path) -> Iterator[int]:
    """Run it without flows; yield its port."""
    program = node_with(_NODE_RED) / "node_modules" / "node-red" / "red.js"
    node = shutil.which("node")
    assert node is not None, "node is not installed"
    port = _free_port()
    user = folder / "user"
    user.mkdir()
    argv = [node, str(program), "--userDir", str(user), "-p", str(port)]
    options = ["-D", "uiHost=127.0.0.1", "-D", "editorTheme.tours=false"]
    with _served([*argv, *options], user, port):
        yield port


def _made(python: Path, site: Path) -> None:
    """Make the site once, and copy it from then on: its migrations take ten seconds."""
    template = python.parent.parent.parent / f"site-{_WAGTAIL}"
    if not template.exists():
        part = template.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        _run([str(python.parent / "wagtail"), "start", "shop", "."], part)
        (part / "shop" / "settings" / "local.py").write_text(_SETTINGS)
        _run([str(python), "manage.py", "migrate", "-v0"], part)
        names = ["--noinput", "--username", USER, "--email", "admin@example.com"]
        _run([str(python), "manage.py", "createsuperuser", *names], part)
        part.rename(template)
    shutil.copytree(template, site, dirs_exist_ok=True)


def _run(argv: list[str], folder: Path) -> None:
    environment = os.environ | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    done = subprocess.run(
        argv, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]


@contextmanager
def _served(argv: list[str], folder: Path, port: int) -> Iterator[None]:
    log = folder / "server.log"
    # Python sorts sets by chance; two runs shall write their class names in one order.
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    with (
        log.open("wb") as out,
        child(argv, cwd=folder, env=environment, stdout=out, stderr=out) as process,
    ):

        def listens() -> bool:
            assert process.poll() is None, log.read_text()[-2_000:]
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return True
            return False

        wait_until(listens, timeout_s=_START_S, what=f"{argv[1]} on port {port}")
        yield


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
