"""What an operator sees at one look, collected from the stores and the run files."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from bridge.capture.cursor import parse_cursor
from bridge.capture.guard.wal_guard import GuardLevel
from bridge.capture.polling.position import parse_poll_cursor
from bridge.control.shown import shown_group
from bridge.eventlog.restoration import find_loss
from bridge.model.entry import SourceCursor
from bridge.model.lsn import format_lsn
from bridge.runtime.configuration.polling_settings import PollingSettings
from bridge.runtime.configuration.settings import Settings
from bridge.runtime.roles.canaries import canary_states
from bridge.runtime.watching.evidence_status import evidence_status
from bridge.runtime.watching.latencies import latencies_by_side
from bridge.runtime.watching.run_files import RoleStatus, read_roles
from bridge.runtime.watching.shadow_counts import copies_by_route
from bridge.runtime.wiring.certificates import certificate_status
from bridge.runtime.wiring.drilling import drills_on
from bridge.runtime.wiring.log_opening import known_of_log
from bridge.runtime.wiring.reading import reading_status
from bridge.runtime.wiring.search import indexed_entries
from bridge.runtime.wiring.sink import SINK
from bridge.runtime.wiring.stores import Stores

# A write that the other side has not taken for a minute needs a person, even while it is retried.
LANE_AGE_S_MAX = 60.0


def collect_status(settings: Settings) -> dict[str, Any]:
    """Return the status as JSON values; `healthy` is false when something needs a person."""
    known = known_of_log(settings)
    with Stores(settings) as stores:
        log = stores.event_log()
        head = log.head()
        checkpoint, first_index = log.latest_checkpoint(), log.first_index()
        loss = find_loss(log, known)
        indexed = indexed_entries(settings)
        found = read_roles(stores.run_dir)
        roles, copies = [_role(each) for each in found], copies_by_route(found)
        latencies = latencies_by_side(found)
        guards = {role.role: role.last for role in found if role.alive}
        sources = [
            _polled(name, log.cursor(name))
            if isinstance(source, PollingSettings)
            else _source(name, log.cursor(name), guards.get(f"capture:{name}", {}))
            for name, source in sorted(settings.sources.items())
        ]
        sinks = []
        if settings.delivery is not None:
            next_index = stores.sink_cursors().load(SINK)
            sinks.append({"sink": SINK, "next_index": next_index, "behind": head.size - next_index})
        groups, lanes, to_decide = _writes(settings, stores)
        drills = drills_on(stores) if settings.gateway is not None else []
        noted = guards.get("log", {})
        canaries = [
            {"category": each.category, "age_s": each.age_s, "missing": each.missing}
            for each in canary_states(settings, stores)
        ]
    certificates = [] if settings.gateway is None else certificate_status(settings.gateway)
    witnesses = evidence_status("witness", settings.event_log.witnesses, noted)
    authorities = evidence_status("timestamp", settings.event_log.timestamps, noted)
    stuck = any(lane["oldest_age_s"] > LANE_AGE_S_MAX for lane in lanes)
    alarmed = any(source["gap"] or source["wal"]["level"] == "critical" for source in sources)
    healthy = (
        bool(roles)
        and all(role["alive"] for role in roles)
        and to_decide == 0
        and not stuck
        and loss is None
        and not alarmed
        and not any(canary["missing"] for canary in canaries)
        and not any(each["problem"] for each in certificates)
        and all(each["level"] == 0 for each in (*witnesses, *authorities))
    )
    return {
        "healthy": healthy,
        "roles": roles,
        "event_log": {
            "size": head.size,
            "root": head.root.hex(),
            "checkpoint_size": checkpoint[0] if checkpoint else None,
            "first_index": first_index,
            "indexed": indexed,
            "lost": None if loss is None else {"start": loss.start, "stop": loss.stop},
        },
        "witnesses": witnesses,
        "timestamps": authorities,
        "certificates": certificates,
        "canaries": canaries,
        "sources": sources,
        "sinks": sinks,
        "groups": groups,
        "lanes": lanes,
        "copies": copies,
        "latencies": latencies,
        "writes_to_decide": to_decide,
        "drills": drills,
    }


def _role(role: RoleStatus) -> dict[str, Any]:
    return {
        "role": role.role,
        "pid": role.pid,
        "alive": role.alive,
        "restarts": role.restarts,
        "last_exit": role.last_exit,
    }


def _writes(
    settings: Settings, stores: Stores
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], int]:
    if settings.gateway is None:
        return [], [], 0
    desk = stores.desk()
    groups = [shown_group(state) for state in stores.group_states()]
    lanes = [{**count._asdict(), "towards": count.towards.value} for count in desk.lane_counts()]
    return groups, lanes, len(desk.list_writes(count_max=1_000))


def _source(
    name: str, cursor: SourceCursor | None, noted: Mapping[str, float | str]
) -> dict[str, Any]:
    wal = _wal(noted)
    if cursor is None:
        return {
            "source": name, "version": 0, "position": None, "tables_read": 0, "gap": None,
            "wal": wal,
        }  # fmt: skip
    state = parse_cursor(cursor.state)
    return {
        "source": name,
        "version": cursor.version,
        "position": format_lsn(state.end_lsn),
        "tables_read": len(state.snapshot.done),
        "reading": reading_status(name, state).as_json(),
        "gap": state.gap and {"cause": state.gap.cause, "accepted": state.gap.accepted},
        "wal": wal,
    }


def _polled(name: str, cursor: SourceCursor | None) -> dict[str, Any]:
    """Return where polling stands: since when everything is visible, and which tables are read."""
    state = None if cursor is None else parse_poll_cursor(cursor.state)
    tables = [] if state is None else list(state.tables.values())
    settled = state and state.settled
    return {
        "source": name,
        "version": 0 if cursor is None else cursor.version,
        "position": settled and settled.isoformat(timespec="seconds"),
        "tables_read": sum(table.read for table in tables),
        "gap": None,
        "wal": _wal({}),
    }


def _wal(noted: Mapping[str, float | str]) -> dict[str, Any]:
    """Return what the WAL guard noted last; None for what is unknown or without end."""

    def number(fact: str) -> int | None:
        value = noted.get(f"wal_guard.{fact}")
        return round(value) if isinstance(value, int | float) and isfinite(value) else None

    level = number("level")
    return {
        "level": None if level is None else GuardLevel(level).word,
        "retained_bytes": number("retained_bytes"),
        "headroom_bytes": number("headroom_bytes"),
        "left_s": number("left_s"),
    }
