"""`OrderBooks`: the order books of an engine, followed from the first request for one."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from botlib.core.errors import EngineError
from botlib.engine.default_tasks import SUPPORT
from botlib.market_data import BookStatus, BookStream, ConnectionStatus, OrderBook
from botlib.market_data.book_stream import check_levels
from botlib.tasks import TaskConfig, TaskPriority, beat

if TYPE_CHECKING:
    from botlib.core.clock import MarketClock
    from botlib.market_data.connection import DialLimiter
    from botlib.tasks import BackgroundTaskManager
    from botlib.venues.base import Exchange


class OrderBooks:
    """The order books of one exchange, followed by a task until the engine stops.

    Args:
        exchange: the venue.
        clock: market time.
        dial_limiter: delays dials; shared with the candle stream.
        tasks: runs the task ``order_books``.
        data_deadline: seconds without a frame after which a connection is dialled again.
        rng: source of the jitter of retries.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        clock: MarketClock,
        dial_limiter: DialLimiter,
        tasks: BackgroundTaskManager,
        data_deadline: float,
        rng: random.Random,
    ) -> None:
        self._exchange = exchange
        self._clock = clock
        self._dial_limiter = dial_limiter
        self._tasks = tasks
        self._data_deadline = data_deadline
        self._rng = rng
        self._stream: BookStream | None = None
        self._closed = False

    async def get(self, symbol: str, levels: int, timeout: float) -> OrderBook:
        """Return the venue's present order book.

        Args:
            levels: levels of each side.
            timeout: longest wait in seconds for a book that is in step with the venue.

        Raises:
            EngineError: the engine has stopped.
            As `BookStream.book`.
        """
        check_levels(levels)
        if self._closed:
            raise EngineError("The bot does not run, so it follows no order book. Connect again.")
        if self._stream is None:
            self._stream = BookStream(
                self._exchange,
                self._clock,
                self._dial_limiter,
                data_deadline=self._data_deadline,
                on_progress=beat,
                rng=self._rng,
            )
        await self._stream.follow(symbol)
        task = TaskConfig(
            name="order_books", func=self._stream.run, forever=True, priority=TaskPriority.MEDIUM
        )
        # Registering the same task again changes nothing.
        self._tasks.add_task(task, group=SUPPORT, start_immediately=True)
        return await self._stream.book(symbol, levels, timeout)

    def close(self) -> None:
        """Refuse further requests."""
        self._closed = True

    def status(self) -> tuple[BookStatus, ...]:
        """Return the state of every book that was requested."""
        return () if self._stream is None else self._stream.status()

    def connections(self) -> tuple[ConnectionStatus, ...]:
        """Return the state of their connections."""
        return () if self._stream is None else self._stream.connections()
