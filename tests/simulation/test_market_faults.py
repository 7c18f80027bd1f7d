"""Faults of the market, its connections and clocks, injected into a whole bot in virtual time.

One bot meets one fault after another, and each test checks the record of its fault. After every
fault the invariants hold: one order per decision, fills and candles equal to the venue's, and a
stop at the venue for every position.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from botlib.core.lag import LagMeter
from botlib.core.model import CandleSource
from botlib.engine.health import late_loop
from botlib.frames import Frames
from botlib.strategy import Signals, Strategy
from botlib.venues.registry import DEFAULT_VENUE, VENUES
from tests.support.market_faults import (
    MINUTE,
    STREAM,
    FaultRecord,
    Refusals,
    Stage,
    check_recovered,
    kline,
    live,
    run,
)

FaultRecords = dict[str, FaultRecord]


# -- the faults


async def fault_connection_reset(stage: Stage, record: FaultRecord) -> None:
    before = stage.dials
    await stage.control.fault("reset", target="streams")
    await stage.minutes(2)
    record.facts["dials"] = stage.dials - before


async def fault_repeated_resets(stage: Stage, record: FaultRecord) -> None:
    before = stage.dials
    for _ in range(300):
        await stage.control.fault("reset", target="streams")
        await asyncio.sleep(1)
    record.facts["dials"] = stage.dials - before


async def silence(stage: Stage, record: FaultRecord, kind: str) -> None:
    before = stage.dials
    await stage.control.fault(kind, target="streams")
    record.facts["redial"] = await stage.until(lambda: stage.dials > before)
    record.facts["why"] = stage.stream.connections[0].last_loss
    await stage.minutes(2)


async def fault_half_open_socket(stage: Stage, record: FaultRecord) -> None:
    await silence(stage, record, "blackhole")


async def fault_stalled_stream(stage: Stage, record: FaultRecord) -> None:
    await silence(stage, record, "stall")


async def fault_announced_shutdown(stage: Stage, record: FaultRecord) -> None:
    before, exchange = stage.dials, stage.engine.exchange
    dial, sockets = exchange.open_klines, []

    async def watched(on_bad: Any) -> Any:
        connection = await dial(on_bad)
        sockets.append(len(stage.simulation.exchange.venue.streams.connections))
        return connection

    exchange.open_klines = watched  # type: ignore[method-assign]
    await stage.control.fault("shutdown", target="streams", notice=10)
    await stage.minutes(2)
    exchange.open_klines = dial  # type: ignore[method-assign]
    record.facts.update(sockets=sockets, dials=stage.dials - before)


async def fault_expired_connection(stage: Stage, record: FaultRecord) -> None:
    before = stage.dials
    await stage.control.fault("expire")
    await stage.minutes(2)
    record.facts["dials"] = stage.dials - before


async def fault_dropped_closing_frame(stage: Stage, record: FaultRecord) -> None:
    await stage.control.fault("drop_closing", match=STREAM, count=2)
    await stage.minutes(3)


async def fault_failing_backfill(stage: Stage, record: FaultRecord) -> None:
    orders = stage.engine.orders.sent
    await stage.control.fault("http_status", match="klines", status=503, **{"for": "8m"})
    await stage.control.fault("drop_closing", match=STREAM, count=1)
    await stage.minutes(7)
    entry = next(one for one in stage.stream.subscriptions if one.timeframe == "1m")
    record.facts.update(ready=entry.ready, failures=entry.failures)
    record.facts["orders"] = stage.engine.orders.sent - orders
    stage.take()
    record.facts["closed"] = len(live(record))
    await stage.minutes(4)


async def fault_duplicate_frames(stage: Stage, record: FaultRecord) -> None:
    await stage.control.fault("duplicate", **{"for": "150s"})
    await stage.minutes(3)


async def fault_late_frames(stage: Stage, record: FaultRecord) -> None:
    await stage.control.fault("late", count=4)
    await stage.control.fault("reorder", match="kline", probability=0.5, **{"for": "200s"})
    await stage.minutes(4)


async def fault_revised_candle(stage: Stage, record: FaultRecord) -> None:
    before = stage.stream.revisions
    last = stage.engine.storage.candles("BTC/USDT", "1m", limit=1)[0]
    values = {
        name: str(getattr(last, word))
        for name, word in (("o", "open"), ("h", "high"), ("l", "low"), ("c", "close"))
    }
    now = stage.engine.market_clock.now()
    for volume in (last.volume + 1, last.volume):
        text = kline(last.timestamp, {**values, "v": str(volume)}, event_time=now, closed=True)
        await stage.control.fault("malformed", target="streams", text=text)
        await asyncio.sleep(1)
    record.facts["revised"] = stage.stream.revisions - before
    record.facts["candle"] = last.timestamp
    await stage.minutes(1)


async def fault_malformed_frames(stage: Stage, record: FaultRecord) -> None:
    before = stage.stream.bad_frames
    dials = stage.dials
    for details in (
        {},
        {"text": "[]"},
        {"text": '{"e":"somethingNew","E":1}'},
        {"values": {"k.x": "maybe"}},
        {"values": {"k.t": "yesterday"}},
        {"values": {"E": None}},
    ):
        await stage.control.fault("corrupt", match=STREAM, **details)
    # The closing frame of the minute is not a number.
    await stage.minutes(1)
    await stage.control.fault("corrupt", match=STREAM, values={"k.c": "NaN"}, **{"for": "70s"})
    await stage.minutes(1)
    record.facts["bad"] = stage.stream.bad_frames - before
    record.facts["dials"] = stage.dials - dials
    await stage.minutes(2)


async def fault_price_spike(stage: Stage, record: FaultRecord) -> None:
    bad = stage.stream.bad_frames
    close = stage.engine.storage.candles("BTC/USDT", "1m", limit=1)[0].close
    for spike in (close * 3, close / 3, 0.0):
        values = {f"k.{name}": f"{spike:.2f}" for name in "ohlc"}
        await stage.control.fault("corrupt", match=STREAM, values=values, **{"for": "62s"})
        await stage.minutes(1)
    record.facts["bad"] = stage.stream.bad_frames - bad
    record.facts["close"] = close
    await stage.minutes(2)


async def fault_order_book_gap(stage: Stage, record: FaultRecord) -> None:
    books = stage.engine.books
    await books.get("BTC/USDT", 20, 60)
    before = books.status()[0]
    await stage.control.fault("drop", match="btcusdt@depth", count=2)
    await stage.until(lambda: books.status()[0].gaps > before.gaps)
    record.facts["book"] = book = await books.get("BTC/USDT", 20, 60)
    record.facts["truth"] = truth = await stage.engine.exchange.fetch_depth("BTC/USDT", 20)
    assert book.update_id == truth.update_id
    record.facts["snapshots"] = books.status()[0].snapshots - before.snapshots
    await stage.minutes(2)
    record.facts["gaps"] = books.status()[0].gaps - before.gaps


async def fault_clock_skew(stage: Stage, record: FaultRecord) -> None:
    orders = stage.engine.orders.sent
    await stage.control.fault("clock", skew=-90_000)
    await stage.minutes(3)
    await stage.control.fault("clock", skew=180_000)
    await stage.minutes(3)
    record.facts["orders"] = stage.engine.orders.sent - orders
    stage.take()
    record.facts["fills"] = len(record.fills)
    await stage.control.fault("clear")
    await stage.minutes(3)


async def fault_clock_jump(stage: Stage, record: FaultRecord) -> None:
    """Set the computer's clock forward and back again."""
    exchange: Any = stage.engine.exchange
    clock = exchange._api._clock

    class Jumped:
        ahead = 3_600_000

        def now(self) -> int:
            return clock.now() + self.ahead

    exchange._api._clock = Jumped()
    orders, dials = stage.engine.orders.sent, stage.dials
    await stage.minutes(3)
    Jumped.ahead = -3_600_000
    await stage.minutes(3)
    exchange._api._clock = clock
    await stage.minutes(3)
    record.facts.update(orders=stage.engine.orders.sent - orders, dials=stage.dials - dials)


