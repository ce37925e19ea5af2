"""Whose signatures the verifiers believe: keys of the log over a rotation, keys of witnesses."""

import json
from hashlib import sha256

import pytest

from tests.eventlog.verifier.both import Verifiers
from tests.eventlog.verifier.bundle_maker import Wish, make_bundle, make_log, seal_bundle, sign
from tests.eventlog.verifier.tampering import (
    KEY,
    LATER_KEY,
    SECOND_WITNESS,
    STRANGER,
    WITNESS,
    rewritten,
)

LOG = make_log(30, seed=3)
WHOLE = make_bundle(LOG, Wish(stop=30, size=30), [KEY])


def test_a_log_key_is_no_witness_and_a_witness_no_log(verifiers: Verifiers) -> None:
    assert verifiers.judge(WHOLE, [WITNESS.vkey]).code == 2
    assert verifiers.judge(WHOLE, [KEY.vkey], witnesses=[KEY.vkey]).code == 2


def test_after_a_rotation_one_key_is_enough_and_no_given_key_may_be_wrong(
    verifiers: Verifiers,
) -> None:
    both = make_bundle(LOG, Wish(stop=30, size=30), [KEY, LATER_KEY])
    for keys in ([KEY], [LATER_KEY], [KEY, LATER_KEY], [STRANGER, KEY]):
        assert verifiers.judge(both, [key.vkey for key in keys]).code == 0
    # A line of the later key that does not fit: found by whoever was given that key.
    good = both["trailer.note"].decode()
    wrong = LATER_KEY.line("another text\n")
    forged = good[: good.rindex("— ")] + wrong
    files = {**both, "trailer.note": forged.encode()}
    assert verifiers.judge(files, [KEY.vkey]).code == 0
    said = verifiers.judge(files, [KEY.vkey, LATER_KEY.vkey])
    assert (said.code, said.files) == (1, {"trailer.note"})


@pytest.mark.parametrize(("history", "code"), [("the same", 0), ("another", 1)])
def test_an_earlier_checkpoint_may_be_signed_by_a_key_of_before_a_rotation(
    verifiers: Verifiers, history: str, code: int
) -> None:
    made = make_bundle(LOG, Wish(stop=30, size=30, checkpoints=(8,)), [LATER_KEY])
    name = "checkpoints/8.txt"
    log = LOG if history == "the same" else rewritten(LOG, 3)
    old = sign(log.checkpoint_text(8), [KEY])
    manifest = json.loads(made["manifest.json"])
    manifest["files"][name] |= {"bytes": len(old), "sha256": sha256(old).hexdigest()}
    files = seal_bundle({**made, name: old}, manifest, [LATER_KEY])
    said = verifiers.judge(files, [LATER_KEY.vkey])
    assert said.code == code
    assert f"{name}: signed by {KEY.name}" in said.text
    assert "a key that was not given" in said.text
    assert verifiers.judge(files, [KEY.vkey, LATER_KEY.vkey]).code == code


def test_cosignatures_are_counted_by_key_and_not_by_line(verifiers: Verifiers) -> None:
    files = dict(make_bundle(LOG, Wish(stop=30, size=30, witnesses=(WITNESS, WITNESS)), [KEY]))
    said = verifiers.judge(files, [KEY.vkey], witnesses=[WITNESS.vkey] * 2, witnesses_min=2)
    assert said.code == 2
    assert "1 of 2 cosignatures" in said.text
    assert verifiers.judge(files, [KEY.vkey], witnesses=[WITNESS.vkey] * 2).code == 0
    assert verifiers.judge(files, [KEY.vkey], witnesses_min=1).code == 2


def test_cosignatures_of_one_witness_of_two(verifiers: Verifiers) -> None:
    files = make_bundle(LOG, Wish(stop=30, size=30, witnesses=(WITNESS,)), [KEY])
    keys = [WITNESS.vkey, SECOND_WITNESS.vkey]
    assert verifiers.judge(files, [KEY.vkey], witnesses=keys).code == 2
    assert verifiers.judge(files, [KEY.vkey], witnesses=keys, witnesses_min=1).code == 0
