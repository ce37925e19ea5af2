"""Real peers around a gateway: HAProxy before it, nginx behind it, curl."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bridge.gateway.tls.certificate_files import CertificateFiles
from tests.child import child
from tests.waiting import wait_until


def free_port() -> int:
    """Return a port that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def program(name: str) -> str:
    """Return where a peer's program is; the tests' packages bring it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    assert found is not None, f"{name} is not installed (python -m bridge.demo.servers.packages)"
    return found


def accepts(port: int) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def process(argv: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a peer until the block ends; it listens on `port` from the beginning of the block."""
    with (
        tempfile.TemporaryFile() as output,
        child(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output) as running,
    ):

        def ready() -> bool:
            assert running.poll() is None, (output.seek(0), output.read())
            return accepts(port)

        wait_until(ready, what=argv[0])
        yield running


@contextmanager
def haproxy(folder: Path, upstream_port: int, how: str) -> Iterator[int]:
    """Run HAProxy before a gateway: `how` are words of its `server` line."""
    port = free_port()
    config = folder / "haproxy.cfg"
    config.write_text(
        "global\n  maxconn 100\n"
        "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"
        f"listen front\n  bind 127.0.0.1:{port}\n"
        f"  server gateway 127.0.0.1:{upstream_port} {how}\n",
        encoding="utf-8",
    )
    with process([program("haproxy"), "-db", "-f", str(config)], port):
        yield port


@contextmanager
def nginx(folder: Path, files: CertificateFiles, client_ca: Path) -> Iterator[int]:
    """Run nginx as an upstream over TLS that asks for a client certificate."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off;\nmaster_process off;\npid {folder}/nginx.pid;\nerror_log stderr;\n"
        "events { worker_connections 128; }\n"
        "http {\n  access_log off;\n"
        + "".join(
            f"  {kind}_temp_path {folder}/{kind};\n"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        + f"  server {{\n    listen 127.0.0.1:{port} ssl;\n    server_name legacy.example;\n"
        f"    ssl_certificate {files.cert_file};\n    ssl_certificate_key {files.key_file};\n"
        f"    ssl_client_certificate {client_ca};\n    ssl_verify_client on;\n"
        "    ssl_protocols TLSv1.3;\n"
        "    location / {\n"
        '      return 200 "$ssl_server_name $ssl_client_s_dn $ssl_protocol $connection_requests";\n'
        "    }\n  }\n}\n",
        encoding="utf-8",
    )
    argv = [program("nginx"), "-c", str(config), "-p", str(folder), "-e", "stderr"]
    with process(argv, port):
        yield port


def curl(*args: str) -> str:
    """Run curl; return what it printed."""
    done = subprocess.run(
        [program("curl"), "-sS", "--max-time", "20", *args],
        capture_output=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def python(*args: str) -> list[str]:
    """Return how to run a module of ours."""
    return [sys.executable, "-m", *args]
