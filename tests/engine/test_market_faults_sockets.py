"""Rows 1 to 17 of the list of faults over real sockets, by their names.

The exchange is a process of its own, its market runs sixty times as fast as the clock, and the bot
reaches it on 127.0.0.1 as it would reach the venue. One bot meets one row after another. Deadlines
that settings name are shorter than usual; nothing else differs from a bot at work. What needs
deadlines of real life, or exact counts, is played in virtual time in `test_market_data_rows.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio

from botlib.config import Settings
from botlib.core.model import CandleSource
from botlib.engine import Orchestrator, health
from botlib.market_data import book_stream, repair
from botlib.paper import PaperProcess
from tests.support.market_faults import (
    MINUTE,
    STREAM,
    Refusals,
    Restless,
    Row,
    Stage,
    check_recovered,
    live,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPEED = 60
"""Market seconds a second: a candle closes every second."""

OF_A_CANDLE = 25
"""More frames than a candle has at this speed: the last one of a candle is among them."""

SETTINGS: dict[str, Any] = {
    "symbols": ["BTC/USDT"],
    "timeframes": ["1m", "5m"],
    "history": 30,
    "strategies": [],
    "health": {"port": 0},
    "exchange": {"data_deadline": "2s"},
    "tasks": {"order_sync": {"interval": "2s"}, "position_monitoring": {"interval": "2s"}},
    "risk": {"max_orders_per_minute": 1_000, "max_daily_loss": 5_000},
}


class Sockets(Stage):
    """A bot on an exchange in a process of its own."""

    async def quiet(self) -> None:
        """Begin a row at once: nothing is counted by the minute."""

    async def struck(self, kind: str) -> int:
        """Return how often a kind of fault has struck."""
        return int((await self.control.state())["counters"]["faults"].get(kind, 0))

    async def strike(self, kind: str, *, times: int = 1, **details: object) -> None:
        """Order a fault and wait until it has struck."""
        before = await self.struck(kind)
        await self.control.fault(kind, **{"count": times, **details})
        async with asyncio.timeout(60):
            while await self.struck(kind) < before + times:  # noqa: ASYNC110
                await asyncio.sleep(self.look)

    async def fills(self, more: int = 1) -> None:
        """Wait until more of our orders were filled."""
        before = self.engine.orders.fills
        await self.until(lambda: self.engine.orders.fills >= before + more, 60)

    async def closed(self, more: int = 1) -> None:
        """Wait until more candles have closed, and the stream is complete."""
        before = self.candle()
        await self.until(lambda: self.candle() >= before + more * MINUTE, 60)
        await self.until(lambda: self.stream.ready, 60)

    def candle(self) -> int:
        """Return the open time of the newest closed candle."""
        return int(self.stream.subscriptions[0].last_closed)

    async def played(self, script: Callable[[Sockets, Row], Awaitable[None]]) -> Row:
        """Play a row, and hold that it left nothing broken."""
        for before in self.rows.values():
            if before.report is None or not before.report.ok:
                pytest.fail(f"not played, since {before.name} left something broken")
        await self.play(script.__name__, script)  # type: ignore[arg-type]
        row = self.rows[script.__name__]
        check_recovered(row)
        # Every candle came out, in order and once each, however it got here.
        times = [one.candle.timestamp for one in live(row)]
        assert times and times == list(range(times[0], times[-1] + MINUTE, MINUTE))
        assert not self.engine.risk.halted
        return row


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sockets]:
    """Start an exchange and a bot that always has an order under way."""
    directory = tmp_path_factory.mktemp("sockets")
    arguments = ["--seed", "5", "--symbols", "BTC/USDT", "--start", "2026-01-05"]
    arguments += ["--speed", str(SPEED), "--ledger", str(directory / "ledger.db")]
    exchange = await PaperProcess.start(arguments, log=directory / "exchange.log")
    paper = {"paper": {"url": exchange.url}, "data_directory": directory / "data"}
    engine = Orchestrator(Settings().override(SETTINGS).override(paper))
    control = exchange.control()
    try:
        await engine.start()
        await engine.trade(Restless(stop_loss=0.05), "BTC/USDT", name="rows")
        made = Sockets(engine, control, look=0.02)
        await made.checker.begin()
        yield made
        made.checker.close()
    finally:
        await engine.stop()
        await control.close()
        await exchange.stop()


async def test_row_01_websocket_rst(stage: Sockets) -> None:
    async def row_01(stage: Sockets, row: Row) -> None:
        before = stage.dials
        row.facts.update(await stage.control.fault("reset", target="streams"))
        await stage.until(lambda: stage.dials > before, 60)
        await stage.closed()

    assert (await stage.played(row_01)).facts["struck"] >= 1


async def silenced(stage: Sockets, row: Row, kind: str) -> None:
    before = stage.dials
    row.facts.update(await stage.control.fault(kind, target="streams"))
    row.facts["redial"] = await stage.until(lambda: stage.dials > before, 60)
    row.facts["why"] = stage.stream.connections[0].last_loss
    await stage.closed()


async def test_row_02_half_open_socket(stage: Sockets) -> None:
    async def row_02(stage: Sockets, row: Row) -> None:
        await silenced(stage, row, "blackhole")

    row = await stage.played(row_02)
    assert row.facts["struck"] >= 1 and row.facts["redial"] < 35
    assert "no candle frame for 2 s" in row.facts["why"]


async def test_row_03_stall_while_pongs_go_on(stage: Sockets) -> None:
    async def row_03(stage: Sockets, row: Row) -> None:
        await silenced(stage, row, "stall")

    row = await stage.played(row_03)
    assert row.facts["struck"] >= 1 and row.facts["redial"] < 35
    assert "no candle frame for 2 s" in row.facts["why"]


async def test_row_04_shutdown_announced(stage: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    async def row_04(stage: Sockets, row: Row) -> None:
        dial = stage.engine.exchange.open_klines
        sockets: list[int] = []

        async def watched(on_bad: Any) -> Any:
            made = await dial(on_bad)
            sockets.append((await stage.control.state())["counters"]["stream_sockets"])
            return made

        monkeypatch.setattr(stage.engine.exchange, "open_klines", watched)
        row.facts["before"] = (await stage.control.state())["counters"]["stream_sockets"]
        # So late that the new socket is there before, on a busy machine as well.
        row.facts.update(await stage.control.fault("shutdown", target="streams", notice=5))
        await stage.until(lambda: bool(sockets), 60)
        row.facts["after"] = sockets[0]
        row.facts["why"] = stage.stream.connections[0].last_loss
        await stage.closed()

    row = await stage.played(row_04)
    assert row.facts["struck"] >= 1 and "announced a shutdown" in row.facts["why"]
    assert row.facts["after"] > row.facts["before"], "the new connection overlaps the old one"


async def test_row_04_cut_at_24_hours(stage: Sockets) -> None:
    async def row_04_expired(stage: Sockets, row: Row) -> None:
        before = stage.dials
        row.facts.update(await stage.control.fault("expire"))
        await stage.until(lambda: stage.dials > before, 60)
        await stage.closed()

    assert (await stage.played(row_04_expired)).facts["struck"] >= 2


async def test_row_05_closing_frame_dropped(stage: Sockets) -> None:
    async def row_05(stage: Sockets, row: Row) -> None:
        await stage.strike("drop_closing", match=STREAM, times=2)
        await stage.closed()

    row = await stage.played(row_05)
    assert CandleSource.REST in {one.candle.source for one in live(row)}


async def test_row_06_long_gap_while_backfill_fails(
    stage: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that a few candles are a gap of several pages.
    limits = replace(stage.engine.exchange.capabilities, candles_per_page=2)
    monkeypatch.setattr(stage.engine.exchange, "capabilities", limits)
    monkeypatch.setattr(repair, "RETRY_LONGEST", 0.5)

    async def row_06(stage: Sockets, row: Row) -> None:
        await stage.control.fault("http_status", match="klines", status=503, count=1_000_000)
        await stage.strike("drop_closing", match=STREAM)
        entry = stage.stream.subscriptions[0]
        failures = entry.failures
        await stage.until(lambda: stage.stream.subscriptions[0].failures > failures + 1, 60)
        stage.take()
        # What comes now lies behind the gap: it waits.
        row.facts["closed"] = len(row.closed)
        end = stage.engine.market_clock.now() + 4 * MINUTE
        await stage.until(lambda: stage.engine.market_clock.now() > end, 60)
        stage.take()
        row.facts["closed"] = len(live(row)) - row.facts["closed"]
        row.facts["ready"] = stage.stream.subscriptions[0].ready
        await stage.control.fault("clear")
        await stage.closed()

    row = await stage.played(row_06)
    assert row.facts["ready"] is False and row.facts["closed"] <= 0
    old = {one.candle.timestamp for one in live(row) if one.backfilled}
    assert len(old) >= 4, "once it can be fetched it comes in pages, as history"
    assert old.isdisjoint(one.signal.timestamp for one in row.signals)


async def test_row_07_duplicate_frames(stage: Sockets) -> None:
    async def row_07(stage: Sockets, row: Row) -> None:
        before = stage.stream.subscriptions[0].duplicates
        await stage.strike("duplicate", times=60)
        await stage.until(lambda: stage.stream.subscriptions[0].duplicates > before, 60)
        await stage.control.fault("duplicate", match="user@", count=1_000_000)
        await stage.fills(2)

    row = await stage.played(row_07)
    fills = [(one.fill.symbol, one.fill.trade_id) for one in row.fills]
    assert len(fills) == len(set(fills)) >= 2


async def test_row_08_late_and_out_of_order_frames(stage: Sockets) -> None:
    async def row_08(stage: Sockets, row: Row) -> None:
        before = stage.stream.subscriptions[0].late
        await stage.strike("late", times=2)
        await stage.strike("reorder", match=STREAM, times=15, probability=0.5)
        await stage.until(lambda: stage.stream.subscriptions[0].late > before, 60)
        await stage.closed()

    await stage.played(row_08)


async def test_row_09_rest_revises_a_candle(
    stage: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "RECHECKED", 50)

    async def row_09(stage: Sockets, row: Row) -> None:
        before = stage.stream.revisions
        await stage.strike("corrupt", match=STREAM, times=OF_A_CANDLE, values={"k.v": "999.5"})
        await stage.control.pause()
        await stage.control.fault("reset", target="streams")
        await stage.until(lambda: stage.stream.revisions > before, 60)
        await stage.control.resume()
        await stage.closed()

    row = await stage.played(row_09)
    [first, *_] = [one.candle for one in live(row) if one.candle.volume == 999.5]
    stored = stage.engine.storage.candles("BTC/USDT", "1m", first.timestamp, first.timestamp)
    assert [one.source for one in stored] == [CandleSource.REST] and stored[0].volume != 999.5
    # What was decided on it was decided once, by what was known then.
    assert sum(one.signal.timestamp == first.timestamp for one in row.signals) <= 1


async def test_row_11_malformed_frames(stage: Sockets) -> None:
    async def row_11(stage: Sockets, row: Row) -> None:
        before = stage.stream.bad_frames
        for details in (
            {},
            {"text": "[]"},
            {"text": '{"e":"somethingNew","E":1}'},
            {"values": {"k.x": "maybe"}},
            {"values": {"k.t": "yesterday"}},
            {"values": {"E": None}},
        ):
            await stage.strike("corrupt", match=STREAM, **details)
        # The closing frame of a minute says nonsense.
        await stage.strike("corrupt", match=STREAM, times=OF_A_CANDLE, values={"k.c": "NaN"})
        await stage.closed()
        row.facts["bad"] = stage.stream.bad_frames - before

    assert (await stage.played(row_11)).facts["bad"] >= 7


async def test_row_12_price_spike_and_zero(stage: Sockets) -> None:
    async def row_12(stage: Sockets, row: Row) -> None:
        bad = stage.stream.bad_frames
        close = stage.engine.storage.candles("BTC/USDT", "1m", limit=1)[0].close
        for spike in (close * 3, 0.0):
            values = {f"k.{name}": f"{spike:.2f}" for name in "ohlc"}
            await stage.strike("corrupt", match=STREAM, times=OF_A_CANDLE, values=values)
        await stage.closed()
        row.facts.update(bad=stage.stream.bad_frames - bad, close=close)

    row = await stage.played(row_12)
    assert row.facts["bad"] >= 2
    near = pytest.approx(row.facts["close"], rel=0.1)
    assert all(one.candle.close == near for one in live(row))
    assert all(one.signal.price == near for one in row.signals)
    assert all(float(one.fill.price) == near for one in row.fills)


async def test_row_13_gap_in_the_order_book(
    stage: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Orders of ours change the book without a frame while the market stands.
    monkeypatch.setattr(book_stream, "FRESH", 0.5)

    async def row_13(stage: Sockets, row: Row) -> None:
        held = stage.engine.books
        await held.get("BTC/USDT", 20, 60)
        assert "order_books" in stage.engine.tasks
        before = held.status()[0]
        await stage.strike("drop", match="btcusdt@depth", times=2)
        await stage.until(lambda: held.status()[0].gaps > before.gaps, 60)
        book = await held.get("BTC/USDT", 20, 60)
        row.facts["snapshots"] = held.status()[0].snapshots - before.snapshots
        await stage.control.pause()
        async with asyncio.timeout(60):
            while True:
                book = await held.get("BTC/USDT", 20, 60)
                truth = await stage.engine.exchange.fetch_depth("BTC/USDT", 20)
                if book.update_id == truth.update_id:
                    break
                await asyncio.sleep(stage.look)
        await stage.control.resume()
        row.facts.update(book=book, truth=truth)
        await stage.closed()

    row = await stage.played(row_13)
    book, truth = row.facts["book"], row.facts["truth"]
    assert row.facts["snapshots"] >= 1
    assert (book.bids, book.asks) == (truth.bids, truth.asks)
    assert len(book.bids) == 20 and book.bid.price < book.ask.price


async def test_row_14_clock_skew(stage: Sockets) -> None:
    async def row_14(stage: Sockets, row: Row) -> None:
        options = stage.engine.exchange._api.options
        for skew in (-90_000, 180_000):
            await stage.control.fault("clock", skew=skew)
            # The first request after it is refused, and the clock is set by the venue's.
            before = options.get("timeDifference", 0)
            await stage.until(lambda before=before: _far(options, before), 60)  # type: ignore[misc]
            await stage.fills()

    await stage.played(row_14)


def _far(options: dict[str, Any], before: int) -> bool:
    return abs(int(options.get("timeDifference", 0)) - before) > 30_000


async def test_row_15_clock_jump(stage: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    class Jumped:
        def __init__(self, clock: Any) -> None:
            self.clock, self.ahead = clock, 0

        def now(self) -> int:
            return int(self.clock.now()) + self.ahead

    async def row_15(stage: Sockets, row: Row) -> None:
        api = stage.engine.exchange._api
        clock = Jumped(api._clock)
        monkeypatch.setattr(api, "_clock", clock)
        for hour in (1, -1, 0):
            clock.ahead = hour * 3_600_000
            await stage.fills()
        await stage.closed()

    await stage.played(row_15)


async def test_row_17_the_loop_stands(stage: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    # Entries are held back for so long after the loop was late.
    monkeypatch.setattr(health, "LAG_MEMORY", 1.0)

    refused = Refusals()

    async def row_17(stage: Sockets, row: Row) -> None:
        engine = stage.engine
        monkeypatch.setattr(engine.orders, "refused", refused)
        time.sleep(4)  # noqa: ASYNC251 - four minutes of the market
        row.facts["told"] = health.late_loop(engine)
        row.facts["lag"] = engine.lag.current
        await stage.until(lambda: any("the candle is old" in why for why in refused.said), 60)
        await stage.until(lambda: health.late_loop(engine) is None, 60)
        await stage.fills()

    row = await stage.played(row_17)
    assert row.facts["lag"] >= 3 and "late" in row.facts["told"]


async def test_row_55_the_venue_starts_again_with_its_ledger(stage: Sockets) -> None:
    async def row_55(stage: Sockets, row: Row) -> None:
        before = stage.dials
        row.facts["held"] = stage.engine.positions.get("BTC/USDT").amount
        await stage.control.fault("restart", away=1)
        await stage.until(lambda: stage.dials > before, 60)
        await stage.until(lambda: stage.stream.ready, 60)
        await stage.fills()

    row = await stage.played(row_55)
    assert row.facts["held"] >= Decimal(0)
