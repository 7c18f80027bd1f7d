"""A bot's strategies and signals as tables, and what a strategy that was stopped leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

from botlib.bot.tables import attribute_table
from botlib.core.clock import iso
from botlib.views.strategies import StrategyFacts, strategy_facts

if TYPE_CHECKING:
    import pandas as pd

    from botlib.engine.strategies.active import ActiveStrategy
    from botlib.engine.watching import RecordedSignal
    from botlib.trading.round_trips import RoundTrip
    from botlib.views.engine import EngineReading

_STRATEGY: Final = (
    "name", "state", "detail", "symbol", "timeframe", "held", "protection", "profit", "today",
    "trips", "won", "asked", "signals", "errors", "last_asked", "last_signal", "signalled",
    "strategy", "parameters", "trades", "order_cost",
)  # fmt: skip
_TRIP: Final = (
    "strategy", "symbol", "opened", "closed", "amount", "entry_price", "exit_price", "fees",
    "profit", "gain",
)  # fmt: skip
_SIGNAL: Final = (
    "candle", "strategy", "symbol", "timeframe", "action", "price", "live", "ordered",
)  # fmt: skip


def strategy_table(engine: EngineReading) -> pd.DataFrame:
    """Return what every strategy trades, earned and said last, one row each.

    ``profit`` counts since its first fill, ``today`` is what was booked since midnight UTC.
    """
    rows = [_strategy_row(one) for one in strategy_facts(engine, engine.account.prices())]
    return attribute_table("Strategies", rows, _STRATEGY, ("last_asked", "signalled"))


def signal_table(recorded: Sequence[RecordedSignal]) -> pd.DataFrame:
    """Return signals, one row each."""
    rows = [
        SimpleNamespace(
            candle=one.signal.timestamp,
            strategy=one.signal.strategy,
            symbol=one.signal.symbol,
            timeframe=one.signal.timeframe,
            action=one.signal.action.value,
            price=one.signal.price,
            live=one.live,
            ordered=one.ordered,
        )
        for one in recorded
    ]
    return attribute_table("Signals", rows, _SIGNAL, ("candle",))


def followed_line(active: ActiveStrategy) -> str:
    """Return what is followed, and what it said last."""
    last = active.last_signal
    said = "no signal yet"
    if last is not None:
        said = f"last signal: {last.action} at {last.price:.8g}, candle of {iso(last.timestamp)}"
    return (
        f"{active.name} is followed: {active.strategy} on {active.symbol}; {said}. "
        "Nothing of it is ordered."
    )


def _strategy_row(facts: StrategyFacts) -> SimpleNamespace:
    """Return what a strategy trades, holds and said last; times are open times of candles."""
    active = facts.active
    signal = active.last_signal
    return SimpleNamespace(
        name=active.name,
        state=facts.state,
        detail=facts.detail,
        strategy=type(active.strategy).__name__,
        symbol=active.symbol,
        timeframe=", ".join(active.strategy.timeframes),
        parameters=", ".join(
            f"{key}={value}"
            for key, value in active.strategy.parameters.items()
            if value is not None
        ),
        trades=active.trades,
        order_cost=active.order_cost,
        held=facts.held,
        protection=facts.protection,
        profit=facts.profit,
        today=facts.day,
        trips=facts.trips,
        won=facts.won,
        last_asked=active.evaluated,
        asked=active.evaluations,
        signals=active.signals,
        last_signal="" if signal is None else signal.action.value,
        signalled=None if signal is None else signal.timestamp,
        errors=active.errors,
    )


def trip_table(trips: Sequence[tuple[str, RoundTrip]]) -> pd.DataFrame:
    """Return round trips with the names of their strategies, one row each."""
    rows = [
        SimpleNamespace(
            strategy=name,
            **asdict(trip),
            gain=float(trip.profit / (trip.amount * trip.entry_price)) if trip.amount else 0.0,
        )
        for name, trip in trips
    ]
    return attribute_table("Round trips", rows, _TRIP, ("opened", "closed"))


def day_table(days: Mapping[int, Mapping[str, Decimal]]) -> pd.DataFrame:
    """Return the booked profit by UTC day, one column per strategy."""
    names = sorted({name for day in days.values() for name in day})
    rows = [
        SimpleNamespace(
            **{
                **{name: of.get(name, Decimal(0)) for name in names},
                "day": day,
                "all": sum(of.values(), Decimal(0)),
            }
        )
        for day, of in sorted(days.items())
    ]
    return attribute_table("Booked by day", rows, ("day", *names, "all"), ("day",))


def takes_over(name: str, engine: EngineReading) -> Callable[[ActiveStrategy], list[str]]:
    """Return what returns, after a strategy was started, what it took over and how it was checked.

    Its name is its identity: it goes on with what that held, also at an earlier run.
    """
    earlier = engine.signals.strategies.get(name)
    books = {
        str(row["symbol"]): row for row in engine.orders.book_rows() if row["strategy"] == name
    }

    def told(active: ActiveStrategy) -> list[str]:
        if earlier is active:
            return []
        book = books.get(active.symbol, {})
        held, stop = book.get("held", Decimal(0)), book.get("stop")
        lines = []
        if earlier is not None:
            lines.append(f"{name} replaces {earlier.strategy!r} on {earlier.symbol}.")
            if earlier.symbol != active.symbol and books.get(earlier.symbol, {}).get("held"):
                lines.append(
                    f"What it held of {earlier.symbol} stays, and stays protected: "
                    f"bot.close_position({earlier.symbol!r}) sells it."
                )
        if held:
            lines.append(f"{name} takes over {held:f} of {active.symbol} that it held.")
            if stop is not None and not active.rules.stops:
                lines.append(
                    f"Its stop at {stop:f} is taken away, as the new one has none: its own signals "
                    "alone will sell it."
                )
        if active.checked:
            lines.append(f"{name} was {active.checked.rstrip('.')}.")
        return lines

    return told


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


def _book(active: ActiveStrategy, engine: EngineReading) -> dict[str, Any]:
    for row in engine.orders.book_rows():
        if (row["strategy"], row["symbol"]) == (active.name, active.symbol):
            return row
    return {}
