"""Where spans of requests go, and of how many."""

from pydantic import Field, SecretStr

from bridge.runtime.configuration.section import Section


class TelemetrySettings(Section):
    """Export of spans; off without an endpoint. Needs the extra `tracing`."""

    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s?#@]+$")
    """Base URL of a collector that takes OTLP over HTTP (`http://127.0.0.1:4318`); `/v1/traces` is
    added. Credentials belong into `otlp_headers`."""
    otlp_headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Fields of each request to it; best given by the environment."""
    sample_ratio: float = Field(default=0.01, ge=0, le=1)
    """The share of requests that are sampled when their client does not say."""
    service_name: str = Field(default="legacy-bridge", min_length=1, max_length=255)
    """`service.name` of the spans."""
