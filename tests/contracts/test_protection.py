"""What a contract protects never reaches an event, a parked one included, in any readable form."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from cryptography.exceptions import InvalidTag

from bridge.contracts import ContractSet, TableMapper
from bridge.contracts.means import Means
from bridge.contracts.protection import ProtectionKeys
from bridge.model.change import UNSENT, BeforeImage, ChangeKind, RowChange
from bridge.model.errors import ConfigInvalid
from bridge.model.event import Breach, Event
from bridge.runtime.configuration.settings import ContractsSettings
from bridge.runtime.wiring.protection_key import protection_keys
from tests.contracts.samples import ORIGIN
from tests.contracts.test_structures import TEXT, contract, created, shape

KEYS = ProtectionKeys.derive(b"k" * 32)
CANARY = "canary-4711@example.com"


def mapper(directory: Path, keys: ProtectionKeys | None = KEYS, **fields: Any) -> TableMapper:
    contract(directory, **fields)
    contracts = ContractSet.load(directory, type_prefix="com.example", means=Means(protection=keys))
    found = contracts.mapper("shop", shape(**dict.fromkeys(fields, TEXT)))
    assert found is not None
    return found


def after_of(mapped: Any) -> dict[str, Any]:
    assert isinstance(mapped, Event | Breach)
    after: dict[str, Any] = orjson.loads(mapped.payload)["data"]["after"]
    return after


@pytest.mark.parametrize("kind", ["mask", "hash", "token"])
@pytest.mark.parametrize("cell", [CANARY, CANARY.encode() + b"\xff"])
def test_a_protected_value_is_not_in_the_event(tmp_path: Path, kind: str, cell: Any) -> None:
    here = shape(mail=TEXT)
    event = mapper(tmp_path, mail={"type": "string", "protect": kind}).map(
        created(here, ("1", cell)), ORIGIN
    )
    assert isinstance(event, Event)
    assert b"canary" not in event.payload
    assert isinstance(after_of(event)["mail"], str)


@pytest.mark.parametrize("kind", ["mask", "hash", "token"])
def test_a_protected_value_is_not_in_a_parked_event(tmp_path: Path, kind: str) -> None:
    here = shape(mail=TEXT, day=TEXT)
    fields: dict[str, Any] = {"mail": {"type": "string", "protect": kind}, "day": "date"}
    change = RowChange(
        ChangeKind.UPDATED, here, ("1", CANARY, "x"), BeforeImage.FULL, ("x1", CANARY, "never")
    )
    breach = mapper(tmp_path, **fields).map(change, ORIGIN)
    assert isinstance(breach, Breach)
    assert b"canary" not in breach.payload


def test_null_stays_null(tmp_path: Path) -> None:
    mapped = mapper(tmp_path, mail={"type": "string", "protect": "hash"}).map(
        created(shape(mail=TEXT), ("1", None)), ORIGIN
    )
    assert after_of(mapped)["mail"] is None


def test_equal_values_of_one_scope_still_join(tmp_path: Path) -> None:
    person = {"kind": "hash", "scope": "person"}
    after = after_of(
        mapper(
            tmp_path,
            a={"type": "string", "protect": person},
            b={"type": "string", "protect": person},
            c={"type": "string", "protect": "hash"},
        ).map(created(shape(a=TEXT, b=TEXT, c=TEXT), ("1", CANARY, CANARY, CANARY)), ORIGIN)
    )
    assert after["a"] == after["b"] != after["c"]
    assert len(after["a"]) == 64


def test_another_key_gives_other_hashes_and_tokens() -> None:
    other = ProtectionKeys.derive(b"o" * 32)
    assert KEYS.hashed(CANARY, "s") != other.hashed(CANARY, "s")
    assert KEYS.token(CANARY, "s") != other.token(CANARY, "s")


@pytest.mark.parametrize("value", ["", CANARY, "日本語", b"\xff\x00"])
def test_a_token_is_revealed_by_its_key_and_scope_alone(value: str | bytes) -> None:
    token = KEYS.token(value, "person")
    assert KEYS.token(value, "person") == token
    assert KEYS.reveal(token, "person") == value
    with pytest.raises(InvalidTag):
        KEYS.reveal(token, "other")


def test_a_mask_leaves_the_end_readable_and_hides_the_length(tmp_path: Path) -> None:
    rule = {"type": "string", "protect": {"kind": "mask", "keep_last": 4}}
    table = mapper(tmp_path, None, card=rule)
    here = shape(card=TEXT)
    masked = [
        after_of(table.map(created(here, ("1", text)), ORIGIN))["card"]
        for text in ("4111111111111111", "41111111", "4111")
    ]
    assert masked == ["********1111", "********1111", "********"]


def test_hashing_without_a_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        mapper(tmp_path, None, mail={"type": "string", "protect": "hash"})
    assert "cannot protect field 'mail'" in str(caught.value)
    assert "contracts.protection_key_file" in str(caught.value)


def test_an_unsent_protected_value_is_unavailable(tmp_path: Path) -> None:
    change = RowChange(ChangeKind.UPDATED, shape(mail=TEXT), None, BeforeImage.NONE, ("1", UNSENT))
    table = mapper(tmp_path, mail={"type": "string", "protect": "hash"})
    assert "mail" not in after_of(table.map(change, ORIGIN))


def test_the_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "protection.key"
    settings = ContractsSettings(protection_key_file=path)
    with pytest.raises(ConfigInvalid, match="No such file"):
        protection_keys(settings)
    path.write_bytes(b"k" * 32)
    path.chmod(0o644)
    with pytest.raises(ConfigInvalid, match="chmod 0600"):
        protection_keys(settings)
    path.chmod(0o600)
    keys = protection_keys(settings)
    assert keys is not None
    assert keys.hashed("x", "s") == KEYS.hashed("x", "s")
    assert "kkk" not in repr(keys)
    path.write_bytes(b"k" * 31)
    with pytest.raises(ConfigInvalid, match="has 31 bytes, needs 32"):
        protection_keys(settings)
    assert protection_keys(ContractsSettings()) is None
