"""A small threaded WSGI server that speaks HTTP/1.1 with kept-alive connections.

One thread per connection, as application servers of that time did it. `wsgiref` has the same
shape but answers in HTTP/1.0 and closes after each request.
"""

import contextlib
import io
import socket
import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any, TypeAlias
from urllib.parse import unquote

Environ: TypeAlias = dict[str, Any]
ExcInfo: TypeAlias = tuple[type[BaseException], BaseException, TracebackType | None]
StartResponse: TypeAlias = Callable[..., Callable[[bytes], object]]
WsgiApplication: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]

# Order notes run to tens of kilobytes; nothing the shop takes is near a megabyte.
BODY_BYTES_MAX = 1_000_000
# A connection that says nothing for this long is given up, so that threads do not pile up.
IDLE_TIMEOUT_S = 75


class ShopServer(ThreadingMixIn, TCPServer):
    """Listens, and hands each connection to a thread of its own."""

    allow_reuse_address = True
    request_queue_size = 128
    daemon_threads = False  # `server_close` waits for the threads: answers are finished first.
    block_on_close = True

    def __init__(self, address: tuple[str, int], application: WsgiApplication) -> None:
        self.application = application
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, ConnectionHandler)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self.server_address[1])

    def stop(self) -> None:
        """Take no more requests, finish the answers under way, close everything."""
        self.shutdown()
        with self._open_lock:
            for connection in self._open:
                # Idle threads wait in a read: end of input lets them go, and lets the others
                # still send their answer.
                with contextlib.suppress(OSError):  # The peer was faster.
                    connection.shutdown(socket.SHUT_RD)
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection before its thread starts, so that `stop` cannot miss it."""
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Forget the connection and close it."""
        with self._open_lock:
            self._open.discard(request)
        super().close_request(request)


class ConnectionHandler(BaseHTTPRequestHandler):
    """Reads requests of one connection and answers each through the WSGI application."""

    server: ShopServer
    server_version = "shop/4.2"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # Head and body leave together, at the flush after each request.
    timeout = IDLE_TIMEOUT_S

    def finish(self) -> None:
        """Flush; a client that went away first is nobody's error."""
        with contextlib.suppress(OSError):
            super().finish()

    def handle(self) -> None:
        """Serve requests until the connection ends; the peer may cut it at any time."""
        with contextlib.suppress(OSError):
            super().handle()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Write no access log."""

    def serve(self) -> None:
        """Read the body, call the application, send its answer."""
        body = self._read_body()
        if body is None:
            return
        head: list[Any] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
        ) -> Callable[[bytes], object]:
            head[:] = [status, headers]
            return self.wfile.write

        answer = b"".join(self.server.application(self._environ(body), start_response))
        code, _, reason = head[0].partition(" ")
        self.send_response(int(code), reason)
        for name, value in head[1]:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer)

    # The base looks a method's handler up by this name.
    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = serve  # noqa: N815 - as above

    def _read_body(self) -> bytes | None:
        if "Transfer-Encoding" in self.headers:
            self._refuse(411, "Length Required")
            return None
        length = self.headers.get("Content-Length", "0")
        if not (length.isascii() and length.isdigit()):
            self._refuse(400, "Bad Request")
            return None
        if int(length) > BODY_BYTES_MAX:
            self._refuse(413, "Content Too Large")
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        return body

    def _refuse(self, status: int, reason: str) -> None:
        self.close_connection = True
        self.send_response(status, reason)
        self.send_header("Content-Length", "0")
        self.send_header("Connection", "close")
        self.end_headers()

    def _environ(self, body: bytes) -> Environ:
        path, _, query = self.path.partition("?")
        environ: Environ = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "SERVER_NAME": "localhost",
            "SERVER_PORT": str(self.server.port),
            "SERVER_PROTOCOL": self.request_version,
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
        }
        for name, value in self.headers.items():
            environ.setdefault("HTTP_" + name.upper().replace("-", "_"), value)
        return environ
