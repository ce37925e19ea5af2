"""A time-stamp authority of its own: openssl behind a small HTTP server, with keys made for it."""

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROGRAM = shutil.which("openssl") or "openssl"

CONFIG = """
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[root_extensions]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
[middle_extensions]
basicConstraints = critical, CA:true, pathlen:0
keyUsage = critical, keyCertSign
[signer_extensions]
basicConstraints = CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[other_extensions]
basicConstraints = CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
[tsa]
default_tsa = tsa_config
[tsa_config]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""


def openssl(*arguments: str | Path, given: bytes | None = None) -> bytes:
    """Run openssl and return what it writes; fails the test when it fails."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)], input=given, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class OpensslAuthority:
    """A root, a certificate between, and a signer, in `folder`."""

    def __init__(self, folder: Path, *, extensions: str = "signer_extensions") -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        (folder / "serial").write_text("01\n")
        for name in ("root", "middle", "signer"):
            (folder / f"{name}.cnf").write_text(CONFIG.format(name=name, folder=folder))
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", self.key(name))
        openssl(
            "req", "-x509", "-new", "-key", self.key("root"), "-config", folder / "root.cnf",
            "-extensions", "root_extensions", "-days", "30", "-out", self.certificate("root"),
        )  # fmt: skip
        self._issue("middle", "root", "middle_extensions")
        self._issue("signer", "middle", extensions)
        self.ca_file = folder / "ca.pem"
        self.ca_file.write_bytes(
            self.certificate("root").read_bytes() + self.certificate("middle").read_bytes()
        )

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def _issue(self, name: str, issuer: str, extensions: str) -> None:
        request = self.folder / f"{name}.csr"
        config = self.folder / f"{name}.cnf"
        openssl("req", "-new", "-key", self.key(name), "-config", config, "-out", request)
        openssl(
            "x509", "-req", "-in", request, "-CA", self.certificate(issuer),
            "-CAkey", self.key(issuer), "-set_serial", str(100 + len(name)), "-days", "30",
            "-extfile", config, "-extensions", extensions, "-out", self.certificate(name),
        )  # fmt: skip

    def reply(self, query: bytes) -> bytes:
        """Return the answer to a time-stamp query."""
        path = self.folder / "query.tsq"
        path.write_bytes(query)
        answer = self.folder / "reply.tsr"
        openssl(
            "ts", "-reply", "-queryfile", path, "-config", self.folder / "signer.cnf",
            "-section", "tsa_config", "-signer", self.certificate("signer"),
            "-inkey", self.key("signer"), "-chain", self.certificate("middle"), "-out", answer,
        )  # fmt: skip
        return answer.read_bytes()


class Desk:
    """How the server answers; tests change it while it runs."""

    def __init__(self, authority: OpensslAuthority) -> None:
        self.authority = authority
        self.status = 200
        self.body: bytes | None = None
        self.query: bytes | None = None
        """Answered to instead of what was asked."""
        self.asked: list[bytes] = []

    def answer(self, query: bytes) -> tuple[int, bytes]:
        self.asked.append(query)
        if self.status != 200 or self.body is not None:
            return self.status, self.body or b""
        return 200, self.authority.reply(self.query or query)


@contextmanager
def served(desk: Desk) -> Iterator[str]:
    """Serve `desk` over HTTP and return its address."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["Content-Type"] == "application/timestamp-query"
            query = self.rfile.read(int(self.headers["Content-Length"]))
            status, body = desk.answer(query)
            self.send_response(status)
            self.send_header("Content-Type", "application/timestamp-reply")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/tsr"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
