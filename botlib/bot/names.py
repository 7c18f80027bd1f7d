"""What a bot is asked for and does not have: what to use in its place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from botlib.core.errors import UnknownName, did_you_mean

_STRATEGIES: Final = "Orders come from strategies: bot.trade(strategy, symbol, name=...)."
_INSTEAD: Final = {
    "buy": f"{_STRATEGIES} There is no order by hand that enters.",
    "sell": f"{_STRATEGIES} bot.close_position(symbol) sells a position, bot.flatten(name) what "
    "one strategy holds.",
    "order": f"{_STRATEGIES} bot.orders() lists those that were sent.",
    "balance": "bot.equity() is the worth of the account, bot.positions what is held.",
    "close": "bot.stop() stops the bot, bot.close_position(symbol) sells a position.",
    "run": "A bot runs from bl.connect() on; bot.wait('6h') waits.",
    "log": "The log is on bot.dashboard() and in data/logs/botlib.log.",
}
_ALIKE: Final = {
    "create_order": "order", "place_order": "order", "market_order": "order", "long": "buy",
    "enter": "buy", "short": "sell", "exit": "sell", "balances": "balance", "cash": "balance",
    "portfolio": "balance", "start": "run", "logs": "log", "shutdown": "close",
}  # fmt: skip


def unknown_name(name: str, known: Iterable[str]) -> UnknownName:
    """Return the error of an attribute that a bot does not have.

    Args:
        known: the names it has.
    """
    instead = _INSTEAD.get(_ALIKE.get(name, name))
    if instead is None:
        instead = f"dir(bot) lists what it has.{did_you_mean(name, known)}"
    return UnknownName(f"A bot has no {name!r}. {instead}")
