"""The chart and the dashboard of a bot on the paper exchange, in JupyterLab."""

from __future__ import annotations

import ast
import asyncio
import math
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest_asyncio
from playwright.async_api import Browser, Locator

from tests.support.frontend import (
    CHART,
    DARK,
    DASHBOARD,
    IN_BROWSER,
    LIGHT,
    PATIENCE,
    Cell,
    Notebook,
    Server,
)

pytestmark = IN_BROWSER

LARGEST = 150_000
"""Most bytes of a chart in a notebook."""

WINDOW = 600
HISTORY = 2_500

CONNECT = f"""
import time
from pathlib import Path
import botlib as bl
bot = bl.connect(
    symbols=["BTC/USDT"], timeframes=["1m"], history={HISTORY}, health={{"port": 0}},
    strategies=[], paper={{"seed": 7, "start": "2026-01-05", "speed": 120}},
)
runs = []
state = lambda: next(one.state.name for one in bot.tasks.status().tasks if one.name == "counting")

@bot.task(interval=3600)
async def counting():
    runs.append(1)

strategy = bl.TrendCross(fast=3, slow=8, timeframes=("1m",))
bot.trade(strategy, "BTC/USDT", name="trend", order_cost=1000)
"""
DRAW = f"""
chart = bot.chart(
    "BTC/USDT", "1m", overlays=["ema(20)", "bbands(20, 2)"], panes=["rsi(14)"], window={WINDOW}
)
chart
"""

_APPLIED = "(root) => Number(root.dataset.applied)"
_ROWS = "(root) => Number(root.dataset.rows)"
_CANDLES = """(root) => root.__botlib.series.candles.data()
    .filter((one) => one.open !== undefined)
    .map(({time, open, high, low, close}) => [time * 1000, open, high, low, close])"""
_BRIGHTNESS = """(root) => {
    const canvas = root.__botlib.chart.takeScreenshot();
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let sum = 0;
    for (let i = 0; i < data.length; i += 4) sum += data[i] + data[i + 1] + data[i + 2];
    return sum / (data.length / 4 * 3);
}"""
_TO_THE_OLDEST = """(root) => {
    const rows = Number(root.dataset.rows);
    root.__botlib.chart.timeScale().scrollToPosition(100 - rows, false);
}"""
_SEEN = "(root) => root.__botlib.chart.timeScale().getVisibleRange().from"
_VIEWS = "() => globalThis.__botlibCharts.length"
_BACKGROUND = "(root) => getComputedStyle(root).backgroundColor"


class Desk:
    """A notebook with a running bot, its chart and its dashboard."""

    def __init__(self, notebook: Notebook, chart: Cell, dashboard: Cell, database: str) -> None:
        self.notebook = notebook
        self.database = database
        self.page = notebook.page
        self._chart = chart
        self._dashboard = dashboard

    async def chart(self) -> Locator:
        return await self._chart.locate(CHART)

    async def dashboard(self) -> Locator:
        return await self._dashboard.locate(DASHBOARD)

    async def more(self, root: Locator, measure: str, than: float) -> None:
        """Wait until a measure of an element is above a number."""
        await self.until(root, f"(root) => ({measure})(root) > {than}")

    async def until(self, root: Locator, condition: str) -> None:
        """Wait until a condition holds for an element."""
        element = await root.element_handle()
        await self.page.wait_for_function(condition, arg=element, polling=50)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def desk(server: Server, browser: Browser) -> AsyncIterator[Desk]:
    """Return a notebook with a running bot, its chart and its dashboard."""
    notebook = await Notebook.open(server, browser, server.notebook("live.ipynb"))
    await notebook.run(CONNECT)
    database = ast.literal_eval(await notebook.value("bot.database"))
    chart, dashboard = await notebook.run(DRAW), await notebook.run("bot.dashboard()")
    yield Desk(notebook, chart, dashboard, database)
    assert notebook.errors == []
    await notebook.run("bot.stop()")
    await notebook.close()


