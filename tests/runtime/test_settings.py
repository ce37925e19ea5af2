"""Settings: one strict file, the environment over it, errors that say what to do."""

from pathlib import Path

import pytest

from bridge.capture.polling.plan import Deletes
from bridge.demo.places import data_root
from bridge.model.errors import ConfigInvalid
from bridge.runtime.configuration.polling_settings import PollingSettings
from bridge.runtime.configuration.settings_file import FILE_BYTES_MAX, load_settings


def write(folder: Path, text: str) -> Path:
    path = folder / "bridge.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(path: Path, environ: dict[str, str] | None = None) -> str:
    with pytest.raises(ConfigInvalid) as caught:
        load_settings(path, environ or {})
    return str(caught.value)


def test_the_shipped_settings_load() -> None:
    settings = load_settings(data_root() / "config" / "legacy-bridge.yaml", {})
    assert settings.gateway is not None
    assert set(settings.gateway.upstreams) == {"legacy-app", "modern-orders"}
    assert settings.contracts.dir.resolve() == (data_root() / "contracts").resolve()


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    settings = load_settings(write(tmp_path, "data_dir: d\ncontracts: {dir: c}\n"), {})
    assert settings.data_dir == tmp_path / "d"
    assert settings.contracts.dir == tmp_path / "c"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gatway: {}\n", "unknown key 'gatway'; did you mean 'gateway'?"),
        ("gateway: {prot: 80}\n", "unknown key 'gateway.prot'; did you mean 'port'?"),
        ("sources: {shop: {dns: x}}\n", "unknown key 'sources.shop.dns'; did you mean 'dsn'?"),
        ("sources: {shop: {kind: polling, ulr: x}}\n", "'sources.shop.ulr'; did you mean 'url'?"),
        ("sources: {shop: {guard: {interval: 1}}}\n", "did you mean 'interval_s'?"),
        (
            "sources: {shop: {kind: polling, url: x, tables: {a.b: {colum: c}}}}\n",
            "unknown key 'sources.shop.tables.a.b.colum'; did you mean 'column'?",
        ),
        ("gateway: {upstreams: {a: {ulr: x}}}\n", "did you mean 'url'?"),
        ("delivery: {url: a, groups: [{nmae: q}]}\n", "did you mean 'name'?"),
        ("control: {zzzzzz: 1}\n", "known here: host, port, token"),
    ],
)
def test_an_unknown_key_names_itself_the_file_and_its_nearest(
    tmp_path: Path, text: str, said: str
) -> None:
    message = refusal(write(tmp_path, text))
    assert said in message
    assert "bridge.yaml" in message


def test_a_missing_key_names_its_environment_variable(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "sources: {shop: {}}\n"))
    assert "'sources.shop.dsn' is missing" in message
    assert "BRIDGE_SOURCES__SHOP__DSN" in message


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "sources: {shop: {dsn: old}}\ncontrol: {port: 1000}\n")
    environ = {"BRIDGE_SOURCES__SHOP__DSN": "new", "BRIDGE_CONTROL__PORT": "2000", "OTHER": "x"}
    settings = load_settings(path, environ)
    assert settings.replicated("shop").dsn == "new"
    assert settings.control is not None
    assert settings.control.port == 2000


def test_the_environment_can_hold_a_list(tmp_path: Path) -> None:
    path = write(tmp_path, "delivery: {url: a, groups: [{name: old}]}\n")
    settings = load_settings(path, {"BRIDGE_DELIVERY__GROUPS": "[{name: new, bind: ['a.#']}]"})
    assert settings.delivery is not None
    assert [(group.name, group.bind) for group in settings.delivery.groups] == [("new", ("a.#",))]
    assert "BRIDGE_DELIVERY__GROUPS" in refusal(path, {"BRIDGE_DELIVERY__GROUPS": "[{"})


def test_a_wrong_environment_variable_is_named(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, ""), {"BRIDGE_CONTROL__PROT": "1"})
    assert "(from BRIDGE_CONTROL__PROT)" in message
    assert "did you mean 'port'?" in message


def test_a_value_never_stands_in_an_error(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "control: {token: hunter2}\n"))
    assert "'control.token'" in message
    assert "hunter2" not in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\n", "line"),
        ("- 1\n", "expected a mapping"),
        ("data_dir: a\ndata_dir: b\n", "line 2 key 'data_dir' is given twice"),
        ("gateway: {port: 70000}\n", "'gateway.port'"),
        ("#" * (FILE_BYTES_MAX + 1), f"more than {FILE_BYTES_MAX} bytes"),
    ],
)
def test_bad_forms_are_told(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(write(tmp_path, text))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    message = refusal(tmp_path / "none.yaml")
    assert "no such file" in message
    assert "--config" in message


def test_a_source_has_a_kind_that_is_known(tmp_path: Path) -> None:
    message = refusal(write(tmp_path, "sources: {shop: {kind: oracle, dsn: x}}\n"))
    assert "'sources.shop.kind' must be one of postgres, polling" in message


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("{strategy: keyset}", "strategy keyset needs 'column', the one that grows"),
        ("{strategy: full, column: c}", "'column' is for strategies outbox and keyset"),
        ("{strategy: keyset, column: c, key: []}", "strategy keyset needs a key"),
        ("{strategy: outbox, column: c, deletes: compare}", "their deletes mean nothing"),
        ("{strategy: full, deletes: soft}", "'deletes: soft' and 'deleted_column' go together"),
        ("{strategy: keyset, column: c, zone: Mars/Olympus}", "is no time zone"),
        ("{strategy: outbox, column: c, zone: Europe/Berlin}", "go back once a year"),
        ("{strategy: often, column: c}", "'sources.shop.tables.a.b.strategy'"),
        ("{strategy: full, interval_s: 0}", "'sources.shop.tables.a.b.interval_s'"),
    ],
)
def test_a_polled_table_is_judged_when_the_settings_are_read(
    tmp_path: Path, table: str, said: str
) -> None:
    text = f"sources: {{shop: {{kind: polling, url: x, tables: {{a.b: {table}}}}}}}\n"
    # Messages are told in lower case.
    assert said.lower() in refusal(write(tmp_path, text)).lower()


def test_a_polled_source_becomes_plans_and_limits(tmp_path: Path) -> None:
    text = (
        "sources: {shop: {kind: polling, url: 'sqlite://', workers: 3, tables: "
        "{main.a: {strategy: full}, main.b: {strategy: keyset, column: changed}}}}\n"
    )
    source = load_settings(write(tmp_path, text), {}).source("shop")
    assert isinstance(source, PollingSettings)
    whole, keyset = source.plans()
    assert (whole.table, whole.deletes) == ("main.a", Deletes.COMPARE)
    assert (keyset.table, keyset.deletes, keyset.column) == ("main.b", Deletes.NONE, "changed")
    assert source.limits().workers == 3
