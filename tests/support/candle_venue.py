"""A venue in memory (a fake): the candles at given times, with its answers counted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

from botlib.core.model import Candle, CandleSource
from botlib.core.timeframe import timeframe_ms
from botlib.venues.binance.capabilities import BINANCE


class CandleVenue:
    """A venue that has candles at ``times`` (open times in ms), and answers like a real one.

    Args:
        times: open times in ms, ascending; they may lie off the grid of the timeframe.
        timeframe: of all candles.
        now: market time in ms.
        page: most candles in one answer.
    """

    venue = "paper:synthetic:seed=5"

    def __init__(self, times: list[int], timeframe: str, now: int, *, page: int = 1_000) -> None:
        self.times, self.timeframe, self.now = times, timeframe, now
        self.capabilities = replace(BINANCE, candles_per_page=page)
        self.requests = 0
        self.stop_after: int | None = None
        """Requests after which one is cancelled, as by an interrupted cell."""
        self.lag = 0
        """Answers that will come from a copy that lags one candle behind."""

    def market(self, symbol: str) -> Any:
        class Named:
            pass

        named = Named()
        named.symbol = symbol  # type: ignore[attr-defined]
        return named

    async def market_time(self) -> int:
        return self.now

    async def fetch_candles(
        self,
        symbol: str,
        timeframe: str,
        start: int,
        end: int,
        *,
        now: int,
        limit: int | None = None,
        forming: bool = False,
    ) -> list[Candle]:
        assert forming
        assert limit is not None
        self.requests += 1
        if self.stop_after is not None and self.requests > self.stop_after:
            raise asyncio.CancelledError
        length, seen = timeframe_ms(timeframe), self.now
        if self.lag:
            self.lag -= 1
            seen -= length
        return [
            candle(time, timeframe, closed=time + length <= seen)
            for time in self.times
            if start <= time <= min(end, seen)
        ][:limit]


def candle(time: int, timeframe: str, *, closed: bool = True, close: float = 1.5) -> Candle:
    """Return a candle of BTC/USDT; a copy from before its close shows another price."""
    return Candle(
        symbol="BTC/USDT",
        timeframe=timeframe,
        timestamp=time,
        open=1.0,
        high=2.0,
        low=0.5,
        close=close if closed else 1.25,
        volume=float(time % 977),
        closed=closed,
        source=CandleSource.REST,
    )
