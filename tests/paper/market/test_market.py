"""Candle arrays, aggregation, listings, and the path inside a candle."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from botlib.core.errors import UnknownTimeframe
from botlib.core.timeframe import DAY, MINUTE, TIMEFRAMES, open_time
from botlib.paper.market.market import Bars, aggregate, make_listing, multiples, walk

T0 = 1_733_007_600_000


def bars(rows: list[tuple[int, float, float, float, float, float]]) -> Bars:
    table = list(zip(*rows, strict=True))
    return Bars(np.array(table[0], np.int64), *(np.array(column, float) for column in table[1:]))


def rows(table: Bars) -> list[tuple[float, ...]]:
    columns = (table.timestamp, table.open, table.high, table.low, table.close, table.volume)
    return list(zip(*(column.tolist() for column in columns), strict=True))


price = st.integers(1, 10**7).map(lambda ticks: ticks / 100)
amount = st.integers(0, 10**9).map(lambda units: units / 10**5)


@st.composite
def tables(draw: st.DrawFn) -> Bars:
    """Draw candles of whole minutes with gaps of up to three days."""
    steps = draw(st.lists(st.integers(1, 4_000) | st.just(1), min_size=1, max_size=60))
    time = T0 + MINUTE * draw(st.integers(0, 20_000))
    table = []
    for step in steps:
        a, b, c, d = (draw(price) for _ in range(4))
        table.append((time, a, max(a, b, c, d), min(a, b, c, d), d, draw(amount)))
        time += step * MINUTE
    return bars(table)


@given(tables(), st.sampled_from(list(TIMEFRAMES)))
@settings(max_examples=150, deadline=None)
def test_aggregate_equals_a_naive_loop(table: Bars, timeframe: str) -> None:
    groups: dict[int, list[tuple[float, ...]]] = {}
    for row in rows(table):
        groups.setdefault(open_time(int(row[0]), timeframe), []).append(row)
    expected = [
        (
            start,
            group[0][1],
            max(row[2] for row in group),
            min(row[3] for row in group),
            group[-1][4],
            float(sum(Decimal(repr(row[5])) for row in group)),
        )
        for start, group in groups.items()
    ]
    assert rows(aggregate(table, timeframe)) == expected


@given(tables())
@settings(max_examples=50, deadline=None)
def test_aggregating_twice_equals_aggregating_once(table: Bars) -> None:
    assert rows(aggregate(aggregate(table, "15m"), "1d")) == rows(aggregate(table, "1d"))


def test_weeks_open_on_mondays() -> None:
    table = bars([(T0, 1, 1, 1, 1, 1), (T0 + DAY, 2, 2, 2, 2, 2)])  # Saturday, Sunday
    assert aggregate(table, "1w").timestamp.tolist() == [1_732_492_800_000]  # Monday 2024-11-25
    assert aggregate(bars([(T0 + 2 * DAY, 1, 1, 1, 1, 1)]), "1w").timestamp.tolist() == [
        1_733_097_600_000
    ]


def test_aggregate_accepts_no_rows_and_refuses_unknown_timeframes() -> None:
    assert len(aggregate(Bars.empty(), "1h")) == 0
    with pytest.raises(UnknownTimeframe):
        aggregate(Bars.empty(), "7m")


def test_a_large_volume_prints_without_rounding_errors() -> None:
    table = bars([(T0, 1, 1, 1, 1, 2342760845253.25), (T0 + MINUTE, 1, 1, 1, 1, 100000000.5)])
    assert aggregate(table, "1h").volume.tolist() == [2342860845253.75]


@given(tables(), st.integers(-5, 300_000), st.integers(-5, 300_000))
@settings(max_examples=50, deadline=None)
def test_between_includes_both_ends(table: Bars, first: int, last: int) -> None:
    start, end = T0 + first * MINUTE, T0 + last * MINUTE
    expected = [row for row in rows(table) if start <= row[0] <= end]
    assert rows(table.between(start, end)) == expected


def test_multiples() -> None:
    assert multiples("1m") == list(TIMEFRAMES)
    assert multiples("15m")[:3] == ["15m", "30m", "1h"]
    assert multiples("1d") == ["1d", "3d", "1w"]
    assert multiples("3d") == ["3d"]
    assert multiples("1w") == ["1w"]


def test_a_listing_is_made_from_decimals() -> None:
    listing = make_listing("BTC/USDT", 2, 5)
    assert (listing.id, listing.base, listing.quote) == ("BTCUSDT", "BTC", "USDT")
    assert (listing.tick, listing.step) == (Decimal("0.01"), Decimal("0.00001"))
    assert listing.min_amount == Decimal("0.00001")
    assert listing.min_cost == Decimal(5)
    assert make_listing("DOGE/USDT", 5, 0).step == Decimal(1)


@st.composite
def candle(draw: st.DrawFn) -> tuple[float, float, float, float]:
    digits = draw(st.integers(0, 8))
    values = [draw(st.integers(1, 10**8)) / 10**digits for _ in range(4)]
    return values[0], max(values), min(values), values[3]


@given(candle(), st.integers(0, 70), st.integers())
@settings(max_examples=300, deadline=None)
def test_a_path_reaches_the_extremes_and_stays_inside(
    bar: tuple[float, float, float, float], steps: int, key: int
) -> None:
    first, high, low, close = bar
    prices = walk(*bar, steps, key)
    assert len(prices) == max(steps, 4)
    assert (prices[0], prices[-1]) == (first, close)
    assert (max(prices), min(prices)) == (high, low)
    finest = max(-Decimal(repr(value)).normalize().as_tuple().exponent for value in bar)
    assert all(round(value, max(finest, 0)) == value for value in prices)
    assert prices == walk(*bar, steps, key)


def test_the_nearer_extreme_comes_first() -> None:
    up = walk(100.0, 110.0, 99.0, 105.0, 20, 1)
    assert up.index(99.0) < up.index(110.0)
    down = walk(100.0, 101.0, 90.0, 95.0, 20, 1)
    assert down.index(101.0) < down.index(90.0)


def test_a_tie_is_decided_by_the_key() -> None:
    firsts = {walk(100.0, 101.0, 99.0, 100.0, 4, key)[1] for key in range(20)}
    assert firsts == {99.0, 101.0}


def test_a_path_spreads_its_steps() -> None:
    prices = walk(100.0, 110.25, 99.0, 105.0, 60, 7)
    assert len(set(prices)) > 40
    moves = [abs(b - a) for a, b in pairwise(prices)]
    assert max(moves) < 2
