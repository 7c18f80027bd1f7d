"""Stops of a real bot process on a real paper exchange: no position is left without its stop.

The entry's answer is on its way when the bot is told to stop: it comes late, or never. What counts
is the ledger of the exchange after the process has ended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager

from botlib.invariants.venue_record import VenueRecord
from botlib.paper import PaperControl, PaperProcess
from botlib.runs import RunReport, run_notebook
from tests.support.notebooks import write_notebook

pytestmark = pytest.mark.timeout(240)

LIMIT = 90.0
"""Seconds until a wait fails; a loaded machine is slow."""

WITHIN = 20.0
"""Seconds in which a stop settles, protects and closes."""

CONNECT = """
import botlib as bl
from botlib.drill.strategy import Pulse
bot = bl.connect(
    symbols=["BTC/USDT"], timeframes=["1m"], history=30, strategies=[], health={{"port": 0}},
    paper={{"url": {url!r}}},
)
"""
TRADE = """
bot.trade(Pulse(timeframes=("1m",), stop_loss=0.05), "BTC/USDT", name="pulse")
"""
PROGRAM = f"""
import sys
{CONNECT}
print("connected", flush=True)
sys.stdin.readline()
{TRADE}
print("trading", flush=True)
{{end}}
"""


class Exchange:
    """A paper exchange and what its ledger says."""

    def __init__(self, control: PaperControl, url: str, home: Path) -> None:
        self.control = control
        self.url = url
        self.home = home

    async def record(self) -> VenueRecord:
        return VenueRecord.read(await self.control.ledger())

    async def entered(self) -> None:
        """Wait until the answer to an entry is withheld."""
        async with asyncio.timeout(LIMIT):
            while not sum(  # noqa: ASYNC110 - the exchange is polled
                (await self.control.state())["counters"]["faults"].values()
            ):
                await asyncio.sleep(0.05)

    async def check(self) -> Decimal:
        """Check that all that can be sold is covered by stops; return the amount held."""
        record = await self.record()
        stops = [one for one in record.orders if one.open and one.type.startswith("STOP")]
        covered = sum((one.amount - one.executed for one in stops), Decimal(0))
        held = record.balance("BTC")
        assert held - covered < Decimal("0.00001"), record.orders
        assert [one for one in record.orders if one.open and one.side == "BUY"] == []
        return held


@asynccontextmanager
async def running(home: Path) -> AsyncIterator[Exchange]:
    """Run an exchange whose minutes last a second."""
    options = ["--seed", "7", "--symbols", "BTC/USDT", "--speed", "60", "--start", "2026-01-05"]
    async with await PaperProcess.start(options, log=home / "paper.log") as process:
        control = process.control()
        try:
            yield Exchange(control, process.url, home)
        finally:
            await control.close()


@pytest.fixture
async def exchange(tmp_path: Path) -> AsyncIterator[Exchange]:
    async with running(tmp_path) as found:
        yield found


async def started(exchange: Exchange, end: str = "bot.wait()") -> subprocess.Popen[str]:
    """Start a bot program that waits for a line before it trades."""
    environment = {**os.environ, "BOTLIB_HOME": str(exchange.home)}
    environment.pop("BOTLIB_HEADLESS", None)
    process = subprocess.Popen(  # noqa: ASYNC220 - it only starts it
        [sys.executable, "-c", PROGRAM.format(url=exchange.url, end=end)],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = await asyncio.to_thread(process.stdout.readline)
    assert line == "connected\n", await asyncio.to_thread(process.communicate)
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


async def ended(process: subprocess.Popen[str]) -> tuple[float, str]:
    """Wait until a process has ended; return the seconds it took and what it wrote."""
    began = time.monotonic()
    _, errors = await asyncio.to_thread(process.communicate, None, LIMIT)
    return time.monotonic() - began, errors


FAULTS: dict[str, dict[str, Any]] = {
    "late": {"kind": "slow", "match": "order", "seconds": 3},
    "never": {"kind": "after_accept", "match": "order", "reply": "hang"},
    "lost": {"kind": "after_accept", "match": "order", "reply": "drop"},
}


@pytest.mark.parametrize(
    ("fault", "number"),
    [
        ("late", signal.SIGTERM),
        ("never", signal.SIGTERM),
        ("lost", signal.SIGTERM),
        ("late", signal.SIGINT),
    ],
)
async def test_a_signal_while_the_answer_to_an_entry_is_on_its_way(
    exchange: Exchange, fault: str, number: signal.Signals
) -> None:
    process = await started(exchange)
    # Nor is the fill reported on the stream.
    await exchange.control.fault("drop", match="user@executionReport", count=99)
    await exchange.control.fault(**FAULTS[fault])
    go(process)
    await exchange.entered()
    process.send_signal(number)
    seconds, errors = await ended(process)
    assert await exchange.check() > 0, "the entry did not come about"
    assert seconds < WITHIN + 5, errors
    assert process.returncode in (-number, 1, 130), errors


async def test_the_end_of_a_program_protects_what_its_last_entry_bought(
    exchange: Exchange,
) -> None:
    end = "import time\nwhile not bot.aio.engine.orders.sent:\n    time.sleep(0.05)"
    process = await started(exchange, end)
    await exchange.control.fault("slow", match="order", seconds=6)
    go(process)
    await exchange.entered()
    seconds, errors = await ended(process)
    assert process.returncode == 0, errors
    assert await exchange.check() > 0
    assert seconds < WITHIN + 10


@asynccontextmanager
async def kernel_of(exchange: Exchange) -> AsyncIterator[tuple[AsyncKernelManager, Any]]:
    manager = AsyncKernelManager(kernel_name="python3")
    environment = {**os.environ, "BOTLIB_HOME": str(exchange.home)}
    environment.pop("BOTLIB_HEADLESS", None)
    await manager.start_kernel(env=environment)
    client = manager.client()
    client.start_channels()
    await client.wait_for_ready(timeout=LIMIT)
    try:
        yield manager, client
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def run_cell(client: Any, cell: str) -> None:
    reply = await client.execute_interactive(
        cell, timeout=LIMIT, output_hook=lambda message: None, allow_stdin=False
    )
    assert reply["content"]["status"] == "ok", reply["content"]


@pytest.mark.kernel
@pytest.mark.parametrize("restart", [True, False], ids=["restart", "shutdown"])
async def test_a_kernel_that_is_restarted_or_shut_down_settles_first(
    exchange: Exchange, restart: bool
) -> None:
    async with kernel_of(exchange) as (manager, client):
        await run_cell(client, CONNECT.format(url=exchange.url))
        await exchange.control.fault("slow", match="order", seconds=1)
        await run_cell(client, TRADE)
        await exchange.entered()
        if restart:
            await manager.restart_kernel()
        else:
            await manager.shutdown_kernel()
        assert await exchange.check() > 0


async def headless(exchange: Exchange, *cells: str, **options: Any) -> RunReport:
    notebook = write_notebook(
        exchange.home / "bot.ipynb",
        f"import os\nos.environ['BOTLIB_HOME'] = {str(exchange.home)!r}",
        CONNECT.format(url=exchange.url),
        *cells,
    )
    return await asyncio.to_thread(
        run_notebook, notebook, directory=exchange.home / "runs", **options
    )


FAULT = """
import json, urllib.request
def fault(kind, **details):
    body = json.dumps({{"kind": kind, **details}}).encode()
    urllib.request.urlopen({url!r} + "/paper/v1/fault", body).read()
