"""Cards, tables, figures and the report of a backtest in a page: light, dark and narrow."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Browser, Locator

from tests.support.frontend import DARK, IN_BROWSER, LIGHT, SIZE, Cell, Notebook, Server

pytestmark = IN_BROWSER

NARROW = {"width": 900, "height": 1000}

SETUP = """
import pandas as pd
import numpy as np
import botlib as bl
from botlib.bot.listing import listing
from botlib.drill.report import DrillReport, DrillRow
from botlib.tasks import Health, StopReport

chance = np.random.default_rng(3)
close = np.round(60_000 * np.exp(np.cumsum(chance.normal(scale=8e-4, size=3_000))), 2)
first = np.concatenate([close[:1], close[:-1]])
times = pd.date_range("2026-01-05", periods=3_000, freq="1min", unit="ms", name="timestamp")
frame = pd.DataFrame(
    dict(open=first, high=np.maximum(first, close) + 9, low=np.minimum(first, close) - 9,
         close=close, volume=1.0), times)
strategy = bl.TrendCross(fast=5, slow=20, timeframes=("1m",))
"""
SWEEP = """
from botlib.backtesting import sweep
from botlib.backtesting.sweeps.evaluator import METRICS
tried = sweep(
    bl.TrendCross, frame, timeframes="1m", fast=[3, 5, 8, 12], slow=[20, 30, 50, 80], workers=1)
tried._table[-1, METRICS.index("sharpe")] *= 40
tried.heatmap()
"""
DRILL = """
DrillReport(market="paper:synthetic:seed=7", rows=tuple(
    DrillRow(fault=fault, expected="the stop rests at the venue before anything else is sent",
             happened="an entry was filled and never answered; its stop rested 0.4 s later " * 2,
             seconds=2.4, broken=() if fault != "kernel killed" else ("I6 BTC/USDT: no stop",))
    for fault in ("connection lost", "answer lost", "kernel killed")))
"""
ORDERS = """
listing(pd.DataFrame({
    "created": times[:2], "market_time": times[:2], "timestamp": times[:2],
    "amount": [0.01511, 0.0151], "price": [66139.61, 5688.6], "return": [-0.5, 12345.25],
}), "Orders")
"""
_RIGHT = """(table) => [...table.querySelectorAll('tr')].map((row) =>
    [...row.children].map((cell) => getComputedStyle(cell).textAlign))"""
_INSIDE = """(card) => {
    const box = card.getBoundingClientRect();
    return card.scrollWidth <= card.clientWidth + 1 && box.right <= innerWidth;
}"""
_GROUND = """(figure) => getComputedStyle(figure.querySelector('.main-svg')).backgroundColor"""
_COLOURS = """(figure) => {
    const image = figure.querySelector('.hm image');
    const canvas = document.createElement('canvas');
    return new Promise((done) => {
        const drawn = new Image();
        drawn.onload = () => {
            canvas.width = drawn.width; canvas.height = drawn.height;
            const context = canvas.getContext('2d');
            context.drawImage(drawn, 0, 0);
            const found = new Set();
            for (let i = 0; i < 4; i++) for (let j = 0; j < 4; j++) {
                const at = [(i + .5) * drawn.width / 4, (j + .5) * drawn.height / 4];
                const {data} = context.getImageData(Math.floor(at[0]), Math.floor(at[1]), 1, 1);
                found.add([data[0] >> 4, data[1] >> 4, data[2] >> 4].join());
            }
            done(found.size);
        };
        drawn.src = image.getAttribute('xlink:href') || image.getAttribute('href');
    });
}"""
"""How many colours the cells of a heat map of 4 × 4 have, to a sixteenth."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sheet(server: Server, browser: Browser) -> AsyncIterator[Notebook]:
    """Return a notebook with a synthetic market in it."""
    notebook = await Notebook.open(server, browser, server.notebook("cards.ipynb"))
    await notebook.run(SETUP)
    yield notebook
    assert notebook.errors == []
    await notebook.close()


async def card(cell: Cell) -> Locator:
    """Return the card of a cell, once it is in sight."""
    found = (await cell.locate("div.botlib")).first
    await found.scroll_into_view_if_needed()
    return found


