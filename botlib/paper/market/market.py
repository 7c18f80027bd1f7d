"""A paper market: its listings, its candles on every timeframe, and the prices inside a candle.

A market has no present: it answers for any time that it covers, and the exchange built on it
decides how far market time has advanced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from botlib.core.symbol import split_symbol, symbol_id
from botlib.core.timeframe import DAY, TIMEFRAMES, WEEK, open_time, timeframe_ms
from botlib.trading.candle_path import high_first, path_draws

MIN_STEPS: Final = 4
"""Fewest prices on the path of a candle: open, one extreme, the other, close."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Candles as parallel arrays, one row per candle, ascending by open time (ms), with gaps."""

    timestamp: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.timestamp)

    @classmethod
    def empty(cls) -> Bars:
        """Return arrays without a row."""
        nothing = np.empty(0, np.float64)
        return cls(np.empty(0, np.int64), nothing, nothing, nothing, nothing, nothing)

    def rows(self, first: int, last: int) -> Bars:
        """Return the rows from ``first`` up to but not including ``last``, as views."""
        part = slice(first, last)
        return Bars(
            self.timestamp[part],
            self.open[part],
            self.high[part],
            self.low[part],
            self.close[part],
            self.volume[part],
        )

    def between(self, start: int, end: int) -> Bars:
        """Return the candles whose open time lies in ``start`` to ``end`` (ms, both included)."""
        first = int(np.searchsorted(self.timestamp, start, side="left"))
        last = int(np.searchsorted(self.timestamp, end, side="right"))
        return self.rows(first, max(first, last))


def aggregate(bars: Bars, timeframe: str) -> Bars:
    """Return the candles of a higher timeframe, aggregated from finer ones.

    Candles open on the timeframe's own grid. The first and the last candle are kept even if the
    finer ones cover only a part of them. A gap in the finer candles gives no candle.

    Raises:
        UnknownTimeframe: there is no such timeframe.
    """
    length = timeframe_ms(timeframe)
    if not len(bars):
        return Bars.empty()
    origin = open_time(WEEK, timeframe)
    opens = bars.timestamp - (bars.timestamp - origin) % length
    first = np.concatenate(([0], np.flatnonzero(np.diff(opens)) + 1))
    last = np.concatenate((first[1:], [len(bars)])) - 1
    volume = np.add.reduceat(bars.volume, first)
    # A sum of decimals is rounded to the decimal it stands for, so that it prints exactly. From
    # 9e7 on a double does not hold eight decimals.
    volume = np.where(volume < 9e7, np.round(volume, 8), np.round(volume, 2))
    return Bars(
        opens[first],
        bars.open[first],
        np.maximum.reduceat(bars.high, first),
        np.minimum.reduceat(bars.low, first),
        bars.close[last],
        np.where(first == last, bars.volume[first], volume),
    )


