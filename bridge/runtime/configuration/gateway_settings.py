"""The HTTP data plane's settings: listeners, upstreams, and the limits of a worker."""

import re
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, Field, SecretStr, model_validator

from bridge.gateway.tls.certificate_names import normal_name
from bridge.gateway.tls.client_identity import IdentityPart
from bridge.runtime.configuration.section import Port, Section

_URL = r"^https?://([^/:@?#\[\]\s]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?/?$"
_IDENTITY = re.compile(
    r"Client-Cert|(X-Client-Cert|X-SSL-Client|SSL-Client)-[A-Za-z0-9-]{1,40}", re.IGNORECASE
)
"""Names that are always taken from untrusted clients, see `bridge.gateway.http.fields`."""

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,30}$")]
Millis = Annotated[int, Field(ge=1, le=86_400_000)]
NetworkOf = IPv4Network | IPv6Network
M = TypeVar("M", bound=BaseModel)


class CertificateSettings(Section):
    """A certificate and its key."""

    cert_file: Path
    """PEM: the certificate first, then those between it and the root."""
    key_file: Path
    """PEM without a passphrase; nobody outside its group may read it."""
    names: tuple[str, ...] = ()
    """Names it is served for, `*.` for one first label; those that it certifies when absent."""


def _rfc_9440() -> dict[IdentityPart, str]:
    return {"certificate": "Client-Cert"}


