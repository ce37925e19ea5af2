"""The log over HTTP: what may be cached, what may be fetched, and that a mirror is whole."""

import threading
from collections.abc import Iterator
from datetime import date
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
import uvicorn

from bridge.control.app import ControlParts, create_app
from bridge.control.log_pages import READERS_MAX, DailyReaders, LogPages, TileAccess
from bridge.eventlog.merkle import leaf_hash
from bridge.eventlog.proofs.tlog_proof import TlogProof, check_proof
from bridge.eventlog.records.access_book import AccessBook
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.signing.signer import Signer
from bridge.eventlog.tiles.publisher import TilePublisher
from bridge.eventlog.tiles.tile_paths import full_tiles, partial_tiles
from bridge.model.entry import EntryDraft, EntryKind
from bridge.storage.event_log.memory import MemoryEventLog
from tests.eventlog.drafts import drafts
from tests.eventlog.tiles.folder_reader import FolderReader
from tests.waiting import wait_until

ORIGIN = "legacy-bridge.example/log"
TOKEN = "a token of the tests"


class Served:
    """A log of 600 signed entries behind the API."""

    def __init__(self, folder: Path, tiles: TileAccess = "token") -> None:
        self.log = MemoryEventLog()
        self.signer = Signer.load_or_create(folder / "log.key", origin=ORIGIN)
        self.log.append(drafts(0, 600))
        HeadSigner(self.signer, self.log).sign()
        parts = ControlParts(
            status=dict,
            metrics=lambda: b"",
            switchboard=None,
            desk=None,
            book=AccessBook(lambda: self.log),
            token=TOKEN,
            log=LogPages(open_log=lambda: self.log, tiles=tiles),
        )
        self.server = uvicorn.Server(
            uvicorn.Config(create_app(parts), host="127.0.0.1", port=0, log_config=None)
        )
        self._thread = threading.Thread(target=self.server.run, name="api")

    def __enter__(self) -> "Served":
        self._thread.start()
        wait_until(lambda: self.server.started, what="the API to listen")
        port = self.server.servers[0].sockets[0].getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        self.anybody = httpx.Client(base_url=url, timeout=30)
        self.client = httpx.Client(
            base_url=url, timeout=30, headers={"Authorization": f"Bearer {TOKEN}"}
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.anybody.close()
        self.server.should_exit = True
        self._thread.join(30)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with Served(tmp_path) as made:
        yield made


def test_a_mirror_over_http_is_the_published_folder(served: Served, tmp_path: Path) -> None:
    mirror, published = tmp_path / "mirror", tmp_path / "published"
    names = [name.path() for name in [*full_tiles(0, 600), *partial_tiles(600)]]
    for name in ["checkpoint", *names]:
        answer = served.client.get(f"/log/{name}")
        assert answer.status_code == 200
        target = mirror / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(answer.content)
    FolderReader(mirror).check()
    TilePublisher(served.log, published).step()
    for name in names:
        assert (mirror / name).read_bytes() == (published / name).read_bytes()


def test_a_static_file_server_publishes_the_folder(served: Served, tmp_path: Path) -> None:
    published, mirror = tmp_path / "published", tmp_path / "mirror"
    TilePublisher(served.log, published).step()
    handler = partial(QuietHandler, directory=str(published))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}"
            paths = [name.path() for name in [*full_tiles(0, 600), *partial_tiles(600)]]
            for path in ["checkpoint", *paths]:
                target = mirror / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(httpx.get(f"{url}/{path}").raise_for_status().content)
        finally:
            server.shutdown()
            thread.join()
    FolderReader(mirror).check()


