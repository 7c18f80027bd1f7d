"""Candles are compared with the venue's once, and any later change of them is found."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from botlib.invariants import candle_check
from botlib.invariants.candle_check import CandleCheck
from botlib.store import CandleStorage, Database
from tests.support.records import MINUTE, T0, candle

STREAM = ("BTC/USDT", "1m")
VENUE = "paper:test"


class FakeVenue:
    """A venue with the candle of every minute but those that are missing."""

    def __init__(self) -> None:
        self.missing: set[int] = set()
        self.asked: list[tuple[int, int]] = []

    async def candles(
        self, symbol: str, timeframe: str, start: int, end: int
    ) -> list[tuple[int, float, float, float, float, float]]:
        minutes = range((start - T0) // MINUTE, (end - T0) // MINUTE + 1)
        self.asked.append((minutes[0], minutes[-1]))
        wanted = [minute for minute in minutes if minute not in self.missing]
        return [(T0 + minute * MINUTE, 10.0, 11.0, 9.0, 10.0, 1.0) for minute in wanted]


class Stage:
    """A database and its check, with parts of ten candles and digests of seven."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.venue = FakeVenue()
        self.check = CandleCheck(self.venue, database.path, VENUE, [STREAM])

    def write(self, *minutes: int, close: float = 10.0) -> None:
        candles = [candle(minute, close) for minute in minutes]
        CandleStorage(self.database).write(candles, now=T0)

    def delete(self, first: int, last: int) -> None:
        with self.database.writing() as connection:
            connection.execute(
                "DELETE FROM candles WHERE timestamp BETWEEN ? AND ?",
                (T0 + first * MINUTE, T0 + last * MINUTE),
            )

    async def found(self) -> list[str]:
        self.venue.asked.clear()
        return [f"{one.what} {one.bot}" for one in await self.check.violations()]


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr(candle_check, "PART", 10)
    monkeypatch.setattr(candle_check, "STRETCH", 7)
    with Database.open(tmp_path / "bot.db", VENUE) as database:
        yield Stage(database)


async def test_the_venue_is_asked_only_for_new_candles_and_for_few_at_a_time(stage: Stage) -> None:
    assert await stage.found() == [] and stage.venue.asked == []
    stage.write(*range(25))
    assert await stage.found() == []
    assert stage.venue.asked == [(0, 9), (10, 19), (20, 24)]
    assert stage.check.count == 25
    for last in (26, 31):
        first = stage.check.count
        stage.write(*range(first, last))
        assert await stage.found() == []
        assert stage.venue.asked == [(first, last - 1)]
        assert stage.check.count == last
    assert await stage.found() == [] and stage.venue.asked == []


async def test_a_candle_that_changes_after_it_was_compared_is_found(stage: Stage) -> None:
    stage.write(*range(25))
    assert await stage.found() == []
    stage.write(3, close=10.5)
    stage.write(25)
    for _ in range(2):
        assert [one[:40] for one in await stage.found()] == [
            "candle of BTC/USDT 1m at 2026-01-05 00:0"
        ]
    stage.write(3)
    assert await stage.found() == []
    stage.venue.asked.clear()
    assert await stage.found() == [] and stage.venue.asked == []


@pytest.mark.parametrize(("first", "last"), [(0, 2), (9, 10), (24, 24), (0, 24)])
async def test_candles_that_vanish_after_they_were_compared_are_found(
    stage: Stage, first: int, last: int
) -> None:
    stage.write(*range(25))
    assert await stage.found() == []
    stage.delete(first, last)
    for _ in range(2):
        found = await stage.found()
        assert len(found) == last - first + 1
        assert all("neither stored nor a hole" in one for one in found)
    stage.write(*range(first, last + 1))
    assert await stage.found() == []


async def test_a_gap_between_two_parts_is_found_and_a_hole_is_none(stage: Stage) -> None:
    stage.write(*range(10), *range(12, 25))
    stage.venue.missing |= {10, 11}
    assert len(await stage.found()) == 2
    storage = CandleStorage(stage.database)
    storage.mark_hole(*STREAM, T0 + 10 * MINUTE, T0 + 11 * MINUTE, cause="", now=T0)
    assert await stage.found() == []
    assert stage.check.count == 23
    # A candle older than all others, as a longer history brings it.
    stage.write(-1)
    assert await stage.found() == []
    assert stage.check.count == 24
