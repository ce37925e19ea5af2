"""What an export works with, out of the settings: contracts from files, zone, signer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

from bridge.contracts.loading import FILE_BYTES_MAX
from bridge.contracts.names import is_subject, is_version
from bridge.contracts.product_schemas import product_schema_text, product_subjects
from bridge.eventlog.exporting.means import ExportMeans, zone
from bridge.eventlog.exporting.ports import ContractFiles
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.model.errors import ConfigInvalid
from bridge.runtime.wiring import Stores

# A contract has a schema, a mapping, some notes, and an example or two for each rule.
_FILES_MAX: Final = 1_000


def export_means(stores: Stores) -> ExportMeans:
    """Return what an export of this deployment works with."""
    log = stores.event_log()
    return ExportMeans(
        log=log,
        head_signer=HeadSigner(stores.signer(), log),
        contracts=contract_files(stores.settings.contracts.dir),
        zone=zone(stores.settings.event_log.local_zone),
        opener=stores.keeping().unsealer,
    )


def contract_files(folder: Path) -> ContractFiles:
    """Return what reads the contracts of `folder`, and those of the product."""
    product = frozenset(product_subjects())

    def files_of(subject: str, version: str) -> Mapping[str, bytes]:
        if subject in product:
            return {"schema.json": product_schema_text(subject)}
        place = folder / subject / version
        if not is_subject(subject) or not is_version(version) or not place.is_dir():
            return {}
        return _read(place)

    return files_of


def _read(place: Path) -> dict[str, bytes]:
    """Return the files of one contract by their paths; what begins with a dot is none of it."""
    found: dict[str, bytes] = {}
    for path in sorted(place.rglob("*")):
        relative = path.relative_to(place)
        if not path.is_file() or any(part.startswith(".") for part in relative.parts):
            continue
        if path.stat().st_size > FILE_BYTES_MAX or len(found) == _FILES_MAX:
            raise ConfigInvalid(
                f"cannot export contract {str(place)!r}: {relative.as_posix()!r} has more than "
                f"{FILE_BYTES_MAX} bytes, or the folder more than {_FILES_MAX} files"
            )
        found[relative.as_posix()] = path.read_bytes()
    return found


def entity_pseudonym(stores: Stores, text: str) -> str:
    """Return the pseudonym of `SUBJECT=KEY`, KEY being the JSON text of the entity's key.

    Raises:
        ConfigInvalid: it is not of that form.
    """
    subject, equals, key = text.partition("=")
    try:
        known = orjson.loads(key)
    except ValueError:
        known = None
    if not equals or not is_subject(subject) or known is None:
        raise ConfigInvalid(
            f"cannot filter by entity {text!r}: expected SUBJECT=KEY with the key as JSON, such "
            """as shop.order='{"order_id":100001}'"""
        )
    # As events carry it: without spaces, its members in the contract's order.
    return stores.pseudonyms().entity(subject, orjson.dumps(known).decode())
