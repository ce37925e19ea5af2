"""What a witness cosigns, what it refuses, and what it remembers."""

import tempfile
import threading
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.eventlog.signing.checkpoint import format_checkpoint, parse_checkpoint
from bridge.eventlog.signing.cosignature import verify
from bridge.eventlog.signing.note import split_note
from bridge.eventlog.signing.signer import Signer
from bridge.eventlog.witness.cosigner import CosigningKey
from bridge.eventlog.witness.heads import EVIDENCE_FILES_MAX, KeptHeads
from bridge.eventlog.witness.submission import SIZE_CONTENT_TYPE, format_submission
from bridge.model.entry import TreeHead
from bridge.model.errors import ConfigInvalid, LogCorrupt
from tests.eventlog.witness.logs import (
    ORIGIN,
    WITNESS,
    head_at,
    log_of,
    signer_in,
    submission,
    witness_in,
)
from tests.waiting import RecordingObserver


def test_the_first_checkpoint_is_cosigned_on_trust(tmp_path: Path) -> None:
    signer = signer_in(tmp_path)
    witness = witness_in(tmp_path, signer)
    body = submission(signer, log_of(300), 0, 300)
    answer = witness.add_checkpoint(body)
    assert answer.status == 200
    note = body.split(b"\n\n", 1)[1]
    text, _ = split_note(note)
    assert verify(f"{text}\n".encode() + answer.body, witness.key) == 1_700_000_000


def test_what_continues_is_cosigned_and_survives_a_restart(tmp_path: Path) -> None:
    signer, log = signer_in(tmp_path), log_of(700)
    old = 0
    for size in (1, 2, 255, 256, 257, 257, 700):
        answer = witness_in(tmp_path, signer).add_checkpoint(submission(signer, log, old, size))
        assert answer.status == 200
        old = size
    kept = witness_in(tmp_path, signer).kept(ORIGIN)
    assert kept is not None
    assert parse_checkpoint(split_note(kept)[0]) == (ORIGIN, log.head())


def test_an_old_size_that_differs_is_told_with_the_right_one(tmp_path: Path) -> None:
    signer, log = signer_in(tmp_path), log_of(20)
    witness = witness_in(tmp_path, signer)
    witness.add_checkpoint(submission(signer, log, 0, 10))
    for old in (0, 5, 11):
        answer = witness.add_checkpoint(submission(signer, log, old, 20))
        assert (answer.status, answer.body, answer.content_type) == (
            409,
            b"10\n",
            SIZE_CONTENT_TYPE,
        )
    # A slow older submission never brings the older head back.
    assert witness.add_checkpoint(submission(signer, log, 5, 8)).status == 409


def test_a_rewritten_log_is_refused_and_kept_as_evidence(tmp_path: Path) -> None:
    observer, signer = RecordingObserver(), signer_in(tmp_path)
    witness = witness_in(tmp_path, signer, observer)
    witness.add_checkpoint(submission(signer, log_of(20), 0, 10))
    forged = log_of(20, forged_at=3)
    assert witness.add_checkpoint(submission(signer, forged, 10, 20)).status == 422
    assert witness.add_checkpoint(submission(signer, forged, 10, 20)).status == 422
    answer = witness.add_checkpoint(submission(signer, forged, 10, 10))
    assert (answer.status, answer.body) == (409, b"10\n")
    assert [name.split("-")[0] for name in witness.evidence()] == ["fork", "unproven"]
    assert len(observer.notes("witness_conflict")) == 2
    # The honest log goes on.
    assert witness.add_checkpoint(submission(signer, log_of(20), 10, 20)).status == 200


def test_evidence_is_bounded(tmp_path: Path) -> None:
    heads = KeptHeads(tmp_path)
    kept = [heads.keep_evidence("fork", b"%d" % number) for number in range(EVIDENCE_FILES_MAX + 5)]
    assert sum(kept) == EVIDENCE_FILES_MAX
    assert len(heads.evidence()) == EVIDENCE_FILES_MAX


