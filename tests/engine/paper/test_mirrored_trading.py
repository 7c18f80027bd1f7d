"""A bot on a mirror trades as the same bot on the mirrored exchange itself."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

from botlib.config import Settings
from botlib.core.timeframe import MINUTE
from botlib.engine import Orchestrator
from botlib.paper import PaperControl, PaperProcess
from tests.support.scripted_venue import until

MINUTES = 90
STREAM = "btcusdt@kline_1m"
SPREAD = 0.001
_FIGURES = ("price", "amount", "quote_amount", "commission")


async def engine_on(data: Path, paper: dict[str, Any]) -> Orchestrator:
    """Start an engine with a quick strategy of market orders."""
    settings = Settings.from_dict(
        {
            "data_directory": data,
            "symbols": ["BTC/USDT"],
            "timeframes": ["1m"],
            "history": 60,
            "health": {"port": 0},
            "exchange": {"data_deadline": "10m"},
            "strategies": [
                {
                    "name": "trend",
                    "strategy": "TrendCross",
                    "symbol": "BTC/USDT",
                    "parameters": {"fast": 3, "slow": 8},
                }
            ],
            "paper": paper,
        }
    )
    engine = Orchestrator(settings)
    await engine.start()
    return engine


async def settled(*controls: PaperControl) -> None:
    """Wait until no exchange has got an order or a trade for a while."""
    before: list[object] = []
    same = 0
    async with asyncio.timeout(60):
        while same < 4:
            now = []
            for control in controls:
                counters = (await control.state())["counters"]
                now.append((counters["orders"], counters["open_orders"], counters["trades"]))
            same = same + 1 if now == before else 0
            before = list(now)
            await asyncio.sleep(0.03)


def told(ledger: dict[str, Any]) -> list[tuple[object, ...]]:
    """Return what an account traded, without ids."""
    return [(one["side"], *(Decimal(one[name]) for name in _FIGURES)) for one in ledger["trades"]]


async def test_a_bot_on_a_mirror_without_a_book_ends_as_one_on_the_exchange(
    tmp_path: Path,
) -> None:
    words = ["--lockstep", "--seed", "7", "--start", "2026-01-05"]
    engines: list[Orchestrator] = []
    async with await PaperProcess.start(words) as upstream, upstream.control() as control:
        try:
            engines.append(await engine_on(tmp_path / "own", {"url": upstream.url}))
            mirror = {"upstream": upstream.url, "book": False, "stale_after": "10m"}
            engines.append(
                await engine_on(tmp_path / "copy", {"market": "mirror", "mirror": mirror})
            )
            own, copy = engines
            assert copy.venue.startswith("paper:mirror:binance@")
            assert own.paper is not None and copy.paper is not None
            time = upstream.market_time
            for _ in range(MINUTES):
                step = await control.advance([STREAM], time)
                time = step.market_time
                for engine in engines:
                    for closed in step.closed:
                        async with asyncio.timeout(60):
                            await engine.signals.processed("BTC/USDT", "1m", closed.timestamp)
                await settled(own.paper.control, copy.paper.control)
            first, second = await own.paper.control.ledger(), await copy.paper.control.ledger()
            assert len(told(first)) >= 6
            assert told(second) == told(first)
            assert second["balances"] == first["balances"]
            assert (
                await copy.paper.control.candles("BTC/USDT", "1m", time - 60 * MINUTE, time) != []
            )
        finally:
            for engine in reversed(engines):
                await engine.stop()
    # Real candles, play money and live orders are in files of their own.
    files = {path.name for path in (tmp_path / "copy" / "paper").iterdir()}
    stem = f"mirror-binance-{upstream.url.rpartition(':')[2]}"
    assert {f"{stem}.db", f"{stem}.ledger.db", f"{stem}.candles.sqlite"} <= files
    assert not (tmp_path / "copy" / "tradingbot.db").exists()


async def check_fills(engine: Orchestrator, upstream: PaperControl) -> None:
    """Check that fills have prices of the mirrored market at their time, its lots and the fee."""
    assert engine.paper is not None
    trades = (await engine.paper.control.ledger())["trades"]
    market = engine.exchange.market("BTC/USDT")
    assert trades
    for trade in trades:
        time, price, amount = trade["time"], float(trade["price"]), Decimal(trade["amount"])
        rows = await upstream.candles("BTC/USDT", "1m", time - 2 * MINUTE, time)
        low = min(row[3] for row in rows) * (1 - SPREAD)
        high = max(row[2] for row in rows) * (1 + SPREAD)
        assert low <= price <= high, (trade, rows)
        assert Decimal(trade["price"]) % market.tick == amount % market.step == 0
        paid = amount if trade["side"] == "BUY" else amount * Decimal(trade["price"])
        assert abs(Decimal(trade["commission"]) - paid * Decimal("0.001")) < Decimal("1e-7")


async def test_a_bot_trades_on_a_mirror_that_runs(tmp_path: Path) -> None:
    words = ["--speed", "60", "--seed", "7", "--depth", f"spread={SPREAD}"]
    async with (
        await PaperProcess.start(words) as upstream,
        upstream.control() as venue,
    ):
        engine = await engine_on(
            tmp_path, {"market": "mirror", "mirror": {"upstream": upstream.url}}
        )
        try:
            assert engine.settings.kind == "mirror"
            await until(lambda: engine.signals.signals >= 2, 90)
            assert engine.paper is not None
            control = engine.paper.control

            async def traded() -> bool:
                return bool((await control.state())["counters"]["trades"])

            await until(traded)
            assert (await control.state())["title"] == "MIRROR: real prices, play money"

            async def closed() -> bool:
                """Return whether the minutes of the last fill have closed."""
                last = (await control.ledger())["trades"][-1]["time"]
                return int((await venue.state())["market_time"]) > last + 2 * MINUTE

            await until(closed)
            await check_fills(engine, venue)
        finally:
            await engine.stop()
