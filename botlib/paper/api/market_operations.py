"""The table of operations on market data, which need no API key."""

from __future__ import annotations

from typing import Final

from botlib.paper.api.market_data import MarketDataHandlers
from botlib.paper.protocol.operation import Key, Operation, by_symbol, fixed
from botlib.paper.protocol.params import Params


def market_operations(data: MarketDataHandlers) -> dict[Key, Operation]:
    """Return the operations by HTTP method and path below ``/api/v3/``."""
    return {
        ("GET", "ping"): Operation(data.ping, fixed(1)),
        ("GET", "time"): Operation(data.time, fixed(1)),
        ("GET", "exchangeInfo"): Operation(data.exchange_info, fixed(20)),
        ("GET", "executionRules"): Operation(data.execution_rules, _rules_weight),
        ("GET", "referencePrice"): Operation(data.reference_price, fixed(2)),
        ("GET", "referencePrice/calculation"): Operation(data.reference_price, fixed(2)),
        ("GET", "klines"): Operation(data.klines, fixed(2)),
        ("GET", "uiKlines"): Operation(data.klines, fixed(2)),
        ("GET", "ticker"): Operation(data.ticker_window, _window_weight),
        ("GET", "ticker/24hr"): Operation(data.ticker_24h, _ticker_weight),
        ("GET", "ticker/tradingDay"): Operation(data.ticker_day, _window_weight),
        ("GET", "ticker/price"): Operation(data.ticker_price, by_symbol(2, 4)),
        ("GET", "ticker/bookTicker"): Operation(data.ticker_book, by_symbol(2, 4)),
        ("GET", "avgPrice"): Operation(data.average_price, fixed(2)),
        ("GET", "depth"): Operation(data.depth, _depth_weight),
        ("GET", "trades"): Operation(data.trades, fixed(25)),
        ("GET", "historicalTrades"): Operation(data.historical_trades, fixed(25)),
        ("GET", "historicalBlockTrades"): Operation(data.block_trades, fixed(25)),
        ("GET", "aggTrades"): Operation(data.aggregated_trades, fixed(4)),
    }


MARKET_METHODS: Final[dict[str, Key]] = {
    "ping": ("GET", "ping"),
    "time": ("GET", "time"),
    "exchangeInfo": ("GET", "exchangeInfo"),
    "klines": ("GET", "klines"),
    "uiKlines": ("GET", "uiKlines"),
    "ticker": ("GET", "ticker"),
    "ticker.tradingDay": ("GET", "ticker/tradingDay"),
    "ticker.24hr": ("GET", "ticker/24hr"),
    "ticker.price": ("GET", "ticker/price"),
    "ticker.book": ("GET", "ticker/bookTicker"),
    "avgPrice": ("GET", "avgPrice"),
    "depth": ("GET", "depth"),
    "trades.recent": ("GET", "trades"),
    "trades.historical": ("GET", "historicalTrades"),
    "trades.aggregate": ("GET", "aggTrades"),
    "blockTrades.historical": ("GET", "historicalBlockTrades"),
    "executionRules": ("GET", "executionRules"),
    "referencePrice": ("GET", "referencePrice"),
    "referencePrice.calculation": ("GET", "referencePrice/calculation"),
}
"""Methods of the WebSocket API and their operations."""


def _ticker_weight(params: Params) -> int:
    if "symbol" in params:
        return 2
    names = params.names("symbols")
    count = len(names) if names is not None else 101
    return 2 if count <= 20 else 40 if count <= 100 else 80


def _rules_weight(params: Params) -> int:
    names = params.names("symbols")
    if names is not None:
        return min(40, 2 * len(names))
    return 2 if "symbol" in params else 40


def _window_weight(params: Params) -> int:
    names = params.names("symbols")
    return min(200, 4 * (len(names) if names is not None else 1))


def _depth_weight(params: Params) -> int:
    limit = params.limit(100, 5_000)
    return 5 if limit <= 100 else 25 if limit <= 500 else 50 if limit <= 1_000 else 250
