"""curl as the client: what it sends and takes, direct and through the gateway, is the same."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.http.rig import Gateway

_DEADLINE_S = 30
_LARGE = 600_000
_BOUNDARY = re.compile(rb"-{20,}\w+|(?<=\n)\d+(?=\nCookie)")


class _Site(BaseHTTPRequestHandler):
    """A site on Python's own server, which says what it got."""

    protocol_version = "HTTP/1.1"
    server_version = "Site/1"
    sys_version = ""

    def do_GET(self) -> None:  # The server's own name for it.
        """Answer by path."""
        if self.path == "/redirect":
            self._send(302, b"", Location="/said", **{"Set-Cookie": "moved=yes; Path=/"})
        elif self.path == "/ranges":
            self._ranges(bytes(range(256)) * 40)
        elif self.path == "/until-close":
            self.close_connection = True
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"to the end")
        elif self.path == "/chunked":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")
        else:
            self._said(b"")

    do_HEAD = do_GET  # noqa: N815

    def do_POST(self) -> None:
        """Say what came."""
        self._said(self._body())

    do_PUT = do_DELETE = do_PATCH = do_POST  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # Its name.
        """Say nothing."""

    def _ranges(self, data: bytes) -> None:
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if found is None:
            self._send(200, data, **{"Accept-Ranges": "bytes", "ETag": '"x"'})
            return
        first, last = int(found[1]), int(found[2])
        place = f"bytes {first}-{last}/{len(data)}"
        self._send(206, data[first : last + 1], **{"Content-Range": place})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", "0")))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _said(self, body: bytes) -> None:
        names = ("Cookie", "Authorization", "Accept", "Content-Type", "X-Empty", "Range")
        fields = [f"{name}: {self.headers.get_all(name)}" for name in names]
        lines = [self.command, self.path, str(len(body)), str(sum(body)), *fields]
        self._send(200, "\n".join(lines).encode() + b"\n", **{"X-Case": "Kept"})

    def _send(self, status: int, body: bytes, **fields: str) -> None:
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


Curl = Callable[..., tuple[str, str]]


@pytest.fixture(scope="module")
def bases() -> Iterator[tuple[str, str]]:
    """The site's own address, and the gateway's before it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Site)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    port = server.server_address[1]
    with Gateway({"legacy": port, "modern": port}) as gateway:
        yield f"http://127.0.0.1:{port}", f"http://127.0.0.1:{gateway.port}"
    server.shutdown()
    thread.join()
    server.server_close()


def _curl(base: str, folder: Path, options: list[str], paths: list[str]) -> tuple[bytes, str]:
    """Return body (with heads, as `-i` writes them) and what curl said on the way."""
    program = shutil.which("curl")
    assert program is not None, "curl is not installed; run make test-servers"
    urls = [base + path for path in paths]
    done = subprocess.run(
        [program, "-sS", "-v", "-i", "--max-time", "20", *options, *urls],
        capture_output=True, check=True, timeout=_DEADLINE_S, cwd=folder,
        env={"PATH": os.environ.get("PATH", "")},
    )  # fmt: skip
    return done.stdout, done.stderr.decode("latin-1")


def _comparable(output: bytes) -> list[bytes]:
    """The output without what a proxy writes itself or frames anew."""
    own = (b"date:", b"via:", b"connection:", b"transfer-encoding:", b"server:")
    return [line for line in output.split(b"\r\n") if not line.lower().startswith(own)]


_CASES: dict[str, tuple[list[str], list[str]]] = {
    "get": ([], ["/said?a=b%2Fc&d"]),
    "path-as-is": (["--path-as-is"], ["/a/./b//c;d?"]),
    "head": (["-I"], ["/ranges"]),
    "http-1.0": (["--http1.0"], ["/said"]),
    "http-1.0-chunked": (["--http1.0"], ["/until-close"]),
    "chunked-answer": ([], ["/chunked"]),
    "until-close": ([], ["/until-close"]),
    "range": (["-r", "100-199"], ["/ranges"]),
    "whole": ([], ["/ranges"]),
    "form": (["-d", "a=b&c=d", "-d", "e=f"], ["/form"]),
    "multipart": (["-F", "file=@large;type=text/plain;filename=x.txt", "-H", "Expect:"], ["/up"]),
    "upload": (["-T", "large"], ["/up/large"]),
    "upload-expect": (["-T", "large", "-H", "Expect: 100-continue"], ["/up"]),
    "upload-chunked": (["-T", "large", "-H", "Transfer-Encoding: chunked"], ["/up"]),
    "upload-chunked-expect": (
        ["-T", "large", "-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue"], ["/up"],
    ),
    "upload-http-1.0": (["-T", "large", "--http1.0"], ["/up"]),
    "empty-post": (["-d", ""], ["/empty"]),
    "delete": (["-X", "DELETE"], ["/thing/1"]),
    "patch": (["-X", "PATCH", "-d", "{}", "-H", "Content-Type: application/json"], ["/thing"]),
    "cookies": (["-b", "a=1; b=2", "-c", "jar", "-L"], ["/redirect"]),
    "basic": (["-u", "me:secret"], ["/said"]),
    "empty-field": (["-H", "X-Empty;"], ["/said"]),
    "several": ([], ["/said?1", "/ranges", "/chunked", "/said?2"]),
    "raw": (["--raw"], ["/said"]),
    "compressed": (["--compressed"], ["/said"]),
}  # fmt: skip


@pytest.mark.parametrize("name", _CASES)
def test_same_direct_and_proxied(name: str, bases: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"0123456789" * (_LARGE // 10))
    options, paths = _CASES[name]
    direct, proxied = (_curl(base, tmp_path, options, paths) for base in bases)
    got, wanted = _comparable(proxied[0]), _comparable(direct[0])
    if name == "multipart":
        # A boundary is drawn anew each time, which also changes the sum of the bytes.
        got, wanted = ([_BOUNDARY.sub(b"", line) for line in one] for one in (got, wanted))
    assert got == wanted
    if "expect" in name:
        assert "HTTP/1.1 100 Continue" in proxied[1]
    if name == "several":
        assert proxied[1].count("Re-using existing connection") == len(paths) - 1
