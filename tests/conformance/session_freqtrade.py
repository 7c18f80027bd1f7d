"""A freqtrade bot on the paper exchange: live mode, with the stop on the exchange.

The bot is the one that `freqtrade trade` runs; the session calls its loop until what it waits for
has happened. The market stands still until the session lets it fall.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from freqtrade.configuration import Configuration
from freqtrade.freqtradebot import FreqtradeBot
from freqtrade.persistence import Trade
from session import PATIENCE, Session

PAIR = "BTC/USDT"
STRATEGY = """
from pathlib import Path

from freqtrade.strategy import IStrategy


class EnterAtOnce(IStrategy):
    INTERFACE_VERSION = 3
    timeframe = "5m"
    startup_candle_count = 20
    process_only_new_candles = False
    minimal_roi = {"0": 10}
    stoploss = -0.02
    order_types = {
        "entry": "market",
        "exit": "market",
        "stoploss": "limit",
        "stoploss_on_exchange": True,
        "stoploss_on_exchange_interval": 5,
    }

    def populate_indicators(self, dataframe, metadata):
        return dataframe

    def populate_entry_trend(self, dataframe, metadata):
        dataframe["enter_long"] = 1
        return dataframe

    def populate_exit_trend(self, dataframe, metadata):
        return dataframe

    def custom_exit(self, pair, trade, current_time, current_rate, current_profit, **kwargs):
        return "asked" if Path(self.config["user_data_dir"], "exit").exists() else None
"""


def settings(session: Session, folder: Path) -> dict[str, Any]:
    """Return the configuration that a user would write, with the hosts of the paper exchange."""
    rest = f"{session.url}/api/v3"
    sockets = {"spot": f"{session.ws}/stream/ws", "ws-api": {"spot": f"{session.ws}/ws-api/v3"}}
    hosts = {"public": rest, "private": rest, "v1": f"{session.url}/api/v1"}
    hosts |= {"sapi": f"{session.url}/sapi/v1", "ws": sockets}
    options = {"fetchMargins": False, "fetchCurrencies": False, "fetchMarkets": {"types": ["spot"]}}
    return {
        "dry_run": False,
        "max_open_trades": 1,
        "stake_currency": "USDT",
        "stake_amount": 5_000,
        "trading_mode": "spot",
        "strategy": "EnterAtOnce",
        "strategy_path": str(folder),
        "user_data_dir": str(folder),
        "db_url": f"sqlite:///{folder / 'trades.sqlite'}",
        "entry_pricing": {"price_side": "other", "use_order_book": False},
        "exit_pricing": {"price_side": "other", "use_order_book": False},
        "pairlists": [{"method": "StaticPairList"}],
        "initial_state": "running",
        "exchange": {
            "name": "binance",
            "key": session.key,
            "secret": session.secret,
            "pair_whitelist": [PAIR],
            "ccxt_config": {"urls": {"api": hosts}, "options": options},
        },
    }


def until(bot: FreqtradeBot, found: Callable[[], Any], what: str) -> Any:
    """Run the loop of the bot until something is found, and return it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        bot.process()
        value = found()
        if value:
            return value
        time.sleep(0.2)
    raise AssertionError(f"waited {PATIENCE} s in vain for {what}")


def ledger(session: Session) -> dict[str, Any]:
    return session.look("ledger")


def resting(session: Session) -> list[dict[str, Any]]:
    return [one for one in ledger(session)["orders"] if one["status"] == "NEW"]


def opened(trades: list[Any]) -> Any:
    """Return the open trade whose stop is placed, or None."""
    for trade in trades:
        if trade.open_rate and trade.has_open_sl_orders and not trade.has_open_orders:
            return trade
    return None


def equal_to_the_ledger(bot: FreqtradeBot, session: Session) -> None:
    bot.wallets.update()
    for asset, balance in ledger(session)["balances"].items():
        free, locked = float(balance["free"]), float(balance["locked"])
        assert abs(bot.wallets.get_total(asset) - free - locked) < 1e-8, (asset, balance)
        assert abs(bot.wallets.get_free(asset) - free) < 1e-8, (asset, balance)


