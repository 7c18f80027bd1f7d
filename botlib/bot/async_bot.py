"""`AsyncBot`: the bot as methods to await on the runtime thread."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from botlib.bot.card import bot_card, bot_line
from botlib.bot.delegation import of_async_lab
from botlib.bot.market import BotMarket
from botlib.bot.order_rows import order_remarks, order_row
from botlib.bot.position_rows import position_table
from botlib.bot.strategy_calls import StrategyCalls
from botlib.bot.tables import attribute_table
from botlib.bot.task_calls import TaskCalls
from botlib.config import Settings
from botlib.core.clock import MarketTime
from botlib.core.text.cards import Tone
from botlib.core.timeframe import parse_duration
from botlib.engine import EngineHealth, Orchestrator
from botlib.engine.safety.arming import Arming
from botlib.execution import Reconciliation
from botlib.lab import AsyncLab, ListedMarket
from botlib.market_data.history import store_markets
from botlib.runtime import Runtime, report_left_over, report_never_worked
from botlib.store import OrderJournal
from botlib.views.host import EngineViews

if TYPE_CHECKING:
    import pandas as pd

    from botlib.core.model import Fill
    from botlib.drill import DrillReport
    from botlib.market_data import OrderBook
    from botlib.views.summary import RunSummary
    from botlib.widgets.chart import Chart
    from botlib.widgets.dashboard import Dashboard


class AsyncBot(StrategyCalls, TaskCalls):
    """Research and trading on one market; the async core of `Bot`.

    Its methods run on the runtime thread. From a cell, use the `Bot` that `connect` returns.

    Args:
        settings: what to run.
        runtime: the loop thread of this process.
        live: arms live trading, together with ``mode: live`` in the settings.
        file: the configuration that says so.
    """

    def __init__(
        self,
        settings: Settings,
        runtime: Runtime,
        *,
        live: bool = False,
        file: Path | None = None,
    ) -> None:
        super().__init__()
        self.settings = settings
        self.engine = Orchestrator(
            settings,
            live=live,
            file=file,
            lag=runtime.lag,
            stalls=lambda: runtime.stalls,
            tell=_tell,
        )
        self.views = EngineViews(self.engine, runtime)
        self._market = BotMarket(self.engine)
        self.lab = AsyncLab(self._market)
        """Research on the candles of this market."""

    @property
    def database(self) -> str:
        """Path of the SQLite file with the candles, orders and fills of this market."""
        return self.engine.database

    def streams(self) -> pd.DataFrame:
        """Return the state and the counters of every subscription, one row each."""
        columns = ("symbol", "timeframe", "ready", "last_closed", "frames", "closed", "backfilled")
        more = ("duplicates", "late", "bad_frames", "gaps", "holes", "failures")
        status = self.engine.stream.status().subscriptions
        return attribute_table("Streams", status, columns + more, times=("last_closed",))

    @property
    def url(self) -> str | None:
        """Address of the health page, None while it is not served."""
        return self.engine.control.url

    @property
    def token_file(self) -> Path | None:
        """File with the token of ``POST /api/v1/kill``, readable only by its owner."""
        return self.engine.control.token_file

    @property
    def stop_file(self) -> Path:
        """File whose existence throws the kill switch."""
        return self.engine.kill_switch.stop_file

    @property
    def positions(self) -> pd.DataFrame:
        """Every position, closed ones included, one row each.

        ``dust`` is what is left of one and is too little for the venue to take an order that sells
        it; it is sold with a later position.
        """
        return position_table(self.engine)

    def market_time(self) -> MarketTime:
        """Return the market time: ms since the epoch, shown as a date and time in UTC."""
        return MarketTime(self.engine.market_clock.now())

    def health(self) -> EngineHealth:
        """Return whether the bot does its work, and the reasons if it does not."""
        return self.engine.health()

    def status(self) -> dict[str, Any]:
        """Return the state of services, strategies, orders and limits."""
        return self.engine.status()

    async def start(self) -> None:
        """Start the engine; on an error it is stopped again."""
        await self.engine.start()
        engine = self.engine
        await store_markets(engine.exchange, Path(engine.database), engine.fee)

    async def stop(self) -> None:
        """Stop the engine, within 20 s; positions stay, and each has its stop at the venue.

        Orders whose answer is on its way are settled first. What could not be done in time is in
        the log and in the summary, and a headless run then fails.
        """
        self._task_cells.close()
        await self.engine.stop()
        report_left_over(self.engine.left_over)
        report_never_worked(self.engine.never_worked)
        self.views.finish_dashboard()

    async def kill(self, reason: str, *, close_positions: bool = False) -> list[str]:
        """Stop entries at once, until `rearm`; return what was done, in sentences.

        The stop outlasts restarts. Exits and protective stops go on, and positions are kept. While
        a cell blocks, create a file ``STOP`` in the data directory instead, or send a POST to
        ``/api/v1/kill`` with the token of `token_file`.

        Args:
            reason: quoted wherever an entry is refused.
            close_positions: also sell every position at the market.
        """
        return await self.engine.kill(reason, close_positions=close_positions)

    async def rearm(self, reason: str = "no reason given") -> None:
        """Allow entries again after the kill switch, a loss limit or a missing stop halted them.

        Args:
            reason: why, in a sentence; it is stored with the halts.

        Raises:
            EngineError: the stop file is still there.
        """
        self.engine.kill_switch.rearm(reason)

    @property
    def arming(self) -> Arming | None:
        """What was checked before live trading was allowed; None on paper."""
        return self.engine.arming

    @property
    def reconciliation(self) -> Reconciliation:
        """What the start found: the journal compared with the venue, row by row."""
        found = self.engine.orders.reconciliation
        return found if found is not None else Reconciliation()

    def order_history(self, client_order_id: str) -> pd.DataFrame:
        """Return every event of an order, the oldest first."""
        events = self.engine.journal.order_history(client_order_id)
        columns = ("recorded", "market_time", "source", "kind", "status", "filled", "message")
        rows = [SimpleNamespace(**{**dict.fromkeys(columns), **event}) for event in events]
        title = f"Events of {client_order_id}"
        return attribute_table(title, rows, columns, times=("recorded", "market_time"))

    @property
    def books(self) -> pd.DataFrame:
        """What each strategy holds of each symbol, what it wants, and what protects it."""
        columns = (
            "strategy", "symbol", "held", "dust", "wants", "reason", "stop", "target", "protection",
            "orphaned", "doing",
        )  # fmt: skip
        rows = [SimpleNamespace(**row) for row in self.engine.orders.book_rows()]
        return attribute_table("Books", rows, columns, times=())

    @property
    def halts(self) -> pd.DataFrame:
        """Why entries are stopped until `rearm`, one row a reason; empty if they are allowed.

        Its card also says what holds entries back only while it lasts.
        """
        columns = ("reason", "source", "symbol", "began")
        remarks = [(f"caution: {words}", Tone.WARN) for words in self.engine.orders.cautions]
        return attribute_table("Halts", self.engine.halts.all, columns, ("began",), remarks)

    async def close_position(self, symbol: str) -> str:
        """Sell the position in a symbol at the market; the strategy goes on and may enter again."""
        order = await self.engine.close_position(symbol)
        if order is None:
            return f"nothing of {symbol} is held that could be sold"
        return f"{order.side} {order.filled} of {order.amount} {order.symbol}: {order.status}"

    async def order_book(
        self, symbol: str, levels: int = 20, *, timeout: float = 10.0
    ) -> OrderBook:
        """Return the present order book: the best bids and asks, the best first.

        The first call starts to follow the book, for as long as the bot runs. A book that is out
        of step with the venue is never returned: the call waits until it is in step again.

        Args:
            levels: of each side, 1 to 500.
            timeout: longest wait in seconds.

        Raises:
            ExchangeUnavailable: it was not in step in time; the message says why.
            EngineError: the bot does not run.
        """
        return await self.engine.books.get(symbol, levels, timeout)

    async def chart(
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
        """Return a chart that follows the market, with this bot's orders on it.

        Candles that are not streamed yet are from then on, with their history.

        The last expression of a cell is shown. In a headless run the chart is a picture that is
        kept up to date.

        Args:
            overlays: indicators over the candles, such as ``"ema(20)"``.
            panes: indicators below, one pane each; those of a list share one.
            height: of the whole chart, in pixels.
            window: candles shown at first; older ones are loaded when a reader scrolls back.

        Raises:
            InvalidInput: the venue does not trade the symbol now, or there is no such indicator.
        """
        if self.engine.started:
            self._note_new(await self.engine.watch(symbol, [timeframe]))
        return await self.views.charts.open(
            symbol,
            timeframe,
            overlays=overlays,
            panes=panes,
            height=height,
            window=window,
            title=title,
        )

    candles = of_async_lab(AsyncLab.candles)
    frames = of_async_lab(AsyncLab.frames)
    stored_candles = of_async_lab(AsyncLab.stored_candles)
    data_report = of_async_lab(AsyncLab.data_report)
    export = of_async_lab(AsyncLab.export)
    download = of_async_lab(AsyncLab.download)
    import_files = of_async_lab(AsyncLab.import_files)

    def market(self, symbol: str) -> ListedMarket:
        """Return lots, tick, least order and fee of a symbol, as the venue lists them."""
        return self.lab.market(symbol)

    async def orders(self) -> pd.DataFrame:
        """Return every order of the journal, one row each, oldest first.

        ``created`` is wall time; ``market_time`` is the market's, as in `fills`. ``unknown_for``
        are the seconds for which the outcome of an order has not been known. Its card says above
        the orders what the books want and how they are protected, and what holds entries back.
        """
        times = ("created", "market_time")
        columns = (*times, "symbol", "side", "type", "amount", "status", "filled", "average")
        more = ("strategy", "client_order_id", "venue_order_id", "message", "role", "unknown_for")
        orders = await self._journal(OrderJournal.orders)
        rows = [order_row(order, self.engine) for order in orders]
        return attribute_table("Orders", rows, columns + more, times, order_remarks(self.engine))

    async def fills(self) -> pd.DataFrame:
        """Return every fill of the journal, one row each, oldest first."""
        columns = ("timestamp", "symbol", "side", "price", "amount", "cost", "fee", "fee_asset")
        more = ("maker", "trade_id", "client_order_id")
        return attribute_table(
            "Fills", await self._journal(OrderJournal.fills), columns + more, ("timestamp",)
        )

    async def journaled_fills(self, strategy: str | None = None) -> list[Fill]:
        """Return the fills of the journal with their exact amounts, oldest first.

        Args:
            strategy: whose fills, by the name it trades under; None is all.
        """
        if strategy is None:
            return await self._journal(OrderJournal.fills)
        return await self._journal(lambda journal: journal.fills_of_strategy(strategy))

    async def equity(self) -> Decimal:
        """Fetch the balances from the venue and return the equity in quote units."""
        return await self.engine.account.value()

    async def summary(self) -> RunSummary:
        """Return the figures of the run so far; after `stop`, the final ones."""
        return await self.views.summaries.get()

    async def dashboard(self, *, height: int = 560) -> Dashboard:
        """Return the dashboard: account, tasks, positions, orders, feeds, log and kill switch.

        Every call returns the same widget. It is updated while cells block; its buttons wait for
        the cell, and say so. Without a front end it is a picture that is kept up to date.

        Args:
            height: pixels in the page.

        Raises:
            EngineError: the bot has never run, so there is nothing to show.
        """
        return self.views.dashboard(height=height)

    async def fire_drill(
        self,
        *,
        faults: Sequence[str] | None = None,
        progress: Callable[[int, int, str], None] = lambda done, total, fault: None,
    ) -> DrillReport:
        """Inject faults into a separate bot, and grade how it recovers from them.

        Dropped connections, lost answers and fills, doubled frames, a restart of the exchange, a
        kernel that is killed with a position and a sleeping computer are injected into a separate
        bot, in a separate Jupyter kernel and on a separate paper exchange: this bot and its account
        are not affected. The drill takes about a minute.

        Args:
            faults: names of faults, such as ``["kernel killed"]``; None injects all.
            progress: called with the number of faults done, their total, and the next one.

        Raises:
            InvalidInput: a fault is unknown.
        """
        from botlib.drill import fire_drill

        return await fire_drill(symbol=self.settings.symbols[0], faults=faults, progress=progress)

    async def wait(self, run_for: float | str | None = None) -> None:
        """Wait for a span of market time such as ``"12h"``, or until the bot is stopped.

        Raises:
            Exception: the error of a CRITICAL task that failed, so that a headless run fails.
        """
        await self.engine.wait(None if run_for is None else parse_duration(run_for))

    async def _journal(self, read: Callable[[OrderJournal], list[Any]]) -> list[Any]:
        def work() -> list[Any]:
            with self._market.reader() as database:
                return read(OrderJournal(database))

        return await asyncio.to_thread(work)

    def __repr__(self) -> str:
        return bot_line(self.engine)

    def _repr_html_(self) -> str:
        return bot_card(self.engine)


def _tell(text: str) -> None:
    """Write a text below the newest cell, or to the error output of a program."""
    sys.stderr.write(f"{text}\n")
