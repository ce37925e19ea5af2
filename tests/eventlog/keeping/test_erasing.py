"""One person of many is erased: nothing of it can be read anywhere, all else stands."""

import json
import shutil
from pathlib import Path

import pytest

from bridge.contracts.product_schemas import product_schema
from bridge.eventlog.exporting.ports import SealedEntry
from bridge.eventlog.keeping.touched import touched
from bridge.eventlog.leaf import payload_hash
from bridge.eventlog.merkle import leaf_hash
from bridge.eventlog.proofs.tlog_proof import TlogProof, check_proof
from bridge.eventlog.records.attempt import log_tell, refusals_told
from bridge.eventlog.signing.note import open_note
from bridge.model.entry import EntryKind, StoredEntry
from bridge.model.errors import BridgeError, ConfigInvalid, HeldBack, StorageUnavailable
from bridge.model.warrant import Actor, ActorType, Known, Warrant
from bridge.runtime.wiring.contracts import contract_set
from bridge.runtime.wiring.erasing import KeepingService, certificate_path, erasures, holds
from bridge.runtime.wiring.stores import Stores
from tests.eventlog.keeping.shop import (
    Capture,
    change,
    data_of,
    email_of,
    fill,
    name_of,
    settings,
)
from tests.eventlog.keeping.test_key_store_conformance import in_files
from tests.waiting import RecordingObserver

ANA = Warrant(
    actor=Actor(id="ana", type=ActorType.PERSON, known=Known.LOGIN),
    reason="the customer asked",
    ticket="DPO-7",
)
BASIS = "GDPR art. 17"


def erase(stores: Stores, number: int = 2) -> StoredEntry:
    """Erase customer `number`."""
    return erasures(stores).erase("customer", str(number), ANA, BASIS)


def readable(stores: Stores) -> set[int]:
    """Return the customers whose names the log can still give."""
    entries = stores.keeping().unsealer.unsealed(stores.event_log().read(0, 10_000))
    events = [data_of(e)["after"] for e in entries if b'"after"' in e.payload]
    return {row["customer_id"] for row in events if row.get("name")}


def test_of_one_person_nothing_is_readable_and_of_others_all(stores: Stores) -> None:
    fill(stores, 20)
    fill(stores, 20)
    before = stores.event_log().read(0, 100)
    wrapped = [k.wrapped for k in stores.keeping().store().living("", 100)]
    gone = stores.keeping().store().of_subject(stores.keeping().pseudonyms.person("customer", "2"))
    assert readable(stores) == set(range(1, 21))
    entry = erase(stores)
    assert readable(stores) == set(range(1, 21)) - {2}
    # The log is byte for byte what it was, with what was done appended.
    after = stores.event_log().read(0, 100)
    assert after[:40] == before
    told = json.loads(entry.leaf)["fields"]
    assert (entry.kind, told["outcome"], told["events"]) == (EntryKind.ERASURE, "done", 2)
    assert told["keys"] == [key.key_id for key in gone]
    for one in gone:
        assert one.wrapped is not None
        assert not in_files(stores.settings.data_dir, one.wrapped)
    left = [w for w in wrapped if w and in_files(stores.settings.data_dir, w)]
    assert len(left) == 19


def test_anybody_can_recount_the_events_from_leaves(stores: Stores) -> None:
    fill(stores, 5)
    entry = erase(stores, 3)
    told = json.loads(entry.leaf)["fields"]
    found = touched(stores.event_log(), told["keys"], 0)
    assert (found.events, found.digest) == (told["events"], told["indices_sha256"])


def test_the_certificate_is_signed_and_proven(stores: Stores) -> None:
    fill(stores, 5)
    entry = erase(stores)
    path = certificate_path(stores, entry.entry_id)
    keys = stores.signer().keys
    text = open_note(path.read_bytes(), *keys)
    assert text.startswith("legacy-bridge erasure certificate v1\n")
    for line in (
        f"entry: {entry.leaf_index}",
        f"leaf hash: {leaf_hash(entry.leaf).hex()}",
        "events that held fields of the subject: 1",
        "decided by: ana (known by login)",
        "ticket: DPO-7",
        "legal basis: GDPR art. 17",
    ):
        assert line in text.splitlines()
    proof = TlogProof.parse(path.with_suffix(".tlog-proof").read_bytes())
    check_proof(proof, leaf_hash(entry.leaf), keys)
    assert name_of(2) not in text
    assert stores.keeping().store().open_erasures() == []


def test_consumers_are_told_whom_to_forget(stores: Stores) -> None:
    fill(stores, 5)
    entry = erase(stores)
    (event,) = stores.event_log().read(entry.leaf_index + 1, 1)
    assert event.routing_key == "bridge.keeping.subject-erased.v1"
    data = data_of(event)
    assert (data["kind"], data["id"], data["erasure"]) == ("customer", "2", entry.entry_id)
    assert product_schema("bridge.subject-erased").reason(data) is None
    leaf = event.leaf.decode()
    assert '"2"' not in leaf


def test_an_erased_event_is_published_without_the_fields_and_fits(stores: Stores) -> None:
    fill(stores, 3)
    erase(stores)
    (entry,) = stores.keeping().unsealer.unsealed(stores.event_log().read(1, 1))
    root = json.loads(entry.payload)
    assert root["erased"].split(" ") == ["/after/email", "/after/limit", "/after/name"]
    assert "sealed" not in root
    contracts = contract_set(stores.settings)
    data = root["data"]
    assert contracts.validate(data, "shop.customer", "1.0") is not None
    erased = root["erased"].split(" ")
    assert contracts.validate(data, "shop.customer", "1.0", erased) is None
    del data["after"]["vip"]
    assert contracts.validate(data, "shop.customer", "1.0", erased) is not None


