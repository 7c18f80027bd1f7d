"""The arming of live trading: keys, strategies and hosts, against a paper exchange as the venue."""

from __future__ import annotations

from asyncio.base_events import BaseEventLoop
from asyncio.selector_events import BaseSelectorEventLoop
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import botlib as bl
from botlib.bot.strategy_rows import takes_over
from botlib.config import Settings
from botlib.core.errors import ConfigError, ExchangeError, InvalidInput, OrderRejected
from botlib.engine import Orchestrator
from botlib.engine.safety.arming import check_permissions
from botlib.frames import Frames
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET, PaperControl, PaperProcess
from botlib.strategies import TrendCross
from botlib.strategy import Signals, Strategy
from botlib.venues.base import KeyPermissions
from botlib.venues.binance import parse
from botlib.venues.binance.venue import BinanceExchange
from botlib.venues.registry import capabilities

MakeEngine = Callable[..., Awaitable[Orchestrator]]
ALL = ("USER_DATA", "TRADE", "WITHDRAW")


class Peeks(Strategy):
    """Enters before a candle that rises, which it cannot know."""

    timeframes = ("1m",)

    def signals(self, data: Frames) -> Signals:
        close = data.frame["close"]
        rises = close.shift(-1) > close
        return Signals(entry=rises, exit=pd.Series(False, index=close.index))


class Venue:
    """A paper exchange that a live engine takes for the real one."""

    def __init__(self, process: PaperProcess, control: PaperControl, folder: Path) -> None:
        self.process = process
        self.control = control
        self.folder = folder

    def exchange(self) -> BinanceExchange:
        found = BinanceExchange(
            venue="binance", rest_url=self.process.url, keys=(PAPER_API_KEY, PAPER_API_SECRET)
        )
        found._armed = False
        return found

    def settings(self, **changes: Any) -> Settings:
        return Settings.from_dict(
            {
                "mode": "live",
                "symbols": ["BTC/USDT"],
                "timeframes": ["1m"],
                "history": 700,
                "strategies": [],
                "data_directory": str(self.folder / "data"),
                "health": {"port": 0},
                **changes,
            }
        )


@pytest.fixture
async def venue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Venue]:
    options = ["--seed", "7", "--symbols", "BTC/USDT", "--start", "now"]
    async with await PaperProcess.start(options, log=tmp_path / "paper.log") as process:
        control = process.control()
        found = Venue(process, control, tmp_path)
        monkeypatch.setattr("botlib.engine.orchestrator.make_exchange", lambda _: found.exchange())
        yield found
        await control.close()


@pytest.mark.parametrize("live", ["yes", "True", 1, None])
def test_only_true_arms(tmp_path: Path, live: Any) -> None:
    settings = Settings.from_dict(
        {"mode": "live", "strategies": [], "data_directory": str(tmp_path)}
    )
    with pytest.raises(ConfigError, match="live=True"):
        Orchestrator(settings, live=live)
    with pytest.raises(ConfigError, match="not armed in code"):
        Orchestrator(settings)


def test_a_text_is_refused_on_paper_as_well(monkeypatch: Any, tmp_path: Path) -> None:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="Cannot arm live trading with live='true'"):
        bl.connect(live="true", health={"port": 0})


