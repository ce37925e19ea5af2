"""Read a contracts folder and say everything that is wrong with it.

    contracts/SUBJECT/VERSION/schema.json          JSON Schema 2020-12 of the event's `data`
                              mapping.yaml         table → event; absent for a version that is
                                                   only kept for its readers
                              examples/valid-*.json, invalid-*.json

Reading is strict: an unknown file, key, keyword or format is a problem, because what nobody reads
is a promise that nobody keeps.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson
import yaml

from bridge.contracts.mapping import TableMapping, parse_mapping
from bridge.contracts.means import Means
from bridge.contracts.names import (
    SUBJECT_FORM,
    VERSION_FORM,
    is_subject,
    is_version,
    version_numbers,
)
from bridge.contracts.schema import DataSchema, row_schema, schema_problems, takes_member
from bridge.contracts.strict_yaml import load_strictly

# A contract is read by people; anything larger is not one, and would be read into memory whole.
FILE_BYTES_MAX = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """The promise about one event type."""

    subject: str
    version: str
    data_schema: DataSchema
    mapping: TableMapping | None
    """None for a version that is kept for its readers only."""

    @property
    def major(self) -> int:
        """Readers of one major read every minor of it."""
        return version_numbers(self.version)[0]

    def equipped(self, means: Means) -> "Contract":
        """Return this contract with what its mapping needs beside its text."""
        if self.mapping is None:
            return self
        return replace(self, mapping=replace(self.mapping, means=means))


def read_contracts(directory: Path) -> tuple[list[Contract], list[str]]:
    """Return all contracts of `directory`, and every problem found, each naming its file."""
    if not directory.is_dir():
        return [], [f"{directory}: no such directory"]
    contracts: list[Contract] = []
    problems: list[str] = []
    for folder in _folders(directory):
        if not is_subject(folder.name):
            problems.append(f"{folder}: a subject has the form {SUBJECT_FORM}")
            continue
        for version_folder in _folders(folder):
            if not is_version(version_folder.name):
                problems.append(f"{version_folder}: a version has the form {VERSION_FORM}")
                continue
            contract, found = _read_contract(folder.name, version_folder)
            problems += found
            if contract is not None:
                contracts.append(contract)
    problems += _overlaps(contracts)
    if not contracts and not problems:
        problems.append(f"{directory}: holds no contract")
    return contracts, problems


def _folders(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if path.is_dir() and path.name[0] != ".")


def _read_contract(subject: str, folder: Path) -> tuple[Contract | None, list[str]]:
    problems = list(_unknown_files(folder))
    data_schema, found = _read_schema(folder / "schema.json")
    problems += found
    mapping = None
    if (folder / "mapping.yaml").exists():
        mapping, found = _read_mapping(folder / "mapping.yaml", subject, folder.name)
        problems += found
    if data_schema is not None:
        problems += _example_problems(folder / "examples", data_schema)
        if mapping is not None:
            where = folder / "mapping.yaml"
            problems += [f"{where}: {text}" for text in _field_problems(mapping, data_schema)]
    if problems or data_schema is None:
        return None, problems
    return Contract(
        subject=subject, version=folder.name, data_schema=data_schema, mapping=mapping
    ), []


def _unknown_files(folder: Path) -> Iterator[str]:
    for path in sorted(folder.iterdir()):
        known = path.name in ("schema.json", "mapping.yaml", "examples") or path.suffix == ".md"
        if not known and path.name[0] != ".":
            yield (
                f"{path}: unknown file; a contract has schema.json, mapping.yaml, examples/ "
                "and notes in .md"
            )


def _read_text(path: Path) -> tuple[str, list[str]]:
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            return "", [f"{path}: has more than {FILE_BYTES_MAX} bytes"]
        return path.read_text(encoding="utf-8"), []
    except FileNotFoundError:
        return "", [f"{path}: no such file"]
    except (OSError, UnicodeDecodeError) as exc:
        return "", [f"{path}: {exc}"]


def _read_json(path: Path) -> tuple[Any, list[str]]:
    text, problems = _read_text(path)
    if problems:
        return None, problems
    try:
        # The standard reader names a key given twice; orjson then says whether readers take it.
        json.loads(text, object_pairs_hook=_refuse_twice)
        return orjson.loads(text), []
    except ValueError as exc:
        return None, [f"{path}: not JSON: {exc}"]


def _refuse_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"key {name!r} is given twice")
    return dict(pairs)


def _read_schema(path: Path) -> tuple[DataSchema | None, list[str]]:
    tree, problems = _read_json(path)
    if problems:
        return None, problems
    problems = [f"{path}: {text}" for text in schema_problems(tree)]
    if problems:
        return None, problems
    try:
        return DataSchema(tree), []
    except ValueError as exc:  # What only the compiler finds: a pattern that it cannot read.
        return None, [f"{path}: cannot be compiled: {exc}"]


def _read_mapping(path: Path, subject: str, version: str) -> tuple[TableMapping | None, list[str]]:
    text, problems = _read_text(path)
    if problems:
        return None, problems
    try:
        # The loader is a SafeLoader that is stricter still.
        tree = load_strictly(text)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" line {mark.line + 1}:" if mark else ""
        return None, [f"{path}:{where} {getattr(exc, 'problem', None) or 'not YAML'}"]
    mapping, found = parse_mapping(tree)
    if mapping is not None:
        if mapping.subject != subject:
            found.append(f"subject {mapping.subject!r} stands in the folder of {subject!r}")
        if mapping.version != version:
            found.append(f"version {mapping.version!r} stands in the folder of {version!r}")
    return (None if found else mapping), [f"{path}: {problem}" for problem in found]


def _example_problems(folder: Path, data_schema: DataSchema) -> list[str]:
    problems = []
    counts = {"valid": 0, "invalid": 0}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        expected = path.name.partition("-")[0]
        if expected not in counts or path.suffix != ".json":
            problems.append(f"{path}: examples are named valid-*.json or invalid-*.json")
            continue
        counts[expected] += 1
        problems += _one_example(path, expected, data_schema)
    missing = [name for name, count in counts.items() if count == 0]
    return problems + [f"{folder}: needs at least one {name}-*.json" for name in missing]


def _one_example(path: Path, expected: str, data_schema: DataSchema) -> list[str]:
    data, problems = _read_json(path)
    if problems:
        return problems
    try:
        fits = data_schema.agreed(data)
    except ValueError as exc:
        return [f"{path}: {exc}"]
    if fits and expected == "invalid":
        return [f"{path}: the schema accepts it"]
    if not fits and expected == "valid":
        return [f"{path}: {data_schema.reason(data)}"]
    return []


def _field_problems(mapping: TableMapping, data_schema: DataSchema) -> Iterator[str]:
    row = row_schema(data_schema.schema)
    if row is None:
        yield "the schema has no '/properties/after' with 'properties' to hold the fields"
        return
    names = {field.name for field in mapping.fields}
    for name in sorted(names.difference(row["properties"])):
        yield f"field {name!r} is not among the properties of the schema's 'after'"
    for name in sorted(set(row.get("required", ())).difference(names)):
        yield f"the schema's 'after' requires {name!r}, which the mapping never fills"
    if mapping.refill and not takes_member(data_schema.schema, "refilled"):
        yield "'refill' needs the property 'refilled' in the schema: a list of field names"


def _overlaps(contracts: list[Contract]) -> Iterator[str]:
    """Say which contracts would publish the same table twice."""
    first: dict[tuple[str, str], Contract] = {}
    for contract in contracts:
        mapping = contract.mapping
        if mapping is None:
            continue
        place = (mapping.source, mapping.table)
        other = first.setdefault(place, contract)
        if other.subject != contract.subject or other.major != contract.major:
            yield (
                f"table {mapping.table!r} of source {mapping.source!r} is mapped by both "
                f"{other.subject!r} version {other.version} and {contract.subject!r} version "
                f"{contract.version}; remove one mapping.yaml (its version stays for readers)"
            )
