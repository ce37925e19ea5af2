"""A run over all rows of a table: full comparison, and the search for rows that are gone.

A row that a whole scan does not meet is marked as missed; if the next scan, in transactions of its
own, does not meet it either, it is reported as deleted. Whoever meets it in between, a keyset run
too, takes the mark away.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from bridge.capture.polling.diff import Found, compare, gone, row_key
from bridge.capture.polling.plan import Strategy
from bridge.capture.polling.ports import Page, PolledRow, RowMarks, ScanMark
from bridge.capture.polling.position import SCANS_KEPT, TablePosition
from bridge.capture.polling.table_run import PollBench, Stopwatch, TableUnderPoll


class ScanRun:
    """Reads a whole table in key order, chunk by chunk, each in its own transaction.

    A scan that was interrupted goes on where it was.
    """

    def __init__(self, bench: PollBench, under: TableUnderPoll) -> None:
        self._bench = bench
        self._under = under
        self._table = under.table
        self._full = under.table.plan.strategy is Strategy.FULL
        self._watch = Stopwatch()
        self._changes = 0
        self._unknown = 0
        # Of rows without a key that are there more than once: how many this scan met. A row that
        # is there once takes no room here.
        self._copies: dict[str, int] = {}

    def run(self) -> None:
        """Scan, then report who is gone."""
        bench = self._bench
        # What the first keyset run has not read yet is not unknown, only new.
        if not self._full and not bench.ledger.position(self._table).read:
            return
        page = self._keyed() if self._table.key else self._keyless()
        if page is None:
            return  # Stopped: the next run goes on here.
        with self._under.lock:
            self._sweep(page)
        bench.observer.note(
            "scanned",
            source=bench.source_name,
            table=self._table.name,
            changes=self._changes,
            took_ms=self._watch.ms(),
        )
        if self._unknown:
            bench.observer.note(
                "poll_found_unknown",
                source=bench.source_name,
                table=self._table.name,
                rows=self._unknown,
            )

    def _keyed(self) -> Page | None:
        while not self._bench.stop.is_set():
            with self._under.lock:
                page = self._chunk()
            if page.last:
                return page
            self._bench.rest(page.took_s)
        return None

    def _chunk(self) -> Page:
        """Read and settle the next chunk; the lock is held."""
        bench, table = self._bench, self._table
        scan = self._scan()
        position = self._begun(scan)
        if self._full:
            page = bench.source.chunk(table, scan.after, bench.rows_max)
            found = self._compared(page.rows, scan, first_reading=not position.read)
        else:
            page, found = self._keys(scan)
        after = page.rows[-1].key if page.rows else scan.after
        found.marks.mark = ScanMark(scan.number, after, page.last)
        self._commit(found, position, page)
        return page

    def _keys(self, scan: ScanMark) -> tuple[Page, Found]:
        """Read keys only; where one is unknown, read the rows of the chunk too."""
        bench, table = self._bench, self._table
        page = bench.source.key_chunk(table, scan.after, bench.rows_max)
        keys = [row_key(table, row.cells) for row in page.rows]
        known = bench.memory.known(table.name, keys)
        if any(key not in known for key in keys):
            page = bench.source.chunk(table, scan.after, bench.rows_max)
            found = self._compared(page.rows, scan, first_reading=False)
            self._unknown += len(found.changes)
            return page, found
        marks = RowMarks(table.name, scan.number)
        marks.met = [key for key in keys if known[key].seen != scan.number or known[key].missed]
        return page, Found(marks)

    def _keyless(self) -> Page | None:
        """Read a table whose rows have no key: each is known by its cells, and a number.

        In one transaction: nothing would say where another has to go on.
        """
        with self._under.lock:
            # A scan that broke off counted rows; under a new number they are counted afresh.
            number = self._bench.memory.scan(self._table.name).number + 1
            scan = ScanMark(number, None, False)
            self._bench.memory.note(RowMarks(self._table.name, number, mark=scan))
            position = self._begun(scan)
            page: Page | None = None
            with closing(self._bench.source.every_row(self._table, self._bench.rows_max)) as pages:
                for page in pages:
                    found = self._counted(page.rows, scan, first_reading=not position.read)
                    self._commit(found, position, page)
                    if self._bench.stop.is_set() and not page.last:
                        return None
            assert page is not None, "a table without rows gives one page without rows"
            done = RowMarks(self._table.name, scan.number)
            done.mark = ScanMark(scan.number, None, True)
            self._bench.memory.note(done)
            return page

    def _counted(self, rows: Sequence[PolledRow], scan: ScanMark, *, first_reading: bool) -> Found:
        """Compare rows that may be equal: the n-th equal one is a row of its own."""
        table, memory = self._table, self._bench.memory
        firsts = {row_key(table, row.cells, 0) for row in rows}
        met = memory.known(table.name, sorted(firsts))
        copies: dict[str, int] = {}
        keys = []
        for row in rows:
            first = row_key(table, row.cells, 0)
            copy = copies.get(first) or self._copies.get(first)
            if copy is None:
                copy = int(first in met and met[first].seen == scan.number)
            copies[first] = copy + 1
            keys.append(row_key(table, row.cells, copy))
        self._copies.update((first, count) for first, count in copies.items() if count > 1)
        known = memory.known(table.name, keys)
        return compare(table, rows, keys, known, scan=scan.number, first_reading=first_reading)

    def _compared(self, rows: Sequence[PolledRow], scan: ScanMark, *, first_reading: bool) -> Found:
        return self._under.compare(self._bench, rows, scan.number, first_reading=first_reading)

    def _begun(self, scan: ScanMark) -> TablePosition:
        """Return our place, which says when this scan began."""
        position = self._bench.ledger.position(self._table)
        if scan.after is not None:
            return position  # If a crash lost when it began, the one before it stands for it.
        moment = self._bench.source.moment(self._table, self._bench.ledger.settled)
        return replace(position, scan_began=moment.clock)

    def _scan(self) -> ScanMark:
        """Return the scan that goes on, or the next one."""
        mark = self._bench.memory.scan(self._table.name)
        return ScanMark(mark.number + 1, None, False) if mark.finished else mark

    def _commit(self, found: Found, position: TablePosition, page: Page) -> None:
        self._changes += len(found.changes)
        self._bench.ledger.commit(
            self._table,
            found.changes,
            found.marks,
            position,
            after=position.looked_at,
            before=page.clock,
        )

    def _sweep(self, page: Page) -> None:
        """Mark or report the rows that the scan did not meet; the lock is held."""
        bench, table = self._bench, self._table
        number = bench.memory.scan(table.name).number
        position = bench.ledger.position(table)
        # Who is missed for the second time was met by the scan before the last one.
        met_after = position.scans[0] if len(position.scans) == SCANS_KEPT else None
        after = ""
        while unmet := bench.memory.unmet(table.name, number, after, bench.rows_max):
            after = unmet[-1][0]
            marks = RowMarks(table.name, number)
            marks.missed = [key for key, row in unmet if not row.missed]
            marks.removed = [key for key, row in unmet if row.missed]
            changes = [gone(table, key) for key in marks.removed]
            self._changes += len(changes)
            bench.ledger.commit(table, changes, marks, position, after=met_after, before=page.clock)
        began = position.scan_began
        done = replace(position, scan_began=None)
        if began is not None:
            done = replace(done, scans=(*position.scans, began)[-SCANS_KEPT:])
        if self._full:
            done = replace(done, read=True, looked_at=began or position.looked_at)
        bench.ledger.commit(
            table,
            [],
            RowMarks(table.name, number),
            done,
            after=None,
            before=page.clock,
            durable=not position.read,
        )
