"""The rig of a drill: a paper exchange and a bot, each in a process of its own, and a checker."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

import aiohttp

from botlib.errors import BotlibError, EngineError
from botlib.exchange.paper.client import PaperControl, PaperProcess
from botlib.invariants import InvariantChecker, InvariantReport, KitRecord
from botlib.invariants.rules import held
from botlib.risk import RiskLimits

START_TIMEOUT: Final = 120.0
STOP_TIMEOUT: Final = 20.0
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


class Rig:
    """Starts both processes in a directory, and looks at them from outside.

    Args:
        directory: for the files of both.
        symbol: what is traded.
        speed: market seconds a second.
        seed: of the market.
    """

    def __init__(self, directory: Path, *, symbol: str, speed: float, seed: int) -> None:
        self.symbol = symbol
        self.venue = ""
        self._directory = directory
        self._speed = speed
        self._seed = seed
        self._exchange: PaperProcess | None = None
        self._bot: subprocess.Popen[bytes] | None = None
        self._ready: dict[str, Any] = {}
        self.control: PaperControl
        self.checker: InvariantChecker

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()

    async def _start(self) -> None:
        arguments = ["--seed", str(self._seed), "--symbols", self.symbol]
        arguments += ["--speed", str(self._speed), "--start", "2026-01-05"]
        arguments += ["--ledger", str(self._directory / "ledger.db")]
        self._exchange = await PaperProcess.start(arguments, log=self._directory / "exchange.log")
        self.venue = self._exchange.venue
        self.control = self._exchange.control()
        await self.start_bot()
        self.checker = InvariantChecker(
            self.control,
            database=Path(self._ready["database"]),
            venue=self.venue,
            streams=[(self.symbol, TIMEFRAME)],
            limits=_LIMITS,
            stops=lambda symbol: True,
            # What is less cannot be sold.
            steps={self.symbol: Decimal("0.001")},
        )
        await self.checker.begin()

    async def close(self) -> None:
        """End both processes."""
        if self._bot is not None:
            await asyncio.to_thread(_end, self._bot)
        if self._exchange is not None:
            await self.control.close()
            await self._exchange.stop()

    async def start_bot(self) -> None:
        """Start the bot, or start it again where it was killed, and wait until it works.

        Raises:
            EngineError: it did not start; the message holds the end of its log.
        """
        assert self._exchange is not None
        log = self._directory / "bot.log"
        self._bot = await asyncio.to_thread(_spawn, self._settings(self._exchange.url), log)
        try:
            line = await asyncio.wait_for(
                asyncio.to_thread(self._bot.stdout.readline),  # type: ignore[union-attr]
                START_TIMEOUT,
            )
            self._ready = json.loads(line)
        except (TimeoutError, ValueError):
            told = log.read_text(errors="replace")[-2_000:]
            raise EngineError(f"The bot of the drill did not start: {told}") from None

    def _settings(self, url: str) -> dict[str, Any]:
        caps = {name: getattr(_LIMITS, name) for name in RiskLimits.__dataclass_fields__}
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
                for name, value in caps.items()
            },
            "strategies": [
                {
                    "name": "pulse",
                    "strategy": "botlib.drill.strategy:Pulse",
                    "symbol": self.symbol,
                    "timeframe": TIMEFRAME,
                    "parameters": {"stop_loss": STOP_LOSS},
                }
            ],
        }

    def kill_bot(self) -> None:
        """Kill the bot without warning."""
        assert self._bot is not None
        self._bot.kill()
        self._bot.wait()
        _close_pipes(self._bot)

    def suspend_bot(self, suspended: bool) -> None:
        """Let the bot's process stand, as a closed laptop would, or go on."""
        assert self._bot is not None
        self._bot.send_signal(signal.SIGSTOP if suspended else signal.SIGCONT)

    def record(self) -> KitRecord:
        """Return what the bot has on disk now."""
        stream = (self.symbol, TIMEFRAME)
        return KitRecord.read(Path(self._ready["database"]), self.venue, [stream], {})

    def held(self) -> Decimal:
        """Return what the bot holds by its own books."""
        return held(self.record(), self.symbol)

    async def healthy(self) -> bool:
        """Ask the bot's health page."""
        try:
            async with aiohttp.ClientSession() as session:
                async with session.get(f"{self._ready['health']}/health") as response:
                    return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def struck(self, kind: str) -> int:
        """Return how often a kind of fault has struck; 0 while the exchange is away."""
        try:
            return int((await self.control.state())["counters"]["faults"].get(kind, 0))
        except BotlibError:
            return 0

    async def until(self, condition: Callable[[], bool], within: float) -> bool:
        """Wait until something is so; return whether it became so in time."""
        end = asyncio.get_running_loop().time() + within
        while not condition():
            if asyncio.get_running_loop().time() > end:
                return False
            await asyncio.sleep(POLL)
        return True

    async def recovered(self, since: KitRecord, within: float) -> tuple[InvariantReport, str]:
        """Wait until the bot is well again and has taken candles and fills since.

        Returns:
            The last report, and what is still amiss besides, "" where nothing is.
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
                    why = "no new candle came"
                elif len(now.fills) <= len(since.fills):
                    why = "nothing was traded any more"
                elif not await self.healthy():
                    why = "the bot does not call itself healthy"
            except BotlibError as error:
                why = str(error)
            if (report.ok and not why) or asyncio.get_running_loop().time() > end:
                return report, why
            await asyncio.sleep(POLL)


def _spawn(settings: dict[str, Any], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "botlib.drill.bot"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,
        )
    assert process.stdin is not None
    process.stdin.write(json.dumps(settings).encode() + b"\n")
    process.stdin.flush()
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGCONT)
        _close_pipes(process)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    _close_pipes(process)


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
