"""`StrategyRoster`: the strategies of an engine as people start and stop them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from decimal import Decimal
from typing import TYPE_CHECKING

from botlib.core.errors import InvalidInput, did_you_mean
from botlib.engine.safety.arming import check_active
from botlib.engine.strategies.active import ActiveStrategy, configured_strategies
from botlib.engine.strategies.possible import check_possible
from botlib.engine.watching import ORDERS_NOTHING
from botlib.strategy import strategy_object
from botlib.venues.symbols import unified_symbol

if TYPE_CHECKING:
    from botlib.core.model import Order
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
        self,
        strategy: Strategy,
        symbol: str,
        *,
        name: str,
        order_cost: Decimal | None,
        overrule: tuple[str, ...],
    ) -> ActiveStrategy:
        """Start a strategy on a symbol; one of the same name is replaced.

        Raises:
            As `botlib.engine.Orchestrator.trade`.
        """
        if self._base.settings.mode == "watch":
            raise InvalidInput(ORDERS_NOTHING)
        strategy = strategy_object(strategy, "bot.trade")
        usual = self._base.risk.limits.usual_cost
        active = ActiveStrategy(
            name=name,
            strategy=strategy,
            symbol=unified_symbol(symbol),
            order_cost=usual if order_cost is None else order_cost,
            overrule=overrule,
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

    async def start(self, name: str) -> ActiveStrategy:
        """Start a strategy again that was stopped; one that runs goes on.

        Raises:
            InvalidInput: none of that name was stopped, or it could never trade.
            ConfigError: it fails.
        """
        known = self._parts.signals.strategies.get(name)
        if known is not None:
            return known
        if name not in self.stopped:
            stopped = ", ".join(self.stopped) or "none"
            raise InvalidInput(
                f"There is no strategy {name!r} to start again. Stopped are: {stopped}. "
                f"A new one is started by bot.trade(strategy, symbol, name={name!r})."
                f"{did_you_mean(str(name), self.stopped)}"
            )
        earlier = self.stopped[name]
        active = ActiveStrategy(
            name=name,
            strategy=earlier.strategy,
            symbol=earlier.symbol,
            order_cost=earlier.order_cost,
            overrule=earlier.overrule,
        )
        if active.trades:
            await self._begin(active)
        else:
            await self._stream(active)
            await self._parts.signals.follow(active)
            self.stopped.pop(name, None)
        return active

    def remove(self, name: str) -> ActiveStrategy:
        """Stop a strategy and forget it; what it holds stays protected.

        Raises:
            InvalidInput: there is no strategy of that name.
        """
        if name in self.stopped:
            return self.stopped.pop(name)
        self.stop(name)
        return self.stopped.pop(name)

    def find(self, name: str) -> ActiveStrategy:
        """Return a strategy that runs or was stopped.

        Raises:
            InvalidInput: there is no strategy of that name.
        """
        known = {**self.stopped, **self._parts.signals.strategies}
        if name not in known:
            raise InvalidInput(
                f"There is no strategy {name!r}. There are: {', '.join(known) or 'none'}."
                f"{did_you_mean(str(name), known)}"
            )
        return known[name]

    async def flatten(self, name: str) -> Order | None:
        """Sell at the market what a strategy holds; it goes on and may enter again.

        Returns:
            The order, or None if it holds nothing that can be sold.

        Raises:
            InvalidInput: there is no strategy of that name.
        """
        active = self.find(name)
        return await self._parts.manual_orders.sell(active.symbol, strategy=name)

    async def follow(self, strategy: Strategy, symbol: str, *, name: str) -> ActiveStrategy:
        """Ask a strategy on every closed candle and record its signals; none is ordered.

        Raises:
            As `botlib.engine.Orchestrator.follow`.
        """
        strategy = strategy_object(strategy, "bot.follow")
        active = ActiveStrategy(name=name, strategy=strategy, symbol=unified_symbol(symbol))
        known = self._parts.signals.strategies.get(name)
        if known is not None and known.same_as(active):
            return known
        await self._stream(active)
        await self._parts.signals.follow(active)
        self._parts.orders.refusals.forget(name)
        self.stopped.pop(name, None)
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
