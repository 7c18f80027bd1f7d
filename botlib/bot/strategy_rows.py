"""The rows of a bot's strategies, and what becomes of a position when its strategy is stopped."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from botlib.engine.active_strategy import ActiveStrategy
    from botlib.views.engine import EngineReading

COLUMNS: Final = (
    "name", "strategy", "symbol", "timeframe", "parameters", "order_cost", "held", "protection",
    "last_asked", "asked", "signals", "last_signal", "signalled", "errors",
)  # fmt: skip
TIMES: Final = ("last_asked", "signalled")


def strategy_row(active: ActiveStrategy, engine: EngineReading) -> SimpleNamespace:
    """Return what a strategy trades, holds and said last; times are open times of candles."""
    book = _book(active, engine)
    signal = active.last_signal
    return SimpleNamespace(
        name=active.name,
        strategy=type(active.strategy).__name__,
        symbol=active.symbol,
        timeframe=", ".join(active.strategy.timeframes),
        parameters=", ".join(f"{key}={value}" for key, value in _parameters(active)),
        order_cost=active.order_cost,
        held=book.get("held", 0),
        protection=book.get("protection", "none"),
        last_asked=active.evaluated,
        asked=active.evaluations,
        signals=active.signals,
        last_signal="" if signal is None else signal.action.value,
        signalled=None if signal is None else signal.timestamp,
        errors=active.errors,
    )


def stopped_line(active: ActiveStrategy, engine: EngineReading) -> str:
    """Return what a strategy that was stopped leaves behind."""
    book, symbol = _book(active, engine), active.symbol
    parts = [f"{active.name} is stopped: it is not asked any more."]
    held = book.get("held", 0)
    if held:
        stop = book.get("stop")
        kept = {
            "resting": f"its stop rests at the venue at {stop:f}" if stop is not None else "",
            "unknown": "its stop is being settled",
            "missing": "its stop is MISSING and is placed again",
        }.get(str(book.get("protection")), "")
        parts.append(
            f"It holds {held:f} of {symbol}, which stay"
            + (f" protected: {kept}." if kept else "; it has no stop.")
            + f" bot.close_position({symbol!r}) sells them."
        )
    elif book.get("wants"):
        parts.append(f"An entry of {symbol} is under way; what it buys is protected.")
    if any(entry.name == active.name for entry in engine.settings.strategies):
        parts.append("It is in the configuration, so the next start begins it again.")
    return " ".join(parts)


def _parameters(active: ActiveStrategy) -> list[tuple[str, Any]]:
    return list(active.strategy.parameters.items())


def _book(active: ActiveStrategy, engine: EngineReading) -> dict[str, Any]:
    for row in engine.orders.book_rows():
        if (row["strategy"], row["symbol"]) == (active.name, active.symbol):
            return row
    return {}
