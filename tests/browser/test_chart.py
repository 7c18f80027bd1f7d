"""What a trader expects of a chart in a page: timeframes, scale, series, markers, wheel, screen."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator

from tests.browser.test_shown import MARKET
from tests.support.colours import contrast, distance
from tests.support.frontend import CHART, DARK, IN_BROWSER, LIGHT, Notebook, Server

pytestmark = IN_BROWSER

_RANGE = "(root) => root.__botlib.chart.timeScale().getVisibleLogicalRange()"
_SCROLLED = "() => document.querySelector('.jp-WindowedPanel-outer').scrollTop"
_VISIBLE = "(root) => root.__botlib.series['ema(20)'].options().visible"
_MODES = """(root) => root.__botlib.chart.panes().map((_, pane) =>
    root.__botlib.chart.priceScale('right', pane).options().mode)"""
_APART = """(root) => {
    const logo = root.querySelector('#tv-attr-logo').getBoundingClientRect();
    return [...root.querySelectorAll('.bl-legend')].every((one) => {
        const texts = [...one.children].map((child) => child.getBoundingClientRect());
        return texts.every((box) => box.left >= logo.right || box.right <= logo.left
            || box.top >= logo.bottom || box.bottom <= logo.top);
    });
}"""
"""Whether no text of a legend is under the logo."""
_COLOURS = """(root, names) =>
    names.map((name) => root.__botlib.series[name].options().color)"""
_GROUND = "(root) => root.__botlib.chart.options().layout.background.color"
_CLOSES = """(root) => root.__botlib.series.candles.data()
    .filter((one) => one.close !== undefined).map((one) => [one.time, one.close])"""
_GROUPS = """(root) => root.__botlib.markers().map(({x, y, markers}) =>
    [x, y, markers.length, markers[0].position])"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sheet(server: Server, browser: Browser) -> AsyncIterator[Notebook]:
    """Return a notebook with a synthetic market in it."""
    notebook = await Notebook.open(server, browser, server.notebook("chart.ipynb"))
    await notebook.run(MARKET)
    yield notebook
    assert notebook.errors == []
    await notebook.close()


async def shown(sheet: Notebook, source: str) -> Locator:
    """Run a cell that shows a chart, and return it in the middle of the page."""
    root = await (await sheet.run(source)).locate(CHART)
    await root.wait_for()
    await root.scroll_into_view_if_needed()
    return root


async def until(sheet: Notebook, root: Locator, condition: str, value: Any = None) -> None:
    """Wait until a condition holds for a view."""
    await sheet.page.wait_for_function(
        f"([root, value]) => ({condition})(root, value)",
        arg=[await root.element_handle(), value],
        polling=50,
    )


async def middle(root: Locator) -> tuple[float, float]:
    """Return the middle of a view."""
    box = await root.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


async def test_the_wheel_scrolls_the_notebook_unless_the_chart_has_the_focus(
    sheet: Notebook,
) -> None:
    root = await shown(sheet, "bl.chart(frame, window=500)")
    await sheet.run("print('below\\n' * 80)")
    await root.scroll_into_view_if_needed()
    before, top = await root.evaluate(_RANGE), await sheet.page.evaluate(_SCROLLED)
    await sheet.page.mouse.move(*await middle(root))
    await sheet.page.mouse.wheel(0, 120)
    await sheet.until(f"(top) => ({_SCROLLED})() !== top", top)
    assert await root.evaluate(_RANGE) == before
    assert await root.get_by_text("click the chart to zoom").is_visible()
    await root.scroll_into_view_if_needed()
    top = await sheet.page.evaluate(_SCROLLED)
    await sheet.page.mouse.click(*await middle(root))
    await until(sheet, root, "(root) => root.dataset.focus === 'true'")
    await sheet.page.mouse.wheel(0, 120)
    await until(sheet, root, f"(root, from) => ({_RANGE})(root).from !== from", before["from"])
    assert await sheet.page.evaluate(_SCROLLED) == top
    # The keys of the chart are not those of the notebook: two d would delete the cell.
    cells = await sheet.page.evaluate("() => document.querySelectorAll('.jp-Cell').length")
    for key in ("d", "d", "+", "ArrowLeft"):
        await sheet.page.keyboard.press(key)
    assert await sheet.page.evaluate("() => document.querySelectorAll('.jp-Cell').length") == cells
    await sheet.page.keyboard.press("Escape")
    await until(sheet, root, "(root) => root.dataset.focus === 'false'")


async def test_a_series_is_hidden_and_shown_by_its_name_in_the_legend(sheet: Notebook) -> None:
    root = await shown(sheet, "hidden = bl.chart(frame, overlays=['ema(20)'], window=500)\nhidden")
    entry = root.locator('[data-series="ema(20)"]')
    await entry.click()
    assert await root.evaluate(_VISIBLE) is False
    assert await entry.get_attribute("aria-pressed") == "false"
    # It stays hidden while other series come and go.
    await sheet.run("hidden.add('rsi(14)')")
    await root.get_by_text("rsi(14)").first.wait_for()
    assert await root.evaluate(_VISIBLE) is False
    await root.locator('[data-series="ema(20)"]').click()
    assert await root.evaluate(_VISIBLE) is True


