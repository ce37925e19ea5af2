"""Settings of what strangers say about the log: witnesses and time-stamp authorities."""

from pathlib import Path

from pydantic import Field

from bridge.runtime.configuration.section import Section

_HTTP = r"^https?://[^/@?#\s]+(/[^?#\s]*)?$"


class WitnessSettings(Section):
    """One witness, which somebody else runs."""

    url: str = Field(pattern=_HTTP)
    """Its submission prefix (C2SP `tlog-witness`): `/add-checkpoint` is added."""
    vkey: str
    """Its verifier key, as `legacy-bridge witness key` prints it, obtained from its operator."""
    late_s: float = Field(default=600.0, ge=10.0, le=7 * 86_400.0)
    """How long a checkpoint may wait for its cosignature before that is an alarm."""
    timeout_s: float = Field(default=5.0, ge=0.1, le=60.0)
    """How long one request may take."""


class TimestampSettings(Section):
    """One time-stamp authority (RFC 3161)."""

    url: str = Field(pattern=_HTTP)
    ca_file: Path | None = None
    """Certificates (PEM) that its signature has to lead to: the root, and what stands between the
    root and the signer if its answers lack it. Without it, only imprint and nonce are checked."""
    interval_s: float = Field(default=86_400.0, ge=60.0, le=31 * 86_400.0)
    """How often the newest checkpoint is stamped, if the log grew."""
    timeout_s: float = Field(default=10.0, ge=0.1, le=120.0)
    """How long one request may take."""
