"""The feed of a symbol: forming candles, gaps, and no data from the future."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from botlib.core.timeframe import HOUR, MINUTE, open_time
from botlib.paper.market.feed import Bar, Feed, rows
from botlib.paper.market.market import Bars, PaperMarket, SymbolListing, aggregate
from botlib.paper.market.replay import ReplayMarket
from botlib.paper.market.synthetic import SyntheticMarket

T0 = 1_767_571_200_000
Candles = Callable[..., ReplayMarket]


class Cut:
    """A market with wrong candles after a given time."""

    def __init__(self, market: PaperMarket, time: int) -> None:
        self._market, self._time = market, time
        self.base, self.venue = market.base, market.venue
        self.span, self.next_open = market.span, market.next_open
        self.listings, self.timeframes = market.listings, market.timeframes

    def listing(self, symbol: str) -> SymbolListing:
        return self._market.listing(symbol)

    def bars(self, symbol: str, timeframe: str, start: int, end: int) -> Bars:
        bars = self._market.bars(symbol, timeframe, start, end)
        later = bars.timestamp > open_time(self._time, timeframe)
        if timeframe != self.base:
            later |= bars.timestamp == open_time(self._time, timeframe)
        junk = [np.where(later, 1e9, column) for column in (bars.open, bars.high, bars.low)]
        close, volume = np.where(later, 1e9, bars.close), np.where(later, 1e9, bars.volume)
        return Bars(bars.timestamp, junk[0], junk[1], junk[2], close, volume)


def naive(market: PaperMarket, timeframe: str, feed: Feed) -> Bar:
    """Return the forming candle, from all base candles and the past prices of the last one."""
    start = open_time(feed.time, timeframe)
    now = feed.base_bar()
    assert now is not None
    bars = list(rows(market.bars(feed.listing.symbol, "1m", start, now.timestamp - 1)))
    bars.append(now)
    columns = [np.array(column) for column in zip(*bars, strict=True)]
    return next(rows(aggregate(Bars(*columns), timeframe)))


def test_prices_go_from_the_open_over_both_extremes_to_the_close() -> None:
    market = SyntheticMarket(5)
    feed = Feed(market, market.listing("BTC/USDT"), 4)
    bar = next(rows(market.bars("BTC/USDT", "1m", T0, T0)))
    prices = []
    for step in range(4):
        feed.seek(T0 + step * 15_000)
        prices.append(feed.price)
        seen = feed.base_bar()
        assert seen is not None
        assert seen[:5] == (T0, bar.open, max(prices), min(prices), feed.price)
        assert (seen.volume == bar.volume) == (step == 3)
    assert prices[0] == bar.open and prices[-1] == bar.close
    assert {bar.high, bar.low} <= set(prices)
    assert feed.base_bar() == bar


@pytest.mark.parametrize("timeframe", ["1m", "5m", "1h"])
def test_forming_candles_contain_only_past_prices(timeframe: str) -> None:
    market = SyntheticMarket(5)
    feed = Feed(market, market.listing("ETH/USDT"), 4)
    for time in range(T0 - 7 * MINUTE, T0 + 8 * MINUTE, 15_000):
        feed.seek(time)
        forming = feed.forming(timeframe)
        assert forming is not None
        expected = naive(market, timeframe, feed)
        assert forming[:5] == expected[:5]
        assert forming.volume == pytest.approx(expected.volume)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 6 * 240), min_size=1, max_size=6), st.sampled_from([4, 30]))
def test_a_jump_gives_the_same_state_as_single_steps(offsets: list[int], steps: int) -> None:
    market = SyntheticMarket(9)
    listing = market.listing("BTC/USDT")
    jumping, fresh = Feed(market, listing, steps), Feed(market, listing, steps)
    for offset in sorted(offsets):
        jumping.seek(T0 + offset * 15_000)
        jumping.forming("15m")
    fresh.seek(T0 + max(offsets) * 15_000)
    a, b = jumping.forming("15m"), fresh.forming("15m")
    assert a is not None and b is not None
    assert a[:5] == b[:5]
    assert a.volume == pytest.approx(b.volume)
    assert (jumping.price, jumping.traded) == (fresh.price, fresh.traded)


async def test_a_feed_never_shows_the_future() -> None:
    market = SyntheticMarket(3)
    listing, time = market.listing("BTC/USDT"), T0 + 37 * MINUTE + 15_000
    honest, cut = Feed(market, listing, 4), Feed(Cut(market, time), listing, 4)
    honest.seek(time)
    cut.seek(time)
    for timeframe in ("1m", "5m", "1h", "1d"):
        assert cut.forming(timeframe) == honest.forming(timeframe)
        assert cut.candles(timeframe, None, None, 50) == honest.candles(timeframe, None, None, 50)
        start = T0 - HOUR
        assert cut.candles(timeframe, start, None, 500) == honest.candles(
            timeframe, start, None, 500
        )
    assert cut.day() == honest.day()
    assert cut.average() == honest.average()
    last = (await honest.tape.trades(0, 2**60, 20, newest=True))[-1]
    assert last.timestamp <= time


def test_candles_are_selected_like_klines(candles: Candles) -> None:
    market = candles(BTCUSDT={m: (10, 10, 10, 10, 1) for m in (*range(10), *range(20, 30))})
    feed = Feed(market, market.listing("BTC/USDT"), 4)
    feed.seek(T0 + 25 * MINUTE)

    def minutes(start: int | None, end: int | None, limit: int) -> list[int]:
        times = [None if m is None else T0 + m * MINUTE for m in (start, end)]
        return [
            (bar.timestamp - T0) // MINUTE for bar in feed.candles("1m", times[0], times[1], limit)
        ]

    assert minutes(None, None, 3) == [23, 24, 25]
    assert minutes(None, None, 8) == [8, 9, 20, 21, 22, 23, 24, 25]
    assert minutes(0, None, 3) == [0, 1, 2]
    assert minutes(8, None, 4) == [8, 9, 20, 21]
    assert minutes(8, 20, 100) == [8, 9, 20]
    assert minutes(None, 21, 2) == [20, 21]
    assert minutes(None, 15, 2) == [8, 9]
    assert minutes(24, None, 100) == [24, 25]
    assert minutes(26, None, 100) == []
    assert minutes(-500, -400, 100) == []
    assert minutes(12, 14, 100) == []


def test_in_a_gap_the_last_candle_stays_open_without_trades(candles: Candles) -> None:
    rows_of = {m: (10, 11, 9, 10, 1) for m in (0, 1, 2, 700, 701)}
    market = candles(BTCUSDT=rows_of)
    feed = Feed(market, market.listing("BTC/USDT"), 4)
    feed.seek(T0 - MINUTE)
    assert feed.bar is None and not feed.trading and not feed.over
    feed.seek(T0 + 2 * MINUTE)
    assert feed.trading
    for late in (3, 350, 699):
        feed.seek(T0 + late * MINUTE)
        assert not feed.trading and not feed.over
        assert feed.bar is not None and feed.bar.timestamp == T0 + 2 * MINUTE
    # A feed that starts inside the gap has the same state.
    fresh = Feed(market, market.listing("BTC/USDT"), 4)
    fresh.seek(T0 + 650 * MINUTE)
    assert fresh.bar == feed.bar
    feed.seek(T0 + 700 * MINUTE)
    assert feed.trading
    feed.seek(T0 + 702 * MINUTE)
    assert feed.over


def test_a_feed_that_starts_inside_a_candle_trades_at_once() -> None:
    market = SyntheticMarket(1)
    feed = Feed(market, market.listing("BTC/USDT"), 4)
    for time in range(T0 + 15_000, T0 + 25 * HOUR, 15_000):
        feed.seek(time)
        assert feed.trading and feed.bar is not None, time
        assert feed.bar.timestamp == open_time(time, "1m")