async def test_prices_are_logarithmic_and_the_chart_fills_the_screen(sheet: Notebook) -> None:
    root = await shown(sheet, "bl.chart(frame, panes=['rsi(14)'], window=500, height=400)")
    await root.locator('[data-action="log"]').click()
    assert await root.evaluate(_MODES) == [1, 0, 0]
    # Other candles have new panes: it remains the scale of the prices, and of nothing else.
    await root.locator('[data-timeframe="15m"]').click()
    await root.locator('[data-timeframe="15m"][aria-pressed="true"]').wait_for()
    assert await root.evaluate(_MODES) == [1, 0, 0]
    await root.locator('[data-action="log"]').click()
    assert await root.evaluate(_MODES) == [0, 0, 0]
    await root.locator('[data-action="full-screen"]').click()
    await until(sheet, root, "(root) => document.fullscreenElement === root")
    await until(sheet, root, "(root) => Math.abs(root.clientHeight - innerHeight) < 4")
    await root.locator('[data-action="full-screen"]').click()
    await until(sheet, root, "(root) => document.fullscreenElement === null")
    await until(sheet, root, "(root) => Math.abs(root.offsetHeight - 400) < 2")


async def test_the_logo_covers_no_legend_of_a_low_chart(sheet: Notebook) -> None:
    root = await shown(sheet, "bl.chart(frame, window=500, height=220)")
    await root.locator("#tv-attr-logo").wait_for()
    await until(sheet, root, _APART)


async def test_a_timeframe_is_chosen_by_its_button(sheet: Notebook) -> None:
    root = await shown(sheet, "timed = bl.chart(frame, overlays=['ema(20)'], window=500)\ntimed")
    buttons = root.locator("[data-timeframe]")
    assert await buttons.all_inner_texts() == ["1m", "5m", "15m", "1h"]
    await root.locator('[data-timeframe="15m"]').click()
    await root.locator('[data-timeframe="15m"][aria-pressed="true"]').wait_for()
    wanted = ast.literal_eval(
        await sheet.value(
            "wanted = frame.close.resample('15min').last()\n"
            "[[int(time.timestamp()), close] for time, close in wanted.items()]"
        )
    )
    assert await root.evaluate(_CLOSES) == wanted
    # A view of the same chart that is shown later has it, too.
    other = await shown(sheet, "timed")
    await other.locator('[data-timeframe="15m"][aria-pressed="true"]').wait_for()
    await root.locator('[data-timeframe="1m"]').click()
    await until(sheet, root, f"(root) => ({_CLOSES})(root).length === 500")


async def settled(root: Locator) -> Any:
    """Return the groups of markers when they have stopped moving: a new timeframe is fitted."""
    before, groups = None, await root.evaluate(_GROUPS)
    while groups != before:
        await asyncio.sleep(0.5)
        before, groups = groups, await root.evaluate(_GROUPS)
    return groups


async def test_markers_near_each_other_are_one_and_a_card_says_what_they_were(
    sheet: Notebook,
) -> None:
    root = await shown(
        sheet,
        "strategy = bl.TrendCross(fast=3, slow=8, timeframes=('1m',))\n"
        "result = bl.backtest(strategy, frame, fee=0.001, symbol='BTC/USDT')\n"
        "traded = result.chart(window=500, height=460)\ntraded",
    )
    await until(sheet, root, f"(root) => ({_GROUPS})(root).length > 3")
    apart = await root.evaluate(_GROUPS)
    await root.locator('[data-timeframe="15m"]').click()
    await until(sheet, root, f"(root) => ({_GROUPS})(root).some(([, , size]) => size > 1)")
    together = await settled(root)
    assert max(size for _, _, size, _ in together) > max(size for _, _, size, _ in apart)
    box = await root.locator(".bl-canvas").bounding_box()
    assert box is not None
    # Several are listed in one card, a line for each.
    x, y, size, _ = max(together, key=lambda one: one[2])
    await sheet.page.mouse.move(box["x"] + x, box["y"] + y)
    lines = root.get_by_role("tooltip").locator("tr")
    await lines.nth(1).wait_for()
    assert await lines.count() == 1 + min(size, 8)
    titles = await lines.first.locator("th").all_inner_texts()
    assert titles[:5] == ["UTC", "", "amount", "price", "why"]
    # None covers another one on its side of the candles.
    for side in ("aboveBar", "belowBar"):
        places = sorted(x for x, _, _, position in together if position == side)
        assert all(b - a > 9 for a, b in pairwise(places)), places
    await root.locator('[data-timeframe="1m"]').click()
    await until(sheet, root, f"(root) => ({_GROUPS})(root).some(([, , size]) => size === 1)")
    said = set()
    single = [one for one in await settled(root) if one[2] == 1]
    for x, y, *_ in single[:6]:
        await sheet.page.mouse.move(box["x"] + x, box["y"] + y)
        card = root.get_by_role("tooltip")
        await card.wait_for()
        said |= set((await card.inner_text()).split())
    assert {"entry", "exit", "price", "amount", "fee", "why", "result", "UTC"} <= said
    await sheet.page.mouse.move(box["x"] + 5, box["y"] + box["height"] - 5)
    await root.get_by_role("tooltip").wait_for(state="hidden")


@pytest.mark.parametrize("theme", [LIGHT, DARK])
async def test_the_lines_of_an_indicator_differ_in_both_themes(sheet: Notebook, theme: str) -> None:
    await sheet.theme(theme)
    try:
        root = await shown(sheet, "bl.chart(frame, panes=['adx', 'stoch', 'macd'], window=500)")
        names = await root.evaluate("(root) => Object.keys(root.__botlib.series)")
        ground = await root.evaluate(_GROUND)
        for study in ("adx", "stoch", "macd"):
            lines = [name for name in names if name.startswith(study) and "histogram" not in name]
            colours = await root.evaluate(_COLOURS, lines)
            assert len(colours) > 1
            for place, one in enumerate(colours):
                assert contrast(one, ground) > 2.7
                assert all(distance(one, other) > 30 for other in colours[place + 1 :])
    finally:
        await sheet.theme(LIGHT)