def stored(database: str, first: float, last: float) -> dict[float, tuple[float, ...]]:
    """Return the candles in SQLite, read without botlib."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        rows = connection.execute(
            "SELECT timestamp, open, high, low, close FROM candles WHERE symbol = 'BTCUSDT' "
            "AND timeframe = '1m' AND closed AND timestamp BETWEEN ? AND ?",
            (first, last),
        ).fetchall()
    return {row[0]: row[1:] for row in rows}


async def same_as_stored(desk: Desk, root: Locator) -> int:
    """Compare every closed candle in the page with SQLite, and return their number."""
    drawn: list[list[float]] = (await root.evaluate(_CANDLES))[:-1]  # the last one is forming
    candles = {time: tuple(prices) for time, *prices in drawn}
    times = sorted(candles)
    assert {b - a for a, b in pairwise(times)} == {60_000}
    # A candle that has just closed is written a moment later.
    async with asyncio.timeout(PATIENCE):
        while not stored(desk.database, times[-1], times[-1]):  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    assert candles == stored(desk.database, times[0], times[-1])
    return len(times)


async def test_a_chart_shows_the_candles_of_sqlite(desk: Desk) -> None:
    root = await desk.chart()
    before = await root.evaluate(_APPLIED)
    newest = (await root.evaluate(_CANDLES))[-1][0]
    await desk.more(root, _APPLIED, before + 5)
    # Two candles later, one has closed that the page received from its first price on.
    await desk.more(root, f"(root) => ({_CANDLES})(root).at(-1)[0]", newest + 60_000)
    assert await same_as_stored(desk, root) >= WINDOW - 1
    # An indicator has a value at every candle, the forming one included.
    values: list[float] = await root.evaluate(
        "(root) => Object.entries(root.__botlib.series).map(([id, one]) => one.data().at(-1).value)"
        ".slice(1)"
    )
    assert len(values) == 6 and all(math.isfinite(value) for value in values)
    legend = await root.inner_text()
    assert "BTC/USDT" in legend and "PAPER" in legend and "SYNTHETIC" in legend.upper()
    assert "ema(20)" in legend and "rsi(14)" in legend and "UTC" in legend


async def test_scrolling_back_loads_history_and_returning_drops_it(desk: Desk) -> None:
    root = await desk.chart()
    await root.scroll_into_view_if_needed()
    before = await root.evaluate(_ROWS)
    first = (await root.evaluate(_CANDLES))[0][0]
    box = await root.bounding_box()
    assert box is not None
    await desk.page.mouse.click(box["x"] + 300, box["y"] + 120)  # the wheel needs the focus
    for _ in range(60):
        await desk.page.mouse.wheel(-400, 0)
        if await root.evaluate(_ROWS) > before + WINDOW / 2:
            break
        await desk.page.wait_for_timeout(100)
    await desk.more(root, _ROWS, before + WINDOW / 2)
    assert (await root.evaluate(_CANDLES))[0][0] < first
    assert await same_as_stored(desk, root) > WINDOW
    left = "(root) => root.__botlib.chart.timeScale().getVisibleRange().from * 1000"
    # Older candles are requested some fifty before the oldest, where the view still is.
    assert await root.evaluate(left) < first + 60 * 60_000
    await root.get_by_text("latest »").click()
    await desk.until(root, f"(root) => ({_ROWS})(root) < {before + WINDOW / 2}")
    assert await root.get_by_text("latest »").is_hidden()


async def test_a_change_of_theme_redraws_everything_at_once(desk: Desk) -> None:
    chart, dashboard = await desk.chart(), await desk.dashboard()
    assert await chart.evaluate(_BRIGHTNESS) > 200
    light = await dashboard.evaluate(_BACKGROUND)
    await desk.notebook.theme(DARK)
    await desk.until(chart, f"(root) => ({_BRIGHTNESS})(root) < 80")
    await desk.until(dashboard, f"(root) => ({_BACKGROUND})(root) !== '{light}'")
    assert await chart.get_attribute("data-theme") == "dark"
    await desk.notebook.theme(LIGHT)
    await desk.until(chart, f"(root) => ({_BRIGHTNESS})(root) > 200")
    await desk.until(dashboard, f"(root) => ({_BACKGROUND})(root) === '{light}'")


async def test_the_buttons_of_a_task_act_in_the_kernel(desk: Desk) -> None:
    row = (await desk.dashboard()).locator('[data-task="counting"]')
    button = {name: row.locator(f'[data-action="{name}"]') for name in ("run", "stop", "start")}
    ran = int(await desk.notebook.value("len(runs)"))
    await button["run"].click()
    await desk.notebook.run(f"while len(runs) == {ran}: time.sleep(0.05)")
    await button["stop"].click()
    await button["start"].wait_for()
    await desk.notebook.run("assert state() == 'STOPPED', state()")
    await button["start"].click()
    await button["stop"].wait_for()
    await desk.notebook.run("assert state() != 'STOPPED', state()")


LOSE = """
shown, lost = bot.dashboard(), []
sending = shown._send
def lossy(content):
    answer = content["type"] in ("taken", "done")
    if answer and lost:
        lost.append(content)
    else:
        sending(content)
        lost.extend([content] * answer)
