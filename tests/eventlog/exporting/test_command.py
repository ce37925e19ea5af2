"""`log export` at the shell: filters, limits in red, resuming, packing, and what it refuses."""

import contextlib
import json
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest

from bridge.eventlog.exporting.draft_folder import DraftFolder
from bridge.model.entry import EntryKind
from bridge.runtime.wiring.exports import cosigner
from bridge.runtime.wiring.search import index_follower, open_log_index
from bridge.storage.event_log.memory import MemoryEventLog
from tests.cli.deployment import Deployment, Said
from tests.eventlog.drafts import draft, drafts
from tests.eventlog.exporting.orders import check_verifies
from tests.eventlog.exporting.shop_log import event, order

WHY = ("-r", "audit", "-t", "AUDIT-7")


@pytest.fixture
def shop(tmp_path: Path) -> Deployment:
    """A deployment with 40 events of an order's two entities."""
    deployment = Deployment(
        tmp_path, event_log={"local_zone": "Asia/Tokyo"},
        contracts={"dir": str(Path(__file__).parents[3] / "contracts")},
    )  # fmt: skip
    with deployment.stores() as stores:
        name = stores.pseudonyms().entity("shop.order", '{"order_id":1}')
        log = stores.event_log()
        log.append([draft(n)._replace(entity=name if n % 4 == 0 else "x") for n in range(40)])
        log.append([draft(99)._replace(kind=EntryKind.PARKED)])
    return deployment


def exported(shop: Deployment, *options: str) -> tuple[Path, Said]:
    folder = shop.folder / "bundle"
    said = shop.call("log", "export", str(folder), *WHY, *options)
    assert said.code == 0, said.err
    check_verifies(folder, shop.call("log", "key").out.split()[0])
    return folder, said


def selected(folder: Path) -> list[int]:
    data = (folder / "selection.bin").read_bytes()
    return list(struct.unpack(f">{len(data) // 8}Q", data))


def test_it_tells_size_rate_and_how_to_verify(shop: Deployment) -> None:
    _, said = exported(shop, "--view", "csv")
    assert "42 entries (0 to 41), 42 selected" in said.out
    assert "entries/s" in said.out
    assert "verify with: legacy-bridge log verify" in said.out
    assert "LIMIT" not in said.err


def test_an_entity_is_named_by_its_key(shop: Deployment) -> None:
    folder, _ = exported(shop, "--entity", 'shop.order={"order_id": 1}')
    assert selected(folder) == list(range(0, 40, 4))
    assert b'"order_id\\":1' not in (folder / "manifest.json").read_bytes()


def test_kinds_and_range(shop: Deployment) -> None:
    folder, _ = exported(shop, "--kind", "parked", "--kind", "export", "--from-index", "3")
    assert selected(folder) == [40, 41]


def test_a_limit_is_told_in_red(shop: Deployment) -> None:
    _, said = exported(shop, "--entries-max", "7")
    assert "LIMIT REACHED: --entries-max 7 ended the range before entry 7" in said.err
    assert "--from-index 7" in said.err


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--from", "yesterday"), "--from 'yesterday'"),
        (("--entity", "shop.order"), "SUBJECT=KEY"),
        (("--since", "nowhere.txt"), "cannot read checkpoint"),
        (("--to-index", "5000"), "the log has entries 0 to"),
        (("--resume",), "no interrupted export"),
        (("--resume", "--kind", "event"), "with other options"),
    ],
)
def test_what_cannot_be_is_refused(shop: Deployment, options: tuple[str, ...], named: str) -> None:
    folder = shop.folder / "bundle"
    assert named in shop.refused("log", "export", str(folder), *WHY, *options)
    assert not folder.exists()


