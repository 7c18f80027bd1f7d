"""`LiveCharts`: charts of a running engine, from the bus, the store and the orders.

One managed task updates all charts, at most 20 times a second, and less often if the updates take
more than a twentieth of the loop's time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
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
from botlib.tasks import TaskConfig, TaskPriority, beat
from botlib.venues.symbols import unified_symbol
from botlib.views.chart_data import ChartData
from botlib.views.chart_marks import OrderFacts, OrderMarks, price_lines, signal_markers

if TYPE_CHECKING:
    from botlib.core.bus import BusSubscription
    from botlib.core.model import Candle
    from botlib.engine.health import EngineHealth
    from botlib.views.engine import OperableEngine
    from botlib.widgets.chart import CandleHistory, Chart

logger = logging.getLogger(__name__)

TASK: Final = "charts"
UPDATE_INTERVAL: Final = 0.05
"""Least seconds between two updates of the charts."""

LOOP_SHARE: Final = 0.05
"""Fraction of the loop's time that charts may take."""

MOST_CHARTS: Final = 16
"""Most charts that are updated; above this number those without a viewer are finished."""

_EVENTS: Final = (
    CandleUpdated,
    CandleClosed,
    GapFilled,
    FillReceived,
    OrderUpdated,
    PositionChanged,
)


@dataclass(slots=True)
class _ChartEntry:
    """One chart and its orders; ``chart`` is None while its history is loaded."""

    symbol: str
    timeframe: str
    chart: Chart | None = None
    orders: OrderMarks = field(default_factory=OrderMarks)
    waiting: list[Candle] = field(default_factory=list)
    """Candles that came while the history is loaded, at first or of another timeframe."""
    loading: bool = True
    watched: set[str] = field(default_factory=set)
    """Timeframes that are streamed because a reader chose them."""
    marks_changed: bool = True
    signals: int = 0
    """The revision of the signals that it shows."""


@dataclass(frozen=True, slots=True)
class _OlderRequest:
    """A request for candles before the first of a chart, after a reader scrolled there."""

    symbol: str
    timeframe: str
    before: int
    count: int
    done: Callable[[CandleHistory], None]


