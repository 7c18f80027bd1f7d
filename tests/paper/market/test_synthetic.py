"""The synthetic market: determinism, valid candles, plausible statistics."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from decimal import Decimal

import numpy as np
import pytest
from numpy.typing import NDArray

from botlib.core.errors import InvalidInput, UnknownSymbol, UnknownTimeframe
from botlib.core.timeframe import DAY, HOUR, MINUTE, WEEK
from botlib.paper.market.market import Bars, aggregate
from botlib.paper.market.synthetic import (
    CACHED_DAYS,
    DEFAULT_SYMBOLS,
    HORIZON,
    ORIGIN,
    SyntheticMarket,
)

T0 = 1_735_689_600_000
FIELDS = ("timestamp", "open", "high", "low", "close", "volume")
SYMBOLS = (*DEFAULT_SYMBOLS, "SHIB/USDT", "USDC/USDT", "BTC/TRY", "QUUX/USDT", "QUUX/BTC")


def digest(bars: Bars) -> str:
    return hashlib.sha256(b"".join(getattr(bars, name).tobytes() for name in FIELDS)).hexdigest()


def month(symbol: str, seed: int = 42) -> Bars:
    return SyntheticMarket(seed).bars(symbol, "1m", T0, T0 + 30 * DAY - MINUTE)


@pytest.fixture(scope="module")
def quarter() -> Bars:
    return SyntheticMarket(42).bars("BTC/USDT", "1m", T0, T0 + 90 * DAY - 1)


@pytest.fixture(scope="module")
def returns(quarter: Bars) -> NDArray[np.float64]:
    return np.diff(np.log(quarter.close))


def same_lag(values: NDArray[np.float64], lag: int) -> float:
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])


PROGRAM = """
import hashlib, sys
from botlib.paper.market.synthetic import SyntheticMarket
market, t0 = SyntheticMarket(42), 1_735_689_600_000
for symbol in sys.argv[1:]:
    bars = market.bars(symbol, "1m", t0, t0 + 3 * 86_400_000 - 60_000)
    fields = ("timestamp", "open", "high", "low", "close", "volume")
    content = b"".join(getattr(bars, name).tobytes() for name in fields)
    sys.stdout.write(symbol + " " + hashlib.sha256(content).hexdigest() + "\\n")
