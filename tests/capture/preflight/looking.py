"""Look at a source the way `doctor` does, and find one finding among many."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from adapters.postgres.inspection.inspection import PostgresInspection
from adapters.postgres.inspection.look import Capturing
from adapters.postgres.server import PostgresServer
from adapters.postgres.setup import PostgresSetup
from bridge.capture.findings import Finding, Level

NOTHING_KNOWN: Mapping[str, frozenset[str]] = MappingProxyType({})


def capturing(slot: str, *tables: str, **options: Any) -> Capturing:
    """Return what is captured: slot and publication have the same name."""
    options.setdefault("mapped", NOTHING_KNOWN)
    return Capturing(
        slot=slot,
        publication=slot,
        tables=tuple(f"public.{table}" for table in tables),
        **options,
    )


def server_at(dsn: str, **options: Any) -> PostgresServer:
    """Return a server whose sessions are named as capture names them."""
    return PostgresServer(dsn, application_name="legacy-bridge test", **options)


def inspect(dsn: str, slot: str, *tables: str, **options: Any) -> list[Finding]:
    """Return what doctor finds."""
    return PostgresInspection(server_at(dsn), capturing(slot, *tables, **options)).inspect()


def set_up(
    dsn: str, slot: str, *tables: str, lock_timeout_ms: int = 10_000, **options: Any
) -> None:
    """Set the source up."""
    PostgresSetup(
        server_at(dsn, lock_timeout_ms=lock_timeout_ms),
        capturing(slot, *tables, **options),
        reader="legacy-bridge test",
    ).set_up()


def found(findings: list[Finding], check: str, table: str | None = None) -> Finding:
    """Return the worst finding of `check`, of one table or of the source."""
    name = table and f"public.{table}"
    chosen = [finding for finding in findings if (finding.check, finding.table) == (check, name)]
    assert chosen, f"no {check} of {name} among {[(f.check, f.table) for f in findings]}"
    return max(chosen, key=lambda finding: finding.level)


def checks(findings: list[Finding], level: Level, table: str | None = None) -> set[str]:
    """Return the checks with findings of `level`, of one table or of the source."""
    name = table and f"public.{table}"
    return {f.check for f in findings if f.level is level and f.table == name}
