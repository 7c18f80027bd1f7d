"""Rows 1 to 17 of the list of faults, played against a whole bot in virtual time, by their names.

One bot meets them one after another; each test looks at what came of its row. After every row the
invariants hold: one order per decision, fills and candles that are the venue's, a stop at the
venue for whatever is held.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from botlib.core.errors import RiskRejected
from botlib.core.lag import LagMeter
from botlib.core.model import CandleSource, OrderIntent, OrderType, Side
from botlib.engine.health import late_loop
from botlib.frames import Frames
from botlib.strategy import Signals, Strategy
from botlib.trading.risk import RiskLimits, RiskValidator
from botlib.venues.registry import DEFAULT_VENUE, VENUES
from tests.support.market_faults import (
    MINUTE,
    STREAM,
    Refusals,
    Row,
    Stage,
    check_recovered,
    kline,
    live,
    run,
)

Rows = dict[str, Row]


# -- what is done to the bot


async def row_01(stage: Stage, row: Row) -> None:
    before = stage.dials
    await stage.control.fault("reset", target="streams")
    await stage.minutes(2)
    row.facts["dials"] = stage.dials - before


async def row_01_again(stage: Stage, row: Row) -> None:
    before = stage.dials
    for _ in range(300):
        await stage.control.fault("reset", target="streams")
        await asyncio.sleep(1)
    row.facts["dials"] = stage.dials - before


async def silence(stage: Stage, row: Row, kind: str) -> None:
    before = stage.dials
    await stage.control.fault(kind, target="streams")
    row.facts["redial"] = await stage.until(lambda: stage.dials > before)
    row.facts["why"] = stage.stream.connections[0].last_loss
    await stage.minutes(2)


async def row_02(stage: Stage, row: Row) -> None:
    await silence(stage, row, "blackhole")


async def row_03(stage: Stage, row: Row) -> None:
    await silence(stage, row, "stall")


async def row_04(stage: Stage, row: Row) -> None:
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
    row.facts.update(sockets=sockets, dials=stage.dials - before)


async def row_04_expired(stage: Stage, row: Row) -> None:
    before = stage.dials
    await stage.control.fault("expire")
    await stage.minutes(2)
    row.facts["dials"] = stage.dials - before


async def row_05(stage: Stage, row: Row) -> None:
    await stage.control.fault("drop_closing", match=STREAM, count=2)
    await stage.minutes(3)


async def row_06(stage: Stage, row: Row) -> None:
    orders = stage.engine.orders.sent
    await stage.control.fault("http_status", match="klines", status=503, **{"for": "8m"})
    await stage.control.fault("drop_closing", match=STREAM, count=1)
    await stage.minutes(7)
    entry = next(one for one in stage.stream.subscriptions if one.timeframe == "1m")
    row.facts.update(ready=entry.ready, failures=entry.failures)
    row.facts["orders"] = stage.engine.orders.sent - orders
    stage.take()
    row.facts["closed"] = len(live(row))
    await stage.minutes(4)


async def row_07(stage: Stage, row: Row) -> None:
    await stage.control.fault("duplicate", **{"for": "150s"})
    await stage.minutes(3)


async def row_08(stage: Stage, row: Row) -> None:
    await stage.control.fault("late", count=4)
    await stage.control.fault("reorder", match="kline", probability=0.5, **{"for": "200s"})
    await stage.minutes(4)


async def row_09(stage: Stage, row: Row) -> None:
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
    row.facts["revised"] = stage.stream.revisions - before
    row.facts["candle"] = last.timestamp
    await stage.minutes(1)


async def row_11(stage: Stage, row: Row) -> None:
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
    # The closing frame of the minute says nonsense.
    await stage.minutes(1)
    await stage.control.fault("corrupt", match=STREAM, values={"k.c": "NaN"}, **{"for": "70s"})
    await stage.minutes(1)
    row.facts["bad"] = stage.stream.bad_frames - before
    row.facts["dials"] = stage.dials - dials
    await stage.minutes(2)


async def row_12(stage: Stage, row: Row) -> None:
    bad = stage.stream.bad_frames
    close = stage.engine.storage.candles("BTC/USDT", "1m", limit=1)[0].close
    for spike in (close * 3, close / 3, 0.0):
        values = {f"k.{name}": f"{spike:.2f}" for name in "ohlc"}
        await stage.control.fault("corrupt", match=STREAM, values=values, **{"for": "62s"})
        await stage.minutes(1)
    row.facts["bad"] = stage.stream.bad_frames - bad
    row.facts["close"] = close
    await stage.minutes(2)


async def row_13(stage: Stage, row: Row) -> None:
    books = stage.engine.books
    await books.get("BTC/USDT", 20, 60)
    before = books.status()[0]
    await stage.control.fault("drop", match="btcusdt@depth", count=2)
    await stage.until(lambda: books.status()[0].gaps > before.gaps)
    row.facts["book"] = book = await books.get("BTC/USDT", 20, 60)
    row.facts["truth"] = truth = await stage.engine.exchange.fetch_depth("BTC/USDT", 20)
    assert book.update_id == truth.update_id
    row.facts["snapshots"] = books.status()[0].snapshots - before.snapshots
    await stage.minutes(2)
    row.facts["gaps"] = books.status()[0].gaps - before.gaps


async def row_14(stage: Stage, row: Row) -> None:
    orders = stage.engine.orders.sent
    await stage.control.fault("clock", skew=-90_000)
    await stage.minutes(3)
    await stage.control.fault("clock", skew=180_000)
    await stage.minutes(3)
    row.facts["orders"] = stage.engine.orders.sent - orders
    stage.take()
    row.facts["fills"] = len(row.fills)
    await stage.control.fault("clear")
    await stage.minutes(3)


async def row_15(stage: Stage, row: Row) -> None:
    """The computer's clock is put forward, and back again."""
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
    row.facts.update(orders=stage.engine.orders.sent - orders, dials=stage.dials - dials)


