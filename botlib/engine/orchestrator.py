"""The Orchestrator: starts the parts of the kit in order, and is what they know each other by."""

from __future__ import annotations

import asyncio
import logging
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botlib.config import Settings
from botlib.config.secrets import ApiKeys, keys_at_hand
from botlib.control.server import ControlServer
from botlib.core.asynctools import first_of
from botlib.core.bus import EventBus
from botlib.core.clock import Clock, MarketClock, SystemClock
from botlib.core.errors import BotlibError, ConfigError, EngineError, InvalidInput
from botlib.core.lag import LagMeter
from botlib.core.model import Order, TaskFailed
from botlib.core.retry import retry
from botlib.engine.account import AccountMonitor
from botlib.engine.build import wire
from botlib.engine.default_tasks import TRADING, register_default_tasks, register_plumbing
from botlib.engine.environment import EngineEnvironment
from botlib.engine.health import EngineHealth, engine_health, late_loop
from botlib.engine.kill_switch import STOP_FILE, KillSwitch
from botlib.engine.lockstep import Lockstep, acted_on
from botlib.engine.log_tail import LogTail
from botlib.engine.manual_orders import sell, sell_everything
from botlib.engine.order_books import OrderBooks
from botlib.engine.services import Services
from botlib.engine.signals import ActiveStrategy, SignalGenerator, load_strategy
from botlib.engine.status import engine_status
from botlib.execution import OrderExecutor, Protector
from botlib.frames import MultiTimeframeEngine
from botlib.market_data import CandleStream
from botlib.market_data.history import History
from botlib.paper.accounts.signatures import PAPER_API_KEY, PAPER_API_SECRET
from botlib.store import CandleStorage, Database, OrderJournal, database_path
from botlib.tasks import BackgroundTaskManager, beat
from botlib.trading.positions import PositionManager
from botlib.trading.risk import RiskLimits, RiskValidator
from botlib.venues.base import Exchange
from botlib.venues.registry import DEFAULT_VENUE, build_exchange
from botlib.venues.symbols import unified_symbol
from botlib.views.live_chart import LiveCharts
from botlib.views.summary import RunSummary, summarise

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from botlib.runtime import Stall
    from botlib.strategy import Strategy

logger = logging.getLogger(__name__)
_kit_logger = logging.getLogger("botlib")

READY_TIMEOUT: Final = 60.0
"""Seconds the start waits for the history of every subscription."""

STOP_DEADLINE: Final = 10.0
SETTLE_TIMEOUT: Final = 5.0
"""Seconds the stop gives the venue to tell what became of the last orders."""
_FOR_EVER: Final = 1e9
"""Seconds of market time that no recording lasts."""