class ListenerTlsSettings(Section):
    """TLS of one listener. HTTP/1.1 alone is spoken above it."""

    certificates: tuple[CertificateSettings, ...] = Field(min_length=1, max_length=100)
    """The first one is shown for names that no certificate is served for."""
    unknown_names: Literal["first", "refuse"] = "first"
    """Whether clients that ask for such a name, or for none, are refused in the handshake."""
    min_version: Literal["1.2", "1.3"] = "1.2"
    client_certificates: Literal["none", "optional", "required"] = "none"
    client_ca_file: Path | None = None
    """PEM of those who may certify clients."""
    client_fields: dict[IdentityPart, str] = Field(default_factory=_rfc_9440)
    """Fields that tell the application who the client's certificate is of."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.client_certificates != "none" and self.client_ca_file is None:
            raise ValueError("client_certificates need client_ca_file, who may certify clients")
        if self.client_certificates == "none" and self.client_ca_file is not None:
            raise ValueError("client_ca_file is given, but client_certificates is none")
        for name in self.client_fields.values():
            if _IDENTITY.fullmatch(name) is None:
                raise ValueError(
                    f"field {name!r} could be forged by clients; use Client-Cert, X-Client-Cert-…, "
                    "X-SSL-Client-… or SSL-Client-…, which are taken from them"
                )
        return self


class ListenerSettings(Section):
    """One address that clients connect to."""

    host: str = "127.0.0.1"
    port: Port
    tls: ListenerTlsSettings | None = None
    proxy_protocol_from: tuple[NetworkOf, ...] = ()
    """Balancers that begin every connection with a PROXY header (version 1 or 2); nobody else may
    connect then. Empty: nobody sends one."""


class UpstreamTlsSettings(Section):
    """TLS to one upstream; its certificate and name are always verified."""

    ca_file: Path | None = None
    """PEM of those who may certify it; the machine's own authorities when absent."""
    server_name: str | None = Field(default=None, min_length=1, max_length=253)
    """SNI, and the name in its certificate; the host of its URL when absent."""
    cert_file: Path | None = None
    key_file: Path | None = None
    """What we show when it asks for a client certificate."""
    min_version: Literal["1.2", "1.3"] = "1.2"
    unclean_end: bool = False
    """Whether an answer that ends with its connection may end without `close_notify`. Some old
    servers never send one; a third party can then cut such an answer unseen."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file belong together: one is missing")
        return self


class ConcurrencySettings(Section):
    """How many requests an upstream is given at once."""

    max: int = Field(ge=1, le=100_000)
    """Of all workers of this machine together."""
    adaptive: bool = True
    """Whether fewer are given while its answers take longer than they use to."""
    min: int = Field(default=1, ge=1, le=10_000)
    """Of each worker; the adaptive limit never falls below it."""


class BreakerSettings(Section):
    """When an upstream is given a rest: time-outs, lost connections, 502, 503 and 504 count."""

    failures_percent: int = Field(default=50, ge=1, le=100)
    requests_min: int = Field(default=20, ge=1, le=100_000)
    """Fewer in the window tell nothing."""
    window_ms: Millis = 10_000
    rest_ms: Millis = 5_000
    """Then one request is its probe; each failed one doubles the rest, up to a minute."""


class UpstreamProtectionSettings(Section):
    """What protects one upstream; nothing that is not declared costs anything."""

    requests_per_s: float | None = Field(default=None, gt=0, le=1_000_000)
    """Of all workers of this machine together; more get 503 with Retry-After."""
    burst: int | None = Field(default=None, ge=1, le=1_000_000)
    """How many at once after a rest; those of one second when absent."""
    concurrency: ConcurrencySettings | None = None
    queue_max: int = Field(default=64, ge=0, le=100_000)
    """How many requests of a worker wait for room; more are shed at once, by priority."""
    queue_wait_ms: Millis = 1_000
    """How long one waits before it is shed."""
    breaker: BreakerSettings | None = None
    retry_percent: int = Field(default=20, ge=0, le=100)
    """Second tries, of the calls; a few are always allowed."""

    @model_validator(mode="after")
    def _burst_of_something(self) -> Self:
        if self.burst is not None and self.requests_per_s is None:
            raise ValueError("burst is given without requests_per_s")
        return self


class UpstreamSettings(Section):
    """One HTTP application behind the gateway."""

    url: str = Field(pattern=_URL)
    """`http://host:port` or `https://host:port`."""
    connections_max: int = Field(default=128, ge=1, le=10_000)
    """Bound of the pool of one worker: a weak legacy is protected by its connections."""
    waiting_max: int = Field(default=1_024, ge=0, le=100_000)
    """Requests that wait for a connection; more get 503 at once instead of a time-out later."""
    wait_ms: Millis = 3_000
    """Longest wait for a connection, connecting included."""
    idle_ms: Millis = 1_500
    """How long an idle connection is kept: below the upstream's own limit, so that it never closes
    one under a request."""
    answer_bytes_max: int = Field(default=16 * 1024 * 1024, ge=1_024, le=1 << 30)
    """Largest body of an answer that is journalled or translated: it is held in memory, and each
    write may hold one. What is streamed knows no limit."""
    protection: UpstreamProtectionSettings | None = None
    """What it is spared: see docs/protection.md."""
    tls: UpstreamTlsSettings | None = None
    """How TLS is spoken, when the URL asks for it."""
    replay_headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,60}$")], SecretStr] = Field(
        default_factory=dict
    )
    """Headers that replayed writes show in place of their client's own `Authorization` and
    `Cookie`; best given by the environment. When every side of a route has some, the journal keeps
    no client's credentials."""
    shadow_headers: dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,60}$")], SecretStr] = Field(
        default_factory=dict
    )
    """Headers that copies for comparison show in place of their client's own `Authorization` and
    `Cookie`; best given by the environment. Without any, copies show the client's."""

    @model_validator(mode="after")
    def _tls_is_meant(self) -> Self:
        if self.tls is not None and not self.url.startswith("https:"):
            raise ValueError("tls is given, but the url is not https")
        return self


class PlaneSection(Section):
    """Names and limits of a worker; reasons stand beside `bridge.gateway.plane.settings`."""

    name: str = Field(default="legacy-bridge", pattern=r"^[A-Za-z0-9._-]{1,60}$")
    """Pseudonym in Via; must differ between gateways that stand in one another's way."""
    hosts: tuple[str, ...] = ()
    """Names that are served; every other Host gets 421. Empty: any."""
    trusted_hops: tuple[NetworkOf, ...] = ()
    """Peers whose forwarding fields are believed and appended to; others' are replaced."""
    trace: bool = False
    """Whether requests carry a W3C trace context: a child of the client's, or a new one."""
    connections_max: int = Field(default=10_000, ge=1, le=1_000_000)
    handshake_ms: Millis = 10_000
    head_ms: Millis = 10_000
    keep_alive_ms: Millis = 75_000
    body_idle_ms: Millis = 30_000
    body_rate_min: int = Field(default=64, ge=0, le=1_000_000)
    held_bytes_max: int = Field(default=64 * 1024 * 1024, ge=1_048_576)
    relay_idle_ms: Millis = 60_000
    answer_rate_min: int = Field(default=4_096, ge=0, le=1_000_000)
    write_margin_ms: Millis = 60_000
    tunnel_idle_ms: Millis = 600_000
    drain_idle_ms: int = Field(default=1_000, ge=0, le=60_000)
    handover_ms: int = Field(default=200, ge=0, le=10_000)
    drain_ms: int = Field(default=10_000, ge=0, le=12_000)
    """The supervisor kills what is left after 15 s."""

    @model_validator(mode="after")
    def _hosts_are_names(self) -> Self:
        for host in self.hosts:
            if "*" in host or normal_name(host) is None:
                raise ValueError(f"host {host!r} is no DNS name")
        return self