async def row_17(stage: Stage, row: Row) -> None:
    """The loop stands for 150 seconds: two candles close meanwhile."""
    loop: Any = asyncio.get_running_loop()
    loop._now += 150.0
    await asyncio.sleep(5)
    await stage.minutes(2)


async def row_17_old(stage: Stage, row: Row) -> None:
    """What the market says is worked off too late: by now it has moved on."""
    clock, orders = stage.engine.market_clock, stage.engine.orders
    orders.refused = refused = Refusals()
    clock.advance(clock.now() + 300_000)
    before = len(stage.engine.journal.decisions())
    await asyncio.sleep(130)
    row.facts["decided"] = stage.engine.journal.decisions()[before:]
    row.facts["refused"] = list(refused.said)
    await asyncio.sleep(240)


PLAYED = {
    name: play for name, play in globals().items() if name.startswith("row_") and callable(play)
}


@pytest.fixture(scope="module")
def rows() -> Iterator[Rows]:
    """Play every row, once for all tests."""
    venue = VENUES[DEFAULT_VENUE]
    # So that three candles are a gap of several pages.
    limits = replace(venue.capabilities, candles_per_page=3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(VENUES, DEFAULT_VENUE, replace(venue, capabilities=limits))
        played, outcome = run(PLAYED)
    if all(row.report is not None and row.report.ok for row in played.values()):
        assert outcome.summary.tasks_failed == 0
        assert outcome.summary.healthy, outcome.summary.reasons
    yield played


def recovered(rows: Rows, name: str) -> Row:
    """Return a row that left nothing broken: invariants, order and live trading."""
    assert name in rows, f"{name} was not played: {list(rows)[-1]} left something broken"
    check_recovered(rows[name])
    return rows[name]


# -- what is expected of it


def test_row_01_websocket_rst(rows: Rows) -> None:
    row = recovered(rows, "row_01")
    assert row.facts["dials"] == 1
    # Every candle came, each in time to be acted on.
    assert [one.backfilled for one in live(row)] == [False] * 2
    assert len(row.signals) == 2


def test_row_01_resets_without_end_stay_below_the_venues_limit(rows: Rows) -> None:
    row = recovered(rows, "row_01_again")
    assert 20 <= row.facts["dials"] < 300


def test_row_02_half_open_socket(rows: Rows) -> None:
    row = recovered(rows, "row_02")
    assert row.facts["redial"] <= 36


def test_row_03_stall_while_pongs_go_on(rows: Rows) -> None:
    row = recovered(rows, "row_03")
    assert row.facts["redial"] <= 36
    assert "no candle frame" in row.facts["why"]


def test_row_04_shutdown_announced(rows: Rows) -> None:
    row = recovered(rows, "row_04")
    assert (row.facts["sockets"], row.facts["dials"]) == ([2], 1)
    assert row.gaps == []
    assert {one.candle.source for one in live(row)} == {CandleSource.STREAM}


def test_row_04_cut_at_24_hours(rows: Rows) -> None:
    row = recovered(rows, "row_04_expired")
    assert row.facts["dials"] == 1
    assert [one.backfilled for one in live(row)] == [False] * 2


def test_row_05_closing_frame_dropped(rows: Rows) -> None:
    row = recovered(rows, "row_05")
    assert [one.candle.source for one in live(row)] == [
        CandleSource.REST,
        CandleSource.REST,
        CandleSource.STREAM,
    ]
    assert [one.backfilled for one in live(row)] == [False] * 3
    assert len(row.signals) == 3


def test_row_06_long_gap_while_backfill_fails(rows: Rows) -> None:
    row = recovered(rows, "row_06")
    assert row.facts["ready"] is False and row.facts["failures"] > 3
    assert (row.facts["orders"], row.facts["closed"]) == (0, 0)
    # Once it can be fetched it comes in pages, as history: nothing is decided on it any more.
    old = [one for one in live(row) if one.backfilled]
    assert len(old) >= 6
    acted = {one.signal.timestamp for one in row.signals}
    assert acted.isdisjoint(one.candle.timestamp for one in old)


def test_row_07_duplicate_frames(rows: Rows) -> None:
    row = recovered(rows, "row_07")
    assert len(live(row)) == len(row.signals) == 3
    assert len({(one.fill.symbol, one.fill.trade_id) for one in row.fills}) == len(row.fills) > 0


def test_row_08_late_and_out_of_order_frames(rows: Rows) -> None:
    row = recovered(rows, "row_08")
    assert len(live(row)) == len(row.signals) == 4


def test_row_09_a_candle_is_revised(rows: Rows) -> None:
    row = recovered(rows, "row_09")
    assert row.facts["revised"] == 2
    assert row.facts["candle"] not in [one.signal.timestamp for one in row.signals]
    assert row.facts["candle"] not in [one.candle.timestamp for one in row.closed]


def test_row_11_malformed_frames(rows: Rows) -> None:
    row = recovered(rows, "row_11")
    assert row.facts["bad"] >= 7
    assert row.facts["dials"] == 0
    assert len(live(row)) == len(row.signals) == 4


def test_row_12_price_spike_and_zero(rows: Rows) -> None:
    row = recovered(rows, "row_12")
    assert row.facts["bad"] >= 3
    for event in live(row):
        assert event.candle.close == pytest.approx(row.facts["close"], rel=0.1)
    for signal in row.signals:
        assert signal.signal.price == pytest.approx(row.facts["close"], rel=0.1)


def test_row_13_gap_in_the_order_book(rows: Rows) -> None:
    row = recovered(rows, "row_13")
    book, truth = row.facts["book"], row.facts["truth"]
    assert (book.bids, book.asks) == (truth.bids, truth.asks)
    assert (row.facts["gaps"], row.facts["snapshots"]) == (1, 1)


def test_row_14_clock_skew(rows: Rows) -> None:
    row = recovered(rows, "row_14")
    # The first request after the skew is refused, the clock is set, and trading goes on.
    assert row.facts["orders"] >= 6
    assert row.facts["fills"] >= 3


def test_row_15_clock_jump(rows: Rows) -> None:
    row = recovered(rows, "row_15")
    assert row.facts["dials"] == 0
    assert row.facts["orders"] >= 6
    assert [one.backfilled for one in live(row)] == [False] * len(live(row))


def test_row_17_the_loop_stands(rows: Rows) -> None:
    row = recovered(rows, "row_17")
    assert len(live(row)) >= 4
    # What is older than the newest candle is history.
    assert len(row.signals) < len(live(row))


def test_row_17_nothing_is_entered_on_a_candle_that_is_old(rows: Rows) -> None:
    row = recovered(rows, "row_17_old")
    assert len(row.signals) >= 2
    assert [action for *_, action in row.facts["decided"] if action == "entry"] == []
    assert any("the candle is old" in reason for reason in row.facts["refused"])


# -- rows that need a market, a clock or a meter of their own


class Steady(Strategy):
    """Holds from the first candle on."""

    timeframes = ("1m",)

    def signals(self, data: Frames) -> Signals:
        all_ = data.frame["close"] > 0
        return Signals(entry=all_, exit=~all_)


def test_row_10_hole_without_trades(tmp_path: Path) -> None:
    path = tmp_path / "BTCUSDT-1m.csv"
    start, missing = 1_735_689_600_000, range(45, 52)
    lines = [
        f"{start + MINUTE * i},{100 + i % 7},120,90,{101 + i % 5},3"
        for i in range(90)
        if i not in missing
    ]
    path.write_text("\n".join(["timestamp,open,high,low,close,volume", *lines]) + "\n")
    holes: list[Any] = []

    async def wait(stage: Stage, row: Row) -> None:
        await stage.until(lambda: stage.simulation.paper.ended, 20_000)
        holes.extend(stage.engine.storage.holes("BTC/USDT", "1m"))

    rows, _ = run({"hole": wait}, paper={"market": "recording", "recording": [str(path)]})
    row = recovered(rows, "hole")
    assert [(one.start, one.end) for one in holes] == [
        (start + MINUTE * missing[0], start + MINUTE * missing[-1])
    ]
    assert not {(one.candle.timestamp - start) // MINUTE for one in live(row)} & set(missing)


def test_row_16_days_of_23_and_25_hours() -> None:
    """Where the summer begins or ends, an hour is missing or doubled: not in UTC."""
    zone = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    try:
        for start in ("2025-03-30T00:50", "2025-10-26T00:50"):

            async def wait(stage: Stage, row: Row) -> None:
                await stage.minutes(20)

            rows, _ = run({"dst": wait}, timeframes=["1m", "1h"], paper={"start": start})
            row = recovered(rows, "dst")
            times = [one.candle.timestamp for one in live(row)]
            assert times == list(range(times[0], times[0] + 20 * MINUTE, MINUTE))
            hours = [one.candle.timestamp for one in row.closed if one.candle.timeframe == "1h"]
            assert len(hours) == 1 and hours[0] % (60 * MINUTE) == 0
    finally:
        if zone is None:
            del os.environ["TZ"]
        else:
            os.environ["TZ"] = zone
        time.tzset()


async def test_row_17_nothing_is_entered_while_the_loop_lags() -> None:
    meter = LagMeter(0.01)
    meter.start()
    limits = RiskLimits(
        max_order_cost=10**6,
        max_exposure=10**6,
        max_open_orders=9,
        max_orders_per_minute=9,
        max_daily_loss=10**6,
    )
    risk = RiskValidator(limits)

    class Health:
        max_lag = 0.3

    class Settings:
        health = Health()

    class Engine:
        lag = meter
        lockstep = None
        settings = Settings()

    risk.caution = lambda: late_loop(Engine())  # type: ignore[arg-type]

    def ask(side: Side) -> None:
        intent = OrderIntent(
            client_order_id="bl-1",
            strategy="s",
            symbol="BTC/USDT",
            side=side,
            type=OrderType.MARKET,
            amount=1,
        )
        risk.check(intent, price=1, exposure=0, unsettled=0, now=0)  # type: ignore[arg-type]

    await asyncio.sleep(0.05)
    risk.caution()  # a busy machine may lag by itself
    time.sleep(0.5)  # noqa: ASYNC251
    with pytest.raises(RiskRejected, match=r"the loop ran \d+\.\d s late"):
        ask(Side.BUY)
    ask(Side.SELL)
    await asyncio.sleep(0.05)
    # Also once the late beat has come: what piled up is only being worked off.
    with pytest.raises(RiskRejected, match="held back"):
        ask(Side.BUY)
    assert meter.worst >= 0.3
    meter.stop()
