"""`Watchlist`: the symbols and timeframes that are streamed, and how they change while it runs."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from botlib.core.errors import InvalidInput, did_you_mean
from botlib.core.symbol import split_symbol
from botlib.core.timeframe import timeframe_ms
from botlib.trading.positions import is_held
from botlib.venues.symbols import unified_symbol

if TYPE_CHECKING:
    from botlib.config import Settings
    from botlib.engine.parts import TradingParts
    from botlib.trading.positions import PositionManager

logger = logging.getLogger(__name__)

Pair = tuple[str, str]
"""A unified symbol and a timeframe."""

Need = Callable[[Pair], str | None]
"""Returns why a pair has to be streamed, as the rest of a sentence; None if it does not."""


class Watchlist:
    """The pairs of symbol and timeframe that are streamed: at first those of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._pairs: dict[Pair, None] = dict.fromkeys(
            (symbol, timeframe) for symbol in settings.symbols for timeframe in settings.timeframes
        )
        self._needs: list[Need] = []
        self._run_needs: tuple[Need, ...] = ()

    def __contains__(self, pair: object) -> bool:
        return pair in self._pairs

    def all(self) -> list[Pair]:
        """Return every pair, in the order in which they came."""
        return list(self._pairs)

    def add(self, pairs: Iterable[Pair]) -> None:
        """Add pairs; one that is there stays."""
        self._pairs.update(dict.fromkeys(pairs))

    def remove(self, pair: Pair) -> None:
        """Remove a pair."""
        self._pairs.pop(pair, None)

    def needed_by(self, need: Need) -> None:
        """Ask ``need`` before a pair is removed."""
        self._needs.append(need)

    def needed_by_run(self, *needs: Need) -> None:
        """Ask ``needs`` of the present run, in place of those of an earlier one."""
        self._run_needs = needs

    def needs(self, pair: Pair) -> Iterator[str]:
        """Yield why a pair has to be streamed."""
        for need in (*self._run_needs, *self._needs):
            why = need(pair)
            if why is not None:
                yield why

    def found(self, symbol: str, timeframe: str | None) -> list[Pair]:
        """Return the pairs of a symbol, or the one of a timeframe.

        Raises:
            InvalidInput: there is none.
        """
        name = unified_symbol(symbol)
        if timeframe is not None:
            timeframe_ms(timeframe)
        found = [pair for pair in self._pairs if pair[0] == name and timeframe in (None, pair[1])]
        if not found:
            what = name if timeframe is None else f"{name} {timeframe}"
            known = [" ".join(pair) for pair in self._pairs]
            raise InvalidInput(
                f"{what} is not streamed. Streamed are {', '.join(known)}."
                f"{did_you_mean(what, known)}"
            )
        return found


async def watch(
    parts: TradingParts,
    watchlist: Watchlist,
    symbol: str,
    history: Mapping[str, int],
    *,
    ready: Callable[[Sequence[Pair]], Awaitable[None]],
) -> list[Pair]:
    """Stream candles of a symbol; return the pairs that were not streamed before.

    Args:
        history: for each timeframe the closed candles wanted before the first live one, also of
            pairs that are there.
        ready: waits until pairs are complete up to now.

    Raises:
        UnknownSymbol, UnknownTimeframe: the venue does not have it.
        InvalidInput: the venue does not trade the symbol now.
        EngineError: its history did not come; it is not streamed.
    """
    market = parts.exchange.market(symbol)
    for timeframe in history:
        timeframe_ms(timeframe)
    pairs = [(market.symbol, timeframe) for timeframe in history]
    fresh = [pair for pair in pairs if pair not in watchlist]
    if fresh and not market.active:
        # It may have been halted when the bot connected, and nobody has asked since.
        market = await parts.exchange.reload_market(symbol)
    if fresh and not market.active:
        raise InvalidInput(
            f"{parts.exchange.venue} lists {market.symbol}, but does not trade it now: it was "
            "delisted or is halted, and no candle would come. Its past is in "
            f"bot.candles({market.symbol!r}, {pairs[0][1]!r}, since='30d')."
        )
    for pair in fresh:
        parts.signals.keep(*pair, history[pair[1]])
    try:
        for timeframe, candles in history.items():
            await parts.stream.subscribe_candles(market.symbol, timeframe, candles)
        await ready(pairs)
    except BaseException:
        for pair in fresh:
            await _end(parts, pair)
        raise
    watchlist.add(fresh)
    parts.signals.warm()
    if parts.lockstep is not None:
        parts.lockstep.follow(watchlist.all())
    for pair in fresh:
        logger.info("%s %s is streamed from now on", *pair)
    return fresh


async def unwatch(
    parts: TradingParts, watchlist: Watchlist, symbol: str, timeframe: str | None
) -> list[Pair]:
    """End the stream of a symbol, or of one timeframe of it; return what was ended.

    Raises:
        InvalidInput: it is not streamed, or something needs it; nothing was ended.
    """
    found = watchlist.found(symbol, timeframe)
    reasons = [(pair, why) for pair in found for why in watchlist.needs(pair)]
    if not reasons and len(found) == len(watchlist.all()):
        reasons = [(found[-1], "nothing else is streamed, and a bot streams something")]
    if reasons:
        pair, why = reasons[0]
        raise InvalidInput(f"{pair[0]} {pair[1]} stays: {why}.")
    for pair in found:
        watchlist.remove(pair)
        if parts.lockstep is not None:
            # Before the stream ends: the market must not wait for a candle that does not come.
            parts.lockstep.follow(watchlist.all())
        await _end(parts, pair)
        logger.info("%s %s is not streamed any more", *pair)
    return found


def keep_held(
    parts: TradingParts, watchlist: Watchlist, positions: PositionManager, settings: Settings
) -> None:
    """Stream and count symbols that are held, although they are not configured any more."""
    for position in positions.all():
        symbol = position.symbol
        if symbol in settings.symbols or symbol not in parts.orders.desks:
            continue
        market = parts.exchange.market(symbol)
        if not is_held(position.amount, position.entry_price, market):
            continue
        if split_symbol(symbol)[1] == parts.account.quote:
            parts.account.include(symbol)
            watchlist.add([(symbol, settings.timeframes[0])])
            logger.info("%s is held, and streamed for that", symbol)


def register_needs(watchlist: Watchlist, parts: TradingParts, positions: PositionManager) -> None:
    """Keep what strategies and positions need on the list."""

    def by_strategy(pair: Pair) -> str | None:
        for active in parts.signals.strategies.values():
            if active.symbol == pair[0] and pair[1] in active.strategy.timeframes:
                return (
                    f"the strategy {active.name!r} needs it; "
                    f"bot.stop_strategy({active.name!r}) stops that"
                )
        return None

    def by_position(pair: Pair) -> str | None:
        symbol = pair[0]
        busy = any(one.order.symbol == symbol for one in parts.orders.ledger.open)
        position = positions.get(symbol)
        if not busy and not (
            position.amount > 0
            and is_held(position.amount, position.entry_price, parts.exchange.market(symbol))
        ):
            return None
        return (
            f"{symbol} is held or has open orders, which need its price; "
            f"bot.close_position({symbol!r}) sells it"
        )

    watchlist.needed_by_run(by_strategy, by_position)


async def _end(parts: TradingParts, pair: Pair) -> None:
    await parts.stream.unsubscribe_candles(*pair)
    parts.signals.forget(*pair)
