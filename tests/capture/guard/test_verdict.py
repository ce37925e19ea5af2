"""The ruling over every combination that a start can meet."""

import pytest

from bridge.capture.cursor import (
    CaptureCursor,
    GapMark,
    SlotMark,
    format_cursor,
    parse_cursor,
)
from bridge.capture.guard.verdict import (
    Place,
    Ruling,
    ServerPlace,
    SlotFacts,
    judge,
    parse_history,
)
from bridge.model.errors import Remedy, SourceGap, SourceUnavailable, SourceUnfit

LSN = 0x5000
OURS = Place(system_id="1", timeline=2, end_lsn=LSN)
FINE = SlotFacts(confirmed=LSN - 1, wal_status="reserved")


def server(
    system_id: str = "1", timeline: int = 2, flushed: int = LSN, left_ours_at: int | None = None
) -> ServerPlace:
    return ServerPlace(
        system_id=system_id, timeline=timeline, flushed=flushed, left_ours_at=left_ours_at
    )


@pytest.mark.parametrize("confirmed", [0, LSN - 1, LSN])
@pytest.mark.parametrize("wal_status", ["reserved", "extended", "unreserved"])
def test_a_slot_at_or_behind_us_is_fine(confirmed: int, wal_status: str) -> None:
    slot = SlotFacts(confirmed=confirmed, wal_status=wal_status, active_pid=7)
    verdict = judge(OURS, server(), slot, name="s")
    assert verdict.ruling is Ruling.GO_ON
    verdict.enforce("shop", LSN)


@pytest.mark.parametrize("left_at", [LSN, LSN + 1])
def test_a_standby_that_took_over_behind_us_is_fine(left_at: int) -> None:
    verdict = judge(OURS, server(timeline=3, left_ours_at=left_at), FINE, name="s")
    assert verdict.ruling is Ruling.FAILED_OVER
    verdict.enforce("shop", LSN)


@pytest.mark.parametrize(
    ("place", "ruling", "words"),
    [
        (server(system_id="2"), Ruling.OTHER_CLUSTER, "server is cluster 2, the log follows"),
        (server(flushed=LSN - 1), Ruling.REWOUND, "the server ends at 0/4FFF"),
        (server(timeline=1), Ruling.REWOUND, "is on timeline 1, the log followed timeline 2"),
        (server(timeline=3), Ruling.REWOUND, "never was on ours"),
        (
            # It has grown past our place since: only its history tells.
            server(timeline=3, left_ours_at=LSN - 1, flushed=LSN * 2),
            Ruling.REWOUND,
            "left ours at 0/4FFF",
        ),
    ],
)
@pytest.mark.parametrize("slot", [FINE, None, SlotFacts(confirmed=LSN + 9)])
def test_another_server_is_refused_whatever_its_slot(
    place: ServerPlace, ruling: Ruling, words: str, slot: SlotFacts | None
) -> None:
    verdict = judge(OURS, place, slot, name="s")
    assert verdict.ruling is ruling
    with pytest.raises(SourceUnfit, match=words) as caught:
        verdict.enforce("shop", LSN)
    assert not isinstance(caught.value, SourceGap)
    assert "name a new source" in str(caught.value)


@pytest.mark.parametrize("timeline", [2, 3])
@pytest.mark.parametrize(
    ("slot", "ruling", "words", "end_lsn"),
    [
        (None, Ruling.SLOT_MISSING, "slot 's' is gone", None),
        (SlotFacts(confirmed=None), Ruling.SLOT_MISSING, "slot 's' is gone", None),
        (SlotFacts(confirmed=1, wal_status="lost"), Ruling.SLOT_LOST, "was invalidated", None),
        (
            SlotFacts(confirmed=1, invalidation="idle_timeout"),
            Ruling.SLOT_LOST,
            r"was invalidated \(idle_timeout\)",
            None,
        ),
        (
            SlotFacts(confirmed=LSN + 1, wal_status="reserved"),
            Ruling.SLOT_MOVED,
            "was moved to 0/5001 by somebody else",
            LSN + 1,
        ),
    ],
)
def test_what_is_lost_is_a_gap(
    slot: SlotFacts | None, ruling: Ruling, words: str, end_lsn: int | None, timeline: int
) -> None:
    place = server(timeline=timeline, left_ours_at=LSN if timeline == 3 else None)
    verdict = judge(OURS, place, slot, name="s")
    assert verdict.ruling is ruling
    with pytest.raises(SourceGap, match=words) as caught:
        verdict.enforce("shop", LSN)
    assert caught.value.cause == ruling.value
    assert caught.value.end_lsn == end_lsn
    assert caught.value.remedy is Remedy.OPERATOR
    assert "source resume SOURCE --accept-gap" in str(caught.value)


def test_a_slot_that_somebody_reads_now_is_no_gap_yet() -> None:
    slot = SlotFacts(confirmed=LSN + 1, active_pid=4121)
    verdict = judge(OURS, server(), slot, name="s")
    assert verdict.ruling is Ruling.HELD
    with pytest.raises(SourceUnavailable, match="is active for PID 4121") as caught:
        verdict.enforce("shop", LSN)
    assert caught.value.remedy is Remedy.RETRY


def test_a_history_file() -> None:
    content = "1\t0/3000148\tno recovery target specified\n# a note\n\n2\tA/10\tbefore '2026'\n"
    assert parse_history(content) == {1: 0x3000148, 2: (0xA << 32) | 0x10}
    with pytest.raises(ValueError, match="invalid literal"):
        parse_history("one\t0/0\tx")


def test_slot_and_gap_stay_in_the_cursor() -> None:
    cursor = CaptureCursor(
        system_id="1",
        timeline=2,
        end_lsn=LSN,
        watches={"wal-guard": "{}"},
        slot=SlotMark(consistent_lsn=LSN - 7, epoch=3),
        gap=GapMark(cause="slot-moved", end_lsn=LSN + 1),
    )
    assert parse_cursor(format_cursor(cursor)) == cursor
    plain = CaptureCursor(system_id="1", timeline=2, end_lsn=LSN)
    assert parse_cursor(format_cursor(plain)) == plain
