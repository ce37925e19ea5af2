"""A run over what changed, by a column that grows: strategies keyset and outbox."""

import time
from dataclasses import replace
from datetime import timedelta

from bridge.capture.polling.horizon import Mark, next_lower, with_mark
from bridge.capture.polling.ports import Page, RowMarks, ScanMark
from bridge.capture.polling.position import RunMark, TablePosition
from bridge.capture.polling.table_run import PollBench, Stopwatch, TableUnderPoll


class KeysetRun:
    """Reads a table from its lower bound to its end, page by page, each in its own transaction."""

    def __init__(self, bench: PollBench, under: TableUnderPoll) -> None:
        self._bench = bench
        self._under = under
        self._table = under.table

    def run(self) -> None:
        """Read and append everything there is; between pages the table is free for others."""
        watch = Stopwatch()
        changes = pages = 0
        while not self._bench.stop.is_set():
            with self._under.lock:
                page, found = self._step()
            changes += found
            pages += 1
            if page.last:
                self._bench.observer.note(
                    "polled",
                    source=self._bench.source_name,
                    table=self._table.name,
                    pages=pages,
                    changes=changes,
                    took_ms=watch.ms(),
                )
                return
            self._bench.rest(page.took_s)

    def _step(self) -> tuple[Page, int]:
        bench, table = self._bench, self._table
        position = bench.ledger.position(table)
        run = position.run or RunMark(moment=bench.source.moment(table, bench.ledger.settled))
        overlap_s = bench.source.overlap_s(table, run.moment)
        page = bench.source.page(table, position.lower, run.after, bench.rows_max)
        scan = bench.memory.scan(table.name).number
        self._under.note_window(bench, overlap_s, run.moment.exact)
        found = self._under.compare(bench, page.rows, scan, first_reading=not position.read)
        self._under.note_lateness(bench, found, position, overlap_s, run.moment.exact)
        moved = self._moved(position, run, page, overlap_s)
        tidy = page.last and bool(page.rows) and self._under.is_untidy()
        bench.ledger.commit(
            table,
            found.changes,
            found.marks,
            moved,
            after=position.looked_at,
            before=page.clock,
            settled=run.moment.settled if page.last else None,
            durable=tidy or (moved.read and not position.read),
        )
        if tidy:
            self._forget(scan)
        return page, len(found.changes)

    def _moved(
        self, position: TablePosition, run: RunMark, page: Page, overlap_s: float
    ) -> TablePosition:
        """Return the place behind `page`."""
        table = self._table
        assert table.ordering is not None, "a table without an order column is read whole"
        value = page.rows[-1].value if page.rows else None
        marks = position.marks
        if value is not None:
            settled = run.moment.settled
            behind = settled and settled - timedelta(seconds=overlap_s)
            marks = with_mark(marks, Mark(page.clock, value), behind)
        if not page.last:
            row = page.rows[-1]
            assert row.value is not None, "rows without a value are not read"
            return replace(position, run=replace(run, after=(row.value, *row.key)))
        return replace(
            position,
            run=None,
            read=True,
            lower=next_lower(table.ordering, position.lower, run.moment, marks, overlap_s),
            looked_at=run.moment.clock,
            marks=marks,
        )

    def _forget(self, scan: int) -> None:
        """Forget outbox rows that the run which is done did not read: no run will.

        Its successor starts no lower, and that is in the log: so no row comes a second time.
        """
        table, memory = self._table, self._bench.memory
        memory.forget_unmet(table.name, scan)
        memory.note(RowMarks(table.name, scan, mark=ScanMark(scan + 1, None, True)))
        self._under.tidied_at = time.monotonic()
