"""What may be shown of a write and of a switch, in the API and at the shell alike."""

from datetime import UTC, datetime
from typing import Any

from bridge.model.stage import GroupState, Stage
from bridge.model.write import JournalledWrite
from bridge.switching.switchboard import SwitchReport


def shown_write(write: JournalledWrite) -> dict[str, Any]:
    """Return the facts of a write as JSON values: never a body or a header value."""
    intent = write.intent
    return {
        "intent_id": intent.intent_id,
        "state": write.state.value,
        "kind": intent.kind.value,
        "level": intent.level.value,
        "compensates": intent.compensates,
        "group": intent.group,
        "route": intent.route,
        "lane": intent.lane,
        "sequence": write.sequence,
        "authority": intent.authority.value,
        "epoch": intent.epoch,
        "method": intent.request.method.decode("latin-1"),
        "target": intent.request.target.decode("latin-1"),
        "request_bytes": len(intent.request.body),
        "status": write.response.status if write.response else None,
        "attempts": write.attempts,
        "reason": write.reason,
        "opened_at": intent.opened_at.isoformat(),
        "settled_at": write.settled_at.isoformat() if write.settled_at else None,
    }


def shown_age(seconds: float) -> str:
    """Return an age in the largest unit that says something: `4.2 s`, `12 min`, `7 h`, `3 d`."""
    for unit, size in (("d", 172_800), ("h", 7_200), ("min", 120)):
        if seconds >= size:
            return f"{seconds / {'d': 86_400, 'h': 3_600, 'min': 60}[unit]:.0f} {unit}"
    return f"{seconds:.1f} s"


def shown_group(state: GroupState) -> dict[str, Any]:
    """Return where a group stands as JSON values."""
    until = state.forced_until
    return {
        "group": state.group,
        "stage": state.stage.value,
        "share_percent": state.share_percent if state.stage is Stage.CANARY else None,
        "epoch": state.epoch,
        "lanes_held": state.lanes_held,
        "forced_until": datetime.fromtimestamp(until, UTC).isoformat() if until else None,
    }


def shown_report(report: SwitchReport) -> dict[str, Any]:
    """Return a switch as JSON values; `late` names replicas that did not follow in time."""
    switch = report.switch
    return {
        "group": switch.group,
        "from": switch.from_stage.value,
        "to": switch.to_stage.value,
        "from_share_percent": switch.from_share_percent,
        "to_share_percent": switch.to_share_percent,
        "epoch": switch.epoch,
        "took_ms": round(report.took_ms, 1),
        "workers": len(report.adopted),
        "late": [seat.owner for seat in report.adopted if seat.took_ms is None],
    }
