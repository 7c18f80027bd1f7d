"""Closed candles, and how far a market in lockstep has advanced."""

from __future__ import annotations

from typing import NamedTuple


class ClosedCandle(NamedTuple):
    """A candle that has closed: the symbol's id, the timeframe and the open time (ms)."""

    symbol: str
    timeframe: str
    timestamp: int

    @property
    def stream(self) -> str:
        """The name of its kline stream."""
        return f"{self.symbol.lower()}@kline_{self.timeframe}"


class Advance(NamedTuple):
    """How far a market in lockstep has advanced, and which candles closed on the way."""

    market_time: int
    closed: list[ClosedCandle]
    ended: bool
