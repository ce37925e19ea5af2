"""Wire replays: from what a person asks to a job, its receiver, and its entries in the log."""

import json
import os
import re
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from adapters.rabbitmq.sink import RabbitMQSink
from bridge.delivery.ports import EventSink
from bridge.delivery.replay.choice import Choice, Chooser, moment
from bridge.delivery.replay.file_sink import FileSink
from bridge.delivery.replay.job import JobState, ReplayJob, Target, TargetKind
from bridge.delivery.replay.job_files import JobFiles
from bridge.delivery.replay.replayer import Replayer
from bridge.delivery.topology import DirectDelivery, QueueSpec, Topology
from bridge.eventlog.durable_files import replace_file
from bridge.eventlog.records.action_record import action_draft, log_time
from bridge.eventlog.records.attempt import log_tell, outcome_of, refusals_told
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid, LimitExceeded
from bridge.model.group_queue import park_queue_name, queue_name
from bridge.model.observer import Observer
from bridge.model.warrant import Outcome, Warrant
from bridge.runtime.wiring.delivery import delivery_settings
from bridge.runtime.wiring.stores import Stores
from bridge.storage.journal.owner import FileLock

_GROUP = re.compile(r"^[a-z][a-z0-9-]{0,60}$")
_HASH_BYTES = 1 << 20


def replay_jobs(stores: Stores) -> JobFiles:
    """Return the replays of this deployment."""
    return JobFiles(stores.settings.data_dir / "replays")


def queue_target(stores: Stores, group: str) -> Target:
    """Return the queue of `group`; raises `ConfigInvalid` for what is no group."""
    delivery_settings(stores.settings)
    if not _GROUP.match(group):
        raise ConfigInvalid(f"cannot replay to group {group!r}: that is no name of a group")
    return Target(kind=TargetKind.QUEUE, name=group)


def file_target(path: Path) -> Target:
    """Return a file as target; `new_job` makes it."""
    return Target(kind=TargetKind.FILE, name=str(path.resolve()))


def new_job(
    stores: Stores,
    target: Target,
    *,
    start: int | None,
    stop: int | None,
    choice: Choice,
    rate: int,
    now: datetime | None = None,
) -> ReplayJob:
    """Return a new replay of entries `start` … `stop`-1, which is kept.

    Raises:
        ConfigInvalid: the range is empty, pruned, or past the end of the log; or the file is
            there already, or cannot be made.
    """
    log = stores.event_log()
    size, first = log.head().size, log.first_index()
    begin = first if start is None else start
    end = size if stop is None else stop
    if begin < first:
        raise ConfigInvalid(
            f"cannot replay from entry {begin}: entries before {first} were pruned; an export that "
            "was made before has them"
        )
    if not begin < end <= size:
        raise ConfigInvalid(
            f"cannot replay entries {begin} to {end}: the log has entries {first} to {size}"
        )
    jobs = replay_jobs(stores)
    jobs.require_room()
    if target.kind is TargetKind.FILE:
        _make_file(Path(target.name))
    asked = now or datetime.now(UTC)
    job = ReplayJob(
        # Microseconds, because replays are listed by their ids.
        replay_id=f"{asked:%Y%m%dT%H%M%S%fZ}-{secrets.token_hex(4)}",
        target=target,
        start=begin,
        stop=end,
        choice=choice,
        rate=rate,
        asked=log_time(asked),
        next_index=begin,
    )
    jobs.store(job)
    return job


