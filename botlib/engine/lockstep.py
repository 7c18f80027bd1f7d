"""Lockstep with the paper exchange: the market stands still until every closed candle was acted on.

The exchange names the candles that closed at a boundary; when the kit has acted on all of them it
acknowledges the boundary, and the market moves on to the next. A replay is then the same at any
speed. The market moves only while somebody waits for it, up to the time that is waited for.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from botlib.core.clock import iso
from botlib.core.errors import EngineError
from botlib.tasks import TaskState

if TYPE_CHECKING:
    from botlib.engine.orchestrator import Orchestrator
    from botlib.paper.client import PaperControl
    from botlib.venues.base import Exchange

logger = logging.getLogger(__name__)

ADVANCE_TIMEOUT: Final = 10.0
"""Seconds one call may wait for the market to reach its next boundary."""

PATIENCE: Final = 60.0
"""Least seconds a candle that has closed may take to arrive: it may have to be fetched."""

DEADLINES: Final = 3
"""How many times the silence after which a stream is dialled again a candle may take."""

Processed = Callable[[str, str, int], Awaitable[None]]


class Lockstep:
    """Moves a paper market from one closed candle to the next.

    Args:
        control: the paper exchange's control.
        exchange: the paper exchange as the kit's venue; it names streams and markets.
        streams: (symbol, timeframe) pairs whose candles are acted on.
        processed: waits until a candle (symbol, timeframe, open time) was acted on.
        on_progress: called once per boundary.
    """

    def __init__(
        self,
        control: PaperControl,
        exchange: Exchange,
        streams: Callable[[], Sequence[tuple[str, str]]],
        processed: Processed,
        on_progress: Callable[[], None],
    ) -> None:
        self._control = control
        self._exchange = exchange
        self._streams = streams
        self._processed = processed
        self._on_progress = on_progress
        self._until = 0
        self._wanted = asyncio.Event()
        self._reached = asyncio.Event()
        self.market_time = 0
        self.ended = False

    async def run(self) -> None:
        """Advance the market while it is wanted: the body of the task ``paper_lockstep``."""
        self.market_time = int((await self._control.state())["market_time"])
        while True:
            await self._wanted.wait()
            if self.ended or self.market_time >= self._until:
                self._wanted.clear()
                self._reached.set()
                continue
            await self._advance()

    async def run_until(self, market_time: int) -> None:
        """Let the market move until ``market_time`` (ms), or the end of its recording."""
        self._until = market_time
        self._reached.clear()
        self._wanted.set()
        try:
            await self._reached.wait()
        finally:
            self._until = 0

    async def _advance(self) -> None:
        step = await self._control.advance(
            [self._exchange.candle_stream(*stream) for stream in self._streams()],
            acknowledged=self.market_time,
            timeout=ADVANCE_TIMEOUT,
        )
        for closed in step.closed:
            symbol = self._exchange.market(closed.symbol).symbol
            await self._processed(symbol, closed.timeframe, closed.timestamp)
        self.market_time = step.market_time
        self._on_progress()
        if step.ended and not self.ended:
            self.ended = True
            logger.info("the recording has come to its end")


async def acted_on(engine: Orchestrator, symbol: str, timeframe: str, timestamp: int) -> None:
    """Wait until an engine has acted on a candle that has closed on the exchange.

    A strategy may take as long as it likes, but the candle has to arrive.

    Raises:
        EngineError: it did not, or nobody acts on candles any more.
    """
    if not engine.settings.tasks.signal_generation.enabled:
        return
    limit = max(PATIENCE, DEADLINES * engine.settings.exchange.data_deadline)
    while True:
        try:
            async with asyncio.timeout(limit):
                await engine.signals.processed(symbol, timeframe, timestamp)
            return
        except TimeoutError:
            _check_arrived(engine, symbol, timeframe, timestamp, limit)


def _check_arrived(
    engine: Orchestrator, symbol: str, timeframe: str, timestamp: int, limit: float
) -> None:
    name = f"The candle of {symbol} {timeframe} of {iso(timestamp)} UTC"
    newest = engine.storage.last_closed(symbol, timeframe)
    if newest is None or newest < timestamp:
        raise EngineError(
            f"{name} has closed on the paper exchange, and was not taken within {limit:g} s: it "
            "did not arrive, or was refused. In lockstep the market cannot go on without it. Look "
            "for it in the log, or connect with paper={'lockstep': False}."
        )
    if engine.tasks.status()["signal_generation"].state is TaskState.FAILED:
        raise EngineError(
            f"{name} is not acted on: the task signal_generation has failed for good. Look at its "
            "error in bot.tasks, and start it again."
        )
