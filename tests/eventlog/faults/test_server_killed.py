"""The PostgreSQL server dies under an appender, which rereads its cursor and goes on."""

import threading
from contextlib import closing
from functools import partial

from bridge.demo.servers import PrivatePostgres
from bridge.eventlog.inspection import inspect_log
from bridge.model.entry import CursorMove
from bridge.model.errors import StorageUnavailable
from bridge.storage.event_log.postgres import PostgresEventLog
from tests.conftest import Database
from tests.eventlog.drafts import drafts
from tests.waiting import wait_until

DEATHS = 3


class Appender(threading.Thread):
    """Appends as capture does: after an outage it asks the log how far it came."""

    def __init__(self, dsn: str) -> None:
        super().__init__()
        self.acknowledged = 0
        self.outages = 0
        self.stop = threading.Event()
        self._dsn = dsn

    def has_more_than(self, count: int) -> bool:
        return self.acknowledged > count

    def was_out_more_than(self, count: int) -> bool:
        return self.outages > count

    def run(self) -> None:
        with closing(PostgresEventLog(self._dsn, segment_entries=512)) as log:
            while not self.stop.is_set():
                try:
                    cursor = log.cursor("shop")
                    version, made = (
                        (0, 0) if cursor is None else (cursor.version, int(cursor.state))
                    )
                    # What was acknowledged is there, whatever happened since.
                    assert made >= self.acknowledged
                    until = made + 1 + made % 137
                    state = b"%d" % until
                    log.append(drafts(made, until), cursor=CursorMove("shop", version, state))
                    self.acknowledged = until
                except StorageUnavailable:
                    self.outages += 1
                    self.stop.wait(0.05)


def test_nothing_acknowledged_is_lost(postgres: PrivatePostgres, database: Database) -> None:
    appender = Appender(database.dsn)
    appender.start()
    try:
        for _ in range(DEATHS):
            before, outages = appender.acknowledged, appender.outages
            wait_until(partial(appender.has_more_than, before + 300), 60, "appends")
            postgres.kill()
            wait_until(partial(appender.was_out_more_than, outages), 60, "the outage")
            postgres.restart()
        before = appender.acknowledged
        wait_until(partial(appender.has_more_than, before), 60, "appends after the last death")
    finally:
        appender.stop.set()
        appender.join()
    with closing(PostgresEventLog(database.dsn)) as log:
        assert inspect_log(log).size == appender.acknowledged
