"""Real time-stamp tokens: the verifiers know them, and the command that they print is right."""

import shlex
from pathlib import Path

import pytest

from tests.eventlog.timestamps.openssl_authority import OpensslAuthority, openssl
from tests.eventlog.verifier.both import Verifiers
from tests.eventlog.verifier.bundle_maker import Wish, make_bundle, make_log, write_files
from tests.eventlog.verifier.tampering import KEY

LOG = make_log(7)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> OpensslAuthority:
    return OpensslAuthority(tmp_path_factory.mktemp("authority") / "tsa")


def token_of(authority: OpensslAuthority, text: str) -> bytes:
    """Return the authority's token over `text`."""
    note = authority.folder / "note.txt"
    note.write_text(text)
    query = openssl("ts", "-query", "-data", note, "-sha256", "-cert")
    reply = authority.folder / "reply.tsr"
    reply.write_bytes(authority.reply(query))
    return openssl("ts", "-reply", "-in", reply, "-token_out")


def test_a_token_and_the_command_that_checks_it(
    verifiers: Verifiers, authority: OpensslAuthority, tmp_path: Path
) -> None:
    extra = {
        f"tokens/{size}/tsa.tsr": token_of(authority, LOG.checkpoint_text(size)) for size in (4, 7)
    }
    files = make_bundle(LOG, Wish(stop=7, size=7, checkpoints=(4,), extra=extra), [KEY])
    write_files(tmp_path / "bundle", files)
    said = verifiers.judge_folder(tmp_path / "bundle", [KEY.vkey])
    assert said.code == 0, said.text
    commands = [each.partition(": openssl ")[2] for each in said.json["not_checked"]]
    commands = [command for command in commands if command]
    assert len(commands) == 2
    for command in commands:
        # Reads the token's file relative to the bundle, as an auditor who stands there does.
        arguments = [
            str(tmp_path / "bundle" / part) if part.startswith("tokens/") else part
            for part in shlex.split(command.replace("AUTHORITY.pem", str(authority.ca_file)))
        ]
        openssl(*arguments)
    shown = openssl(
        "ts",
        "-reply",
        "-token_in",
        "-in",
        tmp_path / "bundle/tokens/7/tsa.tsr",
        "-token_out",
        "-text",
    )
    assert b"Time stamp: " in shown


def test_a_token_over_something_else_is_named(
    verifiers: Verifiers, authority: OpensslAuthority
) -> None:
    extra = {"tokens/7/tsa.tsr": token_of(authority, LOG.checkpoint_text(6))}
    files = make_bundle(LOG, Wish(stop=7, size=7, extra=extra), [KEY])
    said = verifiers.judge(files, [KEY.vkey])
    assert (said.code, said.files) == (1, {"tokens/7/tsa.tsr"})


def test_a_token_of_a_checkpoint_that_is_not_here(verifiers: Verifiers) -> None:
    files = make_bundle(LOG, Wish(stop=7, size=7, extra={"tokens/5/tsa.tsr": b""}), [KEY])
    said = verifiers.judge(files, [KEY.vkey])
    assert (said.code, said.files) == (2, {"tokens/5/tsa.tsr"})
