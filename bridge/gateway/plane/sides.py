"""Who chooses the side of single requests, as the data plane knows it.

Where something has to be chosen is decided when the table is built (`Decision.choice`), so that
others pay one look at a flag. It is chosen once, before the request is handed on: what follows
knows a decision like any other.
"""

from typing import Final, Protocol

from bridge.gateway.http.request_head import RequestHead
from bridge.gateway.routes.decision import Decision
from bridge.model.http import HttpRequest
from bridge.model.observer import Observer


class SideChooser(Protocol):
    """Chooses which side answers a read; never raises."""

    def choose(self, decision: Decision, head: RequestHead) -> tuple[Decision, RequestHead]:
        """Return the decision to go by, and the request without what was meant for us alone.

        It has no `choice` any more, unless its key stands in a body that is still to come.
        """

    def choose_whole(self, decision: Decision, request: HttpRequest) -> Decision:
        """Choose what `choose` could not: the request is whole now."""

    def home(self, decision: Decision, head: RequestHead) -> Decision:
        """Return where the key of a request belongs, whatever is on its way to it now."""

    def note_counts(self, observer: Observer) -> None:
        """Tell what was chosen since the last time."""


class NoChoice:
    """Leaves every request to its authority."""

    def choose(self, decision: Decision, head: RequestHead) -> tuple[Decision, RequestHead]:
        """See `SideChooser.choose`."""
        return decision._replace(choice=None), head

    def choose_whole(self, decision: Decision, request: HttpRequest) -> Decision:
        """See `SideChooser.choose_whole`."""
        return decision._replace(choice=None)

    def home(self, decision: Decision, head: RequestHead) -> Decision:
        """See `SideChooser.home`."""
        return decision

    def note_counts(self, observer: Observer) -> None:
        """Nothing is chosen."""


NO_CHOICE: Final = NoChoice()
