"""What may be shown of reconciliation, in the API and at the shell alike."""

from dataclasses import asdict
from typing import Any

from bridge.gateway.comparison.redaction import Redactor
from bridge.gateway.reconciliation.findings import Bypass, Finding, Progress
from bridge.gateway.reconciliation.repairing import Plan


def shown_finding(finding: Finding) -> dict[str, Any]:
    """Return a finding as JSON values: which entity, never what it holds."""
    return {
        **asdict(finding),
        "divergence": finding.divergence.value,
        "authority": finding.authority.value,
        "state": finding.state.value,
        "fields": list(finding.fields),
        "found_at": finding.found_at.isoformat(),
        "seen_at": finding.seen_at.isoformat(),
    }


def shown_progress(progress: Progress) -> dict[str, Any]:
    """Return where a walk stands."""
    told = progress._asdict()
    for name in ("began_at", "moved_at"):
        told[name] = told[name].isoformat() if told[name] else None
    return told


def shown_bypass(bypass: Bypass) -> dict[str, Any]:
    """Return a bypass as JSON values."""
    told = bypass._asdict()
    return {**told, **{name: told[name].isoformat() for name in ("hour", "first_at", "last_at")}}


def shown_plan(plan: Plan, redactor: Redactor) -> dict[str, Any]:
    """Return what a repair would do; values are redacted unless the route declares them shown."""
    return {
        "key": plan.finding.key,
        "divergence": plan.finding.divergence.value,
        "towards": plan.towards.value,
        "route": plan.route.route_id,
        "method": plan.request.method.decode("ascii"),
        "target": plan.request.target.decode("ascii"),
        "body_bytes": len(plan.request.body),
        "differences": [
            {
                "place": redactor.place(one.place),
                "kind": one.kind.value,
                "authority": redactor.at(one.place, one.authority),
                "other": redactor.at(one.place, one.other),
            }
            for one in plan.differences
        ],
    }
