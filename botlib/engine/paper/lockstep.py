"""`Lockstep`: a paper market that waits until every closed candle was processed.

The exchange names the candles that closed at a boundary; when all of them were processed the
engine acknowledges the boundary, and the market moves on to the next. A replay is therefore the
same at any speed. The market moves only while `run_until` waits, and no further than its argument.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from botlib.core.clock import iso
from botlib.core.errors import EngineError
from botlib.tasks import TaskState

if TYPE_CHECKING:
    from botlib.engine.strategies.signals import SignalGenerator
    from botlib.paper import PaperControl
    from botlib.store import CandleStorage
    from botlib.tasks import BackgroundTaskManager
    from botlib.venues.base import Exchange

logger = logging.getLogger(__name__)

ADVANCE_TIMEOUT: Final = 10.0
"""Seconds one call may wait for the market to reach its next boundary."""

LEAST_WAIT: Final = 60.0
"""Seconds that any closed candle may take to arrive: it may have to be fetched."""

DIALS: Final = 3
"""How often a stream may be dialled again, a data deadline each, before a candle arrives."""


class Lockstep:
    """The clock of a paper market that moves from one closed candle to the next.

    Args:
        control: the paper exchange's control API.
        exchange: the connection to it, which names streams and markets.
        streams: (symbol, timeframe) pairs whose candles are processed.
        signals: processes the candles, None if nothing does.
        storage: tells, after a timeout, whether the candle has arrived at all.
        tasks: tell, after a timeout, whether signals are still generated.
        data_deadline: seconds without a frame after which a stream is dialled again.
        on_boundary: called once per boundary, when everything of it was processed.
        on_progress: called once per boundary.
    """

    def __init__(
        self,
        control: PaperControl,
        exchange: Exchange,
        streams: Sequence[tuple[str, str]],
        *,
        signals: SignalGenerator | None,
        storage: CandleStorage,
        tasks: BackgroundTaskManager,
        data_deadline: float,
        on_boundary: Callable[[], None],
        on_progress: Callable[[], None],
    ) -> None:
        self._control = control
        self._exchange = exchange
        self._streams: list[str] = []
        self.follow(streams)
        self._signals = signals
        self._storage = storage
        self._tasks = tasks
        self._data_deadline = data_deadline
        self._on_boundary = on_boundary
        self._on_progress = on_progress
        self._until = 0
        self._wanted = asyncio.Event()
        self._reached = asyncio.Event()
        self.market_time = 0
        self.ended = False

    def follow(self, streams: Sequence[tuple[str, str]]) -> None:
        """Wait for the candles of these (symbol, timeframe) pairs from the next boundary on."""
        self._streams = [self._exchange.candle_stream(*stream) for stream in streams]

    async def run(self) -> None:
        """Advance the market while `run_until` waits: the body of the task ``paper_lockstep``."""
        self.market_time = int((await self._control.state())["market_time"])
        while True:
            await self._wanted.wait()
            if self.ended or self.market_time >= self._until:
                self._wanted.clear()
                self._reached.set()
                continue
            await self._advance()

    async def run_until(self, market_time: int) -> None:
        """Wait until the market has moved to ``market_time`` (ms), or its recording has ended."""
        self._until = market_time
        self._reached.clear()
        self._wanted.set()
        try:
            await self._reached.wait()
        finally:
            self._until = 0

    async def _advance(self) -> None:
        step = await self._control.advance(
            self._streams, acknowledged=self.market_time, timeout=ADVANCE_TIMEOUT
        )
        for closed in step.closed:
            symbol = self._exchange.market(closed.symbol).symbol
            if self._exchange.candle_stream(symbol, closed.timeframe) not in self._streams:
                continue  # its stream was ended meanwhile
            await self._processed(symbol, closed.timeframe, closed.timestamp)
        self.market_time = step.market_time
        self._on_boundary()
        self._on_progress()
        if step.ended and not self.ended:
            self.ended = True
            logger.info("the recording has come to its end")

    async def _processed(self, symbol: str, timeframe: str, timestamp: int) -> None:
        """Wait until a candle that closed on the exchange was processed.

        A strategy may take any time, but the candle has to arrive.

        Raises:
            EngineError: it did not arrive, or nothing processes candles any more.
        """
        if self._signals is None:
            return
        limit = max(LEAST_WAIT, DIALS * self._data_deadline)
        while True:
            try:
                async with asyncio.timeout(limit):
                    await self._signals.processed(symbol, timeframe, timestamp)
                return
            except TimeoutError:
                self._check_arrived(symbol, timeframe, timestamp, limit)

    def _check_arrived(self, symbol: str, timeframe: str, timestamp: int, limit: float) -> None:
        name = f"The candle of {symbol} {timeframe} of {iso(timestamp)} UTC"
        newest = self._storage.last_closed(symbol, timeframe)
        if newest is None or newest < timestamp:
            raise EngineError(
                f"{name} has closed on the paper exchange, and was not processed within "
                f"{limit:g} s: it did not arrive, or was refused. In lockstep the market cannot go "
                "on without it. Look for it in the log, or connect with paper={'lockstep': False}."
            )
        if self._tasks.status()["signal_generation"].state is TaskState.FAILED:
            raise EngineError(
                f"{name} is not processed: the task signal_generation has failed for good. Look at "
                "its error in bot.tasks, and start it again."
            )
