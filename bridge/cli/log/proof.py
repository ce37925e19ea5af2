"""`log prove`, `log check-proof`, `log consistency`: evidence for single entries and for growth."""

from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, reader
from bridge.cli.output import AsJson, console, print_json
from bridge.eventlog.durable_files import replace_file
from bridge.eventlog.leaf import payload_hash
from bridge.eventlog.merkle import leaf_hash
from bridge.eventlog.proofs.prover import entry_named, prove_continuation, prove_entry
from bridge.eventlog.proofs.tlog_proof import PROOF_BYTES_MAX, SUFFIX, TlogProof, check_proof
from bridge.eventlog.records.access import record_access
from bridge.eventlog.signing.checkpoint import HeadSigner
from bridge.eventlog.signing.note import NOTE_BYTES_MAX, VerifierKey
from bridge.model.errors import ConfigInvalid, DecodeError, LogCorrupt
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.stores import Stores

# As the verifier of bundles: 1 is tampering, and no configuration mistake may look like it.
TAMPERED = 1

# Far above what a broker takes as one message; a wrong file is not read whole.
PAYLOAD_BYTES_MAX = 256 * 1024**2

Out = Annotated[Path | None, typer.Option(help="File to write; standard output when absent.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to `log`."""
    app.command("prove")(prove)
    app.command("check-proof")(check)
    app.command("consistency")(consistency)


def prove(
    entry: Annotated[str, typer.Argument(help="Index or id of the entry.")],
    out: Out = None,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
) -> None:
    """Write the proof of one entry as a file that is checked offline (C2SP tlog-proof)."""
    with Stores(load_settings(config)) as stores:
        log = stores.event_log()
        found = entry_named(log, entry)
        latest = log.latest_checkpoint()
        if latest is None or latest[0] <= found.leaf_index:
            HeadSigner(stores.signer(), log).sign()
        proof = prove_entry(log, found)
        query = {"index": found.leaf_index}
        record_access(log, reader(actor), "prove", found=1, query=query)
    _write(out, proof.format())
    if out is not None:
        console.print(
            f"proof of entry {proof.index} in {out}; check it with: legacy-bridge log check-proof "
            f"{out} --key VKEY",
            markup=False,
            soft_wrap=True,
        )


def check(
    proof: Annotated[Path, typer.Argument(help=f"A {SUFFIX} file.")],
    key: Annotated[
        list[str], typer.Option("--key", help="Verifier key, obtained by another way; repeated.")
    ],
    payload: Annotated[
        Path | None, typer.Option(help="File with the entry's exact payload, to be compared.")
    ] = None,
) -> None:
    """Check the proof of one entry offline: 0 it holds, 1 it does not."""
    try:
        keys = [VerifierKey.parse(each) for each in key]
        given = TlogProof.parse(_read(proof, PROOF_BYTES_MAX))
        if given.extra is None:
            raise ConfigInvalid(
                f"cannot check {str(proof)!r}: it holds no leaf; proofs of this gateway do"
            )
        head = check_proof(given, leaf_hash(given.extra), keys)
        if payload is not None:
            _check_payload(given, payload)
    except LogCorrupt as exc:
        typer.echo(f"TAMPERED: {exc}")
        raise typer.Exit(TAMPERED) from exc
    except DecodeError as exc:
        raise ConfigInvalid(f"cannot check {str(proof)!r}: {exc}") from exc
    typer.echo(f"entry {given.index} of {head.size} signed entries, root {head.root.hex()}:")
    typer.echo(given.extra.decode())
    if payload is None:
        typer.echo("not checked: the payload (--payload FILE), cosignatures, time stamps")
    else:
        typer.echo("the payload is the one that the entry commits to")
        typer.echo("not checked: cosignatures, time stamps")


def consistency(
    since: Annotated[
        Path, typer.Option(help="A checkpoint that was kept, e.g. of the last export.")
    ],
    out: Out = None,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Show that nothing before a kept checkpoint was changed: 0 it is so, 1 it is not."""
    earlier = _read(since, NOTE_BYTES_MAX)
    with Stores(load_settings(config)) as stores:
        log, signer = stores.event_log(), stores.signer()
        try:
            # What is shown is true now, not when the log was signed last.
            HeadSigner(signer, log).sign()
            grown = prove_continuation(log, earlier, signer.ring.known)
        except LogCorrupt as exc:
            typer.echo(f"TAMPERED: {exc}")
            raise typer.Exit(TAMPERED) from exc
        except DecodeError as exc:
            raise ConfigInvalid(f"cannot use {str(since)!r}: {exc}") from exc
        query = {"since": grown.old.size}
        record_access(log, reader(actor), "consistency", found=1, query=query)
    if out is not None:
        _write(out, grown.format())
    if as_json:
        print_json(
            {
                "since": {"size": grown.old.size, "root": grown.old.root.hex()},
                "head": {"size": grown.head.size, "root": grown.head.root.hex()},
                "proof": [node.hex() for node in grown.hashes],
                "checkpoint": grown.checkpoint.decode(),
            }
        )
        return
    typer.echo(
        f"nothing before entry {grown.old.size} was changed, removed, added or moved; the log has "
        f"{grown.head.size} entries now, root {grown.head.root.hex()}"
    )


def _check_payload(proof: TlogProof, payload: Path) -> None:
    assert proof.extra is not None, "a proof without leaf was refused"
    found = sha256(_read(payload, PAYLOAD_BYTES_MAX).removesuffix(b"\n")).hexdigest().encode()
    if payload_hash(proof.extra) != found:
        raise LogCorrupt(
            f"the payload hashes to {found.decode()[:8]}…, entry {proof.index} commits to "
            f"{payload_hash(proof.extra).decode()[:8]}…"
        )


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(bytes_max + 1)
    except OSError as exc:
        raise ConfigInvalid(f"cannot read {str(path)!r}: {exc.strerror}") from exc
    if len(data) > bytes_max:
        raise ConfigInvalid(f"cannot read {str(path)!r}: it has more than {bytes_max} bytes")
    return data


def _write(out: Path | None, data: bytes) -> None:
    if out is None:
        typer.echo(data.decode(), nl=False)
        return
    try:
        replace_file(out, data)
    except OSError as exc:
        raise ConfigInvalid(f"cannot write {str(out)!r}: {exc.strerror}") from exc
