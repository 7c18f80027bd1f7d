"""`StrategyFacts`: what is shown of a strategy, wherever it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from botlib.views.positions import is_position, price_of

if TYPE_CHECKING:
    from botlib.engine.strategies.active import ActiveStrategy
    from botlib.engine.strategies.condition import StrategyCondition
    from botlib.views.engine import EngineReading

OFF: Final = "off"
"""State of a strategy that is not asked: it was stopped, or its bot was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyFacts:
    """A strategy at one moment. Money is in quote units; times are market time, ms.

    Attributes:
        state: that of its condition, or `OFF`.
        detail: the reason or the figures of its state.
        since: of the first failure or refusal in a row.
        count: failures or refusals in a row.
        held: base units.
        value: of what it holds, at the newest price.
        profit: booked and not booked yet, since its first fill.
        day: booked since midnight UTC.
        trips: round trips that have ended, and ``won`` those that earned something.
    """

    active: ActiveStrategy
    state: str
    detail: str
    since: int | None
    count: int
    held: Decimal
    protection: str
    value: Decimal
    profit: Decimal
    day: Decimal
    trips: int
    won: int

    @property
    def running(self) -> bool:
        """Whether it is asked."""
        return self.state != OFF


def strategy_facts(engine: EngineReading, prices: Mapping[str, float]) -> list[StrategyFacts]:
    """Return the facts of every strategy, those that were stopped last.

    Args:
        prices: the newest ones by symbol.
    """
    conditions = {one.name: one for one in engine.health().strategies}
    books = {(row["strategy"], row["symbol"]): row for row in engine.orders.book_rows()}
    known = [*engine.signals.strategies.values(), *engine.roster.stopped.values()]
    return [
        _facts(one, conditions.get(one.name), books.get((one.name, one.symbol), {}), engine, prices)
        for one in known
    ]


def _facts(
    active: ActiveStrategy,
    condition: StrategyCondition | None,
    book: Mapping[str, Any],
    engine: EngineReading,
    prices: Mapping[str, float],
) -> StrategyFacts:
    position = engine.positions.of(active.name, active.symbol)
    result = engine.positions.result(active.name, active.symbol)
    price = price_of(position, prices)
    held = position.amount if is_position(engine, position, prices) else Decimal(0)
    protection = str(book.get("protection", "none"))
    return StrategyFacts(
        active=active,
        state=OFF if condition is None else str(condition.state),
        detail=_unasked(held, protection) if condition is None else condition.detail,
        since=None if condition is None else condition.since,
        count=0 if condition is None else condition.count,
        held=held,
        protection=protection,
        value=held * price,
        profit=position.realised + position.amount * (price - position.entry_price),
        day=result.day(engine.market_clock.now()),
        trips=result.trips,
        won=result.wins,
    )


def _unasked(held: Decimal, protection: str) -> str:
    """Return what a strategy that is not asked leaves behind."""
    if not held:
        return "it is not asked"
    kept = {"resting": "protected by its stop", "none": "without a stop"}
    return f"it is not asked; what it holds stays, {kept.get(protection, f'its stop {protection}')}"