async def fault_blocked_loop(stage: Stage, record: FaultRecord) -> None:
    """Block the loop for 150 seconds, in which two candles close."""
    loop: Any = asyncio.get_running_loop()
    loop._now += 150.0
    await asyncio.sleep(5)
    await stage.minutes(2)


async def fault_old_candles(stage: Stage, record: FaultRecord) -> None:
    """Process candles five minutes late."""
    clock = stage.engine.market_clock
    refused = Refusals(stage.engine.bus)
    clock.advance(clock.now() + 300_000)
    before = len(stage.engine.journal.decisions())
    await asyncio.sleep(130)
    record.facts["decided"] = stage.engine.journal.decisions()[before:]
    record.facts["refused"] = list(refused.all)
    await asyncio.sleep(240)


PLAYED = {
    name: play for name, play in globals().items() if name.startswith("fault_") and callable(play)
}


@pytest.fixture(scope="module")
def records() -> Iterator[FaultRecords]:
    """Inject every fault, once for all tests."""
    venue = VENUES[DEFAULT_VENUE]
    # So that a gap of three candles has several pages.
    limits = replace(venue.capabilities, candles_per_page=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VENUES, DEFAULT_VENUE, replace(venue, capabilities=limits))
        played, outcome = run(PLAYED)
    if all(record.report is not None and record.report.ok for record in played.values()):
        assert outcome.summary.tasks_failed == 0
        assert outcome.summary.healthy, outcome.summary.reasons
    yield played


