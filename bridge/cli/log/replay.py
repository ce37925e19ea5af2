"""`log replay` and `log replays`: send a range of the log again to one receiver."""

import threading
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bridge.cli.options import DEFAULT_CONFIG, Actor, ConfigPath, Reason, Ticket, warrant
from bridge.cli.output import AsJson, console, errors, print_json, print_rows
from bridge.delivery.replay.choice import Choice
from bridge.delivery.replay.job import RATE_DEFAULT, RATE_MAX, JobState, ReplayJob, TargetKind
from bridge.eventlog.records.attempt import log_tell, refusals_told
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid
from bridge.model.signals import stop_on_signals
from bridge.model.warrant import Warrant
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.replays import (
    as_log_time,
    file_target,
    new_job,
    queue_target,
    replay_jobs,
    run_replay,
)
from bridge.runtime.wiring.stores import Stores


def add_to(app: typer.Typer) -> None:
    """Add the commands to `log`."""
    app.command("replay")(replay)
    app.command("replays")(replays)


def replay(
    reason: Reason,
    ticket: Ticket,
    to_queue: Annotated[
        str | None, typer.Option("--to-queue", help="Consumer group; its queue c.GROUP alone.")
    ] = None,
    to_file: Annotated[
        Path | None, typer.Option("--to-file", help="New file; the payloads, one a line.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option("--resume", help="Id of a replay that did not end; go on with it.")
    ] = None,
    first: Annotated[int | None, typer.Option("--from", min=0, help="First entry.")] = None,
    stop: Annotated[
        int | None,
        typer.Option("--to", min=1, help="Entry after the last; the end of the log now."),
    ] = None,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", help="Event type or pattern (shop.order.#); again for more."),
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option("--key", help='Key as events have it ({"order_id":7}); again for more.'),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only events of this time or later.")] = None,
    until: Annotated[str | None, typer.Option(help="Only events before this time.")] = None,
    rate: Annotated[
        int, typer.Option(min=1, max=RATE_MAX, help="Events per second at most.")
    ] = RATE_DEFAULT,
    actor: Actor = None,
    config: ConfigPath = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """Send events of the log again to one consumer or a file, marked as a replay and recorded."""
    who = warrant(actor, reason, ticket)
    with Stores(load_settings(config)) as stores:
        with refusals_told(log_tell(stores.event_log()), EntryKind.REPLAY, "replay", who):
            if resume is None:
                job = new_job(
                    stores,
                    _target(stores, to_queue, to_file),
                    start=first,
                    stop=stop,
                    choice=Choice(
                        types=tuple(types or ()),
                        keys=tuple(keys or ()),
                        since=as_log_time(since),
                        until=as_log_time(until),
                    ),
                    rate=rate,
                )
                # Said before anything is sent, for whoever has to go on after a kill.
                errors.print(f"replay {job.replay_id}", highlight=False)
            elif any((to_queue, to_file, first, stop, types, keys, since, until)):
                raise ConfigInvalid(
                    "cannot go on with a replay and change it: --resume takes no other choice"
                )
            else:
                job = replay_jobs(stores).load(resume)
        job = _run(stores, job, who)
    if as_json:
        print_json(_shown(job))
    else:
        _print_end(job)
    if job.state is not JobState.DONE:
        raise typer.Exit(1)


def replays(config: ConfigPath = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show replays and how far they are; oldest first."""
    with Stores(load_settings(config)) as stores:
        found = [_shown(job) for job in replay_jobs(stores).all()]
    if as_json:
        print_json(found)
        return
    print_rows(
        "Replays",
        ("id", "target", "entries", "next", "sent", "state"),
        [
            (
                job["replay"], job["target"], f"{job['start']:,} to {job['stop']:,}",
                f"{job['next_index']:,}", f"{job['sent']:,}", job["state"],
            )
            for job in found
        ],
    )  # fmt: skip


def _print_end(job: ReplayJob) -> None:
    if job.state is JobState.DONE:
        text = f"replay {job.replay_id}: {job.sent:,} events"
    else:
        text = (
            f"replay {job.replay_id} was interrupted at entry {job.next_index:,}; go on with "
            f"--resume {job.replay_id}"
        )
    console.print(text, highlight=False)


def _target(stores: Stores, to_queue: str | None, to_file: Path | None) -> Any:
    if (to_queue is None) == (to_file is None):
        raise ConfigInvalid("cannot replay: give one of --to-queue, --to-file and --resume")
    return file_target(to_file) if to_file is not None else queue_target(stores, str(to_queue))


def _run(stores: Stores, job: ReplayJob, who: Warrant) -> ReplayJob:
    stop = threading.Event()
    with (
        stop_on_signals(stop),
        Progress(
            TextColumn("replaying"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[sent]:,} events"),
            TimeRemainingColumn(),
            console=errors,
            transient=True,
        ) as progress,
    ):
        task = progress.add_task(
            "replay", total=job.stop - job.start, completed=job.next_index - job.start, sent=0
        )

        def show(now: ReplayJob) -> None:
            progress.update(task, completed=now.next_index - now.start, sent=now.sent)

        return run_replay(stores, job.replay_id, who, stop, observer=_Shell(), on_progress=show)


class _Shell:
    """An `Observer` that says why nothing moves."""

    def note(self, name: str, **facts: int | float | str) -> None:
        """Print an outage; everything else is seen by the progress."""
        if name == "replay_lost":
            errors.print(f"waiting: {facts['error']}", markup=False, highlight=False)


def _shown(job: ReplayJob) -> dict[str, Any]:
    kind, name = job.target.kind, job.target.name
    return {
        "replay": job.replay_id,
        "target": f"queue c.{name}" if kind is TargetKind.QUEUE else f"file {name}",
        "start": job.start,
        "stop": job.stop,
        "rate": job.rate,
        **job.choice.as_json(),
        "next_index": job.next_index,
        "sent": job.sent,
        "state": job.state.value,
        "asked": job.asked,
    }
