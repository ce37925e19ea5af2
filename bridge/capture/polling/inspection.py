"""Look at a polled source before it is polled: what is there, and what polling cannot see."""

from collections.abc import Iterable, Iterator

from bridge.capture.findings import Finding, Level, SetupStep, sort_findings
from bridge.capture.polling.plan import Deletes, Strategy
from bridge.capture.polling.ports import PolledTable, PollSource
from bridge.model.errors import BridgeError


class PollInspection:
    """Implements `SourceInspection` for a database that is asked; it only ever reads."""

    def __init__(self, source: PollSource, contracted: Iterable[str]) -> None:
        """`contracted` are the tables that have a contract."""
        self._source = source
        self._contracted = frozenset(contracted)

    def inspect(self) -> list[Finding]:
        """Return what was found; a database that does not answer is a finding too."""
        try:
            tables = self._source.tables()
            findings = [
                Finding(
                    level=Level.OK,
                    check="connect",
                    what=f"a {self._source.system} database answers, all polled tables are there",
                ),
                Finding(
                    level=Level.OK,
                    check="writes",
                    what="polling reads and writes nothing: nothing has to be set up",
                ),
                *self._contracts(tables),
            ]
            for table in tables:
                findings += self._table(table)
        except BridgeError as exc:
            return [Finding(level=Level.ERROR, check="connect", what=str(exc))]
        finally:
            self._source.close()
        return sort_findings(findings)

    def setup_steps(self) -> list[SetupStep]:
        """Return nothing: polling needs nothing in the database."""
        return []

    def _contracts(self, tables: tuple[PolledTable, ...]) -> Iterator[Finding]:
        polled = {table.name for table in tables}
        for name in sorted(polled ^ self._contracted):
            what = "has a contract and is not polled" if name in self._contracted else "is polled "
            if name in polled:
                what += "and has no contract"
            yield Finding(
                level=Level.ERROR,
                check="contracts",
                table=name,
                what=what,
                fix="give it both: a mapping, and a place among the source's tables",
            )

    def _table(self, table: PolledTable) -> Iterator[Finding]:
        plan = table.plan
        if plan.strategy is Strategy.FULL:
            yield _notice(
                table,
                "strategy",
                f"every row is read and compared each {plan.interval_s:g} s",
                "that is the table's whole size each time",
            )
        else:
            moment = self._source.moment(table, None)
            overlap_s = self._source.overlap_s(table, moment)
            yield Finding(
                level=Level.OK if moment.exact else Level.WARNING,
                check="strategy",
                table=table.name,
                what=f"rows above the last {plan.column!r} are read each {plan.interval_s:g} s, "
                f"{overlap_s:g} s back",
                why=""
                if moment.exact
                else "the database does not show which transactions are open: one that stays open "
                "for longer than that may be missed",
            )
        if plan.strategy is not Strategy.OUTBOX:
            yield _notice(
                table, "between", "states between two readings are not seen", "only the last one is"
            )
            if plan.deletes is Deletes.NONE:
                yield _notice(
                    table,
                    "deletes",
                    "deletes are not found",
                    "set deletes to soft or compare, if rows go",
                )
        if not table.key:
            yield _notice(table, "key", "no key", "events of one row cannot be told to be its own")


def _notice(table: PolledTable, check: str, what: str, why: str) -> Finding:
    return Finding(level=Level.NOTICE, check=check, table=table.name, what=what, why=why)
