"""Samples of differences: a few of each kind, redacted before they leave the worker."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from bridge.gateway.comparison.canonical import canonical
from bridge.gateway.comparison.contents import content_of
from bridge.gateway.comparison.difference import Comparison, Outcome
from bridge.gateway.comparison.documents import document_of
from bridge.gateway.comparison.redaction import Redactor
from bridge.gateway.comparison.sealed_request import RequestSeal
from bridge.gateway.comparison.verdicts import Finding
from bridge.gateway.openapi.checking import Fault
from bridge.gateway.routes.sections.comparison import ComparisonRules
from bridge.model.http import HttpRequest, HttpResponse

# Of one sample: what a person reads. Larger bodies are left away, the differences stay.
BODY_BYTES_MAX: Final = 64 * 1024
_DIFFERENCES_COUNT_MAX: Final = 20
# Classes that are told apart by a worker: fields times kinds.
_CLASSES_COUNT_MAX: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One pair of answers that differed, redacted."""

    sample_id: str
    route: str
    difference: str
    """Its class: kind and field of its first difference."""
    made_at: float
    """Seconds since 1970."""
    document: bytes
    """JSON: finding, statuses, differences, and both bodies where they are small enough."""

    def read(self) -> dict[str, Any]:
        """Return the document."""
        tree = orjson.loads(self.document)
        assert isinstance(tree, dict), "written as an object"
        return tree


class Sampler:
    """Decides what becomes a sample, and makes it; for one route and worker."""

    def __init__(
        self,
        route: str,
        rules: ComparisonRules,
        redactor: Redactor,
        *,
        chance: Callable[[], float],
        new_id: Callable[[], str],
        seal: RequestSeal | None = None,
    ) -> None:
        """`chance` gives numbers in [0, 1); without `seal` no sample can be sent again."""
        self._route = route
        self._rules = rules
        self._redactor = redactor
        self._chance = chance
        self._new_id = new_id
        self._seal = seal
        self._seen: Counter[str] = Counter()

    def sample(
        self,
        comparison: Comparison,
        finding: Finding,
        authority: HttpResponse,
        other: HttpResponse,
        made_at: float,
        request: HttpRequest | None = None,
    ) -> Sample | None:
        """Return a sample of a mismatch, or None when enough of its class are kept.

        `request` is kept sealed, where it may be sent once more.
        """
        if comparison.outcome is not Outcome.MISMATCH or not comparison.differences:
            return None
        first = comparison.differences[0]
        difference = f"{first.kind.value} {first.field}"
        if not self._takes(difference):
            return None
        redactor = self._redactor
        told = {
            "finding": finding.value,
            "differences": [
                {
                    "place": redactor.place(one.place),
                    "kind": one.kind.value,
                    "authority": redactor.at(one.place, one.authority),
                    "other": redactor.at(one.place, one.other),
                }
                for one in comparison.differences[:_DIFFERENCES_COUNT_MAX]
            ],
            "more": comparison.more + max(0, len(comparison.differences) - _DIFFERENCES_COUNT_MAX),
            "hidden": dict(comparison.hidden),
        }
        return self._made(difference, told, authority, other, made_at, request)

    def drift_sample(
        self,
        found: Mapping[str, Sequence[Fault]],
        authority: HttpResponse,
        other: HttpResponse,
        made_at: float,
        request: HttpRequest | None = None,
    ) -> Sample | None:
        """Return a sample of answers that are not as declared; `found` is by who broke the rule."""
        faults = [(who, fault) for who, given in found.items() for fault in given]
        # The rarest of the pair's faults is its class: a common one would hide the others.
        classes = {f"drift {who} {fault.rule} {fault.place}" for who, fault in faults}
        difference = min(classes, key=lambda name: (self._seen[name], name))
        if not self._takes(difference):
            return None
        told = {
            "finding": "drift",
            "differences": [],
            "faults": [
                {"who": who, "rule": fault.rule, "place": fault.place}
                for who, fault in faults[:_DIFFERENCES_COUNT_MAX]
            ],
            "more": max(0, len(faults) - _DIFFERENCES_COUNT_MAX),
            "hidden": {},
        }
        return self._made(difference, told, authority, other, made_at, request)

    def _takes(self, difference: str) -> bool:
        """Whether one more of a class is kept."""
        if difference not in self._seen and len(self._seen) >= _CLASSES_COUNT_MAX:
            return False
        self._seen[difference] += 1
        # A reservoir: each of the class is kept with the same chance (Vitter, 1985).
        return self._chance() * self._seen[difference] < self._rules.samples_count_max

    def _made(
        self,
        difference: str,
        told: dict[str, Any],
        authority: HttpResponse,
        other: HttpResponse,
        made_at: float,
        request: HttpRequest | None,
    ) -> Sample:
        sample_id = self._new_id()
        tree: dict[str, Any] = {**told, "status": [authority.status, other.status]}
        sealed = None if self._seal is None else self._seal.seal(request, sample_id)
        if sealed is not None:
            tree["request"] = sealed
        bodies = [self._body(answer) for answer in (authority, other)]
        if None not in bodies:
            tree["bodies"] = bodies
        written = canonical(tree)
        if len(written) > 2 * BODY_BYTES_MAX:
            tree.pop("bodies", None)
            for one in tree["differences"]:
                one["authority"], one["other"] = _short(one["authority"]), _short(one["other"])
            written = canonical(tree)
        return Sample(
            sample_id=sample_id,
            route=self._route,
            difference=difference,
            made_at=made_at,
            document=written,
        )

    def _body(self, answer: HttpResponse) -> dict[str, Any] | None:
        if len(answer.body) > BODY_BYTES_MAX:
            return None
        content = content_of(answer, BODY_BYTES_MAX)
        read = document_of(content, self._rules.body)
        return {"kind": read.kind, "value": self._redactor.document(read.value)}


def _short(value: object) -> object:
    return "(large)" if isinstance(value, dict | list) else value
