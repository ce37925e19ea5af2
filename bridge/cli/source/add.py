"""`legacy-bridge source add`: draft a contract for each table of a database."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
import yaml
from rich.progress import track

from bridge.cli.options import DEFAULT_CONFIG, ConfigPath
from bridge.cli.output import AsJson, console, errors, print_json, print_rows
from bridge.contracts.drafting.draft import ContractDraft, draft_contract
from bridge.contracts.drafting.naming import NamingRule
from bridge.contracts.names import SUBJECT_FORM, is_subject
from bridge.model.errors import ConfigInvalid, StorageUnavailable
from bridge.runtime.configuration.settings_file import load_settings
from bridge.runtime.wiring.introspection import introspection

_WORDS_BYTES_MAX = 1_000_000


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("add")(add)


def add(
    source: Annotated[str, typer.Argument(help="Name of the source, in the settings or to be.")],
    config: ConfigPath = DEFAULT_CONFIG,
    url: Annotated[
        str | None,
        typer.Option(
            envvar="LEGACY_BRIDGE_SOURCE_URL",
            help="Where it is, when the settings do not say so yet: libpq or SQLAlchemy URL.",
        ),
    ] = None,
    table: Annotated[
        list[str] | None, typer.Option(help="schema.table; all of the schema when absent.")
    ] = None,
    schema: Annotated[str | None, typer.Option(help="The database's default when absent.")] = None,
    domain: Annotated[
        str | None, typer.Option(help="First word of the subjects; the source when absent.")
    ] = None,
    strip_prefix: Annotated[
        list[str] | None, typer.Option(help="Beginning of table names that says nothing: t_")
    ] = None,
    words: Annotated[
        Path | None, typer.Option(help="YAML file of abbreviations: {cust: customer}.")
    ] = None,
    dry_run: Annotated[bool, typer.Option(help="Say what would be written.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draft a contract with its mapping and examples for each table, for a person to edit.

    Reads the catalog only and never overwrites a contract that is there.
    """
    settings = load_settings(config)
    domain = domain or source.replace("_", "-")
    if not is_subject(f"{domain}.x"):
        raise ConfigInvalid(
            f"cannot use domain {domain!r}: a subject has the form {SUBJECT_FORM}; set --domain"
        )
    naming = NamingRule(words=_words(words), strip_prefixes=tuple(strip_prefix or ()))
    reading = introspection(settings, source, url)
    try:
        wanted = [_split(name) for name in table] if table else reading.tables(schema)
        described = track(
            reading.describe(wanted), "reading tables", total=len(wanted), console=errors,
            transient=True,
        )  # fmt: skip
        drafts = [
            draft_contract(one, source=source, domain=domain, naming=naming) for one in described
        ]
    finally:
        reading.close()
    _refuse_shared(drafts)
    folder = settings.contracts.dir
    present = {draft.subject for draft in drafts if (folder / draft.subject).exists()}
    if not dry_run:
        for draft in drafts:
            if draft.subject not in present:
                _write(folder, draft)
    _tell(drafts, present, dry_run=dry_run, as_json=as_json)
    if not as_json and not dry_run and len(present) < len(drafts):
        console.print(
            f"Drafts are in {folder}: rename fields, move columns to drop, say what each means, "
            "then run `legacy-bridge check`."
        )


def _tell(
    drafts: Sequence[ContractDraft], present: set[str], *, dry_run: bool, as_json: bool
) -> None:
    def outcome(draft: ContractDraft) -> str:
        if draft.subject in present:
            return "is there already"
        return "would be written" if dry_run else "written"

    if as_json:
        print_json(
            [
                {
                    "table": draft.table,
                    "subject": draft.subject,
                    "outcome": outcome(draft),
                    "files": sorted(draft.files),
                    "notes": draft.notes,
                }
                for draft in drafts
            ]
        )
        return
    print_rows(
        "Contracts",
        ("table", "subject", "outcome", "look at"),
        [(d.table, d.subject, outcome(d), "; ".join(d.notes)) for d in drafts],
    )


def _refuse_shared(drafts: Sequence[ContractDraft]) -> None:
    """Two tables whose names become one subject need a person to name them apart."""
    tables: dict[str, str] = {}
    for draft in drafts:
        other = tables.setdefault(draft.subject, draft.table)
        if other != draft.table:
            raise ConfigInvalid(
                f"cannot draft contracts: tables {other!r} and {draft.table!r} both become subject "
                f"{draft.subject!r}; draft them apart with --table and another --domain"
            )


def _write(folder: Path, draft: ContractDraft) -> None:
    try:
        for name, text in draft.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise StorageUnavailable(
            f"cannot write the contract of {draft.table!r} below {folder}: {exc.strerror}"
        ) from exc


def _split(name: str) -> tuple[str, str]:
    schema, dot, table = name.partition(".")
    if not dot or not schema or not table:
        raise ConfigInvalid(f"cannot draft a contract for {name!r}: expected schema.table")
    return schema, table


def _words(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        if path.stat().st_size > _WORDS_BYTES_MAX:
            raise ConfigInvalid(f"cannot read word list {path}: it has more than 1 MB")
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as exc:
        raise ConfigInvalid(f"cannot read word list {path}: {exc}") from exc
    if not isinstance(tree, dict) or not all(
        isinstance(word, str) and isinstance(meaning, str) and meaning.isalnum()
        for word, meaning in tree.items()
    ):
        raise ConfigInvalid(
            f"cannot read word list {path}: expected {{abbreviation: word}}, words of letters and "
            'digits; put "no", "on" and "yes" in quotes'
        )
    return {word.lower(): meaning.lower() for word, meaning in tree.items()}