def recovered(records: FaultRecords, name: str) -> FaultRecord:
    """Return the record of a fault, after which invariants, order and live trading hold."""
    assert name in records, f"{name} was not injected, after {list(records)[-1]} broke the bot"
    check_recovered(records[name])
    return records[name]


# -- what is expected of the bot


def test_a_connection_reset_costs_one_dial(records: FaultRecords) -> None:
    record = recovered(records, "fault_connection_reset")
    assert record.facts["dials"] == 1
    # Every candle arrived in time to be traded.
    assert [one.backfilled for one in live(record)] == [False] * 2
    assert len(record.signals) == 2


def test_dials_after_repeated_resets_stay_below_the_venues_limit(records: FaultRecords) -> None:
    record = recovered(records, "fault_repeated_resets")
    assert 20 <= record.facts["dials"] < 300


def test_a_half_open_socket_is_dialled_again(records: FaultRecords) -> None:
    record = recovered(records, "fault_half_open_socket")
    assert record.facts["redial"] <= 36


def test_a_stream_that_stalls_while_pongs_go_on_is_dialled_again(records: FaultRecords) -> None:
    record = recovered(records, "fault_stalled_stream")
    assert record.facts["redial"] <= 36
    assert "no candle frame" in record.facts["why"]


def test_an_announced_shutdown_loses_no_candle(records: FaultRecords) -> None:
    record = recovered(records, "fault_announced_shutdown")
    assert (record.facts["sockets"], record.facts["dials"]) == ([2], 1)
    assert record.gaps == []
    assert {one.candle.source for one in live(record)} == {CandleSource.STREAM}


def test_a_connection_cut_after_24_hours_loses_no_candle(records: FaultRecords) -> None:
    record = recovered(records, "fault_expired_connection")
    assert record.facts["dials"] == 1
    assert [one.backfilled for one in live(record)] == [False] * 2


def test_a_dropped_closing_frame_is_fetched(records: FaultRecords) -> None:
    record = recovered(records, "fault_dropped_closing_frame")
    assert [one.candle.source for one in live(record)] == [
        CandleSource.REST,
        CandleSource.REST,
        CandleSource.STREAM,
    ]
    assert [one.backfilled for one in live(record)] == [False] * 3
    assert len(record.signals) == 3


def test_a_long_gap_whose_backfill_fails_is_never_traded(records: FaultRecords) -> None:
    record = recovered(records, "fault_failing_backfill")
    assert record.facts["ready"] is False and record.facts["failures"] > 3
    assert (record.facts["orders"], record.facts["closed"]) == (0, 0)
    # Once it can be fetched it comes in pages, as history, and causes no decision.
    old = [one for one in live(record) if one.backfilled]
    assert len(old) >= 6
    decided = {one.signal.timestamp for one in record.signals}
    assert decided.isdisjoint(one.candle.timestamp for one in old)


def test_duplicate_frames_are_processed_once(records: FaultRecords) -> None:
    record = recovered(records, "fault_duplicate_frames")
    assert len(live(record)) == len(record.signals) == 3
    assert (
        len({(one.fill.symbol, one.fill.trade_id) for one in record.fills}) == len(record.fills) > 0
    )


def test_late_and_out_of_order_frames_change_nothing(records: FaultRecords) -> None:
    record = recovered(records, "fault_late_frames")
    assert len(live(record)) == len(record.signals) == 4


def test_a_revised_candle_is_not_decided_again(records: FaultRecords) -> None:
    record = recovered(records, "fault_revised_candle")
    assert record.facts["revised"] == 2
    assert record.facts["candle"] not in [one.signal.timestamp for one in record.signals]
    assert record.facts["candle"] not in [one.candle.timestamp for one in record.closed]


def test_malformed_frames_are_counted_and_ignored(records: FaultRecords) -> None:
    record = recovered(records, "fault_malformed_frames")
    assert record.facts["bad"] >= 7
    assert record.facts["dials"] == 0
    assert len(live(record)) == len(record.signals) == 4


def test_a_price_spike_and_a_price_of_zero_are_ignored(records: FaultRecords) -> None:
    record = recovered(records, "fault_price_spike")
    assert record.facts["bad"] >= 3
    for event in live(record):
        assert event.candle.close == pytest.approx(record.facts["close"], rel=0.1)
    for signal in record.signals:
        assert signal.signal.price == pytest.approx(record.facts["close"], rel=0.1)


