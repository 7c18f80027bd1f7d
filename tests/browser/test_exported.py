"""The pictures of a headless run, in a browser without a network."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from playwright.async_api import Browser

from tests.support.frontend import IN_BROWSER

pytestmark = IN_BROWSER

CELLS = (
    'import botlib as bl\nbot = bl.connect(symbols=["BTC/USDT"], timeframes=["1m"], history=300,\n'
    '    health={"port": 0}, strategies=[], paper={"start": "2026-01-05", "lockstep": True})',
    'bot.chart("BTC/USDT", "1m", overlays=["bbands(20, 2)"], panes=["rsi(14)", "macd"])',
    "bot.dashboard()",
    'bot.wait("30m")\nbot.stop()',
)
LARGEST = 150_000
"""Most bytes of a chart in a notebook."""

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


async def test_a_papermill_run_exported_shows_its_last_state_without_a_network(
    browser: Browser, tmp_path: Path
) -> None:
    book = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(source) for source in CELLS],
        metadata={"kernelspec": {"name": "python3", "display_name": "Python 3"}},
    )
    nbformat.write(book, tmp_path / "in.ipynb")
    await papermill(tmp_path)
    ran = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    chart, dashboard = ran.cells[1].outputs[0], ran.cells[2].outputs[0]
    for output in (chart, dashboard):
        assert WIDGET_VIEW not in output["data"]
        assert len(output["data"]["text/html"]) < LARGEST
        assert "stopped" in output["data"]["text/plain"]
    assert "widgets" not in ran.metadata

    page = await browser.new_page(viewport={"width": 1100, "height": 1000})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    try:
        await page.context.set_offline(True)
        await page.goto(write(ran, tmp_path / "out.html"), wait_until="domcontentloaded")
        picture = page.locator("img[src^='data:image/svg+xml']").first
        await picture.scroll_into_view_if_needed()
        assert await picture.evaluate("(img) => img.complete && img.naturalWidth > 300")
        assert await page.get_by_text("PAPER", exact=False).first.is_visible()
        wanted = {url for url in asked if url.startswith("http")}
        # The exporter's own pages make some requests; botlib's pictures make none.
        asked.clear()
        empty = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
        await page.goto(write(empty, tmp_path / "empty.html"), wait_until="domcontentloaded")
        assert wanted <= {url for url in asked if url.startswith("http")}
    finally:
        await page.close()


async def papermill(folder: Path) -> None:
    """Run in.ipynb to out.ipynb as a program without a front end does."""
    front_ends = ("JPY_", "BOTLIB_", "VSCODE_")
    surroundings = {
        key: value for key, value in os.environ.items() if not key.startswith(front_ends)
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "papermill", "--no-progress-bar", "in.ipynb", "out.ipynb"),
        cwd=folder,
        env={**surroundings, "BOTLIB_HOME": str(folder), "IPYTHONDIR": str(folder / "ipython")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


def write(book: nbformat.NotebookNode, path: Path) -> str:
    """Export a notebook as HTML and return the address of the file."""
    body, _ = HTMLExporter().from_notebook_node(book)
    path.write_text(body)
    return path.as_uri()
