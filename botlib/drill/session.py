"""The processes of a drill: a paper exchange, a bot in a Jupyter kernel, and a checker."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from botlib.core.errors import BotlibError
from botlib.core.model import Side
from botlib.core.symbol import split_symbol
from botlib.core.timeframe import MINUTE
from botlib.drill.kernel import NotebookKernel
from botlib.drill.strategy import PERIOD
from botlib.invariants import BotRecord, InvariantChecker, InvariantReport
from botlib.invariants.rules import held
from botlib.invariants.venue_record import VenueRecord
from botlib.paper import PaperControl, PaperProcess
from botlib.trading.risk import RiskLimits

POLL: Final = 0.1
TIMEFRAME: Final = "1m"
STOP_LOSS: Final = 0.05

_LIMITS: Final = RiskLimits(
    max_order_cost=Decimal(2_000),
    max_exposure=Decimal(5_000),
    max_open_orders=5,
    max_orders_per_minute=30,
    max_daily_loss=Decimal(500),
)

_CONNECT: Final = """
import botlib as bl
bot = bl.connect(**{settings})
"""
_TRADE: Final = """
from botlib.drill.strategy import Pulse
bot.trade(Pulse(timeframes=({timeframe!r},), stop_loss={stop_loss}), {symbol!r}, name="pulse")
"""
"""The cells of the bot's notebook."""

_READY: Final = "dict(health=bot.url, database=bot.database)"

_BOOKS: Final = (
    "[dict(held=float(one.held), protection=str(one.protection)) for one in bot.books.itertuples()]"
)

_NAP: Final = 'kill -STOP "$0" && sleep "$1"; kill -CONT "$0"'
"""A shell program that stops a process and resumes it, even if the drill has ended by then."""