"""


def test_another_process_and_hash_seed_give_the_same_candles() -> None:
    symbols = ["BTC/USDT", "QUUX/USDT", "ETH/BTC"]
    outputs = []
    for hash_seed, order in (("1", symbols), ("77", symbols[::-1])):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, *order],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.append(sorted(done.stdout.splitlines()))
    market = SyntheticMarket(42)
    here = sorted(
        f"{symbol} {digest(market.bars(symbol, '1m', T0, T0 + 3 * DAY - MINUTE))}"
        for symbol in symbols
    )
    assert outputs == [here, here]


def test_the_order_and_size_of_requests_do_not_matter() -> None:
    whole = month("ETH/USDT")
    market = SyntheticMarket(42)
    market.bars("BTC/USDT", "1h", T0 + 900 * DAY, T0 + 901 * DAY)
    for start in reversed(range(T0, T0 + 30 * DAY, 7 * HOUR)):
        part = market.bars("ETHUSDT", "1m", start, start + 90 * MINUTE)
        expected = whole.between(start, start + 90 * MINUTE)
        assert digest(part.between(T0, T0 + 30 * DAY - MINUTE)) == digest(expected)


def test_days_are_the_same_after_they_left_the_cache() -> None:
    market = SyntheticMarket(5)
    first = digest(market.bars("BTC/USDT", "1m", T0, T0 + DAY))
    market.bars("BTC/USDT", "1m", T0 + DAY, T0 + (CACHED_DAYS + 20) * DAY)
    assert digest(market.bars("BTC/USDT", "1m", T0, T0 + DAY)) == first


def test_seeds_and_symbols_differ() -> None:
    found = {digest(month(symbol, seed)) for symbol in ("BTC/USDT", "ETH/USDT") for seed in (1, 2)}
    assert len(found) == 4
    assert SyntheticMarket(7).venue == "paper:synthetic:seed=7"


@pytest.mark.parametrize("symbol", SYMBOLS)
def test_candles_are_complete_valid_and_on_tick_and_step(symbol: str) -> None:
    market = SyntheticMarket(3)
    bars, listing = market.bars(symbol, "1m", T0, T0 + 5 * DAY - MINUTE), market.listing(symbol)
    assert np.array_equal(bars.timestamp, np.arange(T0, T0 + 5 * DAY, MINUTE))
    assert (bars.low > 0).all()
    assert (bars.low <= np.minimum(bars.open, bars.close)).all()
    assert (bars.high >= np.maximum(bars.open, bars.close)).all()
    jumps = np.abs(bars.open[1:] - bars.close[:-1]) / float(listing.tick)
    assert jumps.max() < 1.01
    for values, unit in ((bars.open, listing.tick), (bars.high, listing.tick),
                         (bars.low, listing.tick), (bars.close, listing.tick),
                         (bars.volume, listing.step)):  # fmt: skip
        printed = [Decimal(repr(value)) for value in values[::97].tolist()]
        assert all(value % unit == 0 and value >= unit for value in printed)


@pytest.mark.parametrize("timeframe", ["5m", "15m", "1h", "4h", "1d", "3d", "1w"])
def test_higher_timeframes_are_exact_aggregates_of_minutes(timeframe: str) -> None:
    market = SyntheticMarket(42)
    start, end = T0 - T0 % WEEK, T0 - T0 % WEEK + 5 * WEEK
    expected = aggregate(market.bars("SOL/USDT", "1m", start - 2 * WEEK, end), timeframe)
    # The request is inside the range, so that the candles at its edges are complete too.
    inside = (start, end - 2 * WEEK)
    got = market.bars("SOL/USDT", timeframe, *inside)
    assert len(got) > 1
    for name in FIELDS:
        assert getattr(got, name).tolist() == getattr(expected.between(*inside), name).tolist()


def test_a_candle_is_complete_whatever_the_end_of_the_request() -> None:
    market = SyntheticMarket(42)
    one = market.bars("BTC/USDT", "1h", T0, T0)
    assert digest(one) == digest(aggregate(market.bars("BTC/USDT", "1m", T0, T0 + HOUR - 1), "1h"))


def test_the_first_candle_and_the_horizon() -> None:
    market = SyntheticMarket(42)
    assert market.span("BTC/USDT") == (ORIGIN, None)
    assert market.bars("BTC/USDT", "1m", 0, ORIGIN).timestamp.tolist() == [ORIGIN]
    assert len(market.bars("BTC/USDT", "1m", 0, ORIGIN - 1)) == 0
    assert len(market.bars("BTC/USDT", "1m", T0 + 1, T0)) == 0
    assert len(market.bars("BTC/USDT", "1m", HORIZON - 2 * MINUTE, HORIZON + DAY)) == 2
    assert market.next_open("BTC/USDT", 5) == ORIGIN
    assert market.next_open("BTC/USDT", T0) == T0
    assert market.next_open("BTC/USDT", T0 + 1) == T0 + MINUTE


def test_any_valid_symbol_is_listed_after_its_first_request() -> None:
    market = SyntheticMarket(42)
    assert [item.symbol for item in market.listings()] == list(DEFAULT_SYMBOLS)
    assert market.listing("zedusdt") is market.listing("ZED/USDT")
    assert [item.symbol for item in market.listings()] == [*DEFAULT_SYMBOLS, "ZED/USDT"]
    for unreadable in ("", "???", "FOOBAR", "USDT/USDT"):
        with pytest.raises(UnknownSymbol):
            market.listing(unreadable)
    with pytest.raises(UnknownTimeframe):
        market.bars("BTC/USDT", "7m", T0, T0)
    for seed in (-1, 1.5, "42", True):
        with pytest.raises(InvalidInput, match="as a seed"):
            SyntheticMarket(seed)  # type: ignore[arg-type]


def test_volatility_clusters(returns: NDArray[np.float64]) -> None:
    size = np.abs(returns)
    assert same_lag(size, 1) > 0.2
    assert same_lag(size, 30) > 0.1
    assert same_lag(size, 30) < same_lag(size, 1)
    assert abs(same_lag(returns, 1)) < 0.05


def test_tails_are_fat(returns: NDArray[np.float64]) -> None:
    centred = returns - returns.mean()
    assert float(np.mean(centred**4) / np.mean(centred**2) ** 2) > 5


def test_volume_follows_the_size_of_returns_and_the_hour(
    quarter: Bars, returns: NDArray[np.float64]
) -> None:
    assert np.corrcoef(quarter.volume[1:], np.abs(returns))[0, 1] > 0.3
    hours = quarter.volume.reshape(-1, 24, 60).mean(axis=(0, 2))
    assert hours[15] > 1.5 * hours[4]


def test_coins_move_together() -> None:
    btc, eth = (np.diff(np.log(month(symbol).close)) for symbol in ("BTC/USDT", "ETH/USDT"))
    assert 0.4 < np.corrcoef(btc, eth)[0, 1] < 0.95


@pytest.mark.parametrize("seed", [1, 42, 1234])
def test_prices_stay_near_their_usual_level(seed: int) -> None:
    market = SyntheticMarket(seed)
    for symbol, level in (("BTC/USDT", 60_000), ("ETH/USDT", 3_000), ("USDC/USDT", 1)):
        days = market.bars(symbol, "1d", T0 - 120 * DAY, T0)
        assert level / 8 < days.low.min() < days.high.max() < level * 8


def test_trends_and_ranges_make_averages_cross(quarter: Bars) -> None:
    close = aggregate(quarter, "5m").close

    def mean(count: int) -> NDArray[np.float64]:
        return np.convolve(close, np.ones(count) / count, "valid")

    above = mean(10)[20:] > mean(30)
    crossings = int(np.count_nonzero(np.diff(above)))
    # A strategy trades within six hours, but less often than at random.
    assert len(close) / 72 < crossings < len(close) / 10


def test_months_of_history_are_fast() -> None:
    market = SyntheticMarket(9)
    start = time.process_time()
    market.bars("BTC/USDT", "1m", T0, T0 + 90 * DAY)
    assert time.process_time() - start < 2
