"""The key behind pseudonyms: made once, kept, and used by capture."""

from pathlib import Path

import pytest

from bridge.contracts.contract_set import ContractSet
from bridge.contracts.means import Means
from bridge.model.errors import ConfigInvalid
from bridge.model.event import Event
from bridge.model.pseudonym import Pseudonyms
from bridge.runtime.wiring.pseudonym_key import load_pseudonyms
from tests.contracts.samples import ORIGIN, created, relation, write_contract


def test_a_key_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "pseudonym.key"
    first = load_pseudonyms(path).entity("shop.order", '{"id":1}')
    assert load_pseudonyms(path).entity("shop.order", '{"id":1}') == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(first) == 32


def test_pseudonyms_differ_by_what_they_name_and_by_key() -> None:
    one, other = Pseudonyms(bytes(32)), Pseudonyms(bytes([1] * 32))
    names = {
        one.entity("shop.order", "1"),
        one.entity("shop.orde", "r1"),
        one.person("shop.order", "1"),
        other.entity("shop.order", "1"),
    }
    assert len(names) == 4
    assert "bytes" not in repr(one)
    assert "\\x" not in repr(one)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pseudonym.key"
    load_pseudonyms(path)
    path.chmod(0o644)
    with pytest.raises(ConfigInvalid, match="mode 0644 lets others read it"):
        load_pseudonyms(path)


def test_a_cut_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "pseudonym.key"
    path.write_bytes(b"short")
    path.chmod(0o600)
    with pytest.raises(ConfigInvalid, match="5 bytes, needs 32"):
        load_pseudonyms(path)


def test_events_name_their_entity_by_its_pseudonym(tmp_path: Path) -> None:
    write_contract(tmp_path)
    names = Pseudonyms(bytes(32))
    contracts = ContractSet.load(tmp_path, type_prefix="com.example", means=Means(pseudonyms=names))
    mapper = contracts.mapper("shop", relation())
    assert mapper is not None
    event = mapper.map(created(), ORIGIN)
    assert isinstance(event, Event)
    assert event.key is not None
    assert event.entity == names.entity("shop.order", event.key)
    assert event.entity.encode() not in event.payload