async def test_figures_stand_on_the_right_with_equal_decimals_and_times_name_their_clock(
    sheet: Notebook,
) -> None:
    shown = await card(await sheet.run(ORDERS))
    rows = await shown.locator("table").evaluate(_RIGHT)
    assert rows[0] == rows[1] == rows[2] == ["left"] * 3 + ["right"] * 3
    texts = await shown.locator("td").all_inner_texts()
    assert texts[3:6] == ["0.01511", "66\u2009139.61", "\u22120.50"]
    assert texts[9:12] == ["0.01510", "5\u2009688.60", "12\u2009345.25"]
    headers = await shown.locator("th").all_inner_texts()
    assert headers[:3] == ["created (wall time)", "market_time", "timestamp (market time)"]


async def test_health_stops_and_simulations_have_cards(sheet: Notebook) -> None:
    shown = await card(await sheet.run("Health(False, ['task a fails'], ['task b is late'])"))
    text = await shown.inner_text()
    assert "unhealthy" in text and "task a fails" in text and "task b is late" in text
    stopped = await card(await sheet.run("StopReport(stopped=('a', 'b'), stuck=('c',), seconds=1)"))
    assert "2 tasks stopped" in await stopped.inner_text()
    assert "still running: c" in await stopped.inner_text()
    simulated = await card(
        await sheet.run("bl.simulate(seed=3, run_for='1h', strategies=strategy)")
    )
    assert "Simulation, seed 3" in await simulated.inner_text()
    assert "equity at the start" in await simulated.inner_text()


async def test_a_fire_drill_fits_a_narrow_page_with_its_verdict_first(sheet: Notebook) -> None:
    await sheet.page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    try:
        shown = await card(await sheet.run(DRILL))
        first = await shown.locator("tr > :first-child").all_inner_texts()
        assert first == ["verdict", "passed", "passed", "FAILED"]
        box = await shown.bounding_box()
        assert box is not None and box["width"] < 500  # beside the files of the notebook
        assert await shown.evaluate(_INSIDE)
    finally:
        await sheet.page.set_viewport_size(SIZE)  # type: ignore[arg-type]


async def test_a_heat_map_fits_both_themes_a_narrow_page_and_outliers(sheet: Notebook) -> None:
    figure = await (await sheet.run(SWEEP)).locate(".js-plotly-plot")
    await figure.locator(".hm image").wait_for(state="attached")
    try:
        for theme in (DARK, LIGHT):
            await sheet.theme(theme)
            assert await figure.evaluate(_GROUND) == "rgba(0, 0, 0, 0)"
        # One value is forty times the others, which still differ.
        assert await figure.evaluate(_COLOURS) >= 6
        await sheet.page.set_viewport_size(NARROW)  # type: ignore[arg-type]
        await sheet.until(
            "() => { const figure = document.querySelector('.js-plotly-plot .main-svg');"
            "const box = figure.getBoundingClientRect();"
            "return box.right <= figure.closest('.jp-OutputArea').getBoundingClientRect().right + 1"
            "&& box.width > 300; }"
        )
    finally:
        await sheet.theme(LIGHT)
        await sheet.page.set_viewport_size(SIZE)  # type: ignore[arg-type]


async def test_the_report_of_a_backtest_shows_every_column(
    sheet: Notebook, browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    await sheet.run(f"bl.backtest(strategy, frame, fee=0.001).report({str(path)!r})")
    page = await browser.new_page(viewport=NARROW)  # type: ignore[arg-type]
    try:
        await page.goto(path.as_uri())
        pictures = page.locator("section img")
        drawn = await pictures.evaluate_all(
            "(all) => all.map((one) => one.naturalWidth > 0 && one.getBoundingClientRect().right)"
        )
        assert drawn and all(0 < right <= NARROW["width"] for right in drawn), drawn
        last = page.locator("table").last.locator("tr").nth(1).locator("td")
        texts = await last.all_inner_texts()
        assert texts[-3].endswith("\u2009%") and texts[-1] in ("exit", "open"), texts
        box = await last.last.bounding_box()
        assert box is not None and box["x"] + box["width"] <= NARROW["width"]
    finally:
        await page.close()
