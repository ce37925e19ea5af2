"""`log prune`, `log backup`, `log accept-restore`: the log's store in an operator's hands."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, console, print_json
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.log_backup import back_up
from bridge.runtime.roles.log_upkeep import accept_restore, prune_log
from bridge.runtime.wiring.stores import Stores

_INDEX_MAX = 2**63 - 1


def add_to(app: typer.Typer) -> None:
    """Add the commands to the group `log`."""
    app.command("prune")(prune)
    app.command("backup")(backup)
    app.command("accept-restore")(accept)


def prune(
    below: Annotated[
        int, typer.Option(min=1, max=_INDEX_MAX, help="The index of the first entry to keep.")
    ],
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Remove the oldest entries from the store for good; proofs of all others stay."""
    by = warrant(actor, reason, ticket)
    with Stores(load_settings(config)) as stores, _bar(as_json) as bar:
        task = bar.add_task("pruning", total=None)
        plan = prune_log(
            stores,
            below,
            by,
            dry_run=dry_run,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    if as_json:
        print_json(
            {
                "first_index": plan.first_index,
                "start": plan.start,
                "entries": plan.count,
                "newest": plan.newest,
                "dry_run": dry_run,
            }
        )
        return
    would = "would be pruned" if dry_run else "pruned"
    console.print(
        f"{plan.count:,} entries {would} (from {plan.start} to {plan.first_index - 1}, the newest "
        f"of {plan.newest}); minimum index {plan.first_index}",
        markup=False,
        soft_wrap=True,
    )


def backup(
    folder: Annotated[Path, typer.Argument(help="New folder for the backup.")],
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Copy log, cursors and journal while everything runs; private keys are never in it."""
    by = warrant(actor, reason, ticket)
    with Stores(load_settings(config)) as stores, _bar(as_json) as bar:
        task = bar.add_task("copying", total=None)
        report = back_up(
            stores,
            folder,
            by,
            progress=lambda name, done, total: bar.update(
                task, description=f"copying {name}", completed=done, total=total
            ),
        )
    if as_json:
        print_json(
            {
                "folder": str(report.folder),
                "files": list(report.files),
                "bytes": report.size_bytes,
                "size": report.head.size,
                "root": report.head.root.hex(),
                "dump_the_log": report.log_elsewhere,
            }
        )
        return
    console.print(
        f"{report.head.size:,} entries, {report.size_bytes:,} bytes in {report.folder}",
        markup=False,
        soft_wrap=True,
    )
    if report.log_elsewhere:
        console.print(
            "the log itself is in PostgreSQL; now run: pg_dump --schema=bridge_log "
            f"--format=custom --file={folder / 'bridge_log.dump'} DATABASE",
            markup=False,
            soft_wrap=True,
        )


def accept(
    origin: Annotated[
        str, typer.Option(help="The name under which the log goes on; one never used before.")
    ],
    reason: Reason,
    ticket: Ticket,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Accept that the log lost entries that were signed or published; stop all roles first."""
    done = accept_restore(load_settings(config), origin, warrant(actor, reason, ticket))
    if as_json:
        print_json(
            {
                "lost": {"start": done.loss.start, "stop": done.loss.stop},
                "forked": done.loss.forked,
                "entry": done.index,
                "old_origin": done.old_origin,
                "new_origin": done.new_origin,
                "old_keys": None if done.keys is None else str(done.keys),
            }
        )
        return
    console.print(
        f"entries {done.loss.start} to {done.loss.stop - 1} of {done.old_origin!r} are lost; entry "
        f"{done.index} says so\nset event_log.origin to {done.new_origin!r}, start the roles, and "
        "give the new key ('legacy-bridge log key') to auditors and witnesses",
        markup=False,
        soft_wrap=True,
    )


def _bar(as_json: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=console,
        disable=as_json,
        transient=True,
    )
