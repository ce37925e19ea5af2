"""What may be shown of comparisons, in the API and at the shell alike."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bridge.gateway.comparison.desk import Again, RouteStanding
from bridge.gateway.comparison.difference import Comparison
from bridge.gateway.comparison.drift import RouteDrift
from bridge.gateway.comparison.judgement import FieldVerdict
from bridge.gateway.comparison.redaction import Redactor
from bridge.gateway.comparison.samples import Sample
from bridge.gateway.openapi.checking import Fault
from bridge.model.stage import Side


def shown_standing(standing: RouteStanding) -> dict[str, Any]:
    """Return a route's verdict as JSON values."""
    verdict, rules = standing.verdict, standing.route.comparison
    told = {
        "route": standing.route.route_id,
        "group": standing.route.group,
        "rules": standing.rules,
        "verdict": verdict.agreement.value,
        "tolerance": rules.tolerance,
        "confidence": rules.confidence,
        "minimum_count": rules.minimum_count,
        "compared": verdict.compared,
        "probes": verdict.probes,
        "wrong_at_least": verdict.at_least,
        "wrong_at_most": verdict.at_most,
        "sampled": verdict.sampled,
        "requests": verdict.requests,
        "noise": verdict.noise,
        "flapping": verdict.flapping,
        "unconfirmed": verdict.unconfirmed,
        "wrong_fields": list(verdict.wrong),
        "outcomes": dict(verdict.outcomes),
        "shed": dict(verdict.shed),
        "orders": [asdict(one) for one in verdict.orders],
        "fields": [shown_field(one) for one in verdict.fields],
        "rules_used": [asdict(one) for one in verdict.rules],
        "latency": [{**asdict(one), "side": one.side.value} for one in verdict.latencies],
        "drift": None if standing.drift is None else shown_drift(standing.drift),
    }
    warned = [one.name for one in verdict.rules if one.warned]
    return {
        **told,
        "warnings": [f"rule {name!r} hides more than 5 % of answers" for name in warned],
    }


def shown_drift(drift: RouteDrift) -> dict[str, Any]:
    """Return what the route's documents say of both sides as JSON values."""
    return {
        "verdict": drift.verdict,
        "documents": dict(drift.documents),
        "sides": [{**asdict(one), "state": one.state.value} for one in drift.sides],
        "findings": [{**asdict(one), "where": one.where} for one in drift.findings],
    }


def shown_field(one: FieldVerdict) -> dict[str, Any]:
    """Return a field as JSON values."""
    return {**asdict(one), "state": one.state.value, "kinds": dict(one.kinds)}


def shown_rules(standing: RouteStanding) -> list[dict[str, Any]]:
    """Return the route's rules, each with what it hid."""
    uses = {one.name: one for one in standing.verdict.rules}
    found = []
    for rule in standing.route.comparison.rules:
        use = uses.get(rule.name)
        found.append(
            {
                **rule.model_dump(mode="json"),
                "answers": use.answers if use else 0,
                "differences": use.differences if use else 0,
                "warned": use.warned if use else False,
            }
        )
    return found


def shown_sample(sample: Sample, again: Again | None = None) -> dict[str, Any]:
    """Return a sample as JSON values: its values are redacted already."""
    document = sample.read()
    told = {
        "sample": sample.sample_id,
        "route": sample.route,
        "difference": sample.difference,
        "made_at": sample.made_at,
        # Sealed, and of no use to who reads it: whether it is there is.
        "repeatable": document.pop("request", None) is not None,
        **document,
    }
    if again is not None:
        told["again"] = {
            "equal": again.equal,
            "fields": list(again.fields),
            "hidden": dict(again.hidden),
        }
    return told


def shown_repeated(
    sample: Sample,
    authority: Side,
    statuses: Mapping[Side, int | None],
    comparison: Comparison | None,
    faults: Mapping[str, Sequence[Fault]],
    redactor: Redactor,
) -> dict[str, Any]:
    """Return what both sides answered when a sample was sent again, as JSON values."""
    return {
        "sample": sample.sample_id,
        "route": sample.route,
        "difference": sample.difference,
        "authority": authority.value,
        "status": {side.value: status for side, status in statuses.items()},
        "outcome": "no-answer" if comparison is None else comparison.outcome.value,
        "differences": [
            {
                "place": redactor.place(one.place),
                "kind": one.kind.value,
                "authority": redactor.at(one.place, one.authority),
                "other": redactor.at(one.place, one.other),
            }
            for one in (comparison.differences if comparison is not None else ())
        ],
        "faults": [
            {"who": who, "rule": fault.rule, "place": fault.place}
            for who, found in faults.items()
            for fault in found
        ],
    }