def test_a_gap_in_the_order_book_is_repaired_by_a_snapshot(records: FaultRecords) -> None:
    record = recovered(records, "fault_order_book_gap")
    book, truth = record.facts["book"], record.facts["truth"]
    assert (book.bids, book.asks) == (truth.bids, truth.asks)
    assert (record.facts["gaps"], record.facts["snapshots"]) == (1, 1)


def test_trading_goes_on_after_a_clock_skew(records: FaultRecords) -> None:
    record = recovered(records, "fault_clock_skew")
    # The first request after the skew is refused, the clock is set, and trading goes on.
    assert record.facts["orders"] >= 6
    assert record.facts["fills"] >= 3


def test_trading_goes_on_after_a_clock_jump(records: FaultRecords) -> None:
    record = recovered(records, "fault_clock_jump")
    assert record.facts["dials"] == 0
    assert record.facts["orders"] >= 6
    assert [one.backfilled for one in live(record)] == [False] * len(live(record))


def test_a_blocked_loop_decides_only_on_the_newest_candle(records: FaultRecords) -> None:
    record = recovered(records, "fault_blocked_loop")
    assert len(live(record)) >= 4
    # Candles older than the newest one are history.
    assert len(record.signals) < len(live(record))


def test_no_entry_on_an_old_candle(records: FaultRecords) -> None:
    record = recovered(records, "fault_old_candles")
    assert len(record.signals) >= 2
    assert [action for *_, action in record.facts["decided"] if action == "entry"] == []
    assert any("the candle is old" in reason for reason in record.facts["refused"])


# -- faults that need a separate market, clock or meter


class Steady(Strategy):
    """Holds a position from the first candle on."""

    timeframes = ("1m",)

    def signals(self, data: Frames) -> Signals:
        all_ = data.frame["close"] > 0
        return Signals(entry=all_, exit=~all_)


def test_a_hole_without_trades_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m.csv"
    start, missing = 1_735_689_600_000, range(45, 52)
    lines = [
        f"{start + MINUTE * i},{100 + i % 7},120,90,{101 + i % 5},3"
        for i in range(90)
        if i not in missing
    ]
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]) + "\n")
    holes: list[Any] = []

    async def wait(stage: Stage, record: FaultRecord) -> None:
        await stage.until(lambda: stage.simulation.paper.ended, 20_000)
        holes.extend(stage.engine.storage.holes("BTC/USDT", "1m"))

    records, _ = run({"hole": wait}, paper={"market": "recording", "recording": [str(path)]})
    record = recovered(records, "hole")
    assert [(one.start, one.end) for one in holes] == [
        (start + MINUTE * missing[0], start + MINUTE * missing[-1])
    ]
    assert not {(one.candle.timestamp - start) // MINUTE for one in live(record)} & set(missing)


def test_days_of_23_and_25_hours_have_all_candles() -> None:
    """When daylight saving time changes, local time lacks or repeats an hour; UTC does not."""
    zone = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    try:
        for start in ("2025-03-30T00:50", "2025-10-26T00:50"):

            async def wait(stage: Stage, record: FaultRecord) -> None:
                await stage.minutes(20)

            records, _ = run({"dst": wait}, timeframes=["1m", "1h"], paper={"start": start})
            record = recovered(records, "dst")
            times = [one.candle.timestamp for one in live(record)]
            assert times == list(range(times[0], times[0] + 20 * MINUTE, MINUTE))
            hours = [one.candle.timestamp for one in record.closed if one.candle.timeframe == "1h"]
            assert len(hours) == 1 and hours[0] % (60 * MINUTE) == 0
    finally:
        if zone is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = zone
        time.tzset()


async def test_no_entry_while_the_loop_lags() -> None:
    meter = LagMeter(0.01)
    meter.start()

    class Health:
        max_lag = 0.3

    class Settings:
        health = Health()

    class Engine:
        lag = meter
        in_lockstep = False
        settings = Settings()

    def caution() -> str | None:
        return late_loop(Engine())  # type: ignore[arg-type]

    await asyncio.sleep(0.05)
    caution()  # a busy machine may lag without the fault
    time.sleep(0.5)  # noqa: ASYNC251
    late = caution()
    assert late is not None and re.fullmatch(r"the loop ran \d+\.\d s late within .*", late)
    await asyncio.sleep(0.05)
    # Also after the late beat, while the delayed work is still processed.
    assert caution() is not None
    assert meter.worst >= 0.3
    meter.stop()
