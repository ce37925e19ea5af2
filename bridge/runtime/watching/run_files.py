"""Read what the roles wrote about themselves in `run/`."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Three missed writes: the role is gone, stopped or badly stuck.
STALE_AFTER_S = 3.5


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleStatus:
    """What is known of one role."""

    role: str
    pid: int | None
    alive: bool
    restarts: int
    last_exit: int | None
    counts: dict[str, float]
    last: dict[str, float | str]


def read_roles(run_dir: Path) -> list[RoleStatus]:
    """Return every role that a supervisor or a run file knows of, sorted by name."""
    supervised: dict[str, Any] = {}
    for path in sorted(run_dir.glob("*.supervisor")):
        supervised.update(_load(path).get("roles", {}))
    files = {}
    for path in sorted(run_dir.glob("*.json")):
        body = _load(path)
        if "role" in body:
            files[str(body["role"])] = body
    now = time.time()
    roles = []
    for role in sorted(set(supervised) | set(files)):
        body = files.get(role, {})
        known = supervised.get(role, {})
        fresh = now - float(body.get("updated_at", 0)) < STALE_AFTER_S
        pid = body.get("pid") if fresh else known.get("pid")
        roles.append(
            RoleStatus(
                role=role,
                pid=pid,
                alive=fresh and _runs(pid),
                restarts=int(known.get("restarts", 0)),
                last_exit=known.get("last_exit"),
                counts=body.get("counts", {}),
                last=body.get("last", {}),
            )
        )
    return roles


def forget_ended(run_dir: Path) -> None:
    """Remove what processes that ended left, so that no role of former settings counts as down."""
    for path in (*run_dir.glob("*.json"), *run_dir.glob("*.supervisor")):
        if not _runs(_load(path).get("pid")):
            path.unlink(missing_ok=True)


def _load(path: Path) -> dict[str, Any]:
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return body if isinstance(body, dict) else {}


def _runs(pid: int | None) -> bool:
    if pid is None:
        return False
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    # The state follows the name, which is in parentheses and may hold any character. Where nobody
    # reaps orphans, as in a container without an init, the dead stay as zombies.
    return stat.rpartition(")")[2].split()[0] not in ("Z", "X")