def test_strangers_are_told_apart(tmp_path: Path) -> None:
    signer = signer_in(tmp_path)
    witness = witness_in(tmp_path, signer)
    log = log_of(10)
    (tmp_path / "other").mkdir()
    stranger = signer_in(tmp_path / "other")
    assert witness.add_checkpoint(submission(stranger, log, 0, 10)).status == 403
    elsewhere = Signer.load_or_create(tmp_path / "else.key", origin="elsewhere.example/log")
    assert witness.add_checkpoint(submission(elsewhere, log, 0, 10)).status == 404
    broken = submission(signer, log, 0, 10).replace(b"\n10\n", b"\n11\n")
    assert witness.add_checkpoint(broken).status == 403
    assert witness.kept(ORIGIN) is None


def test_either_key_is_enough_while_the_log_changes_its_key(tmp_path: Path) -> None:
    old = signer_in(tmp_path)
    (tmp_path / "new").mkdir()
    new = signer_in(tmp_path / "new")
    log = log_of(40)
    for number, trusted in enumerate(([old.key], [new.key], [old.key, new.key])):
        witness = witness_in(tmp_path, old)
        witness.logs = {ORIGIN: trusted}
        size = 10 * (number + 1)
        signed = submission(old, log, size - 10, size)
        both = signed + submission(new, log, size - 10, size).rpartition(b"\n\n")[2]
        assert witness.add_checkpoint(both).status == 200
    # A wrong signature by a trusted key is not outweighed by a right one.
    wrong = submission(new, log, 30, 39).rpartition(b"\n\n")[2]
    assert witness.add_checkpoint(submission(old, log, 30, 40) + wrong).status == 403


def test_malformed_requests_are_400(tmp_path: Path) -> None:
    signer = signer_in(tmp_path)
    witness = witness_in(tmp_path, signer)
    good = submission(signer, log_of(10), 0, 10)
    head = TreeHead(size=2**64, root=bytes(32))
    huge = signer.sign(format_checkpoint(ORIGIN, head))
    thousands = signer.sign(f"{ORIGIN}\n{'9' * 5_000}\n{'A' * 43}=\n")
    for body in (
        b"nonsense",
        good.replace(b"old 0", b"old 11"),
        good[: good.index(b"\n\n") + 12],
        format_submission(0, [], huge),
        format_submission(0, [], thousands),
        format_submission(0, [], b"text\n\n\xff\n"),
    ):
        assert witness.add_checkpoint(body).status == 400, body[:40]


def test_a_proof_is_refused_where_none_belongs(tmp_path: Path) -> None:
    signer, log = signer_in(tmp_path), log_of(10)
    witness = witness_in(tmp_path, signer)
    note = submission(signer, log, 0, 10).split(b"\n\n", 1)[1]
    assert witness.add_checkpoint(format_submission(0, [bytes(32)], note)).status == 422
    assert witness.kept(ORIGIN) is None


def test_an_empty_log_is_cosigned_with_its_one_root_only(tmp_path: Path) -> None:
    signer = signer_in(tmp_path)
    witness = witness_in(tmp_path, signer)
    wrong = signer.sign(format_checkpoint(ORIGIN, TreeHead(size=0, root=bytes(32))))
    assert witness.add_checkpoint(format_submission(0, [], wrong)).status == 422
    right = signer.sign(format_checkpoint(ORIGIN, TreeHead(size=0, root=sha256().digest())))
    assert witness.add_checkpoint(format_submission(0, [], right)).status == 200
    assert witness.add_checkpoint(submission(signer, log_of(5), 0, 5)).status == 200


def test_only_verified_signatures_are_kept(tmp_path: Path) -> None:
    signer = signer_in(tmp_path)
    witness = witness_in(tmp_path, signer)
    noise = "".join(f"\N{EM DASH} stranger-{number} AAAAAAAA\n" for number in range(50)).encode()
    assert witness.add_checkpoint(submission(signer, log_of(10), 0, 10) + noise).status == 200
    kept = witness.kept(ORIGIN)
    assert kept is not None
    assert [line.name for line in split_note(kept)[1]] == [ORIGIN, WITNESS]