class LiveCharts:
    """The charts of one engine; its methods run on the engine's loop.

    Args:
        engine: the charts show its last state before each stop.
    """

    def __init__(self, engine: OperableEngine) -> None:
        self._engine = engine
        self._stored = ChartData(engine)
        self._entries: list[_ChartEntry] = []
        self._subscription: BusSubscription[Event] | None = None
        self._requests: deque[Callable[[], Awaitable[None]]] = deque()
        self._requested = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        engine.before_stop(self._finish)
        engine.watchlist.needed_by(self._needs)

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
        """Return a chart that follows the market; after the stop, one of the stored candles.

        Args:
            overlays: indicators over the candles, such as ``"ema(20)"``.
            panes: indicators below, one pane each; those of a list share one.
            height: of the whole chart, in pixels.
            window: candles shown at first.

        Raises:
            InvalidInput: the candles are not streamed, or there is no such indicator.
        """
        name = unified_symbol(symbol)
        self._check_streamed(name, timeframe)
        self._loop = asyncio.get_running_loop()
        entry = _ChartEntry(name, timeframe)
        if self._engine.started:
            # Subscribed before the history is read, so that no candle is missed between the two.
            self._entries.append(entry)
            self._start_task()
        try:
            chart = await self._build(entry, overlays, panes, height, window, title)
        except BaseException:
            self._remove(entry)
            raise
        for candle in entry.waiting:
            chart.take(candle)
        entry.waiting.clear()
        entry.chart, entry.loading = chart, False
        self._mark(entry)
        chart.flush()
        if not self._engine.started:
            chart.finish("the bot has stopped: this is what is stored")
        self._drop_unwatched()
        return chart

    async def run(self) -> None:
        """Update the charts until cancelled: the body of the task ``charts``."""
        fresh = self._subscription is None or self._subscription.closed
        self._subscribe()
        if fresh:
            for entry in self._ready():
                await self._reload(entry)
        await first_of(self._feed(), self._answer())

    def finish(self) -> None:
        """Show the last state of every chart; no update follows."""
        if self._subscription is not None:
            self._drain(self._subscription)
            self._subscription.close()
            self._subscription = None
        for entry in self._ready():
            if entry.chart is None or entry.chart.closed:
                continue
            try:
                self._mark(entry)
                entry.chart.finish("the bot has stopped: this is its last state")
            except Exception:
                logger.exception("the last state of %r could not be shown", entry.chart)
        self._entries.clear()

    async def _finish(self, health: EngineHealth) -> None:
        self.finish()

    def older(self, request: _OlderRequest) -> None:
        """Answer a chart's request for older candles; from any thread."""
        loop = self._loop
        if self._engine.started and loop is not None:
            loop.call_soon_threadsafe(self._request, partial(self._send_older, request))
        else:
            request.done(
                self._stored.read(request.symbol, request.timeframe, request.before, request.count)
            )

    def choose(self, entry: _ChartEntry, timeframe: str) -> None:
        """Show another timeframe of a chart; from any thread."""
        loop, chart = self._loop, entry.chart
        if chart is None:
            return
        if self._engine.started and loop is not None:
            loop.call_soon_threadsafe(self._request, partial(self._switch, entry, timeframe))
            return
        stored = self._stored.read(entry.symbol, timeframe, None, chart.depth)
        if not len(stored.frame):
            chart.say(f"no candles of {timeframe} are stored")
            return
        chart.say("")
        chart.show_timeframe(timeframe, stored, _OlderCandles(self, entry.symbol, timeframe))

    # Construction

    async def _build(
        self,
        entry: _ChartEntry,
        overlays: Sequence[str],
        panes: Sequence[str | Sequence[str]],
        height: int,
        window: int,
        title: str,
    ) -> Chart:
        engine = self._engine
        rows = await asyncio.to_thread(_rows_needed, entry.timeframe, overlays, panes, window)
        stored = await self._stored.load(entry.symbol, entry.timeframe, None, rows)
        fills, orders = await asyncio.to_thread(self._stored.fills, entry.symbol)
        entry.orders.load(fills, lambda name: orders.get(name or ""))
        tick = engine.exchange.market(entry.symbol).tick if engine.started else None

        def make() -> Chart:
            from botlib.widgets.chart import (
                USUAL,
                Chart,
                ChartInfo,
                ChartRows,
                TimeframeChoice,
                add_indicators,
                price_decimals,
            )

            candles = ChartRows(entry.timeframe)
            candles.load(stored.frame, whole=stored.whole)
            facts = ChartInfo(
                symbol=entry.symbol,
                timeframe=entry.timeframe,
                title=title,
                venue=engine.shown_venue,
                kind=engine.kind,
                words=engine.kind_words.words,
                decimals=(
                    price_decimals(stored.frame["close"])
                    if tick is None
                    else max(0, -int(tick.normalize().as_tuple().exponent))
                ),
            )
            chart = Chart(
                facts,
                candles,
                height=height,
                window=window,
                source=_OlderCandles(self, entry.symbol, entry.timeframe),
                run=self._run,
            )
            chart.repaired(stored.repaired)
            streamed = [name for symbol, name in engine.subscriptions() if symbol == entry.symbol]
            offered = {entry.timeframe, *streamed, *USUAL}
            chart.offer(
                TimeframeChoice(
                    offered=tuple(sorted(offered, key=timeframe_ms)),
                    choose=partial(self.choose, entry),
                )
            )
            return add_indicators(chart, overlays, panes)

        return await asyncio.to_thread(make)

    def _check_streamed(self, symbol: str, timeframe: str) -> None:
        timeframe_ms(timeframe)
        streamed = self._engine.subscriptions()
        if (symbol, timeframe) not in streamed:
            known = ", ".join(f"{one} {length}" for one, length in streamed)
            raise InvalidInput(
                f"{symbol} {timeframe} is not streamed, so there is nothing to draw live. Streamed "
                f"are {known}. bot.watch('{symbol}', '{timeframe}') streams it; or draw "
                f"stored candles: bl.chart(bot.candles('{symbol}', '{timeframe}', since='7d'))."
            )

    def _needs(self, pair: tuple[str, str]) -> str | None:
        """Return that a chart shows a symbol and timeframe, if one does."""
        for entry in self._entries:
            shown = entry.chart is None or not entry.chart.closed
            if shown and (entry.symbol, entry.timeframe) == pair:
                return "a chart shows it; its close() ends that"
        return None

    def _run(self, work: Any) -> object:
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _start_task(self) -> None:
        """Start the task that updates the charts, if it does not run."""
        self._subscribe()
        config = TaskConfig(name=TASK, func=self.run, forever=True, priority=TaskPriority.LOW)
        self._engine.tasks.add_task(config, group=TASK, start_immediately=True)

    def _subscribe(self) -> None:
        if self._subscription is None or self._subscription.closed:
            self._subscription = self._engine.bus.subscribe(*_EVENTS, name=TASK)

    def _drop_unwatched(self) -> None:
        """Finish the oldest charts without a viewer if there are too many."""
        for entry in self._entries[: max(0, len(self._entries) - MOST_CHARTS)]:
            if entry.chart is not None and not entry.chart.watched:
                entry.chart.finish("no longer updated: too many charts are open. Make it again.")
                self._remove(entry)

    def _remove(self, entry: _ChartEntry) -> None:
        if entry in self._entries:
            self._entries.remove(entry)

    def _ready(self) -> list[_ChartEntry]:
        return [entry for entry in self._entries if entry.chart is not None]

    # Events of the bus

    async def _feed(self) -> None:
        subscription = self._subscription
        assert subscription is not None
        due = 0.0
        while True:
            self._apply(await subscription.get())
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._drain(subscription)
            began = time.thread_time()
            for entry in self._ready():
                self._update(entry)
            cost = time.thread_time() - began
            due = time.monotonic() + max(UPDATE_INTERVAL, cost / LOOP_SHARE)
            beat()

    def _drain(self, subscription: BusSubscription[Event]) -> None:
        while (event := subscription.get_nowait()) is not None:
            self._apply(event)

    def _apply(self, event: Event) -> None:
        if isinstance(event, CandleClosed | CandleUpdated):
            candle = event.candle
            for entry in self._entries_of(candle.symbol):
                if entry.timeframe != candle.timeframe:
                    continue
                if entry.loading or entry.chart is None:
                    entry.waiting.append(candle)
                else:
                    entry.chart.take(candle)
        elif isinstance(event, GapFilled):
            for entry in self._entries_of(event.symbol):
                if entry.timeframe == event.timeframe and entry.chart is not None and event.candles:
                    entry.chart.repaired([(event.start, event.end)])
        elif isinstance(event, FillReceived):
            for entry in self._entries_of(event.fill.symbol):
                entry.orders.add(event.fill, self._order_of)
                entry.marks_changed = True
        elif isinstance(event, OrderUpdated):
            self._mark_later(event.order.symbol)
        elif isinstance(event, PositionChanged):
            self._mark_later(event.position.symbol)

    def _mark_later(self, symbol: str) -> None:
        for entry in self._entries_of(symbol):
            entry.marks_changed = True

    def _entries_of(self, symbol: str) -> list[_ChartEntry]:
        return [entry for entry in self._entries if entry.symbol == symbol]

    def _update(self, entry: _ChartEntry) -> None:
        chart = entry.chart
        if chart is None:
            return
        if chart.closed:
            self._remove(entry)
            return
        try:
            if entry.marks_changed or entry.signals != self._engine.signals.history.revision:
                self._mark(entry)
            chart.flush()
        except Exception:
            # The other charts are updated all the same.
            logger.exception("%r could not be updated and is dropped", chart)
            self._remove(entry)

    def _mark(self, entry: _ChartEntry) -> None:
        entry.marks_changed = False
        if entry.chart is not None:
            live, history = self._engine.started, self._engine.signals.history
            lines = price_lines(self._engine, entry.symbol) if live else []
            signals = signal_markers(history.followed(entry.symbol))
            entry.signals = history.revision
            entry.chart.mark(markers=[*entry.orders.markers(), *signals], lines=lines)

    def _order_of(self, client_order_id: str | None) -> OrderFacts | None:
        order = self._engine.orders.ledger.order(client_order_id) if client_order_id else None
        return None if order is None else OrderFacts(role=order.role, strategy=order.strategy)

    # Stored candles

    def _request(self, answer: Callable[[], Awaitable[None]]) -> None:
        self._requests.append(answer)
        self._requested.set()

    async def _answer(self) -> None:
        while True:
            await self._requested.wait()
            self._requested.clear()
            while self._requests:
                answer = self._requests.popleft()
                try:
                    await answer()
                except Exception:
                    logger.exception("a request of a chart could not be answered")

    async def _send_older(self, one: _OlderRequest) -> None:
        candles = await self._stored.load(one.symbol, one.timeframe, one.before, one.count)
        await asyncio.to_thread(one.done, candles)

    async def _switch(self, entry: _ChartEntry, timeframe: str) -> None:
        """Show another timeframe, which is streamed from now on."""
        chart, before = entry.chart, entry.timeframe
        if chart is None or timeframe == before:
            return
        try:
            fresh = await self._engine.watch(entry.symbol, [timeframe])
        except BotlibError as error:
            chart.say(str(error))
            return
        if fresh:
            entry.watched.add(timeframe)
        entry.timeframe, entry.loading = timeframe, True
        try:
            candles = await self._stored.load(entry.symbol, timeframe, None, chart.depth)
            older = _OlderCandles(self, entry.symbol, timeframe)
            await asyncio.to_thread(chart.show_timeframe, timeframe, candles, older)
        finally:
            for candle in entry.waiting:
                chart.take(candle)
            entry.waiting.clear()
            entry.loading = False
        chart.say("")
        chart.flush()
        if before in entry.watched:
            entry.watched.discard(before)
            with suppress(BotlibError):  # something else needs it by now
                await self._engine.unwatch(entry.symbol, before)

    async def _reload(self, entry: _ChartEntry) -> None:
        """Load a chart's candles again, after events were missed."""
        if entry.chart is not None:
            candles = await self._stored.load(
                entry.symbol, entry.timeframe, None, entry.chart.depth
            )
            await asyncio.to_thread(entry.chart.reload, candles)


class _OlderCandles:
    """The candles from before the first one of a chart."""

    def __init__(self, charts: LiveCharts, symbol: str, timeframe: str) -> None:
        self._charts = charts
        self._symbol = symbol
        self._timeframe = timeframe

    def older(self, before: int, count: int, done: Callable[[CandleHistory], None]) -> None:
        """Load the candles before an open time (ms); fetched from the venue while the bot runs."""
        request = _OlderRequest(self._symbol, self._timeframe, before, count, done)
        self._charts.older(request)


def _rows_needed(
    timeframe: str,
    overlays: Iterable[str],
    panes: Iterable[str | Sequence[str]],
    window: int,
) -> int:
    """Return the number of candles to load for settled indicator values in the window."""
    from botlib.widgets.chart import specs_of, warmup_of

    return window + warmup_of(specs_of(overlays, panes), timeframe)
