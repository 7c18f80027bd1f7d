"""Records of a bot and of its venue for the tests of the invariants: one buy of 0.01 BTC."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any, Final

from botlib.core.model import (
    Candle,
    Fill,
    Order,
    OrderIntent,
    OrderStatus,
    OrderType,
    Side,
    Signal,
    SignalAction,
    SignalRaised,
)
from botlib.invariants.venue_record import VenueOrder, VenueTrade
from botlib.store.holes import Hole
from tests.support import samples

T0: Final = 1_767_571_200_000
"""2026-01-05 00:00 UTC, ms."""

MINUTE: Final = 60_000


def order(name: str = "bl-1", **changes: Any) -> Order:
    base = Order(
        client_order_id=name,
        venue_order_id="1",
        strategy="s",
        symbol="BTC/USDT",
        side=Side.BUY,
        type=OrderType.MARKET,
        amount=Decimal("0.01"),
        price=None,
        status=OrderStatus.FILLED,
        filled=Decimal("0.01"),
        cost=Decimal(900),
        created=T0,
        updated=T0,
    )
    return replace(base, **changes)


def intent(name: str = "bl-1", **changes: Any) -> OrderIntent:
    base = OrderIntent(
        client_order_id=name,
        strategy="s",
        symbol="BTC/USDT",
        side=Side.BUY,
        type=OrderType.MARKET,
        amount=Decimal("0.01"),
        reason="entry",
    )
    return replace(base, **changes)


def fill(trade_id: int = 7, **changes: Any) -> Fill:
    base = Fill(
        symbol="BTC/USDT",
        trade_id=trade_id,
        venue_order_id="1",
        client_order_id="bl-1",
        side=Side.BUY,
        price=Decimal(90_000),
        amount=Decimal("0.01"),
        fee=Decimal("0.00001"),
        fee_asset="BTC",
        timestamp=T0,
        maker=False,
    )
    return replace(base, **changes)


def placed(number: int = 1, name: str = "bl-1", **changes: Any) -> VenueOrder:
    base = VenueOrder(
        order_id=number,
        client_order_id=name,
        symbol="BTCUSDT",
        side="BUY",
        type="MARKET",
        status="FILLED",
        amount=Decimal("0.01"),
        executed=Decimal("0.01"),
        cost=Decimal(900),
        stop_price=Decimal(0),
        created=T0,
    )
    return replace(base, **changes)


def trade(trade_id: int = 7, number: int = 1, **changes: Any) -> VenueTrade:
    base = VenueTrade(
        trade_id=trade_id,
        order_id=number,
        symbol="BTCUSDT",
        side="BUY",
        price=Decimal(90_000),
        amount=Decimal("0.01"),
        commission=Decimal("0.00001"),
        commission_asset="BTC",
        time=T0,
    )
    return replace(base, **changes)


def candle(minute: int, close: float = 10.0) -> Candle:
    return samples.candle(T0 + minute * MINUTE, close, open=10.0, high=11.0, low=9.0, volume=1.0)


def hole(minute: int) -> Hole:
    time = T0 + minute * MINUTE
    return Hole(symbol="BTC/USDT", timeframe="1m", start=time, end=time, cause="", marked=T0)


def signal(minute: int) -> SignalRaised:
    return SignalRaised(
        signal=Signal(
            strategy="s",
            symbol="BTC/USDT",
            timeframe="1m",
            timestamp=T0 + minute * MINUTE,
            action=SignalAction.ENTRY,
            price=10.0,
        )
    )
