"""Settings of strategies that trade, for tests that need trades."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from botlib.core.symbol import split_symbol


def trends(symbols: Iterable[str], timeframe: str = "1m") -> list[dict[str, Any]]:
    """Return the settings of a trend strategy for each symbol, named such as ``trend-btc``."""
    return [
        {
            "name": f"trend-{split_symbol(symbol)[0]}".lower(),
            "strategy": "TrendCross",
            "symbol": symbol,
            "timeframe": timeframe,
            "parameters": {"fast": 10, "slow": 30},
        }
        for symbol in symbols
    ]


TREND_BTC = trends(["BTC/USDT"])