def test_an_interrupted_export_is_refused_then_resumed(shop: Deployment) -> None:
    folder = shop.folder / "bundle"
    with DraftFolder(folder, resume=False) as left:  # As a kill right at the start leaves it.
        asked: dict[str, Any] = {
            "warrant": {"actor": {"id": "ana", "type": "person", "known": "login"},
                        "reason": "audit", "ticket": "AUDIT-7"},
            "start": None, "stop": None, "filter": {}, "conditions": [], "entries_max": None,
            "since": None, "views": [], "disclose": False,
        }  # fmt: skip
        left.save({"order": asked, "entry_id": "export:1", "finished": [], "files": {}})
        assert "another process" in shop.refused(
            "log", "export", str(folder), *WHY, "--resume"
        )  # fmt: skip
    assert "go on with --resume" in shop.refused("log", "export", str(folder), *WHY)
    _, said = exported(shop, "--resume", "--json")
    assert json.loads(said.out)["entry_id"] == "export:1"


def test_since_proves_from_the_receiver_s_checkpoint(shop: Deployment) -> None:
    first, _ = exported(shop)
    earlier = first.rename(shop.folder / "earlier")
    with shop.stores() as stores:
        stores.event_log().append(drafts(100, 120))
    folder, _ = exported(
        shop, "--since", str(earlier / "checkpoint.txt"), "--from-index", "42"
    )  # fmt: skip
    since: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())["since"]
    assert since["size"] == 42


def test_two_packings_are_equal_byte_for_byte(shop: Deployment) -> None:
    packed = shop.folder / "bundle.tar"
    folder, _ = exported(shop, "--tar", str(packed))
    with tarfile.open(packed) as archive:
        names = archive.getnames()
        assert names == sorted(names)
        member = archive.extractfile("bundle/leaves.jsonl")
        assert member is not None
        assert member.read() == (folder / "leaves.jsonl").read_bytes()
        assert {entry.mtime for entry in archive.getmembers()} == {0}
    assert "it exists" in shop.refused(
        "log", "export", str(shop.folder / "other"), *WHY, "--tar", str(packed)
    )


def test_business_values_select_by_the_index(shop: Deployment) -> None:
    with shop.stores() as stores:
        log = stores.event_log()
        log.append(
            [event(n, "shop.order", order(n, None, total=f"{n}00.00")) for n in range(20)]
        )  # fmt: skip
        with contextlib.closing(open_log_index(stores.settings)) as index:
            index_follower(stores, index).catch_up()
    # The range ends before what the index of this test has not seen.
    folder, _ = exported(shop, "--where", "total>=1200", "--from-index", "45", "--to-index", "60")
    assert selected(folder) == list(range(41 + 12, 60))
    told: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    assert told["filter"] == {"fields": ["total>=1200"]}
    assert told["selection"] == {"count": 7, "provable": False}
    # What is asked for may be a person's: it stands in no leaf.
    assert b"total>=1200" not in (folder / "leaves.jsonl").read_bytes()
    with shop.stores() as stores:
        leaves = [entry.leaf for entry in stores.event_log().read(60, 9)]
    assert leaves
    assert not [leaf for leaf in leaves if b"1200" in leaf]


def test_an_unknown_business_value_is_refused_at_once(shop: Deployment) -> None:
    folder = str(shop.folder / "bundle")
    assert "nosuch" in shop.refused("log", "export", folder, *WHY, "--where", "nosuch=1")


def test_cosignatures_are_waited_for() -> None:
    log = MemoryEventLog()
    note = "log\n7\nroot\n\n— log AAAAAAAA\n".encode()
    cosigned = note + "— witness AAAAAAAA\n".encode()
    asked = _CountedAsker()
    log.add_checkpoint(7, cosigned)
    assert cosigner(log, [asked])(7, note) == cosigned
    assert cosigner(log, [asked, asked], wait_s=0.0)(7, note) == cosigned
    assert cosigner(log, [asked], wait_s=0.0)(8, note) == note
    assert asked.steps == 4


class _CountedAsker:
    steps = 0

    def step(self) -> None:
        self.steps += 1
