"""What several ways out of doubt say together. Knowledge settles a write, a guess never does."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

from bridge.gateway.routes.sections.dual import Way
from bridge.model.http import HttpResponse
from bridge.model.write import MadeId, WriteState


class Answer(Enum):
    """What one way says about a write in doubt."""

    HAPPENED = "it happened"
    REFUSED = "the authority refused it"
    NOT_DONE = "it did not happen"
    LATER = "not yet known"  # For a passing reason; asking again may tell.
    SILENT = "does not tell"  # Nor will it.


class Finding(NamedTuple):
    """One way's answer and what it rests on."""

    way: Way
    answer: Answer
    evidence: str
    """Where we looked and what was there, without a value of anybody's data."""
    response: HttpResponse | None = None
    """The authority's answer that was lost, where the way brings it back."""
    ids: Sequence[MadeId] = ()
    lane: str | None = None
    """The lane of what a create made."""
    whole: bool = True
    """Whether it names what the write made, without which later writes would miss it."""


class Ruling(NamedTuple):
    """What becomes of the write."""

    state: WriteState | None
    """Its outcome; None while it stays in doubt."""
    reason: str
    finding: Finding | None = None
    replay: bool = False
    """Nothing told; it may be sent again, where the route allows that."""
    person: bool = False
    """Asking again will not help: somebody must decide."""


_OUTCOMES = {
    Answer.HAPPENED: WriteState.APPLIED,
    Answer.REFUSED: WriteState.REJECTED,
    Answer.NOT_DONE: WriteState.FAILED,
}


def rule(findings: Sequence[Finding]) -> Ruling:
    """Return what follows from the ways that only look (or from the one that replayed).

    Ways that disagree decide nothing: one of them is wrong, and we do not know which.
    """
    telling = [finding for finding in findings if finding.answer in _OUTCOMES]
    said = "; ".join(f"{finding.way.value}: {finding.evidence}" for finding in findings)
    if len({finding.answer for finding in telling}) > 1:
        return Ruling(None, f"ways disagree: {said}", person=True)
    if telling:
        telling = [finding for finding in telling if finding.whole]
        if not telling:
            return Ruling(None, f"{said}; the id that it made is not known", person=True)
        best = max(telling, key=lambda finding: (finding.response is not None, len(finding.ids)))
        return Ruling(_OUTCOMES[best.answer], said, best)
    if any(finding.answer is Answer.LATER for finding in findings):
        return Ruling(None, said)
    return Ruling(None, said or "no way is declared", replay=True, person=True)