def test_an_export_discloses_nothing_of_it(stores: Stores) -> None:
    fill(stores, 3)
    erase(stores)
    sealed = [SealedEntry(e.leaf_index, e.leaf, e.payload) for e in stores.event_log().read(0, 3)]
    assert [one.leaf_index for one in stores.keeping().unsealer.open(sealed)] == [0, 2]


def test_a_new_event_of_the_person_has_a_new_key(stores: Stores) -> None:
    fill(stores, 3)
    capture = Capture(stores)
    capture.drafts([change(2)])  # The key is in this process's cache.
    erase(stores)
    stores.keeping().keyring().refresh()
    capture.append([change(2)])
    assert readable(stores) == {1, 2, 3}
    (old,) = stores.keeping().unsealer.unsealed(stores.event_log().read(1, 1))
    assert "erased" in json.loads(old.payload)


def test_events_sealed_before_an_erasure_are_not_appended_after_it(tmp_path: Path) -> None:
    with Stores(settings(tmp_path)) as capturing, Stores(settings(tmp_path)) as erasing:
        fill(capturing, 3)
        capture = Capture(capturing)
        drafts = capture.drafts([change(2)])
        erase(erasing)
        size = capturing.event_log().head().size
        with pytest.raises(StorageUnavailable, match="destroyed after they were sealed"):
            capture.log.append(drafts)
        assert capturing.event_log().head().size == size
        capture.log.append(capture.drafts([change(2)]))
        assert readable(capturing) == {1, 2, 3}


def test_no_other_process_reads_on_from_its_cache(tmp_path: Path) -> None:
    with Stores(settings(tmp_path)) as reading, Stores(settings(tmp_path)) as erasing:
        fill(reading, 3)
        assert readable(reading) == {1, 2, 3}
        erase(erasing)
        assert readable(reading) == {1, 3}


def test_who_is_not_known_or_gone_already_is_refused(stores: Stores) -> None:
    fill(stores, 3)
    with pytest.raises(ConfigInvalid, match="never sealed"):
        erase(stores, 77)
    erase(stores)
    with pytest.raises(ConfigInvalid, match="erased already"):
        erase(stores)
    with pytest.raises(ConfigInvalid, match="legal basis"):
        erasures(stores).erase("customer", "1", ANA, " ")


def test_a_hold_blocks_erasure_until_it_is_lifted(stores: Stores) -> None:
    fill(stores, 3)
    person = stores.keeping().pseudonyms.person("customer", "2")
    for subject, record_class in ((person, None), (None, "customer-data"), (None, None)):
        hold = holds(stores).place(ANA, subject=subject, record_class=record_class)
        tell = log_tell(stores.event_log())
        with (
            pytest.raises(HeldBack, match=hold.hold_id),
            refusals_told(tell, EntryKind.ERASURE, "erase", ANA, fields={"subject": person}),
        ):
            erase(stores)
        refused = stores.event_log().read(stores.event_log().head().size - 1, 1)[0]
        told = json.loads(refused.leaf)["fields"]
        assert (refused.kind, told["outcome"], told["error"]) == (
            EntryKind.ERASURE, "refused", "HeldBack",
        )  # fmt: skip
        holds(stores).lift(hold.hold_id, ANA)
    holds(stores).place(ANA, subject=None, record_class="another-class")
    assert readable(stores) == {1, 2, 3}
    erase(stores)
    assert readable(stores) == {1, 3}
    kinds = [e.kind for e in stores.event_log().read(0, 100)]
    assert kinds.count(EntryKind.HOLD) == 7
    with pytest.raises(BridgeError, match="none of this id"):
        holds(stores).lift("hold-x", ANA)


def test_a_restored_store_of_keys_forgets_again(tmp_path: Path) -> None:
    with Stores(settings(tmp_path)) as stores:
        fill(stores, 3)
    data = tmp_path / "data"
    backup = tmp_path / "backup"
    shutil.copytree(data, backup)
    with Stores(settings(tmp_path)) as stores:
        erase(stores)
        entries = stores.event_log().read(0, 3)
    # A backup of the log alone gives nothing: it has no keys.
    shutil.copy(data / "keys.db", tmp_path / "newest-keys.db")
    for name in ("keys.db", "keys.db-wal", "keys.db-shm"):
        (data / name).unlink(missing_ok=True)
        if (backup / name).exists():
            shutil.copy(backup / name, data / name)
    with Stores(settings(tmp_path)) as stores:
        # Until the log role follows the log, an old backup of keys reads what it could read.
        assert readable(stores) == {1, 2, 3}
        observer = RecordingObserver()
        KeepingService(stores, observer=observer).step()
        assert readable(stores) == {1, 3}
        assert stores.event_log().read(0, 3) == entries
        assert observer.await_note("keys_destroyed_again")["keys"] == 1


def test_the_log_alone_is_unreadable(tmp_path: Path) -> None:
    with Stores(settings(tmp_path)) as stores:
        fill(stores, 3)
        entries = stores.event_log().read(0, 3)
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copytree(tmp_path / "contracts", copy / "contracts")
    (copy / "data").mkdir()
    shutil.copy(tmp_path / "data" / "log.db", copy / "data" / "log.db")
    with Stores(settings(copy)) as stores:
        assert stores.event_log().read(0, 3) == entries
        assert all(payload_hash(e.leaf) for e in entries)
        with pytest.raises(ConfigInvalid, match="restore the newest backup"):
            readable(stores)
    assert not in_files(copy / "data", email_of(2).encode())
