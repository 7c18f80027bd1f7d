"""`Orchestrator`: starts the parts of an engine in order, and stops them in reverse."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botlib.config.secrets import keys_at_hand
from botlib.control import ControlServer
from botlib.core.asynctools import first_of
from botlib.core.errors import (
    EngineError,
    UnknownSymbol,
)
from botlib.core.lag import LagMeter
from botlib.core.retry import retry
from botlib.core.symbol import split_symbol
from botlib.core.text.masking import masked
from botlib.engine.build import build, build_base, make_exchange, open_store
from botlib.engine.default_tasks import TRADING, register_default_tasks, register_support_tasks
from botlib.engine.environment import EngineEnvironment
from botlib.engine.health import EngineHealth, engine_health
from botlib.engine.parts import PartsAccess, RunStart
from botlib.engine.safety.arming import Arming, arm, armed_by, check_live
from botlib.engine.services import Services
from botlib.engine.status import engine_status
from botlib.engine.strategies.active import ActiveStrategy
from botlib.engine.strategies.roster import StrategyRoster
from botlib.engine.watchlist import keep_held, register_needs, unwatch, watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
    from decimal import Decimal

    from botlib.config import Settings
    from botlib.core.model import Order
    from botlib.runtime import Stall
    from botlib.strategy import Strategy
    from botlib.venues.base import Exchange

    StopHook = Callable[[EngineHealth], Awaitable[None]]

logger = logging.getLogger(__name__)
_package_logger = logging.getLogger("botlib")

READY_TIMEOUT: Final = 60.0
"""Seconds the start waits for the history of every subscription."""

STOP_DEADLINE: Final = 10.0
"""Seconds the tasks have to end, if the last orders leave them as many."""

STOP_WITHIN: Final = 17.0
"""Seconds in which orders are settled and tasks are ended; the connections close after that."""

SETTLE_TIMEOUT: Final = 14.0
"""Seconds the stop waits until the last orders are settled and every position is protected.

