"""Settings of spans: off by default, secrets from the environment and shown nowhere."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from bridge.model.errors import ConfigInvalid
from bridge.model.observer import SilentObserver
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.tracing import open_tracing


def settings_file(folder: Path, text: str) -> Path:
    """Write settings and return their file."""
    path = folder / "bridge.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_without_an_endpoint_all_that_is_given_comes_back_as_it_is(tmp_path: Path) -> None:
    telemetry = load_settings(settings_file(tmp_path, "data_dir: d\n"), {}).telemetry
    with ExitStack() as stack:
        tracing = open_tracing(telemetry, "gateway", SilentObserver(), stack)
    given = object()
    for put in (tracing.pool, tracing.journal, tracing.calls, tracing.write_path):
        assert put(given) is given  # type: ignore[arg-type]  # Nothing is done with it.


def test_secrets_come_from_the_environment_and_are_not_shown(tmp_path: Path) -> None:
    path = settings_file(tmp_path, "telemetry: {otlp_endpoint: 'http://127.0.0.1:4318'}\n")
    environ = {"BRIDGE_TELEMETRY__OTLP_HEADERS": "{authorization: Bearer canary-4711}"}
    telemetry = load_settings(path, environ).telemetry
    assert telemetry.otlp_headers["authorization"].get_secret_value() == "Bearer canary-4711"
    assert "canary" not in repr(telemetry)
    assert "canary" not in telemetry.model_dump_json()
    assert telemetry.sample_ratio == 0.01


@pytest.mark.parametrize(
    "text",
    [
        "otlp_endpoint: '127.0.0.1:4318'",
        "otlp_endpoint: 'http://user:word@collector'",
        "sample_ratio: 1.5",
        "endpoint: 'http://127.0.0.1'",
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigInvalid, match="telemetry"):
        load_settings(settings_file(tmp_path, f"telemetry: {{{text}}}\n"), {})
