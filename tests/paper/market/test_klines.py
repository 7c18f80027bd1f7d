"""Old klines: other tasks run while they are made."""

from __future__ import annotations

import asyncio

import pytest

from botlib.core.timeframe import DAY
from botlib.paper import PaperExchange, PaperOptions
from botlib.paper.api.market_data import MarketDataHandlers
from botlib.paper.market import synthetic
from botlib.paper.market.synthetic import ORIGIN, SyntheticMarket
from botlib.paper.protocol.params import Params


@pytest.mark.parametrize(
    "wanted", [{"interval": "1M"}, {"interval": "1d", "timeZone": "5:45"}, {"interval": "1w"}]
)
async def test_making_old_klines_lets_other_tasks_run_and_caches_them(
    wanted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    make = synthetic._SymbolSeries.day
    monkeypatch.setattr(
        synthetic._SymbolSeries, "day", lambda self, day: made.append(day) or make(self, day)
    )
    options = PaperOptions(start=ORIGIN + 200 * DAY)
    exchange = PaperExchange(SyntheticMarket(3), options)
    try:
        data = MarketDataHandlers(exchange.venue, exchange.limits)
        query = Params({"symbol": "BTCUSDT", "startTime": str(ORIGIN), **wanted})
        asked = asyncio.create_task(data.klines(query))
        most = 0
        while not asked.done():
            before = len(made)
            await asyncio.sleep(0)
            most = max(most, len(made) - before)
        rows = asked.result()
        assert isinstance(rows, list) and len(rows) >= 7
        assert most <= 20 < len(made)
        before = len(made)
        assert await data.klines(query) == rows
        assert len(made) == before
    finally:
        await exchange.close()
