"""Send checkpoints to a witness over HTTP (C2SP `tlog-witness`)."""

from typing import Final

from adapters.http_peer import HttpPeer, PeerUnreachable
from bridge.eventlog.witness.ports import Told
from bridge.model.errors import UpstreamUnavailable

# A witness forces one small file to disk; one that takes longer is asked again later.
TIMEOUT_S_DEFAULT: Final = 5.0

# The answer is a few signature lines, or a size.
_ANSWER_BYTES_MAX: Final = 64 * 1024


class HttpWitnessLink:
    """Implements `WitnessLink`: one connection for each request, redirects are not followed."""

    def __init__(self, name: str, url: str, *, timeout_s: float = TIMEOUT_S_DEFAULT) -> None:
        """Raises `ConfigInvalid` when `url`, the submission prefix, is no HTTP address."""
        self._peer = HttpPeer(
            url,
            refusal=(
                f"cannot use the address of witness {name!r}: expected the form "
                "https://HOST[:PORT][/PREFIX] without a user"
            ),
            timeout_s=timeout_s,
        )
        self._name = name
        self._target = self._peer.path.rstrip("/") + "/add-checkpoint"

    def add_checkpoint(self, submission: bytes) -> Told:
        """See `WitnessLink.add_checkpoint`."""
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        try:
            answer = self._peer.post(
                self._target, submission, headers, answer_bytes_max=_ANSWER_BYTES_MAX
            )
        except PeerUnreachable as exc:
            raise UpstreamUnavailable(
                f"cannot ask witness {self._name!r} at {self._peer.host}: {exc}"
            ) from exc
        return Told(answer.status, answer.body)