class DrillSession:
    """A paper exchange and a bot in processes of their own, started and observed by a drill.

    Args:
        directory: for the files of both.
        symbol: the symbol traded.
        speed: seconds of market time per second.
        seed: of the market.
    """

    def __init__(self, directory: Path, *, symbol: str, speed: float, seed: int) -> None:
        self.symbol = symbol
        self.venue = ""
        self._directory = directory
        self._speed = speed
        self._seed = seed
        self._exchange: PaperProcess | None = None
        self._kernel: NotebookKernel | None = None
        self._nap: asyncio.subprocess.Process | None = None
        self._ready: dict[str, Any] = {}
        self.step = Decimal("0.001")
        """Base units; less is dust, which cannot be sold."""
        self.flaws: list[str] = []
        """What a step has seen go wrong, besides what the invariants say."""
        self.control: PaperControl
        self.checker: InvariantChecker

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Start both processes and run the cells; on an error both are ended."""
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise

    async def _start(self) -> None:
        arguments = ["--seed", str(self._seed), "--symbols", self.symbol]
        arguments += ["--speed", str(self._speed), "--start", "2026-01-05"]
        arguments += ["--ledger", str(self._directory / "ledger.db")]
        # The kernel starts while the exchange does.
        await self._start_kernel()
        self._exchange = await PaperProcess.start(arguments, log=self._directory / "exchange.log")
        self.venue = self._exchange.venue
        self.control = self._exchange.control()
        await self._run_cells()
        self.checker = InvariantChecker(
            self.control,
            database=Path(self._ready["database"]),
            venue=self.venue,
            streams=[(self.symbol, TIMEFRAME)],
            limits=_LIMITS,
            stops=lambda symbol: True,
            # Less than a step cannot be sold.
            steps={self.symbol: self.step},
        )
        await self.checker.begin()

    async def close(self) -> None:
        """End all processes."""
        if self._nap is not None:
            await _end(self._nap)
        if self._kernel is not None:
            await self._kernel.close()
        if self._exchange is not None:
            await self.control.close()
            await self._exchange.stop()

    async def restart_kernel(self) -> list[dict[str, Any]]:
        """Start a kernel in place of the killed one and run the same cells.

        Returns:
            The books after the first cell, before any strategy was registered.

        Raises:
            EngineError: the bot did not start; the message says why.
        """
        assert self._kernel is not None
        await self._kernel.close()
        await self._start_kernel()
        return await self._run_cells()

    async def _start_kernel(self) -> None:
        self._kernel = NotebookKernel(self._directory, "drill")
        await self._kernel.start()

    async def _run_cells(self) -> list[dict[str, Any]]:
        assert self._kernel is not None and self._exchange is not None
        connect = _CONNECT.format(settings=self._settings(self._exchange.url))
        books: list[dict[str, Any]] = await self._kernel.run(connect, _BOOKS)
        trade = _TRADE.format(timeframe=TIMEFRAME, stop_loss=STOP_LOSS, symbol=self.symbol)
        self._ready = await self._kernel.run(trade, _READY)
        return books

    def _settings(self, url: str) -> dict[str, Any]:
        limits = {name: value for name, value in asdict(_LIMITS).items() if value is not None}
        return {
            "symbols": [self.symbol],
            "timeframes": [TIMEFRAME],
            "history": 60,
            "data_directory": str(self._directory / "data"),
            "health": {"port": 0, "candle_deadline": "1h"},
            "exchange": {"data_deadline": "5s"},
            "paper": {"url": url},
            "tasks": {
                "order_sync": {"interval": "2s"},
                "position_monitoring": {"interval": "2s"},
            },
            "risk": {
                name: int(value) if isinstance(value, int) else str(value)
                for name, value in limits.items()
            },
            "strategies": [],
        }

    async def kill_kernel(self) -> None:
        """Kill the bot's kernel without warning."""
        assert self._kernel is not None
        await self._kernel.kill()

    async def suspend_kernel(self, seconds: float) -> None:
        """Stop the bot's kernel for some seconds, as a suspended computer does."""
        assert self._kernel is not None
        self._nap = await asyncio.create_subprocess_exec(
            "sh", "-c", _NAP, str(self._kernel.pid), str(seconds), start_new_session=True
        )
        await self._nap.wait()

    def record(self) -> BotRecord:
        """Return the contents of the bot's database now."""
        stream = (self.symbol, TIMEFRAME)
        return BotRecord.read(Path(self._ready["database"]), self.venue, [stream], {})

    def held(self) -> Decimal:
        """Return the amount that the bot holds by its own fills, base units."""
        return held(self.record(), self.symbol)

    async def covered(self) -> bool:
        """Return whether stops at the venue cover what can be sold of the position."""
        record = VenueRecord.read(await self.control.ledger())
        stops = [one for one in record.orders if one.open and one.type.startswith("STOP")]
        covered = sum((one.amount - one.executed for one in stops), Decimal(0))
        base, _ = split_symbol(self.symbol)
        return record.balance(base) - covered < self.step

    async def stop_market(self, within: float) -> None:
        """Stop the market while a position is held, its stop rests and no exit is under way.

        Raises:
            TimeoutError: it did not come to that in so many seconds; the market goes on.
        """
        async with asyncio.timeout(within):
            while True:
                await self.control.pause()
                try:
                    if await self._at_rest():
                        return
                except BaseException:
                    await self.control.resume()
                    raise
                await self.control.resume()
                await asyncio.sleep(POLL)

    async def _at_rest(self) -> bool:
        """Return whether a position that a stop covers was opened after the last exit was due."""
        fills = self.record().fills
        if not fills or fills[-1].side is not Side.BUY or self.held() < self.step:
            return False
        now, period = (await self.control.state())["market_time"], PERIOD * MINUTE
        return fills[-1].timestamp // period == now // period and await self.covered()

    async def protected(self, within: float) -> float | None:
        """Wait until stops cover the position; return the seconds, None if they never did."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while not await self.covered():
            if loop.time() - began > within:
                return None
            await asyncio.sleep(POLL)
        return loop.time() - began

    async def ask(self, expression: str) -> Any:
        """Return the value of an expression in the bot's kernel, which consists of literals."""
        assert self._kernel is not None
        return await self._kernel.run("None", expression)

    async def healthy(self) -> bool:
        """Return whether the bot's health page answers 200."""
        try:
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{self._ready['health']}/health") as response:
                    return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def struck(self, kind: str) -> int:
        """Return how often a kind of fault has occurred; 0 while the exchange is away."""
        try:
            return int((await self.control.state())["counters"]["faults"].get(kind, 0))
        except BotlibError:
            return 0

    async def until(self, condition: Callable[[], bool], within: float) -> bool:
        """Wait until a condition holds; return whether it did within so many seconds."""
        end = asyncio.get_running_loop().time() + within
        while not condition():
            if asyncio.get_running_loop().time() > end:
                return False
            await asyncio.sleep(POLL)
        return True

    async def recovered(self, since: BotRecord, within: float) -> tuple[InvariantReport, str]:
        """Wait until all invariants hold, the bot is healthy, and candles and fills are new.

        Args:
            since: the record after the fault.
            within: seconds to wait.

        Returns:
            The last report, and what else is wrong, "" if nothing is.
        """
        end = asyncio.get_running_loop().time() + within
        stream = (self.symbol, TIMEFRAME)
        report = InvariantReport(checked=())
        while True:
            why = ""
            try:
                report = await self.checker.check()
                now = self.record()
                if len(now.candles[stream]) <= len(since.candles[stream]) + 1:
                    why = "no new candle arrived"
                elif len(now.fills) <= len(since.fills):
                    why = "there was no new fill"
                elif not await self.healthy():
                    why = "the bot reports that it is not healthy"
            except BotlibError as error:
                why = str(error)
            if (report.ok and not why) or asyncio.get_running_loop().time() > end:
                return report, why
            await asyncio.sleep(POLL)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        # Together with its children, which belong to its session.
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
