"""The comparison finds what it is there to find, and a seed is a program."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from bridge.model.entry import EntryKind, StoredEntry
from tests.capture.oracle import event_id
from tests.capture.random.check import changes_of, compare, replayed
from tests.capture.random.faults import OTHER_ACTIONS, POINTS, plan
from tests.capture.random.program import Generator
from tests.capture.random.second_decoder import Change, Transaction

Documents = list[tuple[str, dict[str, Any]]]

TRUTH = [
    Transaction(0x100, 0x108, 7, [Change("created", "public.t", after={"id": "1"})]),
    Transaction(
        0x200,
        0x208,
        8,
        [
            Change("created", "public.t", after={"id": "2"}),
            Change("message", prefix="audit", content=b"x", transactional=True),
            Change("deleted", "public.t", "key", before={"id": "1"}),
        ],
    ),
]


def _documents() -> Documents:
    documents: Documents = []
    for transaction in TRUTH:
        for ordinal, change in enumerate(transaction.changes):
            if change.kind != "message":
                document = {
                    "table": change.table,
                    "kind": change.kind,
                    "image": change.image,
                    "before": change.before,
                    "after": change.after,
                }
                documents.append((event_id(transaction, ordinal), document))
    return documents


def _entries(documents: Documents) -> list[StoredEntry]:
    return [
        StoredEntry(place, EntryKind.EVENT, name, "shop.plain", None, b"", json.dumps(of).encode())
        for place, (name, of) in enumerate(documents)
    ]


def _faults(documents: Documents) -> list[str]:
    entries = _entries(documents)
    return compare(entries, changes_of(entries), TRUTH, frozenset(), ()).faults


def test_a_right_log_has_no_faults() -> None:
    assert _faults(_documents()) == []
    assert replayed(_documents(), "public.t", ("id",)) == {"2": 1}


def _altered(documents: Documents) -> None:
    documents[1][1]["after"]["id"] = "3"


def _renumbered(documents: Documents) -> None:
    documents[2] = (documents[2][0][:-1] + "1", documents[2][1])


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda documents: documents.pop(0), "is missing"),
        (lambda documents: documents.pop(), "is missing"),
        (lambda documents: documents.append(documents[0]), "is in the log twice"),
        (lambda documents: documents.insert(0, documents.pop()), "stands behind"),
        (_altered, "differs: after"),
        (_renumbered, "was never committed"),
    ],
    ids=["first lost", "last lost", "repeated", "out of order", "altered", "other id"],
)
def test_every_kind_of_damage_is_found(spoil: Callable[[Documents], object], said: str) -> None:
    documents = copy.deepcopy(_documents())
    spoil(documents)
    assert any(said in fault for fault in _faults(documents))


def test_every_point_is_killed_and_cut_at() -> None:
    faults = {(fault.action, fault.point) for seed in range(10) for fault in plan(seed)}
    assert {("kill", point) for point in POINTS} <= faults
    assert {("cut", point) for point in POINTS} <= faults
    assert {action for action, _ in faults} == {"kill", "cut", *OTHER_ACTIONS}


def test_a_seed_is_a_program() -> None:
    def program(seed: int) -> list[str]:
        generator = Generator(seed)
        return [str(step) for step in (*generator.steps(300), *generator.closing())]

    assert program(1) == program(1)
    assert program(1) != program(2)
    text = "\n".join(line for seed in range(20) for line in program(seed))
    for word in (
        "savepoint", "rollback to", "release", "rollback", "prepare transaction", "commit prepared",
        "rollback prepared", "copy", "truncate", "cascade", "restart identity", "add column",
        "drop column", "rename column", "type bigint", "replica identity full", "insert", "update",
        "delete", "generate_series(", "emit_message(true", "emit_message(false", "do $$",
    ):  # fmt: skip
        assert word in text
