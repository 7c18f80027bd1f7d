"""Sales that a person asks for."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from botlib.core.errors import BotlibError
from botlib.core.model import Order, Signal, SignalAction

if TYPE_CHECKING:
    from botlib.engine.orchestrator import Orchestrator

BY_HAND: Final = "by-hand"
"""What they are journaled under, in place of a strategy."""


async def sell(engine: Orchestrator, symbol: str) -> Order | None:
    """Sell what is held of a symbol at the market; its stop is taken out of the way first.

    None where nothing is held that can be sold.
    """
    name = engine.exchange.market(symbol).symbol
    signal = Signal(
        strategy=BY_HAND,
        symbol=name,
        timeframe=engine.settings.timeframes[0],
        timestamp=engine.market_clock.now(),
        action=SignalAction.EXIT,
        price=engine.frames.last_close(name) or 0.0,
    )
    return await engine.orders.execute(signal, Decimal(0))


async def sell_everything(engine: Orchestrator) -> list[str]:
    """Sell every position at the market; return what came of each, in sentences."""
    told = []
    for position in engine.positions.all():
        if position.flat:
            continue
        try:
            order = await sell(engine, position.symbol)
        except BotlibError as error:
            # One that cannot be sold must not keep the others.
            told.append(f"{position.symbol} was not sold: {error}")
            continue
        if order is None:
            why = engine.orders.refused.get(BY_HAND, "nothing that can be sold is held")
            told.append(f"{position.symbol} was not sold: {why}.")
        else:
            told.append(f"{order.side} {order.amount} {order.symbol}: {order.status}.")
    return told
