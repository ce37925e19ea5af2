"""Random logs and random tampering: found and named by both verifiers; honest bundles pass."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.eventlog.examples import EXAMPLES
from tests.eventlog.verifier.both import Verifiers
from tests.eventlog.verifier.bundle_maker import make_bundle
from tests.eventlog.verifier.tampering import (
    TAMPERINGS,
    Honest,
    Tamper,
    Tampering,
    honest_bundles,
    rewritten,
)

HONEST_DEFAULT, TAMPERED_DEFAULT = 25, 20
# A quarter of the draws have nothing to tamper with in the drawn way: still above 10,000.
HONEST_SOAK, TAMPERED_SOAK = 1_000, 1_200


def check_honest(verifiers: Verifiers, made: Honest) -> None:
    said = verifiers.judge(made.files, made.vkeys, witnesses=made.witnesses)
    # A filter that nothing fits selects nothing: there is nothing to prove, honestly.
    assert said.code == (0 if made.chosen else 2), said.text
    assert said.files == (set() if made.chosen else {"selection.bin"})


def check_tampered(verifiers: Verifiers, made: Honest, done: Tampering | None) -> None:
    if done is None or done.files == made.files:
        return
    kept = verifiers.scratch.with_name("kept.txt")
    kept.write_bytes(done.kept or b"")
    given_options = {"witnesses": made.witnesses, **done.options}
    said = verifiers.judge(
        done.files, made.vkeys, since=kept if done.kept else None, **given_options
    )
    assert said.code in done.codes, said.text
    if done.named is not None:
        assert done.named in said.files, said.text
    if done.index is not None:
        assert (done.named, done.index) in said.places, said.text


@settings(EXAMPLES, max_examples=HONEST_DEFAULT)
@given(made=honest_bundles())
def test_honest_bundles_pass(verifiers: Verifiers, made: Honest) -> None:
    check_honest(verifiers, made)


@pytest.mark.soak
@settings(EXAMPLES, max_examples=HONEST_SOAK)
@given(made=honest_bundles())
def test_many_honest_bundles_pass(verifiers: Verifiers, made: Honest) -> None:
    check_honest(verifiers, made)


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
@settings(EXAMPLES, max_examples=TAMPERED_DEFAULT)
@given(data=st.data())
def test_tampering_is_found_and_named(
    verifiers: Verifiers, tamper: Tamper, data: st.DataObject
) -> None:
    made = data.draw(honest_bundles(keys_max=1))
    check_tampered(verifiers, made, tamper(data.draw, made))


@pytest.mark.soak
@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
@settings(EXAMPLES, max_examples=TAMPERED_SOAK)
@given(data=st.data())
def test_much_tampering_is_found_and_named(
    verifiers: Verifiers, tamper: Tamper, data: st.DataObject
) -> None:
    made = data.draw(honest_bundles(keys_max=1))
    check_tampered(verifiers, made, tamper(data.draw, made))


@settings(EXAMPLES, max_examples=15)
@given(made=honest_bundles(keys_max=1), data=st.data())
def test_a_rewritten_log_is_not_found_without_witness_or_checkpoint(
    verifiers: Verifiers, made: Honest, data: st.DataObject
) -> None:
    changed = rewritten(made.log, data.draw(st.integers(0, made.wish.stop - 1)))
    said = verifiers.judge(make_bundle(changed, made.wish, made.keys), made.vkeys)
    assert said.code == (0 if made.chosen else 2), said.text
    # It says itself that it cannot know.
    assert any("did not rewrite the log" in each for each in said.json["not_checked"])
    assert any("no --since was given" in each for each in said.json["not_checked"])
