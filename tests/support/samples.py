"""Sample candles, orders and requests for tests."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

import numpy as np
import pandas as pd

from botlib.core.model import Candle, CandleSource, Order, OrderStatus, OrderType, Side
from botlib.core.timeframe import timeframe_ms
from botlib.frames import candle_frame
from botlib.paper.matching.requests import OrderRequest

NEW_YEAR: Final = 1_704_067_200_000
"""2024-01-01 00:00 UTC, ms: a Monday, at which candles of every timeframe but 3d open."""


def candle(timestamp: int, close: float = 1.5, **changes: Any) -> Candle:
    """Return a closed minute of BTC/USDT, from the stream, with some values changed."""
    values: dict[str, Any] = {
        "symbol": "BTC/USDT",
        "timeframe": "1m",
        "timestamp": timestamp,
        "open": 1.0,
        "high": 1e9,
        "low": 0.5,
        "close": close,
        "volume": 10.0,
        "closed": True,
        "source": CandleSource.STREAM,
    }
    return Candle(**values | changes)


def flat(timestamp: int, price: float, **changes: Any) -> Candle:
    """Return a candle in which the price did not move."""
    return candle(timestamp, price, **{"open": price, "high": price, "low": price} | changes)


def order(**changes: Any) -> Order:
    """Return an open order to buy 2 BTC at market, with some values changed."""
    values: dict[str, Any] = {
        "client_order_id": "x",
        "venue_order_id": None,
        "strategy": "s",
        "symbol": "BTC/USDT",
        "side": Side.BUY,
        "type": OrderType.MARKET,
        "amount": Decimal("2"),
        "price": None,
        "status": OrderStatus.OPEN,
        "filled": Decimal(0),
        "cost": Decimal(0),
        "created": 0,
        "updated": 0,
    }
    return Order(**values | changes)


def request(**changes: Any) -> OrderRequest:
    """Return a request to the paper exchange to buy 0.001 BTC at market, with values changed."""
    values: dict[str, Any] = {
        "side": "BUY",
        "type": "MARKET",
        "time_in_force": "GTC",
        "price": None,
        "amount": Decimal("0.001"),
        "quote_amount": None,
        "client_order_id": None,
    }
    return OrderRequest(**values | changes)


def market(rows: int, timeframe: str = "1h", *, seed: int = 0, step: float = 0.003) -> pd.DataFrame:
    """Return the candle frame of a random walk; each candle opens where the last one closed."""
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.normal(0, step, rows)))
    opened = np.concatenate(([100.0], close[:-1]))
    high, low = np.maximum(opened, close) * 1.001, np.minimum(opened, close) * 0.999
    times = NEW_YEAR + np.arange(rows) * timeframe_ms(timeframe)
    return candle_frame(times, np.column_stack([opened, high, low, close, np.ones(rows)]))


def market_frame(rows: int, seed: int = 7) -> pd.DataFrame:
    """Return minutes of candles: quiet and volatile hours, gaps, equal prices, a flat hour."""
    random = np.random.default_rng(seed)
    step = 0.002 * (1.1 + np.sin(np.arange(rows) / 60))
    close = np.round(50_000 * np.exp(np.cumsum(random.normal(0, 1, rows) * step)), 1)
    close[rows // 3 : rows // 3 + 60] = close[rows // 3]
    open_ = np.concatenate([close[:1], close[:-1]]) * (1 + step * random.normal(0, 0.2, rows))
    open_[rows // 3 : rows // 3 + 60] = close[rows // 3]
    spread = np.where(open_ == close, 0.0, step)
    index = pd.date_range("2025-01-01", periods=rows, freq="min", unit="ms", name="timestamp")
    return pd.DataFrame(
        {
            "open": open_,
            "high": np.maximum(open_, close) * (1 + spread * random.random(rows)),
            "low": np.minimum(open_, close) * (1 - spread * random.random(rows)),
            "close": close,
            "volume": 10 * random.random(rows),
        },
        index=index,
    )
