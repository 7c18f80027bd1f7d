"""`OrderBooks`: the order books of an engine, followed from the first time one is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botlib.core.errors import EngineError
from botlib.engine.default_tasks import PLUMBING
from botlib.market_data import BookStatus, BookStream, ConnectionStatus, OrderBook
from botlib.market_data.book_stream import check_levels
from botlib.tasks import TaskConfig, TaskPriority, beat

if TYPE_CHECKING:
    from botlib.engine.orchestrator import Orchestrator


class OrderBooks:
    """Follows order books in a task of the engine, for as long as it runs."""

    def __init__(self, engine: Orchestrator) -> None:
        self._engine = engine
        self._stream: BookStream | None = None

    async def get(self, symbol: str, levels: int, timeout: float) -> OrderBook:
        """Return the venue's order book at present.

        Raises:
            EngineError: the engine does not run.
            As `BookStream.book`.
        """
        engine = self._engine
        check_levels(levels)
        if not engine.started:
            raise EngineError(
                "The bot does not run, so that it follows no order book. Connect again."
            )
        if self._stream is None or self._stream.exchange is not engine.exchange:
            self._stream = BookStream(
                engine.exchange,
                engine.market_clock,
                engine.stream.gate,
                data_deadline=engine.settings.exchange.data_deadline,
                on_progress=beat,
                rng=engine.environment.rng,
            )
        await self._stream.follow(symbol)
        task = TaskConfig(
            name="order_books", func=self._stream.run, forever=True, priority=TaskPriority.MEDIUM
        )
        # The same task again changes nothing.
        engine.tasks.add_task(task, group=PLUMBING, start_immediately=True)
        return await self._stream.book(symbol, levels, timeout)

    def status(self) -> tuple[BookStatus, ...]:
        """Return what is known of every book that was asked for."""
        return () if self._stream is None else self._stream.status()

    def connections(self) -> tuple[ConnectionStatus, ...]:
        """Return what is known of their connections."""
        return () if self._stream is None else self._stream.connections()