class Orchestrator:
    """Runs everything on the loop it is started on.

    Args:
        settings: what to run.
        live: the second of the two acts that arm live trading; the first is ``mode: live``.
        lag: the meter of this loop, where one runs already.
        stalls: tells which functions kept the loop, the last one last, where that is known.
        environment: what it is given of the world around it; a simulation gives its own.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        live: bool = False,
        lag: LagMeter | None = None,
        stalls: Callable[[], Sequence[Stall]] = tuple,
        environment: EngineEnvironment | None = None,
    ) -> None:
        if settings.mode == "live" and not live:
            raise ConfigError(
                "The configuration says 'mode: live', but live trading was not armed in code. "
                "Pass live=True as well, or set 'mode: paper'."
            )
        self.settings = settings
        self.environment = around = environment or EngineEnvironment()
        self.lag = lag or LagMeter()
        self._own_meter = lag is None
        self.stalls = stalls
        self.bus = EventBus()
        self.market_clock = MarketClock()
        self.system_clock = SystemClock()
        self.positions = PositionManager()
        self.risk = RiskValidator(RiskLimits(**settings.risk.model_dump()))
        self.risk.caution = lambda: late_loop(self)
        self.frames = MultiTimeframeEngine()
        self.tasks = BackgroundTaskManager(
            clock=self.clock,
            lag=self.lag,
            on_failure=self._task_failed,
            unhealthy_lag=settings.health.max_lag,
            health_check_interval=around.health_check_interval,
            max_threads=around.threads,
            rng=around.rng,
        )
        self.services = Services()
        self.charts = LiveCharts(self)
        self.books = OrderBooks(self)
        self.paper = around.paper(settings) if settings.mode == "paper" else None
        self.lockstep: Lockstep | None = None
        self.kill_switch = KillSwitch(
            risk=self.risk,
            bus=self.bus,
            clock=self.system_clock,
            stop_file=settings.data_directory / STOP_FILE,
            look=around.look,
        )
        self.log = LogTail()
        """The last lines of the log."""
        self.control = ControlServer(
            health=lambda: self.health().to_dict(),
            tasks=lambda: self.tasks.status().as_dict(),
            kill=self._kill_over_http,
            token_file=lambda: Path(self.database).with_suffix(".token"),
            port=settings.health.port,
            mask=self.log.masked,
        )
        self.started = False
        self.started_at = 0
        """Wall time of the start, ms."""
        self._stopped = asyncio.Event()
        self._database: Database | None = None
        self.counts_before: dict[tuple[str, str], int] = {}
        self.equity_start = Decimal(0)
        self.market_start = 0
        self._summary: RunSummary | None = None
        self._add_services()

    # What is there once the engine has started

    storage: CandleStorage
    journal: OrderJournal
    exchange: Exchange
    history: History
    stream: CandleStream
    orders: OrderExecutor
    protector: Protector
    signals: SignalGenerator
    account: AccountMonitor

    @property
    def clock(self) -> Clock:
        """Calendar time of tasks: the market's in a replay, the computer's live."""
        return self.market_clock if self.settings.mode == "paper" else self.system_clock

    @property
    def database(self) -> str:
        """The path of the database."""
        return str(self._database.path) if self._database else ""

    @property
    def venue(self) -> str:
        """The market this engine runs on."""
        return self.paper.venue if self.paper else DEFAULT_VENUE

    def _add_services(self) -> None:
        add, before = self.services.add, []
        if self.paper is not None:
            add("paper_exchange", self.paper.start, self.paper.stop)
            before.append("paper_exchange")
        add("store", self._open_store, self._close_store, depends_on=tuple(before))
        add("kill_switch", self._watch_kill_switch, self._leave_kill_switch, depends_on=("store",))
        add("exchange", self._connect, self._disconnect, depends_on=("kill_switch",))
        add("trading", self._prepare, None, depends_on=("exchange",))
        add("tasks", self._start_tasks, self._stop_tasks, depends_on=("trading",))
        add("control", self.control.start, self.control.stop, depends_on=("tasks",))

    async def start(self) -> None:
        """Start every service and wait until the history of all subscriptions is there.

        Raises:
            BotlibError: a service did not start; what had started was stopped again.
        """
        self.lag.start()
        self.started_at = self.system_clock.now()
        self.log.hide(keys_at_hand())
        _kit_logger.addHandler(self.log)
        self.lag.worst = 0.0  # the figures are those of this run
        try:
            await self.services.start()
            await self._settle()
        except BaseException:
            await self.services.stop()
            self._let_go()
            raise
        self.started = True

    async def stop(self) -> None:
        """Stop the tasks, settle what was under way, take the final figures and stop the rest."""
        if self.started:
            health = self.health()
            await self.tasks.stop_all(STOP_DEADLINE)
            try:
                async with asyncio.timeout(SETTLE_TIMEOUT):
                    # An order may have been on its way when its task was stopped.
                    await self.orders.sync(self.settings.symbols)
            except (BotlibError, TimeoutError) as error:
                logger.warning("orders could not be settled at the stop: %s", error)
            try:
                self._summary = await summarise(self, health)
            except Exception:
                logger.exception("the final figures could not be taken")
            self.charts.finish()
            self.started = False
        await self.services.stop()
        self._let_go()
        self._stopped.set()

    def _let_go(self) -> None:
        _kit_logger.removeHandler(self.log)
        if self._own_meter:
            self.lag.stop()

    async def trade(
        self, strategy: Strategy, symbol: str, *, name: str, order_cost: Decimal | None = None
    ) -> ActiveStrategy:
        """Put a strategy to work; the same name again replaces it, never doubles it.

        Args:
            order_cost: quote units per entry; by default half of ``risk.max_order_cost``.
        """
        active = ActiveStrategy(
            name=name,
            strategy=strategy,
            symbol=unified_symbol(symbol),
            order_cost=order_cost or self.risk.limits.max_order_cost / 2,
        )
        self.exchange.market(active.symbol)
        for timeframe in strategy.timeframes:
            if (active.symbol, timeframe) not in self.subscriptions():
                raise InvalidInput(
                    f"{active.symbol} {timeframe} is not streamed. Add the symbol to 'symbols' and "
                    f"the timeframe to 'timeframes' of the configuration; streamed are "
                    f"{', '.join(self.settings.symbols)} at {', '.join(self.settings.timeframes)}."
                )
        known = self.signals.strategies.get(name)
        if known is not None and known.same_as(active):
            return known
        await self.stream.subscribe_candles(
            active.symbol, strategy.timeframes, history=max(self.settings.history, active.rows)
        )
        await self._or_failure(self.stream.ready())
        self.signals.add(active)
        return active

    async def close_position(self, symbol: str) -> Order | None:
        """Sell what is held of a symbol at the market; its stop is taken out of the way first.

        The strategy goes on and may enter again. None where nothing is held that can be sold.
        """
        return await sell(self, symbol)

    async def kill(
        self, reason: str, *, by: str = "method", close_positions: bool = False
    ) -> list[str]:
        """Stop entries until a person re-arms; return what was done, in sentences.

        Args:
            by: which way the switch was thrown.
            close_positions: also sell everything held at the market.

        Raises:
            EngineError: the engine does not run.
        """
        kill = self.kill_switch.throw(reason, by=by)
        self.kill_switch.settle()
        sold = await sell_everything(self) if close_positions else []
        return [f"Entries are stopped: {kill}.", *sold]

    async def _kill_over_http(self, reason: str, close_positions: bool) -> dict[str, Any]:
        told = await self.kill(reason, by="http", close_positions=close_positions)
        return {"killed": True, "done": told}

    def subscriptions(self) -> list[tuple[str, str]]:
        """Return the (symbol, timeframe) pairs that are streamed."""
        return [(s, t) for s in self.settings.symbols for t in self.settings.timeframes]

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until ``seconds`` of market time have passed or a recording has ended.

        With None, wait until the engine is stopped. A stop ends any wait.

        Raises:
            Exception: what a CRITICAL task failed with for good.
        """
        if seconds is None and self.lockstep is not None:
            seconds = _FOR_EVER
        if seconds is None:
            await first_of(self._stopped.wait(), self.failure())
        else:
            until = self.market_clock.now() + round(seconds * 1_000)
            await first_of(self._reach(until), self._stopped.wait(), self.failure())

    async def failure(self) -> None:
        """Wait until a CRITICAL task has failed for good, and raise its error."""
        await self.tasks.wait()
        # Every task has ended without a failure: a stop is under way.
        await self._stopped.wait()

    async def _reach(self, until: int) -> None:
        if self.lockstep is not None:
            await self.lockstep.run_until(until)
        else:
            await self.market_clock.sleep_until(until)

    def health(self) -> EngineHealth:
        """Return whether the engine does its work, and why not where it does not."""
        return engine_health(self)

    async def summary(self) -> RunSummary:
        """Return the figures of the run; after the stop, those it ended with."""
        if not self.started and self._summary is not None:
            return self._summary
        return await summarise(self, self.health())

    def status(self) -> dict[str, Any]:
        """Return the state of services, strategies, orders and limits as plain values."""
        return engine_status(self)

    # Services, in the order they start

    async def _open_store(self) -> None:
        path = database_path(self.settings.data_directory, self.venue)
        self._database = Database.open(path, self.venue)
        self.storage = CandleStorage(self._database)
        self.journal = OrderJournal(self._database)
        self.counts_before = self.storage.counts()
        logger.info("candles and orders are kept in %s", path)

    async def _close_store(self) -> None:
        if self._database is not None:
            self._database.close()

    async def _watch_kill_switch(self) -> None:
        self.kill_switch.open(self.journal)

    async def _leave_kill_switch(self) -> None:
        self.kill_switch.close()

    async def _connect(self) -> None:
        if self.paper is not None:
            self.exchange = build_exchange(
                self.venue,
                rest_url=self.paper.url,
                keys=(PAPER_API_KEY, PAPER_API_SECRET),
                market_time=self.paper.market_time,
                connector=self.environment.connector,
                rng=self.environment.rng,
            )
        else:
            self.exchange = build_exchange(self.venue, keys=ApiKeys.from_environment())
        await self.exchange.connect()
        self.history = History(self.exchange, self.storage, self.environment.rng)

    async def _disconnect(self) -> None:
        await self.exchange.close()

    async def _prepare(self) -> None:
        settings = self.settings
        for symbol in settings.symbols:
            self.exchange.market(symbol)  # says so now if the venue does not list it
        wire(self)
        for symbol, timeframe in self.subscriptions():
            self.signals.keep(symbol, timeframe, settings.history)
        rows = settings.history
        for entry in settings.strategies:
            active = ActiveStrategy(
                name=entry.name,
                strategy=load_strategy(entry.strategy, entry.timeframe, entry.parameters),
                symbol=entry.symbol,
                order_cost=entry.order_cost,
            )
            self.signals.add(active)
            rows = max(rows, active.rows)
        self.signals.listen()
        for symbol in settings.symbols:
            await self.stream.subscribe_candles(symbol, settings.timeframes, history=rows)
        # What is asked at the start is asked again: one bad answer must not end it.
        await retry(lambda: self.orders.recover(settings.symbols), rng=self.environment.rng)
        await self.protector.attend_all(settings.symbols)
        if self.paper is not None and settings.paper.lockstep:
            self.lockstep = Lockstep(
                self.paper.control,
                self.exchange,
                self.subscriptions,
                partial(acted_on, self),
                beat,
            )

    async def _start_tasks(self) -> None:
        register_default_tasks(self)
        register_plumbing(self)
        logger.info("Registered %d tasks", len(self.tasks.status().tasks))
        # An engine that collects, trades and checks nothing must not look alive.
        await self.tasks.start_all(TRADING)
        await self.tasks.start_all()

    async def _stop_tasks(self) -> None:
        await self.tasks.stop_all(STOP_DEADLINE)

    async def _settle(self) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                await self._or_failure(self.stream.ready())
        except TimeoutError:
            waiting = [
                f"{stream.symbol} {stream.timeframe}"
                for stream in self.stream.status().subscriptions
                if not stream.ready
            ]
            raise EngineError(
                f"No history of {', '.join(waiting)} after {READY_TIMEOUT:.0f} s. "
                "Look at the log for what the venue answered, and start again."
            ) from None
        self.signals.warm()
        self.market_start = self.market_clock.now()
        self.equity_start = await retry(self.account.value, rng=self.environment.rng)

    async def _or_failure(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for something, or raise what a CRITICAL task failed with meanwhile."""
        await first_of(work, self.failure())

    def _task_failed(self, name: str, error: BaseException) -> None:
        self.bus.publish(TaskFailed(task=name, error=f"{type(error).__name__}: {error}"))
