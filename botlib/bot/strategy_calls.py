"""`StrategyCalls`: the methods of a bot that start, show and stop strategies and their streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from botlib.bot.strategy_rows import (
    day_table,
    followed_line,
    signal_table,
    stopped_line,
    strategy_table,
    takes_over,
    trip_table,
)
from botlib.trading.round_trips import RoundTrip, trips_of
from botlib.venues.symbols import unified_symbol

if TYPE_CHECKING:
    import pandas as pd

    from botlib.config import Settings
    from botlib.core.model import Fill
    from botlib.engine import Orchestrator
    from botlib.store import OrderJournal
    from botlib.strategy import Strategy


class StrategyCalls:
    """What a bot can be asked about its strategies; its methods run on the runtime thread."""

    settings: Settings
    engine: Orchestrator
    _journal: Callable[[Callable[[OrderJournal], list[Any]]], Awaitable[list[Any]]]

    def __init__(self) -> None:
        super().__init__()
        self._notes: list[str] = []

    async def trade(
        self,
        strategy: Strategy,
        symbol: str,
        *,
        name: str | None = None,
        order_cost: float | str | Decimal | None = None,
        overrule: str | Iterable[str] = (),
    ) -> str:
        """Start a strategy on a symbol; one of the same name is replaced.

        Candles of it that are not streamed yet are from then on, with their history. In live
        trading it is checked on its stored candles first, as by `Bot.check` but in a few seconds,
        and refused if anything is found.

        Args:
            strategy: it trades its first timeframe.
            name: its identity; by default its class and the symbol.
            order_cost: quote units per entry; by default half of ``risk.max_order_cost``.
            overrule: what a check may have found without a refusal, by kind, such as
                ``["reads other data"]``.
        """
        kinds = (overrule,) if isinstance(overrule, str) else tuple(overrule)
        cost = None if order_cost is None else Decimal(str(order_cost))
        before = self.engine.subscriptions()
        identity = name or _identity(strategy, symbol)
        held = takes_over(identity, self.engine)
        active = await self.engine.trade(
            strategy, symbol, name=identity, order_cost=cost, overrule=kinds
        )
        self._notes += held(active)
        self._note_new(pair for pair in self.engine.subscriptions() if pair not in before)
        learned = active.strategy.training
        knows = f", learned from {learned}" if learned is not None else ""
        return f"{active.name}: {active.strategy} on {active.symbol}{knows}"

    async def follow(self, strategy: Strategy, symbol: str, *, name: str | None = None) -> str:
        """Ask a strategy on every closed candle and show its signals; nothing is ordered.

        They are in `signals`, on the charts of the symbol, in the log and on the dashboard, those
        of the candles so far at once. It works on every market, also while others trade.

        Args:
            strategy: it is asked on its first timeframe, which is streamed from now on.
            name: its identity; by default its class and the symbol. One of the same name that is
                followed is replaced.

        Raises:
            InvalidInput: the venue does not trade the symbol now, or one of that name trades.
        """
        identity = name or _identity(strategy, symbol)
        before = self.engine.subscriptions()
        active = await self.engine.roster.follow(strategy, symbol, name=identity)
        self._note_new(pair for pair in self.engine.subscriptions() if pair not in before)
        return followed_line(active)

    @property
    def signals(self) -> pd.DataFrame:
        """The newest signals, oldest first; ``candle`` is the open time of the closed candle.

        Those that are not ``live`` are on candles from before the strategy was followed; those that
        are not ``ordered`` are of a strategy that is only followed.
        """
        return signal_table(self.engine.signals.history.all())

    async def stop_strategy(self, name: str) -> str:
        """Stop asking a strategy; what it holds stays, and stays protected.

        Raises:
            InvalidInput: there is no strategy of that name.
        """
        return stopped_line(self.engine.roster.stop(name), self.engine)

    async def start_strategy(self, name: str) -> str:
        """Ask a strategy again that was stopped; a new one is started by `trade`.

        Raises:
            InvalidInput: none of that name was stopped, or it could never trade.
            ConfigError: it fails.
        """
        active = await self.engine.roster.start(name)
        return f"{active.name}: {active.strategy} on {active.symbol}"

    async def remove_strategy(self, name: str) -> str:
        """Stop a strategy and forget it; what it holds stays, and stays protected.

        Raises:
            InvalidInput: there is no strategy of that name.
        """
        return stopped_line(self.engine.roster.remove(name), self.engine)

    async def flatten(self, name: str) -> str:
        """Sell at the market what a strategy holds; it goes on and may enter again.

        Raises:
            InvalidInput: there is no strategy of that name.
        """
        order = await self.engine.roster.flatten(name)
        if order is None:
            return f"{name} holds nothing that could be sold"
        return f"{order.side} {order.filled} of {order.amount} {order.symbol}: {order.status}"

    async def round_trips(self, strategy: str | None = None) -> pd.DataFrame:
        """Return the round trips of the journal, one row each, in the order they began.

        ``gain`` is the profit as a fraction of the cost; ``closed`` is empty while something is
        held.

        Args:
            strategy: its name; None is all.
        """
        return trip_table(await self._journal(lambda journal: journal_trips(journal, strategy)))

    async def daily_profit(self) -> pd.DataFrame:
        """Return what was booked by UTC day, one row each: of every strategy, and of all."""
        return day_table(self.engine.positions.days())

    @property
    def strategies(self) -> pd.DataFrame:
        """What trades or is followed: each strategy with its position and last signal."""
        return strategy_table(self.engine)

    async def watch(self, symbol: str, timeframe: str | Sequence[str]) -> str:
        """Stream and store candles that are not configured, with their history; say so in a line.

        They survive reconnections and count in the health, until `unwatch` or the end of the bot.

        Args:
            timeframe: one or several, such as ``"1h"``.

        Raises:
            UnknownSymbol, UnknownTimeframe: the venue does not have it; the message suggests one.
            InvalidInput: the venue does not trade the symbol now.
        """
        names = [timeframe] if isinstance(timeframe, str) else list(timeframe)
        fresh = await self.engine.watch(symbol, names)
        if not fresh:
            return f"{unified_symbol(symbol)} {', '.join(names)} is streamed already."
        return self._new_line(fresh)

    async def unwatch(self, symbol: str, timeframe: str | None = None) -> str:
        """End the stream of a symbol, or of one timeframe; stored candles stay.

        Raises:
            InvalidInput: it is not streamed, or a strategy, a chart or a position needs it.
        """
        ended = await self.engine.unwatch(symbol, timeframe)
        return f"{_named(ended)} is not streamed any more; its stored candles stay."

    def taken_notes(self) -> list[str]:
        """Return the notes on the calls so far, each once, and forget them."""
        notes, self._notes = self._notes, []
        return notes

    def _note_new(self, pairs: Iterable[tuple[str, str]]) -> None:
        if fresh := list(pairs):
            self._notes.append(self._new_line(fresh))

    def _new_line(self, fresh: Sequence[tuple[str, str]]) -> str:
        least = self.settings.history
        return f"{_named(fresh)} is streamed from now on, after {least} candles or more of history."


def journal_trips(journal: OrderJournal, strategy: str | None) -> list[tuple[str, RoundTrip]]:
    """Return the round trips of a journal with the names of their strategies.

    Args:
        strategy: its name; None is all.
    """
    names = {order.client_order_id: order.strategy for order in journal.orders()}
    books: dict[tuple[str, str], list[Fill]] = {}
    for fill in journal.fills():
        name = names.get(fill.client_order_id or "", "")
        if strategy in (None, name):
            books.setdefault((name, fill.symbol), []).append(fill)
    trips = [(name, trip) for (name, _), fills in books.items() for trip in trips_of(fills)]
    return sorted(trips, key=lambda one: one[1].opened)


def _identity(strategy: Strategy, symbol: str) -> str:
    """Return the name of a strategy that was given none."""
    return f"{type(strategy).__name__} {unified_symbol(symbol)}"


def _named(pairs: Sequence[tuple[str, str]]) -> str:
    return f"{pairs[0][0]} {', '.join(timeframe for _, timeframe in pairs)}"