shown._send = lossy
"""


async def test_a_button_with_a_lost_answer_says_so_and_can_be_pressed_again(desk: Desk) -> None:
    dashboard = await desk.dashboard()
    button = dashboard.locator('[data-task="counting"] [data-action="run"]')
    ran = int(await desk.notebook.value("len(runs)"))
    await desk.notebook.run(LOSE)
    await button.click()
    await dashboard.get_by_role("status").get_by_text("No answer came").wait_for()
    assert await button.is_enabled() and "press again" in await button.inner_text()
    await desk.notebook.run("del shown._send\nassert len(lost) > 2, lost")
    await button.click()
    await dashboard.get_by_role("status").get_by_text("counting has run").wait_for()
    await desk.until(dashboard, "(root) => root.querySelector('[data-stage]') === null")
    assert int(await desk.notebook.value("len(runs)")) == ran + 1


async def test_the_kill_switch_asks_first_and_is_rearmed(desk: Desk) -> None:
    dashboard = await desk.dashboard()
    halted = "bot.status()['risk']['halted']"
    dialog, alarm = dashboard.get_by_role("alertdialog"), dashboard.get_by_role("alert")
    await dashboard.locator('[data-action="kill-open"]').click()
    assert "Stop every entry" in await dialog.inner_text()
    await dialog.locator('[data-action="kill-cancel"]').click()
    assert await dialog.is_hidden() and await alarm.is_hidden()
    assert await desk.notebook.run(f"assert {halted} is None, {halted}")
    await dashboard.locator('[data-action="kill-open"]').click()
    await dialog.locator('[data-action="kill"]').click()
    await alarm.wait_for()
    assert (await alarm.inner_text()).startswith("KILLED")
    await desk.notebook.run(f"assert 'kill switch' in {halted}, {halted}")
    await alarm.locator('[data-action="rearm"]').click()
    await alarm.wait_for(state="hidden")
    await desk.notebook.run(f"assert {halted} is None, {halted}")


async def test_views_are_updated_while_a_cell_blocks_and_buttons_say_that_they_wait(
    desk: Desk, tmp_path: Path
) -> None:
    ran = int(await desk.notebook.value("len(runs)"))
    flag = tmp_path / "go"
    dashboard, old = await desk.dashboard(), await desk.chart()
    cell = await desk.notebook.begin(
        f"from IPython.display import display\n"
        f"display(bot.chart('BTC/USDT', '1m', window={WINDOW}, height=300))\n"
        f"while not Path({str(flag)!r}).exists(): time.sleep(0.05)"
    )
    try:
        new = await cell.locate(CHART)
        await new.wait_for()  # painted while its cell is still running
        for root in (old, new):
            await desk.more(root, _APPLIED, await root.evaluate(_APPLIED) + 5)
        seq = await dashboard.get_attribute("data-seq")
        await desk.until(dashboard, f"(root) => Number(root.dataset.seq) > {seq} + 3")
        await old.evaluate(_TO_THE_OLDEST)
        await old.get_by_text("waiting for older candles: a cell runs").wait_for()
        assert not await cell.ended()
        await old.get_by_text("latest »").click()
        button = dashboard.locator('[data-task="counting"] [data-action="run"]')
        await button.click()
        await dashboard.get_by_role("status").get_by_text("waiting for the running cell").wait_for()
        assert "waiting" in await button.inner_text()
        await button.click()  # a second press causes no second run
        assert not await cell.ended()
    finally:
        flag.touch()
    await cell.end()
    await dashboard.get_by_role("status").get_by_text("waiting").wait_for(state="hidden")
    await old.get_by_text("waiting for older candles").wait_for(state="hidden")
    await desk.notebook.run(f"while len(runs) == {ran}: time.sleep(0.05)")
    assert int(await desk.notebook.value("len(runs)")) == ran + 1
    await same_as_stored(desk, new)


_CAME = """() => document.body.innerText.includes('model not found') ? 'lost'
    : document.querySelector('.bl-dash[data-ready="1"]') !== null ? 'shown' : false"""


async def reload(desk: Desk) -> None:
    """Reload the page until its widgets appear.

    ipywidgets looks for a model for two seconds after a reload; a busy page it leaves without.
    """
    for _ in range(4):
        await desk.notebook.reload()
        if await desk.notebook.until(_CAME) == "shown":
            return
    raise AssertionError("the page does not come back")


async def test_a_reloaded_page_is_complete(desk: Desk) -> None:
    root = await desk.chart()
    newest = (await root.evaluate(_CANDLES))[-1][0]
    await desk.notebook.save()
    await reload(desk)
    root, dashboard = await desk.chart(), await desk.dashboard()
    await root.wait_for()
    await dashboard.wait_for()
    await desk.more(root, f"(root) => ({_CANDLES})(root).at(-1)[0]", newest + 60_000)
    assert await same_as_stored(desk, root) >= WINDOW - 1
    seq = await dashboard.get_attribute("data-seq")
    await desk.until(dashboard, f"(root) => Number(root.dataset.seq) > {seq}")
    # The buttons of the reloaded page work.
    row = dashboard.locator('[data-task="counting"]')
    ran = int(await desk.notebook.value("len(runs)"))
    await row.locator('[data-action="run"]').click()
    await desk.notebook.run(f"while len(runs) == {ran}: time.sleep(0.05)")


async def test_a_stopped_bot_leaves_its_last_state(desk: Desk) -> None:
    """Stop the bot, as the last test of this notebook."""
    old, dashboard = await desk.chart(), await desk.dashboard()
    cell = await desk.notebook.run("chart")
    new = await cell.locate(CHART)
    await new.wait_for()
    # A view of older candles keeps its place; one at the newest candles keeps following them.
    await new.evaluate("(root) => root.__botlib.chart.timeScale().scrollToPosition(-120, false)")
    seen = await new.evaluate(_SEEN)
    views = await desk.page.evaluate(_VIEWS)
    await desk.notebook.run("bot.stop()")
    for root in (old, new):
        await root.get_by_text("the bot has stopped").wait_for()
    await desk.until(dashboard, "(root) => root.dataset.running === 'false'")
    assert await same_as_stored(desk, old) >= WINDOW - 1
    # One view replaced another without leftovers; the notebook holds the picture.
    await desk.notebook.until(f"(views) => ({_VIEWS})() === views", views)
    await desk.until(new, f"(root) => Math.abs(({_SEEN})(root) - {seen}) <= 120")
    assert await old.evaluate("(root) => root.__botlib.chart.timeScale().scrollPosition() > -2")
    await desk.notebook.save()
    view, picture = nbformat.read(desk.notebook.path, as_version=4).cells[cell.place].outputs
    assert "model_id" in view.data["application/vnd.jupyter.widget-view+json"]
    assert "this is its last state" in picture.data["text/plain"]
    assert len(picture.data["text/html"]) < LARGEST
