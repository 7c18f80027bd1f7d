"""The judge of the venue's answers, and its two callers: the repair of streams and downloads."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botlib.core.clock import MarketClock
from botlib.core.model import Candle
from botlib.core.timeframe import DAY, HOUR, MINUTE, is_open_time
from botlib.market_data import history, repair
from botlib.market_data.candle_subscription import CandleSubscription
from botlib.market_data.gaps import absent, judge_answer
from botlib.market_data.history import History
from botlib.market_data.repair import Repairer
from botlib.store import CandleStorage, Database
from tests.support.candle_venue import CandleVenue, candle

NOW = 1_767_571_200_000  # 2026-01-05 00:00
PAGE = 1_000


def rows(*places: int) -> list[Candle]:
    """Return closed minutes at so many minutes after `NOW`."""
    return [candle(NOW + place * MINUTE, "1m") for place in places]


def judge(found: list[Candle], end: int, minutes_later: float, **options: bool) -> Any:
    """Judge an answer for the minutes 0 to ``end``, at a time after the last one's close."""
    now = int(NOW + (end + 1 + minutes_later) * MINUTE)
    judged = judge_answer(found, NOW, NOW + end * MINUTE, "1m", now=now, page=PAGE, **options)
    return (judged.until - NOW) // MINUTE, judged.again


def test_an_answer_proves_the_candles_before_its_last_row() -> None:
    assert judge(rows(0, 1, 3, 10), 9, 0) == (9, False)  # the candle behind is there
    assert judge(rows(0, 1, 9), 9, 0) == (8, True)  # the newest may still have moved
    assert judge(rows(0, 1, 9), 9, 0, final=True) == (9, False)
    assert judge(rows(0, 1, 9), 9, 1) == (9, False)
    assert judge(rows(0, 1, 8), 9, 0) == (8, True)  # the one behind may lag
    assert judge(rows(0, 1, 5), 9, 0) == (5, True)
    assert judge(rows(0, 1, 5), 9, 1) == (5, False)  # no copy lags that long: they are not there
    assert judge([], 9, 1) == (-1, False)
    assert judge([], 9, 24 * 60) == (9, False)  # a day later that is proof
    assert judge([], 9, 24 * 60 - 2) == (7, False)
    assert judge(rows(*range(PAGE)), 5_000, 0) == (PAGE - 2, True)


def test_candles_before_a_later_known_one_are_requested_until_the_answer_is_final() -> None:
    assert judge(rows(0, 1, 5), 9, 1, evident=True) == (5, True)
    assert judge(rows(0, 1, 5), 9, 0, evident=True, final=True) == (9, False)
    assert judge([], 9, 0, evident=True, final=True) == (9, False)


def test_a_candle_that_still_forms_in_the_answer_settles_nothing() -> None:
    forming = candle(NOW + 9 * MINUTE, "1m", closed=False)
    assert judge([*rows(0, 1), forming], 9, 0) == (8, True)
    assert judge([*rows(0, 1), forming], 9, 0, final=True) == (8, False)
    assert judge([*rows(0, 1), forming, *rows(10)], 9, 0) == (8, False)


