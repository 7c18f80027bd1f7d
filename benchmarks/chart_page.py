"""The measurements of the chart benchmark, in notebooks that a browser has opened.

Lag is from the kernel's sending of an update to the drawing in the page, age from its receiving of
an update (the oldest, if several are sent together). Kernel CPU is the CPU time of the updates
beyond a feed whose updates are not shown. The share is CPU time of the page's main thread,
JupyterLab's own work included, so that it means the same on a machine that is busy with other
things; times and lags do not.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import tempfile
from collections.abc import Awaitable, Callable
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from playwright.async_api import Browser, CDPSession
from playwright.async_api import Error as PlaywrightError

from benchmarks.chart_kernel import market, prices
from benchmarks.measuring import ROOT, BenchmarkError, Row, Size
from tests.support.frontend import (
    CHART,
    DASHBOARD,
    PATIENCE,
    Cell,
    CellError,
    Notebook,
    Server,
    open_browser,
)

HOUR_RATE: Final = 1_200.0
"""Messages a second: each update is one, more than a chart sends by itself in an hour."""

PER_CANDLE: Final = 50
PLOT: Final = ".js-plotly-plot"
START: Final = "import asyncio, json, time\nfrom benchmarks.chart_kernel import *"


Part = Callable[["Bench"], Awaitable[list[Row]]]


class ChartSize(NamedTuple):
    """How much is drawn, and for how long it is updated."""

    rounds: int
    candles: tuple[int, ...]
    """Candles of the charts that are painted; the last ones are updated too."""

    rates: tuple[tuple[int, int], ...]
    """Updates a second, and the most lag to aim at (ms)."""

    plotly_most: int
    """Candles beyond which plotly is not painted: it takes minutes."""

    seconds: float
    plotly_seconds: float
    """Fewer: plotly falls behind, and the page needs much longer to get through the rest. 0 leaves
    plotly out, which alone needs a quarter of a minute."""

    hour: int
    """Updates of an hour at 50 a second."""

    notebooks: tuple[tuple[Part, ...], ...]
    """What is measured in one notebook after another."""


_PAINTED = """([source, selector]) => new Promise((resolve, reject) => {
    const notebook = jupyterapp.shell.currentWidget.content;
    const place = notebook.model.cells.length;
    notebook.model.sharedModel.insertCell(place, {cell_type: 'code', source});
    notebook.activeCellIndex = place;
    notebook.deselectAll();
    const began = performance.now();
    jupyterapp.commands.execute('notebook:run-cell');
    const look = () => {
        const found = notebook.widgets[place].node.querySelector(selector);
        const drawn = found && (found.dataset.ready === '1' || found.calcdata?.length >= 8);
        if (!drawn) return setTimeout(look, 2);
        // botlib's chart is ready once it is painted, plotly shortly before.
        const painted = () => resolve([place, performance.now() - began]);
        if (found.dataset.ready === '1') painted();
        else requestAnimationFrame(() => setTimeout(painted, 0));
    };
    look();
})"""
_CLEARED = """(place) =>
    jupyterapp.shell.currentWidget.content.model.cells.get(place).outputs.clear()"""
_FOLLOW = """(root) => {
    // The lag of plotly: the title is the time at which the update was sent.
    root.lags = [];
    let shown = root._fullLayout.title.text;
    const look = () => {
        const text = root._fullLayout?.title.text;
        if (text !== shown) { shown = text; root.lags.push(Date.now() - Number(text)); }
        root.looking = requestAnimationFrame(look);
    };
    look();
}"""


class Bench:
    """A notebook whose page and kernel can be measured."""

    def __init__(self, notebook: Notebook, cdp: CDPSession, size: ChartSize) -> None:
        self.notebook = notebook
        self.cdp = cdp
        self.size = size
        self.bytes = 0

    async def painted(self, code: str, selector: str) -> tuple[Cell, float]:
        """Run a cell and return it with the ms until its output is painted."""
        place, ms = await self.notebook.page.evaluate(_PAINTED, [code, selector])
        cell = Cell(self.notebook, place)
        await cell.end()
        return cell, float(ms)

    async def clear(self, cell: Cell) -> None:
        """Remove the output of a cell, so that the next one is alone on the page."""
        await self.notebook.page.evaluate(_CLEARED, cell.place)

    async def drawn(self, code: str, selector: str) -> float:
        """Return the ms until the output of a cell is painted, and remove it again."""
        cell, ms = await self.painted(code, selector)
        await self.clear(cell)
        return ms

    async def tasks(self) -> float:
        """Return the seconds of CPU time of the page's main thread."""
        found = await self.cdp.send("Performance.getMetrics")
        return float(next(m["value"] for m in found["metrics"] if m["name"] == "TaskDuration"))

    async def share(self, seconds: float) -> float:
        """Return the share of time for which the page's main thread is busy, in percent."""
        loop = asyncio.get_running_loop()
        before, began = await self.tasks(), loop.time()
        await asyncio.sleep(seconds)
        return 100 * (await self.tasks() - before) / (loop.time() - began)

    async def heap(self) -> float:
        """Return the memory of the page's objects in MB, after a garbage collection."""
        for _ in range(2):
            await self.cdp.send("HeapProfiler.collectGarbage")
        return float((await self.cdp.send("Runtime.getHeapUsage"))["usedSize"]) / 1e6

    async def feed(self, drawn: str, rate: float, count: int) -> None:
        """Start updates of a chart from a thread of the kernel."""
        await self.notebook.run(
            f"feed = Feed()\nfeed.start({drawn}, frame, {rate}, {count}, {PER_CANDLE})"
        )

    async def fed(self) -> dict[str, float]:
        """Wait for the end of the updates and return the kernel's figures."""
        await self.notebook.run("figures = feed.end()")
        text = await self.notebook.value("figures")
        found: dict[str, float] = json.loads(text.strip("'"))
        return found

    async def cost(self, rate: float) -> float:
        """Return the ms of CPU time of an update at a rate if nothing is drawn."""
        await self.feed("Idle()", rate, int(rate * (self.size.plotly_seconds or self.size.seconds)))
        return (await self.fed())["cpu_ms"]

    async def weigh(self, drawn: str) -> float:
        """Return the bytes per update on the way to the page."""
        count = 25

        def received(event: dict[str, Any]) -> None:
            frame = event["response"]
            # The browser reports binary messages in base64.
            size = len(frame["payloadData"])
            self.bytes += size * 3 // 4 if frame["opcode"] == 2 else size

        await self.cdp.send("Network.enable")
        self.cdp.on("Network.webSocketFrameReceived", received)
        await self.feed(drawn, 25, 2 * count)
        await asyncio.sleep(0.3)  # messages about the cell itself
        self.bytes = 0
        await asyncio.sleep(count / 25)
        weight = self.bytes / count
        self.cdp.remove_listener("Network.webSocketFrameReceived", received)
        await self.cdp.send("Network.disable")
        await self.fed()
        return weight


