"""Replays on disk: one small file for each, which a killed replay goes on from."""

from pathlib import Path
from typing import Final

from bridge.delivery.replay.job import ReplayJob, decode_job, encode_job
from bridge.eventlog.durable_files import replace_file
from bridge.model.errors import ConfigInvalid, DecodeError, StorageUnavailable

# A person asks for replays: beyond this, somebody's script does, and old ones may be deleted.
JOBS_MAX: Final = 10_000


class JobFiles:
    """The replays of a deployment, in `folder`."""

    def __init__(self, folder: Path) -> None:
        """Raises `ConfigInvalid` when the folder cannot be made."""
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise ConfigInvalid(f"cannot keep replays in {str(folder)!r}: {exc.strerror}") from exc

    def store(self, job: ReplayJob) -> None:
        """Keep `job` durably.

        Raises:
            StorageUnavailable: it may or may not be kept; what a resume repeats is repeated.
        """
        try:
            replace_file(self._path(job.replay_id), encode_job(job))
        except OSError as exc:
            raise StorageUnavailable(
                f"cannot keep replay {job.replay_id!r} in {str(self._folder)!r}: {exc.strerror}"
            ) from exc

    def load(self, replay_id: str) -> ReplayJob:
        """Return a replay.

        Raises:
            ConfigInvalid: there is none of this id, or its file is something else.
        """
        try:
            return decode_job(self._path(replay_id).read_bytes())
        except FileNotFoundError as exc:
            known = ", ".join(job.replay_id for job in self.all()[-5:]) or "none"
            raise ConfigInvalid(
                f"cannot find replay {replay_id!r}: the latest are {known}"
            ) from exc
        except (OSError, DecodeError) as exc:
            raise ConfigInvalid(f"cannot read replay {replay_id!r}: {exc}") from exc

    def all(self) -> list[ReplayJob]:
        """Return all replays that can be read, oldest first."""
        jobs = []
        for path in sorted(self._folder.glob("*.json")):
            try:
                jobs.append(decode_job(path.read_bytes()))
            except (OSError, DecodeError):
                continue
        return jobs

    def lock_path(self, replay_id: str) -> Path:
        """Return the file that whoever runs a replay holds locked."""
        return self._folder / f"{self._path(replay_id).stem}.lock"

    def require_room(self) -> None:
        """Raise `ConfigInvalid` when there are too many replays to add one."""
        count = sum(1 for _ in self._folder.glob("*.json"))
        if count >= JOBS_MAX:
            raise ConfigInvalid(
                f"cannot begin a replay: {count} are kept in {str(self._folder)!r}; delete the "
                "files of old ones"
            )

    def _path(self, replay_id: str) -> Path:
        name = f"{replay_id}.json"
        if Path(name).name != name or name.startswith("."):
            raise ConfigInvalid(f"cannot find replay {replay_id!r}: that is no id of a replay")
        return self._folder / name
