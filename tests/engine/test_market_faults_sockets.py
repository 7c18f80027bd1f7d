"""Faults of the market, its connections and clocks, over real sockets.

The exchange is a separate process whose market runs sixty times as fast as the clock, and the bot
connects to it on 127.0.0.1 as it would to the venue. One bot meets one fault after another, with
shorter deadlines in its settings. Faults that need real deadlines or exact counts are tested in
virtual time in `tests/simulation/test_market_faults.py`.
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
from botlib.core.model import CandleSource, OrderRole
from botlib.engine import Orchestrator, health
from botlib.market_data import book_stream, repair
from botlib.paper import PaperProcess
from tests.support.market_faults import (
    MINUTE,
    STREAM,
    FaultRecord,
    Refusals,
    Restless,
    Stage,
    check_recovered,
    live,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

SPEED = 60
"""Market seconds per second: a candle closes every second."""

OF_A_CANDLE = 25
"""More frames than a candle has at this speed, so that they include its last one."""

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
    """A bot on an exchange in a separate process."""

    async def quiet(self) -> None:
        """Inject a fault at once: nothing is counted by the minute."""

    async def struck(self, kind: str) -> int:
        """Return how often a kind of fault has occurred."""
        return int((await self.control.state())["counters"]["faults"].get(kind, 0))

    async def strike(self, kind: str, *, times: int = 1, **details: object) -> None:
        """Order a fault, and wait until it has occurred."""
        before = await self.struck(kind)
        await self.control.fault(kind, **{"count": times, **details})
        async with asyncio.timeout(60):
            while await self.struck(kind) < before + times:  # noqa: ASYNC110
                await asyncio.sleep(self.look)

    async def fills(self, more: int = 1) -> None:
        """Wait until more orders of the bot were filled."""
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

    async def played(
        self, script: Callable[[Sockets, FaultRecord], Awaitable[None]]
    ) -> FaultRecord:
        """Inject a fault, and assert that the bot has recovered from it."""
        for before in self.records.values():
            if before.report is None or not before.report.ok:
                pytest.fail(f"not injected, because the bot did not recover from {before.name}")
        await self.play(script.__name__, script)  # type: ignore[arg-type]
        record = self.records[script.__name__]
        check_recovered(record)
        # Every candle was published once and in order, whether streamed or fetched.
        times = [one.candle.timestamp for one in live(record)]
        assert times and times == list(range(times[0], times[-1] + MINUTE, MINUTE))
        assert not self.engine.halts.first
        return record


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Sockets]:
    """Start an exchange, and a bot that always has an open order."""
    directory = tmp_path_factory.mktemp("sockets")
    arguments = ["--seed", "5", "--symbols", "BTC/USDT", "--start", "2026-01-05"]
    arguments += ["--speed", str(SPEED), "--ledger", str(directory / "ledger.db")]
    exchange = await PaperProcess.start(arguments, log=directory / "exchange.log")
    paper = {"paper": {"url": exchange.url}, "data_directory": directory / "data"}
    engine = Orchestrator(Settings().override(SETTINGS).override(paper))
    control = exchange.control()
    try:
        await engine.start()
        await engine.trade(Restless(stop_loss=0.05), "BTC/USDT", name="faults")
        made = Sockets(engine, control, look=0.02)
        await made.checker.begin()
        yield made
        made.checker.close()
    finally:
        await engine.stop()
        await control.close()
        await exchange.stop()


async def test_a_connection_reset_costs_one_dial(stage: Sockets) -> None:
    async def connection_reset(stage: Sockets, record: FaultRecord) -> None:
        before = stage.dials
        record.facts.update(await stage.control.fault("reset", target="streams"))
        await stage.until(lambda: stage.dials > before, 60)
        await stage.closed()

    assert (await stage.played(connection_reset)).facts["struck"] >= 1


async def silenced(stage: Sockets, record: FaultRecord, kind: str) -> None:
    before = stage.dials
    record.facts.update(await stage.control.fault(kind, target="streams"))
    record.facts["redial"] = await stage.until(lambda: stage.dials > before, 60)
    record.facts["why"] = stage.stream.connections[0].last_loss
    await stage.closed()


async def test_a_half_open_socket_is_dialled_again(stage: Sockets) -> None:
    async def half_open_socket(stage: Sockets, record: FaultRecord) -> None:
        await silenced(stage, record, "blackhole")

    record = await stage.played(half_open_socket)
    assert record.facts["struck"] >= 1 and record.facts["redial"] < 35
    assert "no candle frame for 2 s" in record.facts["why"]


async def test_a_stream_that_stalls_while_pongs_go_on_is_dialled_again(stage: Sockets) -> None:
    async def stalled_stream(stage: Sockets, record: FaultRecord) -> None:
        await silenced(stage, record, "stall")

    record = await stage.played(stalled_stream)
    assert record.facts["struck"] >= 1 and record.facts["redial"] < 35
    assert "no candle frame for 2 s" in record.facts["why"]


async def test_an_announced_shutdown_loses_no_candle(
    stage: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def announced_shutdown(stage: Sockets, record: FaultRecord) -> None:
        dial = stage.engine.exchange.open_klines
        sockets: list[int] = []

        async def watched(on_bad: Any) -> Any:
            made = await dial(on_bad)
            sockets.append((await stage.control.state())["counters"]["stream_sockets"])
            return made

        monkeypatch.setattr(stage.engine.exchange, "open_klines", watched)
        record.facts["before"] = (await stage.control.state())["counters"]["stream_sockets"]
        # Late enough for the new socket to open before, also on a busy machine.
        record.facts.update(await stage.control.fault("shutdown", target="streams", notice=5))
        await stage.until(lambda: bool(sockets), 60)
        record.facts["after"] = sockets[0]
        record.facts["why"] = stage.stream.connections[0].last_loss
        await stage.closed()

    record = await stage.played(announced_shutdown)
    assert record.facts["struck"] >= 1 and "announced a shutdown" in record.facts["why"]
    assert record.facts["after"] > record.facts["before"], "the new connection overlaps the old one"


async def test_a_connection_cut_after_24_hours_loses_no_candle(stage: Sockets) -> None:
    async def expired_connection(stage: Sockets, record: FaultRecord) -> None:
        before = stage.dials
        record.facts.update(await stage.control.fault("expire"))
        await stage.until(lambda: stage.dials > before, 60)
        await stage.closed()

    assert (await stage.played(expired_connection)).facts["struck"] >= 2


async def test_a_dropped_closing_frame_is_fetched(stage: Sockets) -> None:
    async def dropped_closing_frame(stage: Sockets, record: FaultRecord) -> None:
        await stage.strike("drop_closing", match=STREAM, times=2)
        await stage.closed()

    record = await stage.played(dropped_closing_frame)
    assert CandleSource.REST in {one.candle.source for one in live(record)}


async def test_a_long_gap_whose_backfill_fails_is_never_traded(
    stage: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So that a gap of a few candles has several pages.
    limits = replace(stage.engine.exchange.capabilities, candles_per_page=2)
    monkeypatch.setattr(stage.engine.exchange, "capabilities", limits)
    monkeypatch.setattr(repair, "RETRY_LONGEST", 0.5)

    async def failing_backfill(stage: Sockets, record: FaultRecord) -> None:
        await stage.control.fault("http_status", match="klines", status=503, count=1_000_000)
        await stage.strike("drop_closing", match=STREAM)
        entry = stage.stream.subscriptions[0]
        failures = entry.failures
        await stage.until(lambda: stage.stream.subscriptions[0].failures > failures + 1, 60)
        stage.take()
        # Candles after the gap wait for it.
        record.facts["closed"] = len(record.closed)
        end = stage.engine.market_clock.now() + 4 * MINUTE
        await stage.until(lambda: stage.engine.market_clock.now() > end, 60)
        stage.take()
        record.facts["closed"] = len(live(record)) - record.facts["closed"]
        record.facts["ready"] = stage.stream.subscriptions[0].ready
        await stage.control.fault("clear")
        await stage.closed()

    record = await stage.played(failing_backfill)
    assert record.facts["ready"] is False and record.facts["closed"] <= 0
    old = {one.candle.timestamp for one in live(record) if one.backfilled}
    assert len(old) >= 4, "once it can be fetched it comes in pages, as history"
    assert old.isdisjoint(one.signal.timestamp for one in record.signals)


async def test_duplicate_frames_are_processed_once(stage: Sockets) -> None:
    async def duplicate_frames(stage: Sockets, record: FaultRecord) -> None:
        before = stage.stream.subscriptions[0].duplicates
        await stage.strike("duplicate", times=60)
        await stage.until(lambda: stage.stream.subscriptions[0].duplicates > before, 60)
        await stage.control.fault("duplicate", match="user@", count=1_000_000)
        await stage.fills(2)

    record = await stage.played(duplicate_frames)
    fills = [(one.fill.symbol, one.fill.trade_id) for one in record.fills]
    assert len(fills) == len(set(fills)) >= 2


async def test_late_and_out_of_order_frames_change_nothing(stage: Sockets) -> None:
    async def late_frames(stage: Sockets, record: FaultRecord) -> None:
        before = stage.stream.subscriptions[0].late
        await stage.strike("late", times=2)
        await stage.strike("reorder", match=STREAM, times=15, probability=0.5)
        await stage.until(lambda: stage.stream.subscriptions[0].late > before, 60)
        await stage.closed()

    await stage.played(late_frames)


async def test_a_candle_revised_over_rest_is_not_decided_again(
    stage: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repair, "RECHECKED", 50)

    async def revised_candle(stage: Sockets, record: FaultRecord) -> None:
        before = stage.stream.revisions
        await stage.strike("corrupt", match=STREAM, times=OF_A_CANDLE, values={"k.v": "999.5"})
        await stage.control.pause()
        await stage.control.fault("reset", target="streams")
        await stage.until(lambda: stage.stream.revisions > before, 60)
        await stage.control.resume()
        await stage.closed()

    record = await stage.played(revised_candle)
    [first, *_] = [one.candle for one in live(record) if one.candle.volume == 999.5]
    stored = stage.engine.storage.candles("BTC/USDT", "1m", first.timestamp, first.timestamp)
    assert [one.source for one in stored] == [CandleSource.REST] and stored[0].volume != 999.5
    # There was at most one decision on it, by its values at that time.
    assert sum(one.signal.timestamp == first.timestamp for one in record.signals) <= 1


async def test_malformed_frames_are_counted_and_ignored(stage: Sockets) -> None:
    async def malformed_frames(stage: Sockets, record: FaultRecord) -> None:
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
        # The closing frame of a minute is not a number.
        await stage.strike("corrupt", match=STREAM, times=OF_A_CANDLE, values={"k.c": "NaN"})
        await stage.closed()
        record.facts["bad"] = stage.stream.bad_frames - before

    assert (await stage.played(malformed_frames)).facts["bad"] >= 7


async def test_a_price_spike_and_a_price_of_zero_are_ignored(stage: Sockets) -> None:
    async def price_spike(stage: Sockets, record: FaultRecord) -> None:
        bad = stage.stream.bad_frames
        close = stage.engine.storage.candles("BTC/USDT", "1m", limit=1)[0].close
        for spike in (close * 3, 0.0):
            values = {f"k.{name}": f"{spike:.2f}" for name in "ohlc"}
            await stage.strike("corrupt", match=STREAM, times=OF_A_CANDLE, values=values)
        await stage.closed()
        record.facts.update(bad=stage.stream.bad_frames - bad, close=close)

    record = await stage.played(price_spike)
    assert record.facts["bad"] >= 2
    near = pytest.approx(record.facts["close"], rel=0.1)
    assert all(one.candle.close == near for one in live(record))
    assert all(one.signal.price == near for one in record.signals)
    assert all(float(one.fill.price) == near for one in record.fills)


async def test_a_gap_in_the_order_book_is_repaired_by_a_snapshot(
    stage: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The bot's orders change the book without a frame while the market is paused.
    monkeypatch.setattr(book_stream, "FRESH", 0.5)

    async def order_book_gap(stage: Sockets, record: FaultRecord) -> None:
        held = stage.engine.books
        await held.get("BTC/USDT", 20, 60)
        assert "order_books" in stage.engine.tasks
        before = held.status()[0]
        await stage.strike("drop", match="btcusdt@depth", times=2)
        await stage.until(lambda: held.status()[0].gaps > before.gaps, 60)
        book = await held.get("BTC/USDT", 20, 60)
        record.facts["snapshots"] = held.status()[0].snapshots - before.snapshots
        await stage.control.pause()
        async with asyncio.timeout(60):
            while True:
                book = await held.get("BTC/USDT", 20, 60)
                truth = await stage.engine.exchange.fetch_depth("BTC/USDT", 20)
                if book.update_id == truth.update_id:
                    break
                await asyncio.sleep(stage.look)
        await stage.control.resume()
        record.facts.update(book=book, truth=truth)
        await stage.closed()

    record = await stage.played(order_book_gap)
    book, truth = record.facts["book"], record.facts["truth"]
    assert record.facts["snapshots"] >= 1
    assert (book.bids, book.asks) == (truth.bids, truth.asks)
    assert len(book.bids) == 20 and book.bid.price < book.ask.price


async def test_trading_goes_on_after_a_clock_skew(stage: Sockets) -> None:
    async def clock_skew(stage: Sockets, record: FaultRecord) -> None:
        options = stage.engine.exchange._api.options
        for skew in (-90_000, 180_000):
            await stage.control.fault("clock", skew=skew)
            # The first request after it is refused, and the clock is set to the venue's.
            before = options.get("timeDifference", 0)
            await stage.until(lambda before=before: _far(options, before), 60)  # type: ignore[misc]
            await stage.fills()

    await stage.played(clock_skew)


def _far(options: dict[str, Any], before: int) -> bool:
    return abs(int(options.get("timeDifference", 0)) - before) > 30_000


async def test_trading_goes_on_after_a_clock_jump(
    stage: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Jumped:
        def __init__(self, clock: Any) -> None:
            self.clock, self.ahead = clock, 0

        def now(self) -> int:
            return int(self.clock.now()) + self.ahead

    async def clock_jump(stage: Sockets, record: FaultRecord) -> None:
        api = stage.engine.exchange._api
        clock = Jumped(api._clock)
        monkeypatch.setattr(api, "_clock", clock)
        for hour in (1, -1, 0):
            clock.ahead = hour * 3_600_000
            await stage.fills()
        await stage.closed()

    await stage.played(clock_jump)


async def test_a_blocked_loop_decides_only_on_the_newest_candle(
    stage: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Entries are held back for this long after the loop was late.
    monkeypatch.setattr(health, "LAG_MEMORY", 1.0)

    async def blocked_loop(stage: Sockets, record: FaultRecord) -> None:
        engine = stage.engine
        refused = Refusals(engine.bus)
        (active,) = engine.signals.strategies.values()
        skipped, blocked = active.skipped, engine.market_clock.now()
        time.sleep(4)  # noqa: ASYNC251 - four minutes of market time
        record.facts["reason"] = health.late_loop(engine)
        record.facts["lag"] = engine.lag.current

        def passed_over() -> bool:
            old = any("the candle is old" in why for why in refused.all)
            return old or active.skipped > skipped

        await stage.until(passed_over, 60)
        await stage.until(lambda: health.late_loop(engine) is None, 60)
        await stage.fills()
        for order in engine.orders.ledger.of_symbol("BTC/USDT"):
            sent, decided = order.market_time or 0, order.intent.signal_timestamp
            if order.role is OrderRole.ENTRY and sent > blocked:
                assert decided is not None and sent < decided + 2 * MINUTE

    record = await stage.played(blocked_loop)
    assert record.facts["lag"] >= 3 and "late" in record.facts["reason"]


async def test_a_venue_that_restarts_with_its_ledger_is_found_again(stage: Sockets) -> None:
    async def venue_restart(stage: Sockets, record: FaultRecord) -> None:
        before = stage.dials
        record.facts["held"] = stage.engine.positions.get("BTC/USDT").amount
        await stage.control.fault("restart", away=1)
        await stage.until(lambda: stage.dials > before, 60)
        await stage.until(lambda: stage.stream.ready, 60)
        await stage.fills()

    record = await stage.played(venue_restart)
    assert record.facts["held"] >= Decimal(0)
