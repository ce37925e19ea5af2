"""`legacy-bridge subject`, as the data protection officer and the operator use it."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from bridge.cli.main import app
from bridge.model.entry import EntryKind
from bridge.model.errors import ConfigInvalid, HeldBack
from bridge.runtime.wiring.stores import Stores
from tests.eventlog.keeping.shop import fill, name_of, settings
from tests.eventlog.keeping.test_erasing import readable

WHY = ["--reason", "the customer asked", "--ticket", "DPO-7", "--actor", "ana"]


class Shell:
    """Runs commands over one deployment."""

    def __init__(self, folder: Path) -> None:
        self.settings = settings(folder)
        self.config = folder / "bridge.yaml"
        sections = {
            "data_dir": str(self.settings.data_dir),
            "contracts": {"dir": str(self.settings.contracts.dir)},
            "event_log": {"origin": "keeping.example/log"},
        }
        self.config.write_text(yaml.safe_dump(sections))

    def run(self, *words: str) -> str:
        """Run `legacy-bridge subject …`; return what it printed, or raise what it raised."""
        command = ["subject", *words, "--config", str(self.config)]
        result = CliRunner().invoke(app, command, catch_exceptions=True)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.output


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    found = Shell(tmp_path)
    with Stores(found.settings) as stores:
        fill(stores, 3)
    return found


def test_show_erase_show(shell: Shell) -> None:
    held = json.loads(shell.run("show", "customer", "2", "--json"))
    assert (held["keys"], held["keys_destroyed"], held["events_readable"]) == (1, 0, 1)
    said = json.loads(
        shell.run("erase", "customer", "2", "--legal-basis", "GDPR art. 17", *WHY, "--json")
    )
    assert Path(said["certificate"]).exists()
    shown = shell.run("show", "customer", "2", "--json")
    held = json.loads(shown)
    assert (held["keys_destroyed"], held["events"], held["events_readable"]) == (1, 1, 0)
    assert held["erased_by"] == [said["erasure"]]
    assert name_of(2) not in shown
    assert "holds" in shell.run("show", "customer", "2")
    with Stores(shell.settings) as stores:
        assert readable(stores) == {1, 3}


def test_a_hold_is_placed_listed_in_the_way_and_lifted(shell: Shell) -> None:
    placed = json.loads(
        shell.run("hold", "place", "--kind", "customer", "--value", "2", *WHY, "--json")
    )
    (listed,) = json.loads(shell.run("hold", "list", "--json"))
    assert listed == placed
    with pytest.raises(HeldBack, match=placed["hold"]):
        shell.run("erase", "customer", "2", "--legal-basis", "GDPR art. 17", *WHY)
    shell.run("hold", "lift", placed["hold"], *WHY)
    assert "none" in shell.run("hold", "list")
    shell.run("erase", "customer", "2", "--legal-basis", "GDPR art. 17", *WHY)
    with Stores(shell.settings) as stores:
        entries = stores.event_log().read(0, 100)
        outcomes = [
            json.loads(entry.leaf)["fields"]["outcome"]
            for entry in entries
            if entry.kind is EntryKind.ERASURE
        ]
        assert outcomes == ["refused", "done"]


def test_the_scope_of_a_hold_is_said(shell: Shell) -> None:
    for words in ([], ["--kind", "customer"], ["--all", "--class", "c"]):
        with pytest.raises(ConfigInvalid, match="cannot place a hold"):
            shell.run("hold", "place", *words, *WHY)
    shell.run("hold", "place", "--all", *WHY)
    shell.run("hold", "place", "--class", "customer-data", *WHY)
    scopes = [hold["scope"] for hold in json.loads(shell.run("hold", "list", "--json"))]
    assert sorted(scopes) == ["all", "class"]


def test_the_master_key_is_rotated_and_recorded(shell: Shell) -> None:
    assert "3 data keys wrapped anew" in shell.run("rotate-master", *WHY)
    assert "0 data keys wrapped anew" in shell.run("rotate-master", "--retire", *WHY)
    with Stores(shell.settings) as stores:
        assert readable(stores) == {1, 2, 3}
        kinds = [entry.kind for entry in stores.event_log().read(0, 100)]
        assert kinds.count(EntryKind.KEY) == 2


def test_floors_are_shown_and_an_empty_folder_is_told(shell: Shell, tmp_path: Path) -> None:
    assert "jp-electronic-books" in shell.run("retention")
    assert json.loads(shell.run("retention", "--json"))["rules"] == []
    (tmp_path / "other").mkdir()
    other = Shell(tmp_path / "other")
    with pytest.raises(ConfigInvalid, match="nothing was ever sealed"):
        other.run("erase", "customer", "2", "--legal-basis", "x", *WHY)
