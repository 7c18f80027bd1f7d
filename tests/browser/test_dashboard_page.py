"""The dashboard as a page: what is in sight, the width of columns, the buttons of strategies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator

from tests.support.frontend import DARK, DASHBOARD, IN_BROWSER, LIGHT, Notebook, Server

pytestmark = IN_BROWSER

USUAL: Any = {"width": 1400, "height": 900}
NARROW: Any = {"width": 900, "height": 900}

NAME = "trend of the last minutes"
ROW = f'[data-strategy="{NAME}"]'

CONNECT = f"""
import botlib as bl
bot = bl.connect(
    symbols=["BTC/USDT"], timeframes=["1m"], history=300, health={{"port": 0}}, strategies=[],
    paper={{"seed": 17, "start": "2026-01-05", "lockstep": True}},
)
bot.trade(
    bl.TrendCross(fast=3, slow=8, stop_loss=0.05, timeframes=("1m",)), "BTC/USDT", name="{NAME}",
    order_cost=1000,
)
held = lambda: float(bot.books.held.sum()) if len(bot.books) else 0.0
for _ in range(200):
    bot.wait("3m", progress=False)
    if held() > 0 and len(bot.fills()) > 6:
        break
assert held() > 0
"""

_IN_SIGHT = """(root, selector) => {
    const found = root.querySelector(selector), box = found?.getBoundingClientRect();
    const frame = root.querySelector('.bl-body').getBoundingClientRect();
    return box !== undefined && box.width > 0 && box.height > 0 && box.left >= frame.left - 1
        && box.right <= frame.right + 1 && box.bottom <= Math.min(frame.bottom, innerHeight) + 1;
}"""
_SCROLLS = """(root) => [root, ...root.querySelectorAll('*')].filter((one) => {
    const {overflowY, overflowX} = getComputedStyle(one);
    return /auto|scroll/.test(overflowY + overflowX) && one.clientHeight > 0;
}).length"""
_WASTE = """(root) => [...root.querySelectorAll('table')].flatMap((table) =>
    [...table.rows[0].cells].flatMap((head, at) => {
        if (head.offsetWidth === 0 || getComputedStyle(head).maxWidth === '0px') return [];
        const text = (cell) => {
            const range = document.createRange();
            range.selectNodeContents(cell);
            return range.getBoundingClientRect().width;
        };
        const cells = [...table.rows].map((row) => row.cells[at]).filter(Boolean);
        const least = parseFloat(head.style.minWidth) || 0;
        return [head.offsetWidth - Math.max(least, ...cells.map(text))];
    }))"""
"""How many pixels each column is wider than its widest text, but those that take the rest."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sheet(server: Server, browser: Browser) -> AsyncIterator[Notebook]:
    """Return a notebook with a bot that holds a position."""
    notebook = await Notebook.open(server, browser, server.notebook("page.ipynb"))
    await notebook.page.set_viewport_size(USUAL)
    await notebook.run(CONNECT)
    yield notebook
    assert notebook.errors == []
    await notebook.run("bot.stop()")
    await notebook.close()


async def page(sheet: Notebook, size: Any) -> Locator:
    """Show the dashboard in a window of a size, at its top."""
    await sheet.page.set_viewport_size(size)
    root = await (await sheet.run("bot.dashboard()")).locate(DASHBOARD)
    await root.wait_for()
    await root.scroll_into_view_if_needed()
    await root.locator(ROW).wait_for()
    return root


async def until(sheet: Notebook, root: Locator, condition: str, value: Any = None) -> None:
    """Wait until a condition holds for a view."""
    await sheet.page.wait_for_function(
        f"([root, value]) => ({condition})(root, value)",
        arg=[await root.element_handle(), value],
        polling=50,
    )


