"""A server is asked for what it knows, and for no more."""

from pathlib import Path
from typing import Any

import pytest

from bridge.capture.protocol.pgoutput_options import format_options, pgoutput_options
from bridge.capture.protocol.stage_files import StageFolder
from bridge.model.errors import SourceUnfit
from bridge.runtime.configuration.settings import ContractsSettings, Settings, SourceSettings
from bridge.runtime.wiring import capture as wiring
from bridge.runtime.wiring.contracts import contract_set
from tests.test_tidy import PROJECT

NAMES = {"publication_names": '"a","b""c"'}
BOTH = ["a", 'b"c']


@pytest.mark.parametrize(
    ("version", "extra"),
    [
        (130_015, {"proto_version": "1"}),
        (140_019, {"proto_version": "2", "streaming": "on", "messages": "true"}),
        (150_018, {"proto_version": "2", "streaming": "on", "messages": "true"}),
        (160_010, {"proto_version": "2", "streaming": "on", "messages": "true"}),
        (170_006, {"proto_version": "2", "streaming": "on", "messages": "true"}),
        (180_006, {"proto_version": "2", "streaming": "on", "messages": "true"}),
    ],
)
def test_by_version(version: int, extra: dict[str, str]) -> None:
    assert pgoutput_options(version, BOTH, streaming=True) == {**NAMES, **extra}


def test_protocol_1_when_open_transactions_are_not_wanted() -> None:
    assert pgoutput_options(180_006, BOTH, streaming=False) == {
        **NAMES,
        "proto_version": "1",
        "messages": "true",
    }


@pytest.mark.parametrize("version", [140_019, 150_018])
def test_an_origin_filter_that_the_server_lacks_is_refused(version: int) -> None:
    with pytest.raises(SourceUnfit, match="no origin filter, 16 is the first with one"):
        pgoutput_options(version, BOTH, streaming=True, origin="none")


def test_an_origin_filter_that_the_server_has() -> None:
    assert pgoutput_options(160_010, BOTH, streaming=True, origin="none")["origin"] == "none"


def test_a_quote_stays_inside_its_value() -> None:
    assert format_options({"proto_version": "1", "x": "it's"}) == "proto_version '1', x 'it''s'"


@pytest.mark.parametrize("streaming", [True, False])
def test_a_deployment_may_refuse_open_transactions(
    streaming: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: dict[str, Any] = {}
    monkeypatch.setattr(wiring, "PostgresSource", lambda dsn, **options: made.update(options))
    settings = Settings(
        data_dir=tmp_path,
        contracts=ContractsSettings(dir=PROJECT / "contracts"),
        sources={"shop": SourceSettings(dsn="dbname=x", streaming=streaming, origin="none")},
    )
    wiring.postgres_source(settings, "shop", contract_set(settings))
    assert isinstance(made["form"].stages, StageFolder) == streaming
    assert made["form"].origin == "none"