def multiples(base: str) -> list[str]:
    """Return the timeframes that can be aggregated from ``base``, the finest first."""
    length = timeframe_ms(base)
    return [
        name
        for name, value in TIMEFRAMES.items()
        # Weekly candles open on Mondays: only a base that divides a day meets that grid.
        if value % length == 0 and (name != "1w" or base == "1w" or DAY % length == 0)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolListing:
    """A symbol as it is listed: its price moves in steps of ``tick``, amounts in ``step``.

    ``min_amount`` is in base units, ``min_cost`` (price times amount) in quote units. ``rules`` are
    the rules that differ from the usual ones, by name.
    """

    symbol: str
    id: str
    base: str
    quote: str
    tick: Decimal
    step: Decimal
    min_amount: Decimal
    min_cost: Decimal
    rules: Mapping[str, object] = field(default_factory=dict, hash=False)


# Tick and step on Binance spot, as numbers of decimals.
_KNOWN: Final[dict[str, tuple[int, int]]] = {
    "BTC/USDT": (2, 5),
    "ETH/USDT": (2, 4),
    "BNB/USDT": (2, 3),
    "SOL/USDT": (2, 3),
    "XRP/USDT": (4, 1),
    "ADA/USDT": (4, 1),
    "DOGE/USDT": (5, 0),
    "AVAX/USDT": (2, 2),
    "LINK/USDT": (2, 2),
    "LTC/USDT": (2, 3),
    "DOT/USDT": (3, 2),
    "TRX/USDT": (4, 1),
    "SHIB/USDT": (8, 0),
    "PEPE/USDT": (8, 0),
    "BTC/USDC": (2, 5),
    "ETH/USDC": (2, 4),
    "USDC/USDT": (4, 0),
    "ETH/BTC": (5, 4),
    "BNB/BTC": (6, 3),
}

_MIN_COST: Final = {"BTC": "0.0001", "ETH": "0.001", "BNB": "0.01", "TRY": "10", "JPY": "100"}


def known_decimals(symbol: str) -> tuple[int, int] | None:
    """Return Binance's decimals of price and amount for a unified symbol, None if unknown."""
    return _KNOWN.get(symbol)


def make_listing(symbol: str, price_decimals: int, amount_decimals: int) -> SymbolListing:
    """Return the listing of a unified symbol with these numbers of decimals."""
    base, quote = split_symbol(symbol)
    step = Decimal(1).scaleb(-amount_decimals)
    return SymbolListing(
        symbol=symbol,
        id=symbol_id(symbol),
        base=base,
        quote=quote,
        tick=Decimal(1).scaleb(-price_decimals),
        step=step,
        min_amount=step,
        min_cost=Decimal(_MIN_COST.get(quote, "5")),
    )


class PaperMarket(Protocol):
    """A source of candles, past and future, as a venue would have them."""

    @property
    def venue(self) -> str:
        """Identity: ``paper:synthetic:seed=42`` or ``paper:recording:<stem>:<sha256[:8]>``."""

    @property
    def base(self) -> str:
        """The finest timeframe; all others are aggregated from it."""

    def listings(self) -> list[SymbolListing]:
        """Return what is listed; a synthetic market adds every symbol that was asked for."""

    def listing(self, symbol_or_id: str) -> SymbolListing:
        """Return one listing, by its unified symbol or its id.

        Raises:
            UnknownSymbol: it cannot be read, or this market does not trade it.
        """

    def timeframes(self) -> list[str]:
        """Return the timeframes: the base and its multiples, the finest first."""

    def span(self, symbol: str) -> tuple[int, int | None]:
        """Return the open times of the first and the last base candle, None if there is no last."""

    def bars(self, symbol: str, timeframe: str, start: int, end: int) -> Bars:
        """Return the candles whose open time lies in ``start`` to ``end`` (ms, both included).

        Each is complete: aggregated from all of its base candles, whatever ``end`` is.

        Raises:
            UnknownSymbol: this market does not trade it.
            UnknownTimeframe: it is not a multiple of the base.
        """

    def next_open(self, symbol: str, after: int) -> int | None:
        """Return the first open time of a base candle at or after ``after``, None past the end."""


def walk(
    bar_open: float,
    high: float,
    low: float,
    close: float,
    steps: int,
    rng_key: int | str,
) -> list[float]:
    """Return the prices inside a candle, in order.

    The path starts at the open, reaches both extremes exactly, ends at the close and never leaves
    the candle. `high_first` says which extreme comes first; ``rng_key`` decides a tie. The
    same arguments always give the same path. Prices have no more decimals than the candle's own.

    Args:
        bar_open: open price.
        high: high price.
        low: low price.
        close: close price.
        steps: number of prices, `MIN_STEPS` at least.
        rng_key: seed of the noise between the turns, for example the candle's open time.
    """
    rng = path_draws(rng_key)
    steps = max(steps, MIN_STEPS)
    extremes = [high, low] if high_first(bar_open, high, low, rng) else [low, high]
    turns = [bar_open, *extremes, close]
    digits = max(map(_decimals, turns))
    counts = _split(steps - 1, [abs(b - a) for a, b in pairwise(turns)])
    prices = [bar_open]
    for (start, end), count in zip(pairwise(turns), counts, strict=True):
        for number in range(1, count):
            spread = (end - start) / count
            # The noise is less than a step, so the price stays between the leg's two ends.
            price = start + spread * (number + rng.uniform(-0.8, 0.8))
            prices.append(round(price, digits))
        prices.append(end)
    return prices


def _decimals(value: float) -> int:
    whole, _, fraction = repr(value).partition(".")
    if fraction.isdigit() and whole.lstrip("-").isdigit():
        # Nearly all prices are written without an exponent: this is the fast way for them.
        return len(fraction.rstrip("0"))
    exponent = Decimal(repr(value)).normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def _split(total: int, lengths: list[float]) -> list[int]:
    """Split ``total`` steps over the legs: one each at least, the rest by length."""
    whole = sum(lengths)
    spare = total - len(lengths)
    counts = [1 + (int(spare * part / whole) if whole else 0) for part in lengths]
    counts[lengths.index(max(lengths))] += total - sum(counts)
    return counts