async def test_a_live_engine_shows_account_caps_and_strategies_before_it_trades(
    venue: Venue, caplog: pytest.LogCaptureFixture
) -> None:
    entry = {
        "name": "trend",
        "strategy": "TrendCross",
        "symbol": "BTC/USDT",
        "timeframe": "1m",
        "parameters": {"fast": 10, "slow": 30},
    }
    settings = venue.settings(strategies=[entry], risk={"max_position": 900, "max_drawdown": 0.2})
    for expected in ("not checked: 0 candles are stored", "checked on 7"):
        engine = Orchestrator(settings, live=True)
        await engine.start()
        try:
            assert engine.arming is not None
            rows = {str(name): str(value) for name, value in engine.arming.rows}
            assert rows["key may withdraw"] == "no (by the restrictions of the key)"
            assert rows["key is restricted to addresses"].startswith("NO: whoever gets hold of it")
            assert float(rows["balance USDT"]) == 10_000
            assert (rows["max_position"], rows["price_band"]) == ("900", "no limit")
            assert expected in rows["strategy trend"], rows
            if "not checked" not in expected:
                assert "cuts at" in rows["strategy trend"], rows
            assert "is armed" in str(engine.arming) and "LIVE" in engine.arming._repr_html_()
        finally:
            await engine.stop()
    engine = Orchestrator(settings, live=True)
    await engine.start()
    try:
        refused = r"'peeks' does not produce the same signals live.*overrule=\['looks ahead'\]"
        with pytest.raises(ConfigError, match=refused):
            await engine.trade(Peeks(), "BTC/USDT", name="peeks")
        with pytest.raises(InvalidInput, match=r"no check finds that\. Accepted: looks ahead, rep"):
            await engine.trade(Peeks(), "BTC/USDT", name="peeks", overrule=("all",))
        told = takes_over("other", engine)
        other = await engine.trade(TrendCross(timeframes=("1m",)), "BTC/USDT", name="other")
        assert any("other was checked on 7" in line for line in told(other)), told(other)
        assert set(engine.signals.strategies) == {"trend", "other"}
        await engine.trade(Peeks(), "BTC/USDT", name="peeks", overrule=("looks ahead",))
        assert "OVERRULED: entry looks ahead" in caplog.text
        assert set(engine.signals.strategies) == {"trend", "other", "peeks"}
        engine.roster.remove("peeks")
    finally:
        await engine.stop()
    peeking = {**entry, "strategy": f"{__name__}:Peeks", "parameters": {}}
    refused = Orchestrator(venue.settings(strategies=[peeking]), live=True)
    with pytest.raises(ConfigError, match="same signals live"):
        await refused.start()
    assert (await venue.control.ledger())["orders"] == []


@pytest.mark.parametrize(
    ("permissions", "words"),
    [(ALL, "may withdraw, so whoever"), (("USER_DATA",), "may not trade")],
)
async def test_a_key_that_withdraws_or_cannot_trade_is_refused(
    venue: Venue, permissions: tuple[str, ...], words: str
) -> None:
    await venue.control.permit(permissions)
    engine = Orchestrator(venue.settings(), live=True)
    with pytest.raises(ConfigError, match=words) as caught:
        await engine.start()
    assert "withdrawals disabled" in str(caught.value)
    assert not engine.started


def test_a_venue_without_restrictions_of_keys_is_believed_by_its_account() -> None:
    account: dict[str, Any] = {"canTrade": True, "canWithdraw": True}
    with pytest.raises(ConfigError, match="by the account"):
        check_permissions(parse.permissions(account, None), capabilities())
    # The account of a real venue may withdraw; what counts is the key.
    key = {"enableSpotAndMarginTrading": True, "enableWithdrawals": False, "ipRestrict": True}
    assert parse.permissions(account, key) == KeyPermissions(
        trade=True, withdraw=False, source="the restrictions of the key", addresses=True
    )
    paid = parse.permissions({**account, "commissionRates": {"taker": "0.00075000"}}, key)
    assert paid.fee == Decimal("0.00075")
    for broken in ({}, {**key, "enableWithdrawals": "false"}):
        with pytest.raises(ExchangeError):
            parse.permissions(account, broken)


async def test_nothing_is_sent_to_the_real_venue_before_it_is_armed() -> None:
    exchange = BinanceExchange(venue="binance")
    for endpoint in (
        "privatePostOrder",
        "privatePostOrderListOco",
        "privatePostOrderCancelReplace",
    ):
        with pytest.raises(OrderRejected, match="Live trading is not armed"):
            await exchange._send(endpoint, {}, "buy 1 BTC/USDT")


async def test_paper_resolves_and_reaches_this_computer_only(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the environment says of proxies and whatever the bot does."""
    resolved: set[str] = set()
    reached: set[str] = set()
    getaddrinfo, connect = BaseEventLoop.getaddrinfo, BaseSelectorEventLoop.sock_connect

    async def resolving(self: Any, host: Any, *args: Any, **options: Any) -> Any:
        resolved.add(str(host))
        return await getaddrinfo(self, host, *args, **options)

    async def connecting(self: Any, sock: Any, address: Any) -> Any:
        reached.add(str(address[0]))
        return await connect(self, sock, address)

    monkeypatch.setattr(BaseEventLoop, "getaddrinfo", resolving)
    monkeypatch.setattr(BaseSelectorEventLoop, "sock_connect", connecting)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    engine = await make_engine()
    await engine.wait(2 * 3600)
    await engine.exchange.permissions()
    await engine.books.get("BTC/USDT", 5, 10.0)
    assert engine.orders.sent > 0
    await engine.stop()
    assert reached == {"127.0.0.1"}
    assert resolved <= {"127.0.0.1", "localhost"}
