"""A synthetic market of any symbol, with the same candles for the same seed.

The daily log price of each symbol has shocks shared with the whole market and shocks of its own,
a varying volatility, drifts that last for weeks, and a slow reversion to the symbol's usual price.
The 1,440 minutes of a day are a bridge from one daily close to the next, drawn by a generator of
that day alone, so any day can be made without the minutes before it. Nothing depends on the order
of requests, the process or Python's hash seed. The numbers are those of the locked numpy release;
another release, or another kind of processor, may round a price to the next tick.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from botlib.core.errors import InvalidInput, UnknownSymbol
from botlib.core.symbol import split_symbol
from botlib.core.timeframe import DAY, MINUTE, open_time, timeframe_ms
from botlib.paper.market.market import (
    Bars,
    SymbolListing,
    aggregate,
    known_decimals,
    make_listing,
    multiples,
)
from botlib.paper.market.profiles import (
    MINUTES_A_DAY,
    SymbolProfile,
    profile_decimals,
    seed_of,
    symbol_profile,
)
from botlib.venues.symbols import unified_symbol

ORIGIN: Final = 1_546_300_800_000
"""Open time of the first candle: 2019-01-01 00:00 UTC."""

DEFAULT_SYMBOLS: Final = (
    "BTC/USDT",
    "ETH/USDT",
    "BNB/USDT",
    "SOL/USDT",
    "XRP/USDT",
    "ADA/USDT",
    "DOGE/USDT",
    "AVAX/USDT",
    "LINK/USDT",
    "LTC/USDT",
    "ETH/BTC",
)

HORIZON: Final = 4_102_444_800_000
"""No candle opens from 2100-01-01 00:00 UTC on."""

CACHED_DAYS: Final = 8
"""Days of minutes cached per symbol, about 70 kB each."""

CACHED_COARSE: Final = 4_096
"""Days of longer candles cached for all symbols; each is made from a whole day of minutes."""

_COARSE: Final = 15 * MINUTE
"""Shortest candles (ms) that are few enough to cache the days of years."""

_BLOCK: Final = 512

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class SyntheticMarket:
    """A market without an end; it lists every symbol that can be read.

    Args:
        seed: a whole number from 0 up.

    Raises:
        InvalidInput: the seed is something else.
    """

    def __init__(self, seed: int) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
            raise InvalidInput(f"Cannot use {seed!r} as a seed. Accepted: whole numbers from 0 up.")
        self._seed = seed
        self._factor = _MarketFactor(seed_of(seed, "market"))
        self._listings: dict[str, SymbolListing] = {}
        self._ordered: list[SymbolListing] = []
        self._series: dict[str, _SymbolSeries] = {}
        self._coarse: _RecentValues[tuple[str, str, int], Bars] = _RecentValues(CACHED_COARSE)
        for symbol in DEFAULT_SYMBOLS:
            self.listing(symbol)

    @property
    def venue(self) -> str:
        """Identity: ``paper:synthetic:seed=42``."""
        return f"paper:synthetic:seed={self._seed}"

    @property
    def base(self) -> str:
        """``1m``."""
        return "1m"

    def listings(self) -> list[SymbolListing]:
        """Return `DEFAULT_SYMBOLS`, then all other symbols requested so far, alphabetically."""
        if len(self._ordered) != len(self._listings):
            others = sorted(set(self._listings) - set(DEFAULT_SYMBOLS))
            self._ordered = [self._listings[symbol] for symbol in (*DEFAULT_SYMBOLS, *others)]
        return list(self._ordered)

    def listing(self, symbol_or_id: str) -> SymbolListing:
        """Return the listing of any symbol; tick and step are Binance's if known.

        Raises:
            UnknownSymbol: it cannot be read, or its base and quote are the same.
        """
        symbol = unified_symbol(symbol_or_id)
        if symbol not in self._listings:
            base, quote = split_symbol(symbol)
            if base == quote:
                raise UnknownSymbol(f"{symbol!r} is no market: its base and quote are the same.")
            profile = symbol_profile(self._seed, symbol)
            listing = make_listing(symbol, *(known_decimals(symbol) or profile_decimals(profile)))
            self._listings[symbol] = listing
            self._series[symbol] = _SymbolSeries(profile, listing, self._factor)
        return self._listings[symbol]

    def timeframes(self) -> list[str]:
        """Return all timeframes, the finest first."""
        return multiples(self.base)

    def span(self, symbol: str) -> tuple[int, int | None]:
        """Return `ORIGIN` and None, since there is no last candle."""
        self.listing(symbol)
        return ORIGIN, None

    def bars(self, symbol: str, timeframe: str, start: int, end: int) -> Bars:
        """Return the candles whose open time lies in ``start`` to ``end`` (ms, both included).

        The first candle of 3d and 1w opens before `ORIGIN` and covers the time after it.

        Raises:
            UnknownSymbol: the symbol cannot be read.
            UnknownTimeframe: there is no such timeframe.
        """
        symbol = self.listing(symbol).symbol
        length = timeframe_ms(timeframe)
        first = max(open_time(start, timeframe), ORIGIN)
        last = min(open_time(end, timeframe) + length, HORIZON) - MINUTE
        if first > last:
            return Bars.empty()
        # Made day by day, so that a year of daily candles is never in memory as minutes.
        within = timeframe if length <= DAY else "1d"
        days = range((first - ORIGIN) // DAY, (last - ORIGIN) // DAY + 1)
        bars = _concatenate([self._day(symbol, within, day) for day in days])
        return (bars if within == timeframe else aggregate(bars, timeframe)).between(start, end)

    def next_open(self, symbol: str, after: int) -> int | None:
        """Return the first minute at or after ``after``; there is always one."""
        self.listing(symbol)
        return max(ORIGIN, -(-int(after) // MINUTE) * MINUTE)

    def _day(self, symbol: str, timeframe: str, day: int) -> Bars:
        series = self._series[symbol]
        if timeframe == "1m":
            return series.day(day)
        if timeframe_ms(timeframe) < _COARSE:
            return aggregate(series.day(day), timeframe)
        key = (symbol, timeframe, day)
        return self._coarse.get(key, lambda: aggregate(series.day(day), timeframe))


class _RecentValues(Generic[Key, Value]):
    """A cache of the values that were used last."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._values: OrderedDict[Key, Value] = OrderedDict()

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value of a key, made if it is not cached."""
        if key not in self._values:
            self._values[key] = make()
            if len(self._values) > self._limit:
                self._values.popitem(last=False)
        self._values.move_to_end(key)
        return self._values[key]


def _concatenate(parts: list[Bars]) -> Bars:
    if len(parts) == 1:
        return parts[0]
    return Bars(
        np.concatenate([part.timestamp for part in parts]),
        *(
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("open", "high", "low", "close", "volume")
        ),
    )


def _generator(key: int, *path: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key, spawn_key=path)))


class _MarketMinutes(NamedTuple):
    """One day of the whole market by minutes: its shocks and the log of its volatility."""

    shocks: NDArray[np.float64]
    log_volatility: NDArray[np.float64]


class _MarketFactor:
    """The factor that all symbols share: daily shocks of the market and its minutes."""

    def __init__(self, key: int) -> None:
        self._key = key
        self._shocks = np.empty(0)
        self._log_volatility = np.empty(0)
        self._state = np.zeros(2)
        self._days: _RecentValues[int, _MarketMinutes] = _RecentValues(CACHED_DAYS)

    def block(self, number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the shocks, drifts included, and the log volatility of a block of days."""
        while len(self._shocks) < (number + 1) * _BLOCK:
            draws = _generator(self._key, 0, len(self._shocks) // _BLOCK)
            noise = draws.standard_normal((3, _BLOCK))
            # Drifts last longer than two weeks, so that the market trends and then ranges.
            drift = _persistent(0.93, 0.22, noise[0], self._state[0])
            wander = _persistent(0.95, 0.3, noise[1], self._state[1])
            self._state = np.array((drift[-1], wander[-1]))
            self._shocks = np.append(self._shocks, noise[2] + drift)
            self._log_volatility = np.append(self._log_volatility, wander)
        part = slice(number * _BLOCK, (number + 1) * _BLOCK)
        return self._shocks[part], self._log_volatility[part]

    def minutes(self, day: int) -> _MarketMinutes:
        """Return the market's minutes of a day."""

        def make() -> _MarketMinutes:
            noise = _generator(self._key, 1, day).standard_normal((3, MINUTES_A_DAY))
            return _MarketMinutes(noise[0], _minute_volatility(noise[1], noise[2]))

        return self._days.get(day, make)


class _SymbolSeries:
    """The candles of one symbol."""

    def __init__(
        self, profile: SymbolProfile, listing: SymbolListing, factor: _MarketFactor
    ) -> None:
        self._profile = profile
        self._factor = factor
        self._ticks = float(1 / listing.tick)
        self._steps = float(1 / listing.step)
        self._closes = np.zeros(1)
        """Log of close over usual price: of the day before `ORIGIN`, then of each day."""
        self._volatilities = np.empty(0)
        self._state = 0.0
        self._days: _RecentValues[int, Bars] = _RecentValues(CACHED_DAYS)

    def day(self, day: int) -> Bars:
        """Return the 1,440 minutes of a day; days count from `ORIGIN`."""
        return self._days.get(day, lambda: self._minutes(day))

    def _minutes(self, day: int) -> Bars:
        self._extend(day)
        profile, market = self._profile, self._factor.minutes(day)
        draws = _generator(profile.key, 1, day)
        noise = draws.standard_normal((5, MINUTES_A_DAY))
        log_volatility = 0.75 * market.log_volatility + 0.66 * _minute_volatility(
            noise[0], noise[1]
        )
        sigma = (
            self._volatilities[day]
            / np.sqrt(MINUTES_A_DAY)
            * _VOLATILITY_SHAPE
            * np.exp(log_volatility)
        )
        own = np.sqrt(1 - profile.correlation**2)
        shocks = profile.correlation * market.shocks + own * noise[2]
        returns = sigma * (shocks + _persistent(0.99, 0.045, noise[3], 0.0))
        path = self._bridge(day, returns, sigma)
        opens, closes = self._opens(path, draws)
        highs, lows = _extremes(opens, closes, sigma * path[1:] * self._ticks, draws)
        surprise = np.abs(shocks)
        activity = 0.7 * log_volatility + 0.45 * surprise - 0.55 + 0.45 * noise[4]
        weekend = 0.7 if (day + 1) % 7 in (5, 6) else 1.0
        level = profile.turnover * weekend * (self._volatilities[day] / profile.volatility)
        amount = np.maximum(np.rint(level * _VOLUME_SHAPE * np.exp(activity) * self._steps), 1)
        start = ORIGIN + day * DAY
        return Bars(
            np.arange(start, start + DAY, MINUTE, dtype=np.int64),
            opens / self._ticks,
            highs / self._ticks,
            lows / self._ticks,
            closes / self._ticks,
            amount / self._steps,
        )

    def _extend(self, day: int) -> None:
        """Extend the daily path until it covers a day."""
        profile = self._profile
        while len(self._volatilities) <= day:
            number = len(self._volatilities) // _BLOCK
            shocks, market = self._factor.block(number)
            noise = _generator(profile.key, 0, number).standard_normal((2, _BLOCK))
            wander = _persistent(0.93, 0.25, noise[0], self._state)
            self._state = float(wander[-1])
            own = np.sqrt(1 - profile.correlation**2)
            sigma = profile.volatility * np.exp(0.8 * market + wander - 0.1)
            returns = sigma * (profile.correlation * shocks + own * noise[1])
            # Half of a deviation is gone after seven months, so prices stay in range for years.
            closes = _decaying(1 - 1 / 300, returns, float(self._closes[-1]))
            self._closes = np.append(self._closes, closes)
            self._volatilities = np.append(self._volatilities, sigma)

    def _bridge(
        self, day: int, returns: NDArray[np.float64], sigma: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return 1,441 prices from the previous close to the day's, moved by ``returns``."""
        before, after = self._closes[day : day + 2]
        # The minutes are corrected towards the day's close in proportion to their variance.
        weight = sigma**2 / np.sum(sigma**2)
        path = np.concatenate(
            ([0.0], np.cumsum(returns + weight * (after - before - returns.sum())))
        )
        path[-1] = after - before
        prices: NDArray[np.float64] = self._profile.usual_price * np.exp(before + path)
        return prices

    def _opens(
        self, path: NDArray[np.float64], draws: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return opens and closes in ticks; a candle opens within a tick of the last close."""
        ticks = np.maximum(np.rint(path * self._ticks), 1)
        jumps = np.rint(draws.uniform(-0.7, 0.7, MINUTES_A_DAY))
        # If a tick is a large part of the price, a jump of a tick would be a large one.
        return np.where(ticks[:-1] > 2_000, ticks[:-1] + jumps, ticks[:-1]), ticks[1:]


def _extremes(
    opens: NDArray[np.float64],
    closes: NDArray[np.float64],
    sigma: NDArray[np.float64],
    draws: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return highs and lows in ticks: the extremes of a Brownian bridge from open to close.

    The maximum of a bridge from a to b is (a + b + sqrt((b - a)² + 2 σ² E)) / 2 with E
    exponentially distributed; the minimum is its mirror image.
    """
    middle, square = (opens + closes) / 2, (closes - opens) ** 2
    reach = np.sqrt(square + 2 * sigma**2 * draws.standard_exponential((2, MINUTES_A_DAY))) / 2
    highs = np.maximum(np.rint(middle + reach[0]), np.maximum(opens, closes))
    lows = np.minimum(np.rint(middle - reach[1]), np.minimum(opens, closes))
    return highs, np.maximum(lows, 1)


def _persistent(
    keep: float, spread: float, noise: NDArray[np.float64], before: float
) -> NDArray[np.float64]:
    """Return a stationary AR(1) series of standard deviation ``spread`` that follows ``before``."""
    return _decaying(keep, spread * np.sqrt(1 - keep**2) * noise, before)


def _decaying(keep: float, steps: NDArray[np.float64], before: float) -> NDArray[np.float64]:
    """Return y with y[i] = keep · y[i-1] + steps[i], where y[-1] is ``before``.

    It is computed in chunks, because the powers of ``keep`` would overflow.
    """
    chunk = max(1, int(200 / -np.log(keep)))
    result = np.empty_like(steps)
    for first in range(0, len(steps), chunk):
        part = steps[first : first + chunk]
        powers = keep ** np.arange(1, len(part) + 1)
        result[first : first + chunk] = powers * (before + np.cumsum(part / powers))
        before = float(result[first + len(part) - 1])
    return result


def _minute_volatility(fast: NDArray[np.float64], slow: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log of a day's volatility by minutes: bursts of half an hour on waves of hours."""
    bursts = _persistent(0.96, 0.36, fast[1:], 0.36 * float(fast[0]))
    swells = _persistent(0.994, 0.36, slow[1:], 0.36 * float(slow[0]))
    # Reduced by the variance, so that the mean square of the exponential is about one.
    return np.append(0.36 * (fast[0] + slow[0]), bursts + swells) - 0.26


def _shape(
    base: float, peaks: dict[float, tuple[float, float]], power: float
) -> NDArray[np.float64]:
    """Return the profile of a usual UTC day by minutes; its mean is one when raised to ``power``.

    Args:
        base: value far from all peaks.
        peaks: hour → height and width in hours.
        power: 2 for volatilities, 1 for volumes.
    """
    hours = np.arange(MINUTES_A_DAY) / 60
    course = np.full(MINUTES_A_DAY, base)
    for hour, (height, width) in peaks.items():
        away = np.abs(hours - hour)
        course += height * np.exp(-((np.minimum(away, 24 - away) / width) ** 2))
    course /= np.mean(course**power) ** (1 / power)
    return course


# Crypto trades all day: most when Europe and New York are both open, and at the daily close.
_VOLATILITY_SHAPE: Final = _shape(
    0.75, {15.0: (0.55, 3.0), 8.0: (0.15, 2.0), 0.0: (0.25, 1.0)}, power=2
)
_VOLUME_SHAPE: Final = _shape(0.6, {15.0: (0.9, 3.0), 8.0: (0.25, 2.0), 0.0: (0.5, 1.0)}, power=1)