It is longer than a request may take, so that an entry whose answer never comes can be asked about.
"""

_ENDLESS: Final = 1e9
"""Seconds of market time, longer than any recording."""


class Orchestrator(PartsAccess):
    """An engine: services, default tasks and strategies on the loop that starts it.

    Args:
        settings: symbols, timeframes, strategies, limits and intervals.
        live: the second of the two acts that arm live trading; the first is ``mode: live``.
        file: the configuration that says so.
        lag: the lag meter of this loop, if one runs already.
        stalls: returns the functions that blocked the loop, the latest last.
        environment: what the engine uses of the world around it.
        tell: shows a text to a person at once, such as the first failure of a strategy.

    Raises:
        ConfigError: the settings ask for live trading, and ``live`` is not set.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        live: bool = False,
        file: Path | None = None,
        lag: LagMeter | None = None,
        stalls: Callable[[], Sequence[Stall]] = tuple,
        environment: EngineEnvironment | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        check_live(settings, live)
        self._file = file
        self._owns_meter = lag is None
        self._base = build_base(
            settings,
            environment or EngineEnvironment(),
            lag=lag or LagMeter(),
            stalls=stalls,
            tell=tell,
        )
        self._exchange: Exchange | None = None
        self._roster: StrategyRoster | None = None
        self._run_start: RunStart | None = None
        self._stop_hooks: list[StopHook] = []
        self._stopped = asyncio.Event()
        self.started = False
        self.arming: Arming | None = None
        """What was checked before live trading was allowed; None on paper."""
        self.left_over: tuple[str, ...] = ()
        """What the last stop could not do in time, in sentences."""
        self.never_worked: tuple[str, ...] = ()
        """The strategies that failed, were refused or got no candles until the last stop, and never
        did what they are there for; in sentences."""
        self.control = ControlServer(
            health=lambda: self.health().to_dict(),
            tasks=lambda: self.tasks.status().as_dict(),
            kill=self._kill_over_http,
            token_file=lambda: Path(self.database).with_suffix(".token"),
            port=settings.health.port,
            only_port=settings.mode == "live",
        )
        self.services = self._services()

    def _services(self) -> Services:
        services = Services()
        add, first = services.add, []
        if self.paper is not None:
            add("paper_exchange", self.paper.start, self.paper.stop)
            first.append("paper_exchange")
        exchange = (self._connect, self._disconnect)
        if self.settings.mode == "watch":
            # A venue that cannot be reached leaves no empty database behind.
            add("exchange", *exchange)
            first.append("exchange")
        add("store", self._open_store, self._close_store, depends_on=tuple(first))
        add("kill_switch", self._open_kill_switch, self._close_kill_switch, depends_on=("store",))
        if self.settings.mode != "watch":
            add("exchange", *exchange, depends_on=("kill_switch",))
        add("trading", self._prepare, None, depends_on=("exchange", "kill_switch"))
        add("tasks", self._start_tasks, self._stop_tasks, depends_on=("trading",))
        add("control", self.control.start, self.control.stop, depends_on=("tasks",))
        return services

    @property
    def run_start(self) -> RunStart | None:
        """The start of the present run, or of the last one; None before the first."""
        return self._run_start

    @property
    def fee(self) -> Decimal:
        """Fraction of the value of a fill that is paid: that of the account, if the venue says."""
        if self.settings.mode == "paper":
            return self.settings.paper.fee
        if self.arming is not None and self.arming.fee is not None:
            return self.arming.fee
        return self.exchange.capabilities.standard_fee

    @property
    def roster(self) -> StrategyRoster:
        """The strategies, as people start and stop them."""
        if self._roster is None:
            raise EngineError("The engine is not connected yet. Start it first.")
        return self._roster

    def before_stop(self, hook: StopHook) -> None:
        """Call ``hook`` at each stop, while the exchange and the database are still open.

        Args:
            hook: an async function; its argument is the health before the tasks were stopped.
        """
        self._stop_hooks.append(hook)

    async def start(self) -> None:
        """Start every service and wait for the history of all subscriptions.

        Raises:
            BotlibError: a service did not start; those that had started were stopped again.
        """
        self.lag.start()
        wall_time = self.system_clock.now()
        keys_at_hand()
        _package_logger.addHandler(self.log)
        self.lag.worst = 0.0  # measured for each run
        try:
            await self.services.start()
            await self._wait_for_history()
            self.signals.warm()
            await self.signals.recall_followed()
            self.account.begin()
            self._run_start = RunStart(
                time=wall_time,
                market_time=self.market_clock.now(),
                equity=await retry(self.account.value, rng=self.environment.rng),
            )
        except BaseException:
            await self.services.stop()
            self._release()
            raise
        self.started = True

    async def stop(self) -> None:
        """Settle orders, protect positions, stop the tasks, call the hooks, stop the services.

        What could not be done in time is in the log and in `left_over`.
        """
        if self.started:
            loop = asyncio.get_running_loop()
            until = loop.time() + STOP_WITHIN
            health = self.health()
            self.never_worked = tuple(
                str(one) for one in health.strategies if one.troubled and not one.worked
            )
            await self._wind_down()
            await self.tasks.stop_all(min(STOP_DEADLINE, until - loop.time()))
            for hook in self._stop_hooks:
                try:
                    await hook(health)
                except Exception:
                    logger.exception("a stop hook failed")
            self.books.close()
            self.started = False
            if self.arming is not None:
                self.arming = replace(self.arming, until=self.system_clock.now())
        await self.services.stop()
        self._release()
        self._stopped.set()

    async def _wind_down(self) -> None:
        """Refuse entries, let orders settle and have every position protected."""
        left = await self.orders.wind_down(SETTLE_TIMEOUT)
        for words in left:
            logger.error("left over at the stop: %s", words)
        self.left_over = tuple(map(masked, left))

    def _release(self) -> None:
        _package_logger.removeHandler(self.log)
        if self._owns_meter:
            self.lag.stop()

    async def trade(
        self,
        strategy: Strategy,
        symbol: str,
        *,
        name: str,
        order_cost: Decimal | None = None,
        overrule: tuple[str, ...] = (),
    ) -> ActiveStrategy:
        """Start a strategy on a symbol; one of the same name is replaced.

        Args:
            order_cost: quote units per entry; by default half of ``risk.max_order_cost``.
            overrule: kinds of findings of `botlib.backtesting.check` with which it may trade live.

        Raises:
            InvalidInput: the bot only watches, the venue does not trade the symbol now, it is
                quoted in another asset, the cost is no number above 0, or every entry would be
                refused by a cap or a rule of the market.
            ConfigError: the strategy failed on the newest candle; or, in live trading, the check on
                its stored candles found what is not overruled.
        """
        return await self.roster.trade(
            strategy, symbol, name=name, order_cost=order_cost, overrule=overrule
        )

    async def _stream_for(self, active: ActiveStrategy) -> None:
        timeframes = active.strategy.timeframes
        rows = {timeframe: active.history(timeframe) for timeframe in timeframes}
        await self.watch(active.symbol, timeframes, rows=rows)
        if active.trades:
            self._count(active.symbol)

    async def watch(
        self, symbol: str, timeframes: Sequence[str], *, rows: Mapping[str, int] | None = None
    ) -> list[tuple[str, str]]:
        """Stream candles of a symbol; return the pairs that were not streamed before.

        Args:
            rows: least number of candles of history by timeframe, if that is more than the
                settings say.

        Raises:
            As `botlib.engine.watchlist.watch`.
        """
        history = {
            name: max(self.settings.history, (rows or {}).get(name, 0)) for name in timeframes
        }
        return await watch(
            self.parts, self.watchlist, symbol, history, ready=self._wait_for_history
        )

    async def unwatch(self, symbol: str, timeframe: str | None = None) -> list[tuple[str, str]]:
        """End the stream of a symbol, or of one timeframe of it; return what was ended.

        Raises:
            InvalidInput: it is not streamed, or a strategy, a chart or a position needs it.
        """
        return await unwatch(self.parts, self.watchlist, symbol, timeframe)

    def _count(self, symbol: str) -> None:
        """Have the account count a symbol; what it holds of it already is no profit of this run."""
        added = self.account.include(symbol)
        if self._run_start is not None:
            self._run_start = replace(self._run_start, equity=self._run_start.equity + added)

    async def close_position(self, symbol: str) -> Order | None:
        """Sell the position in a symbol at the market, after cancelling its stop.

        The strategy goes on and may enter again.

        Returns:
            The order, or None if nothing is held that can be sold.
        """
        return await self.parts.manual_orders.sell(symbol)

    async def kill(
        self, reason: str, *, by: str = "method", close_positions: bool = False
    ) -> list[str]:
        """Stop entries until a person re-arms; return what was done, in sentences.

        Args:
            by: the way in which the switch was used, such as ``"http"``.
            close_positions: also sell every position at the market.

        Raises:
            EngineError: the engine does not run.
        """
        kill = self.kill_switch.throw(reason, by=by)
        self.kill_switch.settle()
        sold = await self.parts.manual_orders.sell_everything() if close_positions else []
        return [f"Entries are stopped: {kill}.", *sold]

    async def _kill_over_http(self, reason: str, close_positions: bool) -> dict[str, Any]:
        done = await self.kill(reason, by="http", close_positions=close_positions)
        return {"killed": True, "done": done}

    async def wait(self, seconds: float | None = None) -> None:
        """Wait until ``seconds`` of market time have passed or a recording has ended.

        With None, wait until the engine is stopped. A stop ends any wait.

        Raises:
            Exception: the error with which a CRITICAL task failed for good.
        """
        if seconds is None and self._base.in_lockstep:
            seconds = _ENDLESS
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
        lockstep = self.parts.lockstep
        if lockstep is not None:
            await lockstep.run_until(until)
        else:
            await self.market_clock.sleep_until(until)

    def health(self) -> EngineHealth:
        """Return whether the engine does its work, and the reasons if it does not."""
        return engine_health(self._base, self.parts if self.started else None)

    def status(self) -> dict[str, Any]:
        """Return the state of services, strategies, orders and limits as plain values."""
        return engine_status(self.services, self._base, self.parts)

    # Services, in the order of their start

    async def _open_store(self) -> None:
        self._store = open_store(self._base)
        logger.info("candles and orders are kept in %s", self.database)

    async def _close_store(self) -> None:
        if self._store is not None:
            self._store.database.close()

    async def _open_kill_switch(self) -> None:
        self.kill_switch.open(self.journal)

    async def _close_kill_switch(self) -> None:
        self.kill_switch.close_positions = None
        self.kill_switch.close()

    async def _connect(self) -> None:
        self._exchange = make_exchange(self._base)
        await self._exchange.connect()

    async def _disconnect(self) -> None:
        if self._exchange is not None:
            await self._exchange.close()

    async def _prepare(self) -> None:
        settings, exchange = self.settings, self._exchange
        assert exchange is not None
        symbols = [one for one in settings.symbols if self._listed(exchange, one)]
        self._trading = parts = build(self._base, self.stored, exchange)
        if settings.mode != "watch":
            # Positions are known and protected before a strategy is there.
            await parts.orders.start(settings.symbols)
            keep_held(parts, self.watchlist, self.positions, settings)
        for symbol, timeframe in self.subscriptions():
            parts.signals.keep(symbol, timeframe, settings.history)
        self._roster = StrategyRoster(self._base, self.stored, parts, stream=self._stream_for)
        strategies = self._roster.configured(symbols)
        if settings.mode == "live":
            self.arming = await arm(
                exchange,
                strategies,
                by=armed_by(self._file),
                now=self.system_clock.now(),
                limits=self.risk.limits,
                database=Path(self.database),
                assets=[asset for symbol in settings.symbols for asset in split_symbol(symbol)],
                rng=self.environment.rng,
            )
        for active in strategies:
            parts.signals.add(active)
        parts.signals.listen()
        for symbol, timeframe in self.subscriptions():
            if symbol in symbols or symbol not in settings.symbols:
                wanted = [
                    active.history(timeframe)
                    for active in strategies
                    if timeframe in active.strategy.timeframes
                ]
                await parts.stream.subscribe_candles(
                    symbol, timeframe, history=max([settings.history, *wanted])
                )
        register_needs(self.watchlist, parts, self.positions)
        if settings.mode != "watch":
            self.kill_switch.close_positions = parts.orders.leave_everything

    def _listed(self, exchange: Exchange, symbol: str) -> bool:
        """Return whether the venue lists a symbol.

        Raises:
            UnknownSymbol: it does not, and the symbol was never traded here: a mistake.
        """
        try:
            exchange.market(symbol)
        except UnknownSymbol:
            if not self.journal.fills(symbol):
                raise
            logger.exception("%s was delisted, and is not traded any more", symbol)
            return False
        return True

    async def _start_tasks(self) -> None:
        register_default_tasks(self.tasks, self.parts, self.settings)
        if self.settings.mode != "watch":
            register_support_tasks(self.tasks, self.parts)
        logger.info("Registered %d tasks", len(self.tasks.status().tasks))
        # An engine with no default task raises here, instead of running and doing nothing.
        await self.tasks.start_all(TRADING)
        await self.tasks.start_all()

    async def _stop_tasks(self) -> None:
        await self.tasks.stop_all(STOP_DEADLINE)

    async def _wait_for_history(self, keys: Sequence[tuple[str, str]] | None = None) -> None:
        try:
            async with asyncio.timeout(READY_TIMEOUT):
                await self._or_failure(self.stream.ready(keys))
        except TimeoutError:
            waiting = [
                f"{stream.symbol} {stream.timeframe}"
                for stream in self.stream.status().subscriptions
                if not stream.ready and (keys is None or (stream.symbol, stream.timeframe) in keys)
            ]
            raise EngineError(
                f"No history of {', '.join(waiting)} after {READY_TIMEOUT:.0f} s. "
                "Look at the log for what the venue answered, and start again."
            ) from None

    async def _or_failure(self, work: Coroutine[Any, Any, None]) -> None:
        """Wait for ``work``, or raise the error of a CRITICAL task that failed meanwhile."""
        await first_of(work, self.failure())