def _make_file(path: Path) -> None:
    """Make the file that is replayed to: nobody else's is ever written to."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as exc:
        raise ConfigInvalid(f"cannot replay to file {str(path)!r}: {exc.strerror}") from exc
    os.close(descriptor)


def as_log_time(text: str | None) -> str | None:
    """Return a time that a person typed as the log writes it; raises `ConfigInvalid`."""
    return None if text is None else log_time(moment(text))


def run_replay(
    stores: Stores,
    replay_id: str,
    warrant: Warrant,
    stop: threading.Event,
    *,
    observer: Observer,
    on_progress: Callable[[ReplayJob], None],
) -> ReplayJob:
    """Run or go on with a replay; its entries are in the log before and after.

    Raises:
        ConfigInvalid: it is done already, or its receiver cannot take it.
        StorageUnavailable: another process sends to the same receiver.
        BridgeError: see `Replayer.run`.
    """
    jobs = replay_jobs(stores)
    tell = log_tell(stores.event_log())
    asked_fields = {"replay": replay_id}
    with refusals_told(tell, EntryKind.REPLAY, "replay", warrant, fields=asked_fields):
        # Two replays at once would interleave their events in one queue.
        lock = FileLock.take(_lock_path(stores, jobs, jobs.load(replay_id)))
    with lock:
        with refusals_told(tell, EntryKind.REPLAY, "replay", warrant, fields=asked_fields):
            job = jobs.load(replay_id)
            if job.state is JobState.DONE:
                raise ConfigInvalid(f"cannot go on with replay {replay_id!r}: all of it was sent")
            sink = _sink(stores, job, observer)
        action = "replay-start" if job.next_index == job.start else "replay-resume"
        asked = _now()
        tell(action_draft(EntryKind.REPLAY, action, warrant, at=asked, fields=_fields(job)))
        replayer = Replayer(
            job,
            stores.event_log(),
            sink,
            jobs,
            Chooser(job.choice, stores.settings.contracts.type_prefix),
            unsealer=stores.keeping().unsealer,
            observer=observer,
            on_progress=on_progress,
        )
        outcome, error = Outcome.FAILED, "Interrupted"
        try:
            job = replayer.run(stop)
            if job.state is JobState.DONE:
                _finish(stores, job)
                outcome, error = Outcome.DONE, ""
        except BaseException as exc:
            outcome, error = outcome_of(exc), type(exc).__name__
            raise
        finally:
            tell(
                action_draft(
                    EntryKind.REPLAY,
                    "replay-end",
                    warrant,
                    at=_now(),
                    outcome=outcome,
                    error=error or None,
                    fields=_fields(replayer.job),
                )
            )
    return job


def _sink(stores: Stores, job: ReplayJob, observer: Observer) -> EventSink:
    if job.target.kind is TargetKind.FILE:
        return FileSink(Path(job.target.name), lines=job.sent)
    delivery = delivery_settings(stores.settings)
    name = queue_name(job.target.name)
    known = [group for group in delivery.groups if group.name == job.target.name]
    # The queue of a group that the settings name is made as the relay would make it; any other is
    # its consumer's own, and has to be there.
    queues = tuple(
        QueueSpec(name=name, bindings=group.bind, park_queue=park_queue_name(group.name))
        for group in known
    )
    return RabbitMQSink(
        delivery.url,
        Topology(exchange=delivery.exchange, queues=queues),
        type_prefix=stores.settings.contracts.type_prefix,
        observer=observer,
        direct=DirectDelivery(queue=name, replay=job.replay_id),
    )


def _lock_path(stores: Stores, jobs: JobFiles, job: ReplayJob) -> Path:
    if job.target.kind is TargetKind.FILE:
        return jobs.lock_path(job.replay_id)
    return stores.run_dir / f"replay-{queue_name(job.target.name)}.lock"


def _fields(job: ReplayJob) -> dict[str, Any]:
    """Return what the leaf says: keys may be personal, so only their number is in it."""
    queue = job.target.kind is TargetKind.QUEUE
    fields: dict[str, Any] = {
        "replay": job.replay_id,
        "target": f"queue:{queue_name(job.target.name)}" if queue else "file",
        "start": job.start,
        "stop": job.stop,
        "rate": job.rate,
        "next_index": job.next_index,
        "sent": job.sent,
    }
    choice = job.choice
    chosen = {"types": list(choice.types), "since": choice.since, "until": choice.until}
    fields |= {name: value for name, value in chosen.items() if value}
    if choice.keys:
        fields |= {"keys": len(choice.keys), "entities": list(job.entities)}
    return fields


def _finish(stores: Stores, job: ReplayJob) -> None:
    """Leave beside a file what it is: a replay, of what, and how many lines."""
    if job.target.kind is not TargetKind.FILE:
        return
    path = Path(job.target.name)
    digest = sha256()
    try:
        with path.open("rb") as file:
            while part := file.read(_HASH_BYTES):
                digest.update(part)
        document = {
            "replay": job.replay_id,
            "origin": stores.settings.event_log.origin,
            "asked": job.asked,
            "start": job.start,
            "stop": job.stop,
            "choice": job.choice.as_json(),
            "lines": job.sent,
            "sha256": digest.hexdigest(),
        }
        text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        replace_file(path.with_name(path.name + ".replay.json"), text.encode())
    except OSError as exc:
        raise LimitExceeded(
            f"cannot describe replay file {str(path)!r}: {exc.strerror}; the file itself is whole"
        ) from exc


def _now() -> datetime:
    return datetime.now(UTC)
