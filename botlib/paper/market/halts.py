"""A market with the gaps that trading halts leave in its candles.

A halt removes whole base candles: the candle in which it starts is the last one before the gap, and
trading resumes with the first base candle that opens after its end. A longer candle around the gap
is aggregated from the base candles outside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from botlib.core.timeframe import open_time, timeframe_ms
from botlib.paper.market.market import Bars, PaperMarket, SymbolListing, aggregate
from botlib.paper.protocol.stored import Stored


class HaltInterval(NamedTuple):
    """A gap in the candles: the first open time that is missing, and the first one after it (ms).

    ``end`` is None while the halt lasts.
    """

    start: int
    end: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SymbolState(Stored):
    """The changes that the operator has made to a symbol.

    Attributes:
        symbol: its id.
        status: its status in exchangeInfo.
        delisted: whether it is no longer listed.
        rules: changes of its rules by name, as they were requested.
        holes: the start and the end of each halt, the earliest first.
    """

    symbol: str
    status: str = "TRADING"
    delisted: bool = False
    rules: dict[str, object] = field(default_factory=dict)
    holes: list[tuple[int, int | None]] = field(default_factory=list)

    @property
    def halts(self) -> list[HaltInterval]:
        """The halts, the earliest first."""
        return [HaltInterval(*hole) for hole in self.holes]


class HaltedMarket:
    """A market without the candles that halts have removed.

    Args:
        market: the market with all of its candles.
        holes: returns the halts of a symbol by its id.
    """

    def __init__(self, market: PaperMarket, holes: Callable[[str], Sequence[HaltInterval]]) -> None:
        self._market = market
        self._holes = holes

    @property
    def venue(self) -> str:
        """Identity of the market."""
        return self._market.venue

    @property
    def base(self) -> str:
        """The finest timeframe."""
        return self._market.base

    def listings(self) -> list[SymbolListing]:
        """Return what is listed."""
        return self._market.listings()

    def listing(self, symbol_or_id: str) -> SymbolListing:
        """Return one listing.

        Raises:
            UnknownSymbol: it cannot be read, or this market does not trade it.
        """
        return self._market.listing(symbol_or_id)

    def timeframes(self) -> list[str]:
        """Return the timeframes, the finest first."""
        return self._market.timeframes()

    def span(self, symbol: str) -> tuple[int, int | None]:
        """Return the open times of the first and the last base candle."""
        return self._market.span(symbol)

    def next_open(self, symbol: str, after: int) -> int | None:
        """Return the first open time of a base candle at or after ``after``, None past the end.

        A halt that still lasts is ignored, since it may end at any time.
        """
        opens = self._market.next_open(symbol, after)
        for start, end in self._holes(self._market.listing(symbol).id):
            if opens is not None and end is not None and start <= opens < end:
                opens = self._market.next_open(symbol, end)
        return opens

    def bars(self, symbol: str, timeframe: str, start: int, end: int) -> Bars:
        """Return the candles whose open time lies in ``start`` to ``end`` (ms, both included).

        Raises:
            UnknownSymbol: this market does not trade it.
            UnknownTimeframe: it is not a multiple of the base.
        """
        found = self._market.bars(symbol, timeframe, start, end)
        length = timeframe_ms(timeframe)
        for hole in self._holes(self._market.listing(symbol).id):
            ends = found.timestamp + length
            until = 2**62 if hole.end is None else hole.end
            if not len(found) or hole.start >= ends[-1] or until <= found.timestamp[0]:
                continue
            touched = (found.timestamp < until) & (ends > hole.start)
            lost = (found.timestamp >= hole.start) & (ends <= until)
            parts = [_chosen(found, ~touched)]
            for opened in found.timestamp[touched & ~lost].tolist():
                base = self._outside(symbol, opened, opened + length - 1)
                parts.append(aggregate(base, timeframe))
            found = _joined(parts)
        return found

    def _outside(self, symbol: str, start: int, end: int) -> Bars:
        """Return the base candles between two times (ms) that no halt has removed."""
        return self.bars(symbol, self.base, start, end)


def halted(holes: Sequence[HaltInterval], time: int, base: str) -> list[HaltInterval]:
    """Return the halts after one has started at a market time (ms)."""
    if holes and holes[-1].end is None:
        return list(holes)
    return [*holes, HaltInterval(open_time(time, base) + timeframe_ms(base), None)]


def resumed(holes: Sequence[HaltInterval], time: int, base: str) -> list[HaltInterval]:
    """Return the halts after trading was allowed again at a market time (ms)."""
    if not holes or holes[-1].end is not None:
        return list(holes)
    end = open_time(time, base) + timeframe_ms(base)
    # A halt that ends within the candle in which it started removes nothing.
    return [*holes[:-1], *([HaltInterval(holes[-1].start, end)] if end > holes[-1].start else [])]


def _chosen(bars: Bars, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> Bars:
    return Bars(*(getattr(bars, name)[rows] for name in Bars.__slots__))


def _joined(parts: Iterable[Bars]) -> Bars:
    found = [part for part in parts if len(part)]
    if not found:
        return Bars.empty()
    columns = [np.concatenate([getattr(part, name) for part in found]) for name in Bars.__slots__]
    order = np.argsort(columns[0], kind="stable")
    return Bars(*(column[order] for column in columns))