def forced_exit(session: Session, bot: FreqtradeBot, folder: Path) -> None:
    with session.check("the bot starts: markets, account, candles"):
        bot.startup()
        assert PAIR in bot.exchange.markets
    with session.check("an entry fills, and its stop rests on the exchange"):
        trade = until(bot, lambda: opened(Trade.get_open_trades()), "an open trade with a stop")
        [stop] = resting(session)
        assert (stop["type"], stop["side"]) == ("STOP_LOSS_LIMIT", "SELL")
        assert abs(float(stop["stop_price"]) / trade.open_rate - 0.98) < 0.0005
        assert abs(float(stop["amount"]) - trade.amount) < 1e-5
        equal_to_the_ledger(bot, session)
    with session.check("a forced exit cancels the stop and sells"):
        (folder / "exit").touch()
        number = trade.id
        closed = until(bot, lambda: closed_trade(number), "the exit")
        assert closed.exit_reason == "asked"
        assert not resting(session)
        equal_to_the_ledger(bot, session)


def fallen_price(session: Session, bot: FreqtradeBot, before: tuple[float, float]) -> None:
    with session.check("the next bot enters, with its stop on the exchange too"):
        bot.startup()
        trade = until(bot, lambda: opened(Trade.get_open_trades()), "the second trade")
        assert len(resting(session)) == 1
        equal_to_the_ledger(bot, session)
    with session.check("the price falls: the exchange sells, and the bot books the fill of it"):
        bot.config["max_open_trades"] = 0
        number = trade.id
        session.control("resume")
        closed = until(bot, lambda: closed_trade(number), "the stop")
        assert closed.exit_reason == "stoploss_on_exchange"
        assert closed.close_rate < closed.open_rate * 0.985
        [filled] = [one for one in ledger(session)["orders"] if one["order_id"] == sold(closed)]
        assert (filled["type"], filled["status"]) == ("STOP_LOSS_LIMIT", "FILLED")
        assert not resting(session)
    with session.check("balances, fees and profit are those of the ledger"):
        equal_to_the_ledger(bot, session)
        usdt, btc = (now - then for now, then in zip(owned(session), before, strict=True))
        # The exchange takes the fee of an entry in BTC, which the bot counts in USDT.
        gained = usdt + btc * closed.open_rate
        assert abs(gained - closed.close_profit_abs) < 0.2, (gained, closed.close_profit_abs)


def owned(session: Session) -> tuple[float, float]:
    """Return the account's free USDT and BTC."""
    balances = ledger(session)["balances"]
    usdt, btc = (float(balances[asset]["free"]) for asset in ("USDT", "BTC"))
    return usdt, btc


def closed_trade(number: int) -> Any:
    found = Trade.get_trades_proxy(is_open=False)
    return next((one for one in found if one.id == number), None)


def sold(trade: Any) -> int:
    """Return the exchange's number of the stop that closed a trade."""
    [order] = [one for one in trade.orders if one.ft_order_side == "stoploss" and one.filled]
    return int(order.order_id)


@contextmanager
def running(session: Session, folder: Path) -> Iterator[FreqtradeBot]:
    """Start a bot with a database of its own, which has no locks of earlier trades."""
    folder.mkdir()
    (folder / "enter_at_once.py").write_text(STRATEGY)
    written = folder / "config.json"
    written.write_text(json.dumps(settings(session, folder)))
    bot = FreqtradeBot(Configuration({"config": [str(written)]}, None).get_config())
    try:
        yield bot
    finally:
        bot.cleanup()


def main() -> None:
    session = Session()
    with tempfile.TemporaryDirectory() as name:
        first, second = Path(name, "first"), Path(name, "second")
        with running(session, first) as bot:
            forced_exit(session, bot, first)
        before = owned(session)
        with running(session, second) as bot:
            fallen_price(session, bot, before)
    session.end()


main()
