"""`ChartData`: the stored candles and fills that charts of an engine show."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from botlib.core.errors import BotlibError
from botlib.core.timeframe import timeframe_ms
from botlib.store import CandleStorage, Database, OrderJournal
from botlib.views.chart_marks import OrderFacts

if TYPE_CHECKING:
    import pandas as pd

    from botlib.core.model import Fill
    from botlib.views.engine import EngineReading
    from botlib.widgets.chart import CandleHistory

logger = logging.getLogger(__name__)


class ChartData:
    """The database of one engine as its charts read it; also after the engine has stopped."""

    def __init__(self, engine: EngineReading) -> None:
        self._engine = engine

    async def load(
        self, symbol: str, timeframe: str, before: int | None, count: int
    ) -> CandleHistory:
        """Return the newest ``count`` candles before an open time (ms); fetch missing ones."""
        until = None if before is None else before - timeframe_ms(timeframe)
        if self._engine.started:
            try:
                await self._engine.history.frame(symbol, timeframe, until=until, limit=count)
            except BotlibError as error:
                logger.warning("older candles of %s could not be fetched: %s", symbol, error)
        return await asyncio.to_thread(self.read, symbol, timeframe, before, count)

    def read(self, symbol: str, timeframe: str, before: int | None, count: int) -> CandleHistory:
        """Return the newest ``count`` stored candles before an open time (ms)."""
        from botlib.widgets.chart import CandleHistory

        until = None if before is None else before - timeframe_ms(timeframe)
        with self._reader() as database:
            storage = CandleStorage(database)
            frame = storage.frame(symbol, timeframe, None, until, count)
            first, last = _ends(frame)
            repaired = storage.repaired(symbol, timeframe, first, last) if len(frame) else []
        return CandleHistory(frame=frame, whole=len(frame) < count, repaired=tuple(repaired))

    def fills(self, symbol: str) -> tuple[list[Fill], dict[str, OrderFacts]]:
        """Return the fills of a symbol, and what is known of all orders by client order id."""
        with self._reader() as database:
            journal = OrderJournal(database)
            fills, orders = journal.fills(symbol), journal.orders()
        return fills, {
            one.client_order_id: OrderFacts(role=one.role, strategy=one.strategy) for one in orders
        }

    def _reader(self) -> Database:
        # A separate connection also reads after the stop, and does not delay the writer.
        return Database.open(Path(self._engine.database), self._engine.venue, readonly=True)


def _ends(frame: pd.DataFrame) -> tuple[int, int]:
    from botlib.frames.frame import open_times

    times = open_times(frame.index)
    return (int(times[0]), int(times[-1])) if len(times) else (0, 0)
