"""The chart and the dashboard of a kernel that is restarted, killed, or cannot be reached."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Locator

from tests.support.frontend import CHART, DASHBOARD, IN_BROWSER, Notebook, Server

pytestmark = IN_BROWSER

CONNECT = """
import os
import botlib as bl
bot = bl.connect(
    symbols=["BTC/USDT"], timeframes=["1m"], history=300, health={"port": 0}, strategies=[],
    paper={"seed": 7, "start": "2026-01-05", "speed": 60},
)

@bot.task(interval=3600)
async def counting():
    pass
"""
RESTART = "() => jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()"
_LIFE = "(root) => root.dataset.kernel"
_SOCKET = "jupyterapp.shell.currentWidget.sessionContext.session.kernel"


@pytest_asyncio.fixture(loop_scope="session")
async def sheet(
    server: Server, browser: Browser, request: pytest.FixtureRequest
) -> AsyncIterator[Notebook]:
    """Return a notebook with a running bot."""
    name = server.notebook(f"{request.node.originalname}.ipynb")
    notebook = await Notebook.open(server, browser, name)
    await notebook.run(CONNECT)
    yield notebook
    assert notebook.errors == []
    await notebook.close()


async def views(sheet: Notebook) -> tuple[Locator, Locator]:
    """Show the chart and the dashboard, and wait until both are live."""
    chart = await sheet.run("bot.chart('BTC/USDT', '1m', panes=['rsi(14)'], height=400)")
    dashboard = await sheet.run("bot.dashboard()")
    found = await chart.locate(CHART), await dashboard.locate(DASHBOARD)
    for root in found:
        await root.wait_for()
        assert await root.evaluate(_LIFE) == "live"
    await found[1].get_by_text("healthy").wait_for()
    return found


async def see(sheet: Notebook, root: Locator, life: str) -> None:
    """Wait until a view shows how its kernel is."""
    element = await root.element_handle()
    await sheet.page.wait_for_function(
        f"([root, life]) => ({_LIFE})(root) === life", arg=[element, life], polling=50
    )


async def assert_lost(root: Locator) -> None:
    """Check that a view is grey, says so and of when it is, and has no live button."""
    notice = root.locator(".bl-gone")
    assert "kernel is gone" in await notice.inner_text()
    assert "last state, of" in await notice.inner_text()
    grey = "(root) => getComputedStyle(root.querySelector(':scope > :not(.bl-gone)')).filter"
    assert await root.evaluate(grey) == "grayscale(1)"
    live = root.locator("[data-action]:visible:enabled")
    assert await live.count() == 0, await live.all_inner_texts()


NOTICED = 5.0
"""Seconds within which every view has to show that its kernel is gone; about one is usual."""


@pytest.mark.parametrize("end", ["restart", "kill"])
async def test_a_kernel_that_ended_is_shown_by_all_its_views(sheet: Notebook, end: str) -> None:
    chart, dashboard = await views(sheet)
    await dashboard.locator('[data-action="kill-open"]').click()
    began = time.monotonic()
    if end == "restart":
        await sheet.page.evaluate(RESTART)
    else:
        pid = int(await sheet.value("os.getpid()"))
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
    for root in (chart, dashboard):
        await see(sheet, root, "gone")
    assert time.monotonic() - began < NOTICED
    for root in (chart, dashboard):
        await assert_lost(root)
    assert "healthy" not in await dashboard.locator(".bl-health").inner_text()
    assert await dashboard.get_by_role("alertdialog").is_hidden()
    assert await dashboard.locator(".bl-health").get_attribute("class") == (
        "bl-health bl-dot bl-warn"
    )


async def test_a_request_of_a_kernel_that_ended_is_settled_as_not_known(sheet: Notebook) -> None:
    _, dashboard = await views(sheet)
    pid = int(await sheet.value("os.getpid()"))
    await sheet.begin("import time\ntime.sleep(600)")
    await dashboard.locator('[data-action="kill-open"]').click()
    await dashboard.locator('[data-action="kill"]').click()
    await dashboard.get_by_role("status").get_by_text("waiting for the running cell").wait_for()
    os.kill(pid, signal.SIGKILL)
    await dashboard.get_by_role("status").get_by_text("is not known").wait_for()
    assert await dashboard.locator("[data-stage]").count() == 0


async def test_a_lost_connection_is_shown_and_comes_back_with_the_kernel(sheet: Notebook) -> None:
    chart, dashboard = await views(sheet)
    await sheet.page.context.set_offline(True)
    # An open socket survives this, a new one cannot be opened.
    await sheet.page.evaluate(f"() => {_SOCKET}._ws.close()")
    try:
        for root in (chart, dashboard):
            await see(sheet, root, "away")
            assert "No connection" in await root.locator(".bl-gone").inner_text()
        assert await dashboard.locator("[data-action]:visible:enabled").count() == 0
    finally:
        await sheet.page.context.set_offline(False)
    await sheet.page.evaluate(f"() => {_SOCKET}.reconnect()")
    for root in (chart, dashboard):
        await see(sheet, root, "live")
        assert await root.locator(".bl-gone").is_hidden()
    await dashboard.get_by_text("healthy").wait_for()
    assert await dashboard.locator('[data-action="kill-open"]').is_enabled()


async def test_a_bot_without_news_is_not_called_healthy(sheet: Notebook) -> None:
    _, dashboard = await views(sheet)
    # A regular expression that backtracks holds the whole interpreter, the bot's thread too.
    await sheet.begin("import re\nre.match(r'(a+)+$', 'a' * 29 + 'b')")
    await dashboard.locator(".bl-health").get_by_text("no news for").wait_for()
    await sheet.page.evaluate(RESTART)
