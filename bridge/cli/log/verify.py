"""`log verify`: run the separate verifier on a bundle or on the proof of one entry."""

from hashlib import file_digest
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, reader
from bridge.cli.output import AsJson
from bridge.eventlog.records.access import record_access
from bridge.eventlog.verify_bundle import INCOMPLETE, TAMPERED, VERIFIED, Verdict, run_verifier
from bridge.model.warrant import Actor as WarrantActor
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.stores import Stores

_WORDS = {VERIFIED: "verified", TAMPERED: "tampered", INCOMPLETE: "incomplete"}
_FOUND = ("  tampered: ", "  incomplete: ", '      "class": ')


def add_to(app: typer.Typer) -> None:
    """Add the command to the group `log`."""
    app.command()(verify)


def verify(
    bundle: Annotated[Path | None, typer.Argument(help="Folder of an exported bundle.")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(help="Verifier key of the log, obtained by another way; repeatable."),
    ] = None,
    witness: Annotated[
        list[str] | None, typer.Option(help="Verifier key of a witness; repeatable.")
    ] = None,
    witnesses_min: Annotated[
        int | None, typer.Option(min=1, help="Cosignatures needed; all given ones by default.")
    ] = None,
    since: Annotated[
        Path | None, typer.Option(help="A checkpoint of this log that you kept.")
    ] = None,
    proof: Annotated[
        Path | None, typer.Option(help="A .tlog-proof of one entry, instead of a bundle.")
    ] = None,
    leaf: Annotated[
        Path | None, typer.Option(help="Its exact leaf, if the proof carries none.")
    ] = None,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Run the single-file verifier: 0 verified, 1 tampered, 2 not provable.

    Where this deployment's settings are at hand, the verification becomes an entry of its log.
    """
    paths = {"since": since, "proof": proof, "leaf": leaf}
    arguments = [f"--key={each}" for each in key or []]
    arguments += [f"--witness={each}" for each in witness or []]
    arguments += [f"--{name}={path}" for name, path in paths.items() if path is not None]
    arguments += [] if witnesses_min is None else [f"--witnesses-min={witnesses_min}"]
    arguments += ["--json"] if as_json else []
    arguments += [] if bundle is None else ["--", str(bundle)]
    verdict = run_verifier(arguments)
    # An auditor's machine has no settings, and settings without their data are an example.
    settings = load_settings(config) if config.is_file() else None
    if settings is not None and settings.data_dir.is_dir():
        _record(settings, reader(actor), verdict, proof or (bundle and bundle / "manifest.json"))
    typer.echo(verdict.text.rstrip("\n"))
    raise typer.Exit(verdict.exit_code)


def _record(settings: Settings, who: WarrantActor, verdict: Verdict, verified: Path | None) -> None:
    """Append who verified what: by its hash, as a folder's name says nothing."""
    query = {"verdict": _WORDS[verdict.exit_code], "sha256": _digest(verified)}
    found = sum(line.startswith(_FOUND) for line in verdict.text.splitlines())
    with Stores(settings) as stores:
        record_access(stores.event_log(), who, "verify", found=found, query=query)


def _digest(path: Path | None) -> str | None:
    if path is None or not path.is_file():
        return None
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