@given(
    places=st.sets(st.integers(0, 40)),
    shifted=st.sets(st.integers(0, 40)),
    end=st.integers(0, 40),
    minutes=st.floats(0, 3_000),
    page=st.integers(3, 50),
    evident=st.booleans(),
    final=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_a_judgement_accounts_for_every_candle_and_none_is_off_the_grid(
    places: set[int],
    shifted: set[int],
    end: int,
    minutes: float,
    page: int,
    evident: bool,
    final: bool,
) -> None:
    times = [NOW + p * MINUTE + (17_000 if p in shifted else 0) for p in sorted(places)]
    now = int(NOW + (end + 1 + minutes) * MINUTE)
    answer = [
        candle(time, "1m", closed=time + MINUTE <= now)
        for time in times
        if time <= min(now, NOW + (end + 1) * MINUTE)
    ][:page]
    judged = judge_answer(
        answer, NOW, NOW + end * MINUTE, "1m", now=now, page=page, evident=evident, final=final
    )
    assert NOW - 2 * MINUTE <= judged.until <= NOW + end * MINUTE
    assert all(row.closed and is_open_time(row.timestamp, "1m") for row in judged.candles)
    settled = [row.timestamp for row in judged.candles]
    for first, last in judged.holes:
        settled += range(first, last + MINUTE, MINUTE)
    assert sorted(settled) == list(range(NOW, judged.until + MINUTE, MINUTE))
    assert {row.timestamp for row in judged.candles} <= set(times)
    assert judged.holes == absent(
        [row.timestamp for row in judged.candles], NOW, judged.until, MINUTE
    )


class Sink:
    """A receiver of a subscription's candles that ignores them."""

    def on_closed(self, subscription: CandleSubscription, candles: list[Candle]) -> None: ...
    def on_again(self, candle: Candle) -> None: ...
    def on_gap(self, subscription: CandleSubscription) -> None: ...


async def repaired(venue: CandleVenue, storage: CandleStorage, start: int, newest: int) -> None:
    """Repair a subscription that has missed the candles ``start`` to ``newest``."""
    clock = MarketClock(venue.now)

    def deliver(subscription: CandleSubscription, candles: list[Candle], recent: bool) -> None:
        storage.write(candles, now=venue.now)

    repairer = Repairer(
        venue,  # type: ignore[arg-type]
        storage,
        clock,
        deliver=deliver,
        again=lambda candle: None,
        filled=lambda event: None,
        room=lambda: True,
        running=lambda: True,
        rng=random.Random(1),
    )
    missed = CandleSubscription("BTC/USDT", venue.timeframe, 0, venue, clock, Sink())  # type: ignore[arg-type]
    missed.sequence.start(start - HOUR)
    missed.history_requested(0)
    missed.check(newest)
    await repairer.repair(missed)


@given(
    there=st.lists(st.sampled_from(["there", "there", "absent", "off the grid"]), min_size=1),
    age=st.sampled_from([0, 5_000, 60_000, DAY + HOUR]),
    page=st.integers(3, 12),
    lag=st.integers(0, 3),
)
@settings(max_examples=80, deadline=None)
def test_a_stream_and_a_download_judge_the_same_answers_alike(
    tmp_path_factory: pytest.TempPathFactory, there: list[str], age: int, page: int, lag: int
) -> None:
    begin = NOW - len(there) * HOUR
    grid = range(begin, NOW, HOUR)
    times = [
        time + (17_000 if kind == "off the grid" else 0)
        for time, kind in zip(grid, there, strict=True)
        if kind != "absent"
    ]
    path = tmp_path_factory.mktemp("gaps")
    found = []
    for name in ("stream", "download"):
        venue = CandleVenue([begin - HOUR, *times], "1h", NOW + age, page=page)
        venue.lag = lag
        with (
            pytest.MonkeyPatch.context() as patch,
            Database.open(path / f"{name}.db", venue.venue) as database,
        ):
            patch.setattr(history, "RETRY_FIRST", 0.0)
            patch.setattr(repair, "RETRY_FIRST", 0.0)
            storage = CandleStorage(database)
            storage.write([candle(begin - HOUR, "1h")], now=NOW)
            if name == "stream":
                newest = NOW + age - (NOW + age) % HOUR - HOUR
                asyncio.run(repaired(venue, storage, begin, newest))
            else:
                asyncio.run(History(venue, storage).fetch("BTC/USDT", "1h", begin))  # type: ignore[arg-type]
            candles = storage.candles("BTC/USDT", "1h")
            assert all(is_open_time(one.timestamp, "1h") for one in candles)
            assert {one.close for one in candles} == {1.5}
            found.append(
                (
                    [one.timestamp for one in candles],
                    [(hole.start, hole.end) for hole in storage.holes("BTC/USDT", "1h")],
                )
            )
    assert found[0] == found[1]