async def measure_page(executable: str, size: Size) -> list[Row]:
    """Return one row per figure: of the kit, of plotly, and its aim.

    Raises:
        BenchmarkError: a cell failed, or a page did not answer in time.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="bench-chart-") as name:
            return await _measure(executable, Path(name), SMOKE if size is Size.SMOKE else USUAL)
    except (CellError, PlaywrightError, TimeoutError) as error:
        raise BenchmarkError(f"The chart could not be measured: {error}") from error


async def _measure(executable: str, root: Path, size: ChartSize) -> list[Row]:
    rows: list[Row] = []
    server = await Server.start(
        root,
        "--ServerApp.iopub_msg_rate_limit=1e9",
        "--ServerApp.iopub_data_rate_limit=1e12",
        PYTHONPATH=str(ROOT),
    )
    try:
        async with open_browser(executable) as browser:
            for number, parts in enumerate(size.notebooks):
                bench = await _open(server, browser, f"{number}.ipynb", size)
                for part in parts:
                    rows += await part(bench)
                await bench.notebook.close()
    finally:
        server.stop()
    rows.append(_row("load of the machine, with the benchmark itself", os.getloadavg()[1]))
    return rows


async def _open(server: Server, browser: Browser, name: str, size: ChartSize) -> Bench:
    notebook = await Notebook.open(server, browser, server.notebook(name))
    cdp = await notebook.page.context.new_cdp_session(notebook.page)
    await cdp.send("Performance.enable", {"timeDomain": "threadTicks"})
    await notebook.run(START)
    return Bench(notebook, cdp, size)


def _row(figure: str, kit: float, plotly: float | None = None, aim: float | None = None) -> Row:
    return {
        "figure": figure,
        "botlib": kit,
        "plotly": "" if plotly is None else plotly,
        "ratio": plotly / kit if plotly is not None and kit else "",
        "aim": "" if aim is None else aim,
    }


async def _paint(bench: Bench) -> list[Row]:
    rows: list[Row] = []
    await bench.notebook.run(f"frame = market({bench.size.candles[0]})")
    first = await bench.drawn("Kit(frame).shown", CHART)
    rows.append(_row("cell start to painted, s: the first chart of a page", first / 1e3))
    for count in bench.size.candles:
        await bench.notebook.run(f"frame = market({count})")
        times = [await bench.drawn("Kit(frame).shown", CHART) for _ in range(bench.size.rounds)]
        peer = None
        if count <= bench.size.plotly_most:
            peer = await bench.drawn("Plotly(frame).shown", PLOT) / 1e3
        kit = statistics.median(times) / 1e3
        rows.append(_row(f"cell start to painted, s: {count:,} candles", kit, peer, 0.5))
    return rows


async def _updates(bench: Bench) -> list[Row]:
    rows: list[Row] = []
    await bench.notebook.run(f"frame = market({bench.size.candles[0]})")
    idle = await bench.share(min(5.0, bench.size.seconds))
    other = await _plotly(bench) if bench.size.plotly_seconds else {}
    await bench.notebook.run(f"frame = market({bench.size.candles[-1]})")
    await bench.painted("kit = Kit(frame)\nkit.shown", CHART)
    weight = await bench.weigh("kit")
    for rate, aim in bench.size.rates:
        found = await _lag(bench, rate)
        shown = other if rate == 50 else {}
        label = f"at {rate} updates/s"
        rows += [
            _row(f"lag p50, ms {label}", found["p50"], shown.get("p50")),
            _row(f"lag p95, ms {label}", found["p95"], shown.get("p95"), aim),
            _row(f"age p95, ms {label}", found["age"], shown.get("p95")),
            _row(f"main thread, % {label}", found["share"], shown.get("share"), 35),
            _row(f"kernel CPU per update, ms {label}", found["cpu_ms"], shown.get("cpu_ms"), 0.5),
            _row(f"candles that differ at the end {label}", found["lost"], None, 0),
        ]
    rows.append(_row("bytes per update", weight, other.get("bytes"), 1_000))
    rows.append(_row("main thread of an idle page, %", idle))
    return rows


async def _lag(bench: Bench, rate: int) -> dict[str, float]:
    idle = await bench.cost(rate)
    # A new chart, as the feed starts at the end of the market.
    cell, _ = await bench.painted("kit = Kit(frame)\nkit.shown", CHART)
    root = await cell.locate(CHART)
    await root.scroll_into_view_if_needed()
    await root.evaluate("({ __botlib: { stats } }) => { stats.lag.length = stats.age.length = 0; }")
    count = int(rate * bench.size.seconds)
    await bench.feed("kit", rate, count)
    share = await bench.share(bench.size.seconds * 0.9)
    figures = await bench.fed()
    last = int(await bench.notebook.value("kit.shown.seq"))
    element = await root.element_handle()
    await bench.notebook.page.wait_for_function(
        "([root, seq]) => Number(root.dataset.seq) >= seq", arg=[element, last]
    )
    await asyncio.sleep(0.5)  # the last redraw
    lags = sorted(await root.evaluate("(root) => root.__botlib.stats.lag"))
    ages = sorted(await root.evaluate("(root) => root.__botlib.stats.age"))
    wanted: dict[int, float] = {}
    for time, price, _ in islice(prices(market(bench.size.candles[-1]), PER_CANDLE), count):
        wanted[time] = price
    shown = dict(
        await root.evaluate(
            "(root) => root.__botlib.series.candles.data().map((c) => [c.time * 1000, c.close])"
        )
    )
    return {
        "p50": lags[len(lags) // 2],
        "p95": lags[int(len(lags) * 0.95)],
        "age": ages[int(len(ages) * 0.95)],
        "share": share,
        "cpu_ms": figures["cpu_ms"] - idle,
        "lost": sum(shown.get(time) != price for time, price in wanted.items()),
    }


async def _plotly(bench: Bench) -> dict[str, float]:
    """Measure plotly with the fewest candles at 50 updates a second."""
    cell, _ = await bench.painted("plotly = Plotly(frame)\nplotly.shown", PLOT)
    idle = await bench.cost(50)
    root = await cell.locate(PLOT)
    await root.evaluate(_FOLLOW)
    weight = await bench.weigh("plotly")
    await root.evaluate("(root) => { root.lags.length = 0; }")
    await bench.feed("plotly", 50, int(50 * bench.size.plotly_seconds))
    share = await bench.share(bench.size.plotly_seconds * 0.9)
    lags = sorted(await root.evaluate("(root) => root.lags"))
    figures = await bench.fed()
    await root.evaluate("(root) => cancelAnimationFrame(root.looking)")
    await bench.clear(cell)
    return {
        "p50": lags[len(lags) // 2] if lags else bench.size.plotly_seconds * 1e3,
        "p95": lags[int(len(lags) * 0.95)] if lags else bench.size.plotly_seconds * 1e3,
        "share": share,
        "cpu_ms": figures["cpu_ms"] - idle,
        "bytes": weight,
    }


async def _dashboard(bench: Bench) -> list[Row]:
    await bench.notebook.run(
        "bot = bl.connect(symbols=['BTC/USDT'], timeframes=['1m'], history=100, strategies=[],\n"
        "    health={'port': 0}, paper={'start': '2026-01-05'})\nbusy_tasks(bot, 20, 20)"
    )
    cell, painted = await bench.painted(
        "dashboard = bot.dashboard()\ndashboard.interval = 0.05\ndashboard", DASHBOARD
    )
    root = await cell.locate(DASHBOARD)
    await root.scroll_into_view_if_needed()
    before = int(await root.get_attribute("data-seq") or 0)
    share = await bench.share(bench.size.seconds)
    sent = (int(await root.get_attribute("data-seq") or 0) - before) / bench.size.seconds
    await bench.notebook.run("bot.stop()")
    return [
        _row("dashboard: cell start to painted, s", painted / 1e3),
        _row("dashboard of 20 tasks at 20 Hz: main thread, %", share, None, 10),
        _row("dashboard of 20 tasks at 20 Hz: messages/s", sent),
    ]


async def _hour(bench: Bench) -> list[Row]:
    await bench.notebook.run("frame = market(10_000)")
    cell, _ = await bench.painted("kit = Each(frame)\nkit.shown", CHART)
    root = await cell.locate(CHART)
    await root.scroll_into_view_if_needed()
    element = await root.element_handle()
    await bench.feed("kit", HOUR_RATE, bench.size.hour)
    heaps = []
    for part in (0.1, 0.55, 1.0):
        await bench.notebook.page.wait_for_function(
            "([root, seq]) => Number(root.dataset.seq) >= seq",
            arg=[element, bench.size.hour * part - 1],
            timeout=PATIENCE * 10_000,
            polling=200,
        )
        heaps.append(await bench.heap())
    figures = await bench.fed()
    return [
        _row(
            f"kernel CPU per update, ms at {HOUR_RATE:,.0f} updates/s", figures["cpu_ms"], aim=0.5
        ),
        _row("page memory, MB: after a tenth of an hour at 50/s", heaps[0]),
        _row("page memory, MB: after half of it", heaps[1]),
        _row("page memory, MB: after the hour", heaps[2], None, heaps[0] + 5),
    ]


USUAL: Final = ChartSize(
    rounds=3,
    candles=(1_000, 10_000, 100_000),
    rates=((50, 50), (200, 100)),
    plotly_most=10_000,
    seconds=10.0,
    plotly_seconds=3.0,
    hour=180_000,
    notebooks=((_paint,), (_updates,), (_dashboard,), (_hour,)),
)
SMOKE: Final = ChartSize(
    rounds=1,
    candles=(1_000,),
    rates=((50, 50),),
    plotly_most=0,
    seconds=1.0,
    plotly_seconds=0.0,
    hour=600,
    notebooks=((_paint, _updates, _dashboard, _hour),),
)