def test_state_that_cannot_be_read_stops_cosigning(tmp_path: Path) -> None:
    signer = signer_in(tmp_path)
    witness = witness_in(tmp_path, signer)
    log = log_of(20)
    witness.add_checkpoint(submission(signer, log, 0, 10))
    (path,) = (tmp_path / "witness" / "heads").iterdir()
    path.write_bytes(b"")
    assert witness.add_checkpoint(submission(signer, log, 0, 20)).status == 503
    with pytest.raises(LogCorrupt, match="never delete it"):
        KeptHeads(tmp_path / "witness").check([ORIGIN])


def test_state_that_cannot_be_written_stops_cosigning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = signer_in(tmp_path)
    witness = witness_in(tmp_path, signer)

    def full(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("bridge.eventlog.witness.heads.replace_file", full)
        assert witness.add_checkpoint(submission(signer, log_of(10), 0, 10)).status == 503
    assert witness.kept(ORIGIN) is None
    assert witness.add_checkpoint(submission(signer, log_of(10), 0, 10)).status == 200


def test_the_state_is_on_disk_before_the_cosignature_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    signer = signer_in(tmp_path)
    witness = witness_in(tmp_path, signer)
    kept = []
    real = KeptHeads.keep

    def keep(heads: KeptHeads, origin: str, note: bytes) -> None:
        real(heads, origin, note)
        kept.append(heads.head(origin))

    monkeypatch.setattr(KeptHeads, "keep", keep)
    log = log_of(10)
    assert witness.add_checkpoint(submission(signer, log, 0, 10)).status == 200
    assert kept == [log.head()]


def test_logs_at_once_never_bring_an_older_head_back(tmp_path: Path) -> None:
    signer, log = signer_in(tmp_path), log_of(60)
    witness = witness_in(tmp_path, signer)
    witness.add_checkpoint(submission(signer, log, 0, 1))
    bodies = [submission(signer, log, 1, size) for size in range(2, 60)]
    answers: list[int] = []
    threads = [
        threading.Thread(target=lambda b=body: answers.append(witness.add_checkpoint(b).status))
        for body in bodies
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] + [409] * 57


def test_a_key_keeps_its_name_and_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "w" / "witness.key"
    with pytest.raises(ConfigInvalid, match="make it once"):
        CosigningKey.load(path)
    made = CosigningKey.load_or_create(path, WITNESS)
    assert made.key.format().startswith(f"{WITNESS}+")
    assert CosigningKey.load(path).key == made.key
    with pytest.raises(ConfigInvalid, match="keeps its name for life"):
        CosigningKey.load_or_create(path, "another")
    path.chmod(0o644)
    with pytest.raises(ConfigInvalid, match="chmod 0600"):
        CosigningKey.load(path)
    with pytest.raises(ConfigInvalid, match="has '\\+' or space"):
        CosigningKey.load_or_create(tmp_path / "x", "a name")


STEPS = st.lists(
    st.tuples(
        st.booleans(),  # The honest log or the forged one.
        st.integers(min_value=0, max_value=40),
        st.integers(min_value=0, max_value=40),
        st.booleans(),  # Whether the witness is restarted before.
    ),
    min_size=1,
    max_size=25,
)


@given(st.integers(min_value=0, max_value=40), STEPS)
@settings(deadline=None, max_examples=60)
def test_no_two_cosigned_heads_contradict_each_other(
    forged_at: int, steps: list[tuple[bool, int, int, bool]]
) -> None:
    honest, forged = log_of(40), log_of(40, forged_at=forged_at)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        signer = signer_in(folder)
        witness = witness_in(folder, signer)
        cosigned: list[tuple[bool, int]] = []
        for is_forged, old, size, restarted in steps:
            if restarted:
                witness = witness_in(folder, signer)
            log = forged if is_forged else honest
            if witness.add_checkpoint(submission(signer, log, old, size)).status == 200:
                cosigned.append((is_forged, size))
    sizes = [size for _, size in cosigned]
    assert sizes == sorted(sizes), "a witness never goes back"
    # All of them are heads of one history: the honest one, or the forged one.
    assert any(
        all(
            head_at(forged if is_forged else honest, size) == head_at(log, size)
            for is_forged, size in cosigned
        )
        for log in (honest, forged)
    )