class ShadowSection(Section):
    """Bounds of one worker's copies; reasons stand beside `bridge.gateway.shadow.limits`."""

    copies_max: int = Field(default=64, ge=1, le=10_000)
    """Copies under way to one upstream, and its connections."""
    probes_max: int = Field(default=8, ge=1, le=10_000)
    """The same for repeated requests to the authority's own side, which is live."""
    bytes_max: int = Field(default=32 * 1024 * 1024, ge=65_536)
    """Bodies held in memory for copies and comparisons together."""
    spool_bytes_max: int = Field(default=256 * 1024 * 1024, ge=0)
    """Request bodies that wait on disk for their copy."""
    waiting_max: int = Field(default=1_000, ge=1, le=100_000)
    """Pairs of which one answer is here."""
    backlog_max: int = Field(default=1_000, ge=1, le=100_000)
    """Pairs that wait for their comparison."""
    turn_us: int = Field(default=500, ge=50, le=10_000)
    """For comparisons in one turn of the event loop."""


class GatewaySettings(Section):
    """The HTTP data plane."""

    host: str = "127.0.0.1"
    port: Port = 8080
    """The short form of a single listener without TLS; not beside `listeners`."""
    listeners: dict[Name, ListenerSettings] = Field(default_factory=dict)
    """Addresses that clients connect to, by name."""
    workers: int = Field(default=2, ge=1, le=64)
    routes: Path = Path("routes")
    upstreams: dict[str, UpstreamSettings] = Field(default_factory=dict)
    plane: PlaneSection = PlaneSection()
    shadow: ShadowSection = ShadowSection()
    samples_keep_days: int = Field(default=30, ge=1, le=3_653)
    """After so many days samples of comparisons are forgotten, and the counts of routes that were
    not compared since."""
    journal: str = "sqlite"
    """`sqlite` (a file in `data_dir`) or, for gateways on several machines, a `postgresql://` URI
    of a database that is ours."""
    async_path: str = Field(default="/-/async", pattern=r"^(/[A-Za-z0-9._~-]+)+$")
    """Where the gateway serves the statuses of requests that it has queued."""
    lane_wait_ms: int = Field(default=5_000, ge=0, le=60_000)
    """How long a write waits for an earlier write of its key before it gets 503."""
    drain_wait_ms: int = Field(default=250, ge=0, le=60_000)
    """How long it waits, after a switch, for replays of its key to the new authority before the
    side that has them stays its authority."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if self.listeners and self.model_fields_set & {"host", "port"}:
            raise ValueError("host and port belong into one of listeners when there are any")
        taken = [(each.host, each.port) for each in self.listeners.values()]
        if len(set(taken)) < len(taken):
            raise ValueError("two listeners have the same host and port")
        return self

    def all_listeners(self) -> dict[str, ListenerSettings]:
        """Return the listeners, also when the short form was used."""
        if self.listeners:
            return self.listeners
        return {"default": ListenerSettings(host=self.host, port=self.port)}


def anchored(section: M, base: Path) -> M:
    """Return a section with its relative paths, also those of sections within, below `base`."""
    changes: dict[str, Any] = {}
    for key in type(section).model_fields:
        value = getattr(section, key)
        changed = _anchored_value(value, base)
        if changed is not value:
            changes[key] = changed
    return section.model_copy(update=changes) if changes else section


def _anchored_value(value: Any, base: Path) -> Any:
    if isinstance(value, Path):
        return base / value
    if isinstance(value, BaseModel):
        return anchored(value, base)
    if isinstance(value, dict):
        return {key: _anchored_value(each, base) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_anchored_value(each, base) for each in value)
    return value