class QuietHandler(SimpleHTTPRequestHandler):
    """Python's own static file server, without its lines on standard error."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_tiles_may_be_kept_and_the_checkpoint_may_not(served: Served) -> None:
    tile = served.client.get("/log/tile/0/000")
    assert tile.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert tile.headers["content-type"] == "application/octet-stream"
    checkpoint = served.client.get("/log/checkpoint")
    assert checkpoint.headers["cache-control"] == "private, max-age=5"
    assert checkpoint.headers["content-type"] == "text/plain; charset=utf-8"


def test_bundles_are_compressed_for_those_who_take_it(served: Served) -> None:
    plain = served.client.get("/log/tile/entries/000", headers={"Accept-Encoding": "identity"})
    packed = served.client.get("/log/tile/entries/000", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert int(packed.headers["content-length"]) < len(plain.content) / 3
    assert packed.content == plain.content


def test_what_is_not_signed_yet_is_not_handed_out(served: Served) -> None:
    served.log.append(drafts(600, 800))
    for path in ("tile/0/003", "tile/0/002", "tile/0/002.p/89", "tile/1/000.p/3", "tile/9/000.p/1"):
        answer = served.client.get(f"/log/{path}")
        assert answer.status_code == 404, path
        assert "the signed log of 600 entries" in answer.json()["detail"]
    HeadSigner(served.signer, served.log).sign()
    assert served.client.get("/log/tile/0/002").status_code == 200
    # A narrower one that some earlier checkpoint needed is still there.
    assert served.client.get("/log/tile/0/002.p/88").status_code == 200


@pytest.mark.parametrize(
    "path",
    ["tile/0/0", "tile/0/x000/000", "tile/0/..%2f..%2fkeys", "tile/a", "tile/0/%2e%2e"],
)
def test_other_paths_are_not_found(served: Served, path: str) -> None:
    assert served.client.get(f"/log/{path}").status_code == 404


def test_pruned_bundles_are_not_found_and_the_minimum_is_told(served: Served) -> None:
    assert served.client.get("/log/minimum-index").text == "0\n"
    note = EntryDraft(kind=EntryKind.PRUNE, entry_id="prune:1", fields={}, payload=b"{}")
    served.log.prune(256, note)
    HeadSigner(served.signer, served.log).sign()
    assert served.client.get("/log/minimum-index").text == "256\n"
    assert "pruned" in served.client.get("/log/tile/entries/000").json()["detail"]
    assert served.client.get("/log/tile/entries/001").status_code == 200


def test_tiles_need_a_token_unless_they_are_open(served: Served, tmp_path: Path) -> None:
    assert served.anybody.get("/log/checkpoint").status_code == 401
    assert served.anybody.get("/log/tile/entries/000").status_code == 401
    (tmp_path / "open").mkdir()
    with Served(tmp_path / "open", "open") as opened:
        answer = opened.anybody.get("/log/tile/entries/000")
        assert answer.status_code == 200
        assert answer.headers["cache-control"].startswith("public")
        assert opened.anybody.get("/api/log/entries/1/proof").status_code == 401
    (tmp_path / "off").mkdir()
    with Served(tmp_path / "off", "off") as off:
        assert off.client.get("/log/checkpoint").status_code == 404


def test_a_mirror_leaves_one_entry_a_day(served: Served) -> None:
    before = served.log.head().size
    for _ in range(3):
        served.client.get("/log/checkpoint")
        served.client.get("/log/tile/0/000")
        served.client.get("/log/tile/entries/000")
        served.client.get("/log/tile/entries/001")
    [entry] = served.log.read(before, 10)
    assert entry.kind is EntryKind.ACCESS
    assert b'"action":"tiles"' in entry.leaf


def test_readers_of_a_day_are_bounded() -> None:
    readers, monday, tuesday = DailyReaders(), date(2026, 11, 23), date(2026, 11, 24)
    told = [readers.is_new(f"reader {at}", monday) for at in range(2 * READERS_MAX)]
    assert sum(told) == READERS_MAX
    assert not readers.is_new("reader 0", monday)
    assert readers.is_new("reader 0", tuesday)


def test_a_log_that_was_not_signed_has_no_checkpoint(served: Served) -> None:
    served.log = MemoryEventLog()
    assert served.client.get("/log/checkpoint").status_code == 404


def test_the_proof_of_an_entry_is_a_file_and_is_recorded(served: Served) -> None:
    answer = served.client.get("/api/log/entries/77/proof")
    assert answer.headers["content-disposition"] == 'attachment; filename="77.tlog-proof"'
    proof = TlogProof.parse(answer.content)
    leaf = served.log.read(77, 1)[0].leaf
    assert proof.extra == leaf
    assert check_proof(proof, leaf_hash(leaf), served.signer.keys).size == 600
    [entry] = served.log.read(600, 10)
    assert entry.kind is EntryKind.ACCESS
    assert b'"action":"prove"' in entry.leaf


@pytest.mark.parametrize(
    ("index", "status"), [("600", 404), ("-1", 404), ("9" * 30, 404), ("x", 422)]
)
def test_an_entry_that_is_not_there_has_no_proof(served: Served, index: str, status: int) -> None:
    assert served.client.get(f"/api/log/entries/{index}/proof").status_code == status
