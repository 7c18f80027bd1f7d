"""Charts of frames and of backtests in a page, without a bot."""

from __future__ import annotations

import ast
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, Locator

from tests.support.frontend import CHART, IN_BROWSER, Notebook, Server

pytestmark = IN_BROWSER

MARKET = """
import time
import numpy as np
import pandas as pd
import botlib as bl
from botlib.core.model import CandleSource

def market(rows, seed=1):
    chance = np.random.default_rng(seed)
    close = np.round(60_000 * np.exp(np.cumsum(chance.normal(scale=8e-4, size=rows))), 2)
    first = np.concatenate([close[:1], close[:-1]])
    high, low = np.maximum(first, close) + 9, np.minimum(first, close) - 9
    times = pd.date_range("2026-01-05", periods=rows, freq="1min", unit="ms", name="timestamp")
    volume = abs(chance.normal(size=rows)) * 10
    return pd.DataFrame(dict(open=first, high=high, low=low, close=close, volume=volume), times)

def candle(number, price):
    return bl.Candle(
        symbol="BTC/USDT", timeframe="1m", open=price, high=price, low=price, close=price,
        timestamp=int(frame.index[-1].timestamp() * 1000) + 60_000 * number, volume=1.0,
        closed=True, source=CandleSource.STREAM,
    )

frame = market(3_000)
"""

_CLOSES = """(root) => root.__botlib.series.candles.data()
    .filter((one) => one.close !== undefined).map((one) => one.close)"""

_RED_ALONG = """(root, [first, last, price]) => {
    const {chart, series} = root.__botlib, scale = chart.timeScale();
    scale.setVisibleRange({from: first - 1800, to: last + 1800});
    return new Promise((done) => setTimeout(() => {
        const canvas = chart.takeScreenshot(), ratio = canvas.width / root.clientWidth;
        const y = Math.floor(series.candles.priceToCoordinate(price) * ratio);
        const red = (from, to) => {
            let found = 0, all = 0;
            for (let x = Math.round(from * ratio); x < to * ratio; x++, all++) {
                const {data} = canvas.getContext('2d').getImageData(x, y - 1, 1, 3);
                for (let i = 0; i < 12; i += 4) {
                    if (data[i] === 0xef && data[i + 1] === 0x53 && data[i + 2] === 0x50) {
                        found++;
                        break;
                    }
                }
            }
            return found / all;
        };
        const left = scale.timeToCoordinate(first), right = scale.timeToCoordinate(last);
        const pitch = scale.options().barSpacing;
        done([red(left, right), red(left - 8 * pitch, left - pitch)]);
    }, 200));
}"""
"""Share of the pixels in the colour of stops at a price, over some candles and before them."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sheet(server: Server, browser: Browser) -> AsyncIterator[Notebook]:
    """Return a notebook with a synthetic market in it."""
    notebook = await Notebook.open(server, browser, server.notebook("shown.ipynb"))
    await notebook.run(MARKET)
    yield notebook
    assert notebook.errors == []
    await notebook.close()


async def shown(sheet: Notebook, root: Locator, closes: list[float]) -> None:
    """Wait until the last candles of a view have closed at these prices."""
    await root.wait_for()
    element = await root.element_handle()
    await sheet.page.wait_for_function(
        f"([root, wanted]) => ({_CLOSES})(root).slice(-wanted.length).join() === wanted.join()",
        arg=[element, closes],
        polling=50,
    )


async def last_closes(sheet: Notebook) -> list[float]:
    """Return the last closing prices of the market."""
    found: list[float] = ast.literal_eval(await sheet.value("frame.close.tail(9).tolist()"))
    return found


async def test_lost_messages_are_noticed_and_recovered(sheet: Notebook) -> None:
    cell = await sheet.run("chart = bl.chart(frame, panes=['rsi(14)'], window=500)\nchart")
    root = await cell.locate(CHART)
    await root.wait_for()
    gaps = int(await root.get_attribute("data-gaps") or 0)
    await sheet.run(
        """
sending, lost = chart.model.send, []
def lossy(content, buffers=None):
    if content["type"] == "update" and 2 <= len(chart) - 3_000 <= 6:
        lost.append(content["seq"])
    else:
        sending(content, buffers)
chart.model.send = lossy
for number in range(1, 9):
    chart.take(candle(number, 60_000.0 + number))
    chart.flush()
