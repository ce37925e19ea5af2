"""`witness`: the service that a partner runs beside nobody else's settings."""

import threading
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from bridge.cli.output import console
from bridge.eventlog.signing.note import VerifierKey
from bridge.eventlog.witness.app import create_app
from bridge.eventlog.witness.cosigner import CosigningKey, Witness
from bridge.eventlog.witness.heads import KeptHeads
from bridge.eventlog.witness.verdict import LogKeys
from bridge.model.errors import ConfigInvalid, DecodeError
from bridge.model.signals import stop_on_signals
from bridge.runtime.port_check import check_port
from bridge.runtime.roles.threads import run_all
from bridge.runtime.watching.telemetry import RunFileObserver, start_logging
from bridge.storage.journal.owner import FileLock

app = typer.Typer(
    help="A witness: cosigns the checkpoints of somebody else's log.",
    invoke_without_command=True,
    no_args_is_help=True,
)

# Logs ask once in ten seconds each; more at once than this is no log.
CONNECTIONS_MAX = 64
# A cosignature takes milliseconds; a log that got no answer asks again.
DRAIN_S = 5

KeyFile = Annotated[
    Path | None, typer.Option("--key", help="Its key file; STATE/witness.ed25519 by default.")
]
State = Annotated[
    Path,
    typer.Option(
        "--state", help="Folder of its own for what it cosigned; never restore an old one."
    ),
]
DEFAULT_STATE = Path("witness")


@app.command("key")
def show_key(
    state: State = DEFAULT_STATE,
    key: KeyFile = None,
    name: Annotated[
        str | None,
        typer.Option(help="Makes the key under this name: witness.partner.example/w1."),
    ] = None,
) -> None:
    """Print the witness's verifier key for the log's operator and for auditors; make it first."""
    path = _key_path(state, key)
    found = CosigningKey.load(path) if name is None else CosigningKey.load_or_create(path, name)
    typer.echo(found.key.format())


@app.callback()
def run(
    context: typer.Context,
    log_key: Annotated[
        list[str] | None,
        typer.Option("--log-key", help="Verifier key of a log; again for more keys or logs."),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(help="First line of the log's checkpoints; the keys' name by default."),
    ] = None,
    state: State = DEFAULT_STATE,
    key: KeyFile = None,
    listen: Annotated[str, typer.Option(help="HOST:PORT")] = "127.0.0.1:8085",
) -> None:
    """Run the witness until SIGTERM: cosign only what continues what was cosigned before."""
    if context.invoked_subcommand is not None:
        return
    host, port = _address(listen)
    logs = log_keys(log_key or [], origin)
    cosigning_key = CosigningKey.load(_key_path(state, key))
    # Not started: it logs, and keeps no run file.
    observer = RunFileObserver("witness", state, start_logging("witness", "info"))
    heads = KeptHeads(state)
    # Two processes on one state could each cosign another future of the log.
    with FileLock.take(state / "witness.lock"):
        heads.check(logs)
        witness = Witness(cosigning_key, logs, heads, observer=observer)
        check_port(host, port, "--listen")
        _serve(witness, host, port)


def log_keys(vkeys: list[str], origin: str | None) -> LogKeys:
    """Return the keys of each log.

    Raises:
        ConfigInvalid: there is none, or one cannot be read.
    """
    keys: defaultdict[str, list[VerifierKey]] = defaultdict(list)
    for vkey in vkeys:
        try:
            found = VerifierKey.parse(vkey)
        except DecodeError as exc:
            raise ConfigInvalid(f"cannot run the witness: {exc}") from exc
        keys[origin or found.name].append(found)
    if not keys:
        raise ConfigInvalid(
            "cannot run the witness: it knows no log; give the verifier key of one with --log-key "
            "(its operator prints it by `legacy-bridge log key`)"
        )
    return dict(keys)


def _serve(witness: Witness, host: str, port: int) -> None:
    server = uvicorn.Server(
        uvicorn.Config(
            create_app(witness),
            host=host,
            port=port,
            log_config=None,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=DRAIN_S,
        )
    )

    def ask_to_end() -> None:
        server.should_exit = True

    stop = threading.Event()
    console.print(f"witness {witness.key.name} on {host}:{port}", markup=False, highlight=False)
    with stop_on_signals(stop):
        run_all([("witness", lambda _: server.run())], stop, on_end=ask_to_end)


def _key_path(state: Path, key: Path | None) -> Path:
    return state / "witness.ed25519" if key is None else key


def _address(listen: str) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise ConfigInvalid(f"cannot listen on {listen!r}: expected HOST:PORT")
    return host.strip("[]"), int(port)


def add_to(main: typer.Typer) -> None:
    """Add the group to the main application."""
    main.add_typer(app, name="witness")