@pytest.mark.parametrize("theme", [LIGHT, DARK])
async def test_strategies_positions_and_the_log_are_in_sight_with_one_scroll_bar(
    sheet: Notebook, theme: str
) -> None:
    await sheet.theme(theme)
    try:
        root = await page(sheet, USUAL)
        for selector in (
            '[data-panel="positions"] tbody tr',
            ROW,
            '[data-panel="log"] tbody tr:nth-child(3)',
            '[data-panel="orders"] tbody tr',
        ):
            await until(sheet, root, _IN_SIGHT, selector)
        assert await root.evaluate(_SCROLLS) == 1
    finally:
        await sheet.theme(LIGHT)


async def test_every_time_says_whether_it_is_of_the_market_or_of_the_wall(sheet: Notebook) -> None:
    root = await page(sheet, USUAL)
    assert (await root.locator(".bl-time").inner_text()).startswith("market time 2026-01-05")
    first = {"orders": "market time", "fills": "market time", "log": "wall time"}
    for panel, title in first.items():
        head = root.locator(f'[data-panel="{panel}"] th').first
        assert await head.text_content() == title


async def test_columns_are_as_wide_as_their_content(sheet: Notebook) -> None:
    root = await page(sheet, USUAL)
    waste = await root.evaluate(_WASTE)
    assert len(waste) > 20
    assert max(waste) <= 23, waste  # the padding of the first one


async def test_what_protects_money_is_in_sight_in_a_narrow_window(sheet: Notebook) -> None:
    root = await page(sheet, NARROW)
    head = root.locator('[data-panel="positions"] th')
    titles = [await one.inner_text() for one in await head.all() if await one.is_visible()]
    assert titles[:4] == ["symbol", "amount", "stop", "gain"]
    for selector in (
        '[data-panel="positions"] tbody td:nth-child(3)',
        f"{ROW} td:nth-child(2)",
        f'{ROW} [data-action="strategy_off"]',
        f'{ROW} [data-action="flatten"]',
    ):
        await until(sheet, root, _IN_SIGHT, selector)
    kill = await root.locator('[data-action="kill-open"]').bounding_box()
    assert kill is not None and kill["x"] + kill["width"] <= NARROW["width"]


async def test_a_strategy_is_switched_off_and_on_and_flattened_by_its_buttons(
    sheet: Notebook,
) -> None:
    root = await page(sheet, USUAL)
    row = root.locator(ROW)
    button = {
        name: row.locator(f'[data-action="{name}"]')
        for name in ("strategy_on", "strategy_off", "flatten")
    }
    texts = await row.locator("td").all_inner_texts()
    assert any(text.startswith(("+", "\u2212")) for text in texts), texts  # what it earned
    await button["strategy_off"].click()
    await button["strategy_on"].wait_for()
    await row.get_by_text("off", exact=True).first.wait_for()
    assert await sheet.value("held() > 0") == "True"
    # Selling asks a second time, and not for ever.
    await button["flatten"].click()
    assert await button["flatten"].inner_text() == "Sell all now?"
    assert await sheet.value("held() > 0") == "True"
    await button["flatten"].get_by_text("Flatten").wait_for()
    await button["flatten"].click()
    await button["flatten"].click()
    await root.get_by_role("status").get_by_text("sell").wait_for()
    await sheet.run("import time\nwhile held() > 0: bot.wait('1m', progress=False)")
    await button["strategy_on"].click()
    await button["strategy_off"].wait_for()
    await root.locator('[data-panel="positions"]').get_by_text("flat").wait_for()


async def test_a_long_reason_of_a_halt_is_read_whole(sheet: Notebook) -> None:
    root = await page(sheet, NARROW)
    reason = "the spread of both books was wide, and " * 4 + "no one knows why"
    await sheet.run(f"bot.kill({reason!r})")
    cell = root.locator('[data-panel="halts"] tbody td').nth(1)
    await cell.get_by_text("no one knows why").wait_for()
    whole = "(cell) => cell.scrollWidth <= cell.clientWidth && cell.clientHeight > 40"
    assert await cell.evaluate(whole)
    health = root.locator(".bl-health")
    assert "no one knows why" in await health.inner_text()
    assert await health.evaluate("(one) => one.scrollWidth <= one.clientWidth")