"""


@pytest.mark.kernel
async def test_a_headless_run_that_ends_with_an_entry_on_its_way_protects_it(
    exchange: Exchange,
) -> None:
    """Its notebook does not stop the bot, so that the end of the kernel has to."""
    report = await headless(
        exchange,
        FAULT.format(url=exchange.url),
        'fault("slow", match="order", seconds=7)',
        TRADE,
        "import time\nwhile not bot.aio.engine.orders.sent:\n    time.sleep(0.05)",
    )
    assert report.ok, report.error
    assert report.left_over == ()
    assert await exchange.check() > 0


@pytest.mark.kernel
async def test_what_a_headless_run_could_not_do_is_in_its_report(exchange: Exchange) -> None:
    """The exchange refuses every order after the entry: the position stays without a stop."""
    report = await headless(
        exchange,
        FAULT.format(url=exchange.url),
        TRADE,
        "import time\nwhile not len(bot.fills()):\n    time.sleep(0.05)",
        "engine = bot.aio.engine\nwhile not engine.orders.ledger.stops('BTC/USDT'):\n"
        "    time.sleep(0.05)",
        'fault("http_status", status=503, match="rder", count=9999)\n'
        "bot.close_position('BTC/USDT')",
        "bot.stop()\nbot.summary()",
    )
    assert report.ok, report.error
    assert any("not done" in words for words in report.left_over), report.left_over
    assert report.summary is not None
    assert report.summary["left_over"] == list(report.left_over)
    shown = nbformat.read(report.notebook, as_version=4).cells[-1].outputs[-1]
    assert "left over" in shown.data["text/html"]
    log = (exchange.home / "data" / "logs" / "botlib.log").read_text()
    assert "left over at the stop: pulse BTC/USDT" in log