chart.model.send = sending
assert len(lost) == 5, lost
"""
    )
    await shown(sheet, root, [60_000.0 + number for number in range(1, 9)])
    assert int(await root.get_attribute("data-gaps") or 0) > gaps


async def test_a_repeated_cell_shows_one_chart_and_two_cells_show_two_views(
    sheet: Notebook,
) -> None:
    first = await sheet.run("twice = bl.chart(frame, overlays=['ema(20)'], window=500)\ntwice")
    await (await first.locate(CHART)).wait_for()
    views = await sheet.page.evaluate("() => globalThis.__botlibCharts.length")
    await first.again()
    root = await first.locate(CHART)
    await root.wait_for()
    # The earlier view was removed without leftovers.
    await sheet.until("(views) => globalThis.__botlibCharts.length === views", views)
    assert await (await first.locate(".botlib-chart")).count() == 1
    second = await sheet.run("twice")
    other = await second.locate(CHART)
    await other.wait_for()
    await sheet.run("for n in range(1, 4): twice.update(candle(n, 61_000.0 + n))")
    for view in (root, other):
        await shown(sheet, view, [61_001.0, 61_002.0, 61_003.0])


async def test_series_are_added_and_removed_while_the_chart_is_shown(sheet: Notebook) -> None:
    cell = await sheet.run("changed = bl.chart(frame, window=500)\nchanged")
    root = await cell.locate(CHART)
    await root.wait_for()
    await sheet.run("changed.add('macd')\nchanged.add('ema(20)')")
    await root.get_by_text("macd").first.wait_for()
    await root.get_by_text("ema(20)").first.wait_for()
    await sheet.run("changed.remove('macd')")
    await root.get_by_text("macd").first.wait_for(state="detached")
    assert len(await root.evaluate(_CLOSES)) == 500


async def test_a_click_is_reported_and_a_screenshot_written(
    sheet: Notebook, tmp_path: Path
) -> None:
    cell = await sheet.run(
        "clicks = []\nclicked = bl.chart(frame, window=500)\nclicked.on_click(clicks.append)\n"
        "clicked"
    )
    root = await cell.locate(CHART)
    await root.scroll_into_view_if_needed()
    await root.locator("canvas").first.wait_for()
    await root.click(position={"x": 300, "y": 150})
    await sheet.until(
        "async () => { const {kernel} = jupyterapp.shell.currentWidget.sessionContext.session;"
        "const asked = kernel.requestExecute({code: '', user_expressions: {n: 'len(clicks)'}});"
        "return (await asked.done).content.user_expressions.n.data['text/plain'] === '1'; }"
    )
    await sheet.run(
        "(click,) = clicks\nassert click.pane == 0 and click.timestamp % 60_000 == 0\n"
        "assert frame.close.min() * .9 < click.price < frame.close.max() * 1.1, click"
    )
    picture = tmp_path / "chart.png"
    await sheet.run(f"clicked.screenshot({str(picture)!r})")
    for _ in range(600):  # it is written between cells
        if picture.exists() and picture.stat().st_size:
            break
        await sheet.page.wait_for_timeout(100)
    assert picture.read_bytes().startswith(b"\x89PNG") and picture.stat().st_size > 10_000


async def test_a_backtest_shows_its_round_trips_on_the_candles(sheet: Notebook) -> None:
    cell = await sheet.run(
        "strategy = bl.TrendCross(fast=10, slow=30, timeframes=('1m',))\n"
        "result = bl.backtest(strategy, frame, fee=0.001)\n"
        "chart = result.chart(overlays=['ema(10)', 'ema(30)'])\nchart"
    )
    root = await cell.locate(CHART)
    await shown(sheet, root, await last_closes(sheet))
    assert "TrendCross" in await root.inner_text()
    # Every round trip but the open one has two markers.
    await sheet.run(
        "shown = [one for one in chart.marks.markers]\n"
        "trips = result.roundtrips\n"
        "assert len(trips) > 20 and len(shown) == len(trips) + trips.exit_time.notna().sum()"
    )
    # A stop is drawn over the candles on which it held, and nowhere else.
    stopped = await sheet.run(
        "strategy = bl.TrendCross(fast=10, slow=30, timeframes=('1m',), stop_loss=0.002)\n"
        "result = bl.backtest(strategy, frame, fee=0.001)\n"
        "chart = result.chart()\nchart"
    )
    root = await stopped.locate(CHART)
    await shown(sheet, root, await last_closes(sheet))
    held = ast.literal_eval(
        await sheet.value(
            "line = [one for one in chart.marks.lines if one.kind == 'stop'][-1]\n"
            "(line.steps[0][0] // 1000, line.end // 1000, line.price)"
        )
    )
    inside, beside = await root.evaluate(_RED_ALONG, held)
    assert inside > 0.3 and beside == 0


async def test_frames_that_cannot_be_drawn_are_refused_with_a_reason(sheet: Notebook) -> None:
    await sheet.run(
        """
from botlib.core.errors import InvalidInput

def refused(*words, **arguments):
    try:
        bl.chart(**arguments)
    except InvalidInput as error:
        assert all(word in str(error) for word in words), error
    else:
        raise AssertionError("drawn")

refused("rsi", "mean", frame=frame, panes=["rsii(14)"])
refused("order", frame=frame.iloc[::-1])
"""
    )
    empty = await sheet.run("bl.chart(frame.iloc[:0], timeframe='1m')")
    root = await empty.locate(CHART)
    await root.wait_for()
    assert await root.get_by_text("no candles yet").is_visible()
    holes = await sheet.run(
        "torn = frame.copy()\ntorn.iloc[100:110] = np.nan\nbl.chart(torn, panes=['rsi(14)'])"
    )
    await shown(sheet, await holes.locate(CHART), await last_closes(sheet))


async def test_notebook_7_shows_charts_and_kernels_are_independent(
    server: Server, browser: Browser, sheet: Notebook
) -> None:
    draw = "chart = bl.chart(frame, panes=['rsi(14)'], window=500)\nchart"
    update = "for number in range(1, 4): chart.update(candle(number, {} + number))"
    here = await (await sheet.run(draw)).locate(CHART)
    await here.wait_for()
    name = server.notebook("classic.ipynb")
    notebook = await Notebook.open(server, browser, name, app="notebooks")
    try:
        await notebook.run(MARKET)
        there = await (await notebook.run(draw)).locate(CHART)
        await there.wait_for()
        await notebook.run(update.format(62_000.0))
        await sheet.run(update.format(63_000.0))
        await shown(notebook, there, [62_001.0, 62_002.0, 62_003.0])
        await shown(sheet, here, [63_001.0, 63_002.0, 63_003.0])
        assert notebook.errors == []
    finally:
        await notebook.close()
