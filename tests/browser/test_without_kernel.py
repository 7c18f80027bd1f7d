"""A saved notebook of a live session, opened without its kernel."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import nbformat
import pytest_asyncio
from nbconvert import HTMLExporter
from playwright.async_api import Browser, Page

from tests.support.frontend import (
    CHART,
    DASHBOARD,
    IN_BROWSER,
    PATIENCE,
    SIZE,
    TOKEN,
    Notebook,
    Server,
)

pytestmark = IN_BROWSER

CONNECT = """
import botlib as bl
bot = bl.connect(
    symbols=["BTC/USDT"], timeframes=["1m"], history=300, health={"port": 0}, strategies=[],
    paper={"seed": 7, "start": "2026-01-05", "lockstep": True},
)
"""
CELLS = (
    "bl.chart(bot.candles('BTC/USDT', '1m'), panes=['rsi(14)'], height=400)",
    "bot.dashboard()",
    "bot.wait('30m', progress=False)",
)
_SHOWN = """() => [...document.querySelectorAll('.botlib-still')]
    .filter((one) => one.checkVisibility()).length"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def saved(server: Server, browser: Browser) -> AsyncIterator[Path]:
    """Return the notebook of a session that was live, saved before its kernel ended."""
    notebook = await Notebook.open(server, browser, server.notebook("saved.ipynb"))
    await notebook.run(CONNECT)
    cells = [await notebook.run(source) for source in CELLS]
    for cell, selector in zip(cells, (CHART, DASHBOARD), strict=False):
        await (await cell.locate(selector)).wait_for()
    # The live views alone are seen.
    await notebook.until(f"() => ({_SHOWN})() === 0")
    await notebook.run("bot.stop()")
    await notebook.save()
    await notebook.close()
    yield notebook.path


def foreign(saved: Path) -> str:
    """Write a copy that JupyterLab does not trust, and return its name."""
    book = json.loads(saved.read_text())
    book["metadata"]["from"] = "elsewhere"
    copy = saved.with_name("foreign.ipynb")
    copy.write_text(json.dumps(book))
    return copy.name


async def pictures(page: Page) -> None:
    """Wait until both pictures are seen, and no error in place of the live views."""
    await page.wait_for_function(f"() => ({_SHOWN})() === 2", timeout=PATIENCE * 1_000)
    chart = page.locator(".botlib-still img[alt^='<Chart']")
    assert await chart.evaluate("(one) => one.complete && one.naturalWidth > 300")
    assert await page.locator(".botlib-still").get_by_text("PAPER", exact=True).is_visible()
    assert await page.get_by_text("The last picture, of").count() == 2
    for error in ("Error displaying widget", "Loading widget"):
        for one in await page.get_by_text(error).all():
            assert await one.is_hidden(), await one.inner_text()


async def test_a_new_kernel_shows_the_pictures_of_the_earlier_one(
    server: Server, browser: Browser, saved: Path
) -> None:
    notebook = await Notebook.open(server, browser, saved.name)
    try:
        await notebook.until("() => document.body.innerText.includes('The last picture, of')")
        await notebook.page.get_by_text("model not found").first.wait_for(state="attached")
        await pictures(notebook.page)
    finally:
        await notebook.close()


async def test_a_notebook_that_gets_no_kernel_shows_its_pictures(
    server: Server, browser: Browser, saved: Path
) -> None:
    page = await browser.new_page(viewport=SIZE)
    try:
        await page.route("**/api/sessions**", lambda route: route.abort())
        await page.goto(f"{server.url}/lab/tree/{saved.name}?token={TOKEN}&reset")
        await pictures(page)
    finally:
        await page.close()


async def test_a_notebook_of_someone_else_shows_its_pictures(
    server: Server, browser: Browser, saved: Path
) -> None:
    notebook = await Notebook.open(server, browser, foreign(saved))
    try:
        trusted = "() => jupyterapp.shell.currentWidget.content.model.cells.get(1).trusted"
        assert await notebook.page.evaluate(trusted) is False
        await pictures(notebook.page)
        # Nothing is said twice, or of another time.
        texts = await notebook.page.locator(".jp-OutputArea-output pre").all_inner_texts()
        assert not any("<Chart" in text or "<Dashboard" in text for text in texts), texts
    finally:
        await notebook.close()


async def test_an_export_as_html_shows_the_pictures(
    browser: Browser, saved: Path, tmp_path: Path
) -> None:
    body, _ = HTMLExporter().from_notebook_node(nbformat.read(saved, as_version=4))
    (tmp_path / "saved.html").write_text(body)
    page = await browser.new_page(viewport=SIZE)
    try:
        await page.context.set_offline(True)
        address = (tmp_path / "saved.html").as_uri()
        await page.goto(address, wait_until="domcontentloaded")
        await pictures(page)
    finally:
        await page.close()
