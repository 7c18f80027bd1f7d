"""Charts of a running engine on a real paper exchange, compared with the stored candles."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from botlib.core.errors import InvalidInput
from botlib.core.model import GapFilled
from botlib.core.timeframe import MINUTE
from botlib.engine import Orchestrator
from botlib.indicators import compute
from botlib.store import OrderJournal
from botlib.trading.books import BookKey, Want
from botlib.views.live_chart import MOST_CHARTS, LiveCharts
from botlib.widgets.chart import Chart, Click

SPECS = ("ema(20)", "rsi(14)")
DEADLINE = 30.0


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - charts publish no event
            await asyncio.sleep(0.01)


def closed(chart: Chart) -> Any:
    with chart._lock:
        rows = chart._scene.rows
        return rows.cells(0, len(rows.times))


def assert_equals_store(chart: Chart, engine: Orchestrator) -> None:
    """Compare candles with SQLite, and indicators with those of the whole stored frame."""
    frame = engine.storage.frame("BTC/USDT", "1m")
    cells = closed(chart)[-150:]
    np.testing.assert_array_equal(cells[:, 1:6], frame.to_numpy()[-150:])
    np.testing.assert_array_equal(
        cells[:, 0] * 1_000, frame.index.astype("datetime64[ms]").astype("int64")[-150:]
    )
    for place, spec in enumerate(SPECS):
        np.testing.assert_allclose(cells[:, 6 + place], compute(spec, frame)[-150:], atol=2e-4)


async def test_a_chart_follows_the_market_and_shows_the_bots_orders(make_engine: Any) -> None:
    engine = await make_engine()
    charts = LiveCharts(engine)
    chart = await charts.open("BTCUSDT", "1m", overlays=["ema(20)"], panes=["rsi(14)"], window=200)
    assert len(closed(chart)) == 200 and chart._scene.facts.kind == "paper"
    await engine.wait(2 * 3_600)
    last = engine.storage.last_closed("BTC/USDT", "1m")
    await until(lambda: chart._scene.rows.last == last)
    assert_equals_store(chart, engine)
    fills = OrderJournal(engine.stored.database).fills()
    assert len(chart.marks.markers) == len({fill.client_order_id for fill in fills}) > 1
    assert [one.kind for one in chart.marks.markers[:2]] == ["entry", "exit"]
    await engine.stop()
    assert "the bot has stopped" in repr(chart)
    # An amount too small to be sold is not a position.
    held = engine.positions.get("BTC/USDT").amount > fills[0].amount / 2
    assert [one.kind for one in chart.marks.lines] == (["position"] if held else [])
    # After the stop it still loads stored candles.
    size = chart._scene.rows.first
    chart.older_requested(int(closed(chart)[0, 0] * 1_000), 100)
    assert (chart._scene.rows.first or 0) <= (size or 0)
    late = await charts.open("BTC/USDT", "1m", window=50)
    assert len(closed(late)) == 50 and "what is stored" in repr(late)
    assert late.marks.markers == chart.marks.markers


async def test_the_position_its_stop_and_its_target_are_lines(make_engine: Any) -> None:
    strategy = {
        "name": "held",
        "strategy": "TrendCross",
        "symbol": "BTC/USDT",
        "timeframe": "1m",
        "order_cost": "100",
        "parameters": {"fast": 3, "slow": 8, "stop_loss": 0.2, "take_profit": 0.5},
    }
    engine = await make_engine(strategies=[strategy])
    charts = LiveCharts(engine)
    chart = await charts.open("BTC/USDT", "1m", window=100)
    for _ in range(40):
        await engine.wait(600)
        if not engine.positions.get("BTC/USDT").flat and engine.orders.ledger.stops("BTC/USDT"):
            break
    await until(lambda: len(chart.marks.lines) == 3)
    lines = {one.kind: one.price for one in chart.marks.lines}
    assert lines["stop"] < lines["position"] < lines["target"]
    (stop,) = engine.orders.ledger.stops("BTC/USDT")
    assert lines["stop"] == float(stop.stop_price)


async def test_an_open_order_is_a_line_until_it_is_cancelled(make_engine: Any) -> None:
    engine = await make_engine(strategies=[])
    charts = LiveCharts(engine)
    chart = await charts.open("BTC/USDT", "1m", window=100)
    price = Decimal(str(engine.storage.frame("BTC/USDT", "1m")["close"].iloc[-1]))
    limit = (price * Decimal("0.9")).quantize(Decimal("0.01"))
    now = engine.market_clock.now()
    want = Want(
        target=Decimal("0.01"),
        reason="entry",
        decided=now - MINUTE,
        timeframe="1m",
        price=price,
        valid_until=now + 10 * MINUTE,
        limit=limit,
    )
    engine.orders.wish(BookKey("s", "BTC/USDT"), want)
    await until(lambda: len(chart.marks.lines) == 1)
    (line,) = chart.marks.lines
    assert (line.kind, line.title, line.price) == ("order", "buy 0.01", float(limit))
    engine.orders.leave("BTC/USDT")
    await until(lambda: chart.marks.lines == ())


async def test_older_and_missed_candles_are_loaded_and_repaired_ones_shaded(
    make_engine: Any,
) -> None:
    engine = await make_engine(strategies=[])
    charts = LiveCharts(engine)
    chart = await charts.open("BTC/USDT", "1m", overlays=["ema(20)"], panes=["rsi(14)"], window=200)
    stored = engine.storage.counts()[("BTC/USDT", "1m")]
    chart.older_requested(int(closed(chart)[0, 0] * 1_000), 700)
    await until(lambda: len(closed(chart)) >= 900)
    assert engine.storage.counts()[("BTC/USDT", "1m")] > stored
    assert_equals_store(chart, engine)
    average = compute("ema(20)", engine.storage.frame("BTC/USDT", "1m"))
    np.testing.assert_allclose(closed(chart)[:, 6], average[-len(closed(chart)) :], atol=2e-4)

    assert chart._scene.repaired == ()
    await engine.tasks.stop_task("charts")
    charts._subscription.close()
    await engine.wait(1_800)
    await engine.tasks.start_task("charts")
    last = engine.storage.last_closed("BTC/USDT", "1m")
    await until(lambda: chart._scene.rows.last == last)
    assert_equals_store(chart, engine)
    gap = {"start": last - 120_000, "end": last - 60_000, "candles": 2, "holes": 0}
    engine.bus.publish(GapFilled(symbol="BTC/USDT", timeframe="1m", **gap))
    await until(lambda: chart._scene.repaired == ((gap["start"], gap["end"]),))
    assert chart._scene.wire_marks()["shades"] == [
        {"from": gap["start"] / 1_000, "to": gap["end"] / 1_000, "kind": "repaired"}
    ]


async def test_refusals_too_many_charts_and_async_callbacks(make_engine: Any) -> None:
    engine = await make_engine(strategies=[])
    charts = LiveCharts(engine)
    for arguments, message in (
        ({"symbol": "ETH/USDT"}, r"ETH/USDT 1m is not streamed.*BTC/USDT 1m.*bot.watch"),
        ({"timeframe": "7m"}, "Unknown timeframe"),
        ({"panes": ["rsii(14)"]}, "Did you mean 'rsi'"),
        ({"panes": ["pvt"]}, "never settles"),
    ):
        with pytest.raises(InvalidInput, match=message):
            await charts.open(**{"symbol": "BTC/USDT", "timeframe": "1m", **arguments})
    assert charts._entries == []

    opened = [await charts.open("BTC/USDT", "1m", window=20) for _ in range(MOST_CHARTS + 2)]
    assert len(charts._entries) == MOST_CHARTS
    assert "no longer updated" in repr(opened[0]) and "no longer updated" not in repr(opened[-1])
    opened[-1].close()
    await engine.wait(300)
    await until(lambda: len(charts._entries) == MOST_CHARTS - 1)

    seen: list[tuple[Click, Any]] = []

    @opened[-2].on_click
    async def note(click: Click) -> None:
        seen.append((click, asyncio.get_running_loop()))
        raise ValueError("no")

    message = {"type": "click", "time": 1.0, "price": 2.0, "pane": 0}
    await asyncio.to_thread(opened[-2].clicked, message)
    await until(lambda: "ValueError: no" in repr(opened[-2]))
    assert seen[0][1] is asyncio.get_running_loop()


async def test_a_reader_chooses_another_timeframe_which_is_streamed_while_it_is_shown(
    make_engine: Any,
) -> None:
    engine = await make_engine(timeframes=["1m"], strategies=[])
    charts = LiveCharts(engine)
    chart = await charts.open("BTC/USDT", "1m", overlays=["ema(20)"], window=100)
    assert chart._scene.facts.timeframes == ("1m", "5m", "15m", "1h", "4h", "1d")
    await asyncio.to_thread(chart.timeframe_chosen, "5m")
    await until(lambda: chart.timeframe == "5m")
    assert ("BTC/USDT", "5m") in engine.subscriptions()
    await engine.wait(3_600)
    last = engine.storage.last_closed("BTC/USDT", "5m")
    await until(lambda: chart._scene.rows.last == last)
    frame = engine.storage.frame("BTC/USDT", "5m")
    cells = closed(chart)[-50:]
    np.testing.assert_array_equal(cells[:, 1:6], frame.to_numpy()[-50:])
    np.testing.assert_allclose(cells[:, 6], compute("ema(20)", frame)[-50:], atol=2e-4)
    await asyncio.to_thread(chart.timeframe_chosen, "1m")
    await until(lambda: chart.timeframe == "1m")
    await until(lambda: ("BTC/USDT", "5m") not in engine.subscriptions())
    await engine.wait(600)
    last = engine.storage.last_closed("BTC/USDT", "1m")
    await until(lambda: chart._scene.rows.last == last)
    await engine.stop()
    # What is stored is shown after the stop, too, and what is not is said.
    chart.timeframe_chosen("5m")
    assert chart.timeframe == "5m"
    chart.timeframe_chosen("1d")
    assert chart.timeframe == "5m" and "no candles of 1d are stored" in repr(chart)


async def test_a_filled_order_says_what_it_was_and_what_came_of_it(make_engine: Any) -> None:
    engine = await make_engine()
    charts = LiveCharts(engine)
    chart = await charts.open("BTC/USDT", "1m", window=200)
    await engine.wait(4 * 3_600)
    await engine.stop()
    entry, out = (dict(one.details) for one in chart.marks.markers[:2])
    name = next(iter(engine.signals.strategies))
    assert entry["why"] == f"entry signal ({name})" and "result" not in entry
    assert out["why"] == f"exit signal ({name})" and out["amount"].endswith(" BTC")
    booked = engine.positions.result(name, "BTC/USDT")
    exits = [one for one in chart.marks.markers if one.kind != "entry"]
    gains = [dict(one.details)["result"].split(" USDT")[0] for one in exits]
    total = sum(float(one.replace("\u2212", "-").replace("\u2009", "")) for one in gains)
    assert total == pytest.approx(float(booked.realised), abs=0.01 * len(gains))
