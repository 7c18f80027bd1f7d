"""Charts of a running engine: candles from the bus, history from the store, marks from the orders.

Charts are fed by one managed task, however many there are. It passes on what changed at most 20
times a second, and less often where drawing costs more than a twentieth of that time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botlib.core.asynctools import first_of
from botlib.core.errors import BotlibError, InvalidInput
from botlib.core.model import (
    CandleClosed,
    CandleUpdated,
    Event,
    FillReceived,
    GapFilled,
    OrderUpdated,
    PositionChanged,
)
from botlib.core.timeframe import timeframe_ms
from botlib.store import CandleStorage, Database
from botlib.tasks import TaskConfig, TaskPriority, beat
from botlib.venues.symbols import unified_symbol
from botlib.views.chart_marks import OrderMarks, price_lines

if TYPE_CHECKING:
    import pandas as pd

    from botlib.core.bus import BusSubscription
    from botlib.core.model import Candle, Fill
    from botlib.engine.health import EngineHealth
    from botlib.views.engine import EngineReading
    from botlib.widgets.chart import CandleHistory, Chart

logger = logging.getLogger(__name__)

TASK: Final = "charts"
PACE: Final = 0.05
"""Least seconds between two updates of the charts."""

SHARE: Final = 0.05
"""Part of the loop's time that charts may take."""

MOST_CHARTS: Final = 16
"""Charts that are fed; beyond these one that nobody looks at is let go."""

_EVENTS: Final = (
    CandleUpdated,
    CandleClosed,
    GapFilled,
    FillReceived,
    OrderUpdated,
    PositionChanged,
)


@dataclass(slots=True)
class _Fed:
    """A chart with what it shows; without one while its history is being loaded."""

    symbol: str
    timeframe: str
    chart: Chart | None = None
    trades: OrderMarks = field(default_factory=OrderMarks)
    waiting: list[Candle] = field(default_factory=list)
    marks_changed: bool = True


@dataclass(frozen=True, slots=True)
class _Request:
    """Somebody scrolled to where the candles of a chart begin."""

    symbol: str
    timeframe: str
    before: int
    count: int
    done: Callable[[CandleHistory], None]


