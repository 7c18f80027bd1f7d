"""`StrategyRoster`: the strategies of an engine as people start and stop them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from decimal import Decimal
from typing import TYPE_CHECKING

from botlib.core.errors import InvalidInput
from botlib.engine.arming import check_active
from botlib.engine.strategies.active import ActiveStrategy, configured_strategies
from botlib.engine.strategies.possible import check_possible
from botlib.engine.watching import ORDERS_NOTHING
from botlib.venues.symbols import unified_symbol

if TYPE_CHECKING:
    from botlib.engine.parts import BaseParts, StoreParts, TradingParts
    from botlib.strategy import Strategy

logger = logging.getLogger(__name__)


class StrategyRoster:
    """The strategies that trade, and those that were stopped and can be started again.

    Args:
        stream: has the candles of a strategy streamed, and waits for their history.
    """

    def __init__(
        self,
        base: BaseParts,
        store: StoreParts,
        parts: TradingParts,
        *,
        stream: Callable[[ActiveStrategy], Awaitable[None]],
    ) -> None:
        self._base = base
        self._store = store
        self._parts = parts
        self._stream = stream
        self.stopped: dict[str, ActiveStrategy] = {}
        """Those that a person has stopped, by name."""

    def configured(self, symbols: Collection[str]) -> list[ActiveStrategy]:
        """Return the strategies of the settings that trade one of these symbols."""
        usual = self._base.risk.limits.usual_cost
        return configured_strategies(self._base.settings, symbols, usual)

    async def trade(
        self, strategy: Strategy, symbol: str, *, name: str, order_cost: Decimal | None
    ) -> ActiveStrategy:
        """Start a strategy on a symbol; one of the same name is replaced.

        Raises:
            As `botlib.engine.Orchestrator.trade`.
        """
        if self._base.settings.mode == "watch":
            raise InvalidInput(ORDERS_NOTHING)
        usual = self._base.risk.limits.usual_cost
        active = ActiveStrategy(
            name=name,
            strategy=strategy,
            symbol=unified_symbol(symbol),
            order_cost=usual if order_cost is None else order_cost,
        )
        self._check_possible(active)
        known = self._parts.signals.strategies.get(name)
        if known is not None and known.same_as(active):
            return known
        await self._begin(active)
        return active

    def stop(self, name: str) -> ActiveStrategy:
        """Stop a strategy and return it; what it holds stays protected.

        Raises:
            InvalidInput: there is no strategy of that name.
        """
        self.stopped[name] = self._parts.signals.remove(name)
        return self.stopped[name]

    async def follow(self, strategy: Strategy, symbol: str, *, name: str) -> ActiveStrategy:
        """Ask a strategy on every closed candle and record its signals; none is ordered.

        Raises:
            As `botlib.engine.Orchestrator.follow`.
        """
        active = ActiveStrategy(name=name, strategy=strategy, symbol=unified_symbol(symbol))
        known = self._parts.signals.strategies.get(name)
        if known is not None and known.same_as(active):
            return known
        await self._stream(active)
        await self._parts.signals.follow(active)
        return active

    async def _begin(self, active: ActiveStrategy) -> None:
        self._parts.account.check_quote(active.symbol)
        await self._stream(active)
        self._check_possible(active)  # now with a price
        if self._base.settings.mode == "live":
            outcome = await check_active(active, self._store.database.path, self._base.venue)
            logger.warning("live trading: strategy %s: %s", active.name, outcome)
        await self._parts.signals.try_out(active)
        self._parts.orders.refusals.forget(active.name)
        self._parts.signals.add(active)
        self.stopped.pop(active.name, None)

    def _check_possible(self, active: ActiveStrategy) -> None:
        newest = self._base.frames.last_close(active.symbol)
        check_possible(
            active,
            self._base.risk.limits,
            self._parts.exchange.market(active.symbol),
            None if newest is None else Decimal(str(newest)),
        )