class LiveCharts:
    """The charts of one engine. Its methods run on the engine's loop."""

    def __init__(self, engine: EngineReading) -> None:
        self._engine = engine
        self._fed: list[_Fed] = []
        self._subscription: BusSubscription[Event] | None = None
        self._requests: deque[_Request] = deque()
        self._asked = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        engine.before_stop(self._finish)

    async def open(
        self,
        symbol: str,
        timeframe: str,
        *,
        overlays: Sequence[str] = (),
        panes: Sequence[str | Sequence[str]] = (),
        height: int = 520,
        window: int = 2_000,
        title: str = "",
    ) -> Chart:
        """Return a chart that follows the market; after the stop, one of what is stored.

        Raises:
            InvalidInput: the candles are not streamed, or there is no such indicator.
        """
        name = unified_symbol(symbol)
        self._check_streamed(name, timeframe)
        self._loop = asyncio.get_running_loop()
        entry = _Fed(name, timeframe)
        if self._engine.started:
            # Before the history is read, so that no candle falls between the two.
            self._fed.append(entry)
            self._listen()
        try:
            chart = await self._made(entry, overlays, panes, height, window, title)
        except BaseException:
            self._forget(entry)
            raise
        for candle in entry.waiting:
            chart.take(candle)
        entry.waiting.clear()
        entry.chart = chart
        self._mark(entry)
        chart.flush()
        if not self._engine.started:
            chart.finish("the bot has stopped: this is what is stored")
        self._let_go()
        return chart

    async def run(self) -> None:
        """Feed the charts: the body of the task ``charts``."""
        fresh = self._subscription is None or self._subscription.closed
        self._subscribe()
        if fresh:
            for entry in self._shown():
                await self._reload(entry)
        await first_of(self._feed(), self._answer())

    def finish(self) -> None:
        """Show the last state of every chart; nothing follows."""
        if self._subscription is not None:
            self._drain(self._subscription)
            self._subscription.close()
            self._subscription = None
        for entry in self._shown():
            if entry.chart is None or entry.chart.closed:
                continue
            try:
                self._mark(entry)
                entry.chart.finish("the bot has stopped: this is its last state")
            except Exception:
                logger.exception("the last state of %r could not be shown", entry.chart)
        self._fed.clear()

    async def _finish(self, health: EngineHealth) -> None:
        self.finish()

    def older(self, request: _Request) -> None:
        """Answer a chart that wants candles from before its first; from any thread."""
        loop = self._loop
        if self._engine.started and loop is not None:
            loop.call_soon_threadsafe(self._ask, request)
        else:
            request.done(self._stored(request))

    # Making a chart

    async def _made(
        self,
        entry: _Fed,
        overlays: Sequence[str],
        panes: Sequence[str | Sequence[str]],
        height: int,
        window: int,
        title: str,
    ) -> Chart:
        engine = self._engine
        rows = await asyncio.to_thread(_needed, entry.timeframe, overlays, panes, window)
        stretch = await self._load(entry.symbol, entry.timeframe, None, rows)
        fills, stops = await asyncio.to_thread(self._fills, entry.symbol)
        entry.trades.load(fills, stops.__contains__)
        tick = engine.exchange.market(entry.symbol).tick if engine.started else None

        def make() -> Chart:
            from botlib.widgets.chart import (
                Chart,
                ChartInfo,
                ChartRows,
                add_indicators,
                price_decimals,
            )

            candles = ChartRows(entry.timeframe)
            candles.load(stretch.frame, whole=stretch.whole)
            facts = ChartInfo(
                symbol=entry.symbol,
                timeframe=entry.timeframe,
                title=title,
                venue=engine.venue,
                synthetic=":synthetic:" in engine.venue,
                decimals=(
                    price_decimals(stretch.frame["close"])
                    if tick is None
                    else max(0, -int(tick.normalize().as_tuple().exponent))
                ),
            )
            chart = Chart(
                facts,
                candles,
                height=height,
                window=window,
                source=_Source(self, entry.symbol, entry.timeframe),
                run=self._run,
            )
            chart.repaired(stretch.repaired)
            return add_indicators(chart, overlays, panes)

        return await asyncio.to_thread(make)

    def _check_streamed(self, symbol: str, timeframe: str) -> None:
        timeframe_ms(timeframe)
        streamed = self._engine.subscriptions()
        if (symbol, timeframe) not in streamed:
            known = ", ".join(f"{one} {length}" for one, length in streamed)
            raise InvalidInput(
                f"{symbol} {timeframe} is not streamed, so there is nothing to draw live. Streamed "
                f"are {known}. Add it to 'symbols' and 'timeframes' of the configuration, or draw "
                f"stored candles: bl.chart(bot.candles('{symbol}', '{timeframe}', since='7d'))."
            )

    def _run(self, work: Any) -> object:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _listen(self) -> None:
        """See that the task runs which feeds the charts."""
        self._subscribe()
        config = TaskConfig(name=TASK, func=self.run, forever=True, priority=TaskPriority.LOW)
        self._engine.tasks.add_task(config, group=TASK, start_immediately=True)

    def _subscribe(self) -> None:
        if self._subscription is None or self._subscription.closed:
            self._subscription = self._engine.bus.subscribe(*_EVENTS, name=TASK)

    def _let_go(self) -> None:
        """Stop feeding the oldest chart that nobody looks at, where there are too many."""
        for entry in self._fed[: max(0, len(self._fed) - MOST_CHARTS)]:
            if entry.chart is not None and not entry.chart.watched:
                entry.chart.finish("not fed any more: too many charts are open. Make it again.")
                self._forget(entry)

    def _forget(self, entry: _Fed) -> None:
        if entry in self._fed:
            self._fed.remove(entry)

    def _shown(self) -> list[_Fed]:
        return [entry for entry in self._fed if entry.chart is not None]

    # What comes from the bus

    async def _feed(self) -> None:
        subscription = self._subscription
        assert subscription is not None
        due = 0.0
        while True:
            self._take(await subscription.get())
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._drain(subscription)
            began = time.thread_time()
            for entry in self._shown():
                self._show(entry)
            cost = time.thread_time() - began
            due = time.monotonic() + max(PACE, cost / SHARE)
            beat()

    def _drain(self, subscription: BusSubscription[Event]) -> None:
        while (event := subscription.get_nowait()) is not None:
            self._take(event)

    def _take(self, event: Event) -> None:
        if isinstance(event, CandleClosed | CandleUpdated):
            candle = event.candle
            for entry in self._of(candle.symbol):
                if entry.timeframe != candle.timeframe:
                    continue
                if entry.chart is None:
                    entry.waiting.append(candle)
                else:
                    entry.chart.take(candle)
        elif isinstance(event, GapFilled):
            for entry in self._of(event.symbol):
                if entry.timeframe == event.timeframe and entry.chart is not None and event.candles:
                    entry.chart.repaired([(event.start, event.end)])
        elif isinstance(event, FillReceived):
            for entry in self._of(event.fill.symbol):
                entry.trades.take(event.fill, self._is_stop)
                entry.marks_changed = True
        elif isinstance(event, OrderUpdated):
            self._note(event.order.symbol)
        elif isinstance(event, PositionChanged):
            self._note(event.position.symbol)

    def _note(self, symbol: str) -> None:
        for entry in self._of(symbol):
            entry.marks_changed = True

    def _of(self, symbol: str) -> list[_Fed]:
        return [entry for entry in self._fed if entry.symbol == symbol]

    def _show(self, entry: _Fed) -> None:
        chart = entry.chart
        if chart is None:
            return
        if chart.closed:
            self._forget(entry)
            return
        try:
            if entry.marks_changed:
                self._mark(entry)
            chart.flush()
        except Exception:
            # One chart must not take the others with it.
            logger.exception("%r could not be brought up to date and is let go", chart)
            self._forget(entry)

    def _mark(self, entry: _Fed) -> None:
        entry.marks_changed = False
        if entry.chart is not None:
            live = self._engine.started
            lines = price_lines(self._engine, entry.symbol) if live else []
            entry.chart.mark(markers=entry.trades.markers(), lines=lines)

    def _is_stop(self, client_order_id: str | None) -> bool:
        order = self._engine.orders.order(client_order_id) if client_order_id else None
        return order is not None and order.stop_price is not None

    def _fills(self, symbol: str) -> tuple[list[Fill], set[str]]:
        """Return the fills of a symbol, and the ids of all orders that are stops."""
        from botlib.store import OrderJournal

        with self._reader() as database:
            journal = OrderJournal(database)
            fills, orders = journal.fills(symbol), journal.orders()
        return fills, {one.client_order_id for one in orders if one.stop_price is not None}

    # Stored candles

    def _ask(self, request: _Request) -> None:
        self._requests.append(request)
        self._asked.set()

    async def _answer(self) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            while self._requests:
                one = self._requests.popleft()
                try:
                    stretch = await self._load(one.symbol, one.timeframe, one.before, one.count)
                    await asyncio.to_thread(one.done, stretch)
                except Exception:
                    logger.exception("older candles of %s could not be given", one.symbol)

    async def _reload(self, entry: _Fed) -> None:
        """Read a chart's candles anew, after events were missed."""
        if entry.chart is not None:
            stretch = await self._load(entry.symbol, entry.timeframe, None, entry.chart.depth)
            await asyncio.to_thread(entry.chart.reload, stretch)

    async def _load(
        self, symbol: str, timeframe: str, before: int | None, count: int
    ) -> CandleHistory:
        """Return the newest ``count`` candles before an open time; missing ones are fetched."""
        until = None if before is None else before - timeframe_ms(timeframe)
        if self._engine.started:
            try:
                await self._engine.history.frame(symbol, timeframe, until=until, limit=count)
            except BotlibError as error:
                logger.warning("older candles of %s could not be fetched: %s", symbol, error)
        return await asyncio.to_thread(self._read, symbol, timeframe, until, count)

    def _stored(self, request: _Request) -> CandleHistory:
        until = request.before - timeframe_ms(request.timeframe)
        return self._read(request.symbol, request.timeframe, until, request.count)

    def _read(self, symbol: str, timeframe: str, until: int | None, count: int) -> CandleHistory:
        from botlib.widgets.chart import CandleHistory

        with self._reader() as database:
            storage = CandleStorage(database)
            frame = storage.frame(symbol, timeframe, None, until, count)
            first, last = _ends(frame)
            repaired = storage.repaired(symbol, timeframe, first, last) if len(frame) else []
        return CandleHistory(frame=frame, whole=len(frame) < count, repaired=tuple(repaired))

    def _reader(self) -> Database:
        # A connection of its own: it also reads after the stop, and holds up nobody.
        return Database.open(Path(self._engine.database), self._engine.venue, readonly=True)


class _Source:
    """Gives one chart what is stored from before its first candle."""

    def __init__(self, charts: LiveCharts, symbol: str, timeframe: str) -> None:
        self._charts = charts
        self._symbol = symbol
        self._timeframe = timeframe

    def older(self, before: int, count: int, done: Callable[[CandleHistory], None]) -> None:
        """Find the candles before an open time; fetched from the venue while the bot runs."""
        request = _Request(self._symbol, self._timeframe, before, count, done)
        self._charts.older(request)


def _needed(
    timeframe: str,
    overlays: Iterable[str],
    panes: Iterable[str | Sequence[str]],
    window: int,
) -> int:
    """Return how many candles to load, so that the values in the window are right."""
    from botlib.widgets.chart import specs_of, warmup_of

    return window + warmup_of(specs_of(overlays, panes), timeframe)


def _ends(frame: pd.DataFrame) -> tuple[int, int]:
    from botlib.frames.frame import open_times

    times = open_times(frame.index)
    return (int(times[0]), int(times[-1])) if len(times) else (0, 0)
