"""`SignalGenerator`: evaluates strategies on closed candles and executes their signals."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from botlib.core.clock import iso, utc
from botlib.core.errors import BotlibError, ConfigError, InvalidInput, did_you_mean
from botlib.core.model import CandleClosed, Signal, SignalRaised
from botlib.core.timeframe import open_time, timeframe_ms
from botlib.engine.strategies.active import newest_signal, past_signals
from botlib.engine.strategies.failure import Failure
from botlib.engine.strategies.fitting import StrategyFitting, milliseconds
from botlib.engine.watching import NoOrders, SignalHistory
from botlib.trading.books import BookKey

if TYPE_CHECKING:
    from botlib.core.bus import BusSubscription, EventBus
    from botlib.engine.strategies.active import ActiveStrategy
    from botlib.engine.watching import SignalReceiver
    from botlib.frames import MultiTimeframeEngine
    from botlib.store import CandleStorage

logger = logging.getLogger(__name__)

EVALUATION_DEADLINE = 5.0
"""Seconds a strategy may compute before it is reported as late."""


class SignalGenerator:
    """The evaluation of every strategy on every closed candle, and the execution of its signals.

    Candles are processed in the order of the bus. A strategy of several timeframes is evaluated
    when all candles that close at the same moment have arrived. Candles that were fetched later
    are data only, and never cause a trade.

    A signal is handed to the order path, which does it; nothing here waits for the venue, save in
    lockstep. After each candle the order path learns how high a position has been, since a
    trailing stop follows that. Signals of a strategy that is only followed are recorded and go no
    further.

    Args:
        on_progress: called once per candle.
        in_lockstep: whether the market waits until each candle was processed.
        tell: shows a person the first failure of a strategy.
    """

    def __init__(
        self,
        *,
        bus: EventBus,
        storage: CandleStorage,
        frames: MultiTimeframeEngine,
        orders: SignalReceiver,
        on_progress: Callable[[], None],
        in_lockstep: bool = False,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._bus = bus
        self._storage = storage
        self._frames = frames
        self._orders = orders
        self._on_progress = on_progress
        self._in_lockstep = in_lockstep
        self._loaded: dict[tuple[str, str], int] = {}
        self._rows: dict[tuple[str, str], int] = {}
        self._newest: dict[tuple[str, str], int] = {}
        self._moved = asyncio.Event()
        self._subscription: BusSubscription[CandleClosed] | None = None
        self._nobody = NoOrders()
        self._tell = tell
        self._fitting = StrategyFitting(storage, tell)
        self.strategies: dict[str, ActiveStrategy] = {}
        self.history = SignalHistory()

    @property
    def signals(self) -> int:
        """Number of signals so far."""
        return sum(active.signals for active in self.strategies.values())

    def keep(self, symbol: str, timeframe: str, rows: int) -> None:
        """Keep a frame of at least ``rows`` candles of a symbol and timeframe."""
        key = (symbol, timeframe)
        self._rows[key] = max(rows, self._rows.get(key, 0))
        self._frames.require(symbol, timeframe, self._rows[key])

    def add(self, active: ActiveStrategy) -> None:
        """Start a strategy; one of the same name is replaced."""
        for timeframe in active.strategy.timeframes:
            self.keep(active.symbol, timeframe, active.rows(timeframe))
        earlier = self.strategies.get(active.name)
        if earlier is not None and earlier.symbol != active.symbol:
            self._receiver(earlier).unregister(earlier.name, earlier.symbol)
        self.strategies[active.name] = active
        self._receiver(active).register(active.name, active.symbol, active.rules)

    async def follow(self, active: ActiveStrategy) -> None:
        """Start a strategy of which no signal is ordered, and record its signals of the past.

        Raises:
            InvalidInput: one of that name trades.
            ConfigError: the strategy failed; it is not followed.
        """
        earlier = self.strategies.get(active.name)
        if earlier is not None and earlier.trades:
            raise InvalidInput(
                f"The strategy {active.name!r} trades. Follow one under another name, or stop it "
                f"first: bot.stop_strategy({active.name!r})."
            )
        self.add(active)
        try:
            await self.recall(active)
        except Exception as error:
            if self.strategies.get(active.name) is active:
                self.remove(active.name)
            raise self._not_started(active, error, active.evaluated or 0) from error

    async def recall(self, active: ActiveStrategy) -> None:
        """Record what a strategy says about the candles that are loaded.

        Raises:
            Exception: that of the strategy.
        """
        symbol, timeframes = active.symbol, active.strategy.timeframes
        for timeframe in timeframes:
            self._load(symbol, timeframe)
        newest = self._frames.last_open(symbol, timeframes[0])
        if newest is None:
            return
        if not self._frames.complete(symbol, timeframes, newest):
            newest -= timeframe_ms(timeframes[0])
        data = self._frames.frames(symbol, timeframes, newest)
        active.evaluated = newest
        self.history.forget(active.name)
        await self._fitting.first(active, newest)
        found = await asyncio.to_thread(past_signals, active, data)
        if active.strategy.training is not None:
            # On candles that it has learned from, its signals say nothing.
            known = milliseconds(active.strategy.training.last)
            found = [signal for signal in found if signal.timestamp > known]
        self.history.add(found, ordered=active.trades, live=False)
        if found and active.last_signal is None:
            active.last_signal = found[-1]

    async def recall_followed(self) -> None:
        """Record the signals of the past of every strategy that is only followed."""
        for active in [one for one in self.strategies.values() if not one.trades]:
            try:
                await self.recall(active)
            except Exception as error:
                self._failed(active, error, active.evaluated or 0)

    def remove(self, name: str) -> ActiveStrategy:
        """Stop a strategy and return it; what it holds stays protected.

        Raises:
            InvalidInput: there is no strategy of that name.
        """
        active = self.strategies.pop(name, None)
        if active is None:
            known = list(self.strategies)
            raise InvalidInput(
                f"There is no strategy {name!r} to stop. Running are: {', '.join(known) or 'none'}."
                f"{did_you_mean(str(name), known)}"
            )
        active.cancel()
        self._receiver(active).unregister(name, active.symbol)
        return active

    def _receiver(self, active: ActiveStrategy) -> SignalReceiver:
        """Return what acts on the signals of a strategy."""
        return self._orders if active.trades else self._nobody

    def forget(self, symbol: str, timeframe: str) -> None:
        """Drop the frame of a symbol and timeframe."""
        for known in (self._rows, self._loaded, self._newest):
            known.pop((symbol, timeframe), None)
        self._frames.forget(symbol, timeframe)

    def listen(self) -> None:
        """Subscribe to closed candles, so that none is missed before `run` reads them."""
        if self._subscription is None or self._subscription.closed:
            self._subscription = self._bus.subscribe(CandleClosed, name="signal_generation")

    async def run(self) -> None:
        """Process closed candles until cancelled: the body of the task ``signal_generation``."""
        self.listen()
        assert self._subscription is not None
        subscription = self._subscription
        try:
            async for event in subscription:
                await self._process(event)
                self._on_progress()
        finally:
            subscription.close()
            self._silence()

    async def processed(self, symbol: str, timeframe: str, timestamp: int) -> None:
        """Wait until the candle that opened at ``timestamp`` (ms), or a later one, is processed."""
        while self._newest.get((symbol, timeframe), -1) < timestamp:
            self._moved.clear()
            await self._moved.wait()

    async def _process(self, event: CandleClosed) -> None:
        candle = event.candle
        key = (candle.symbol, candle.timeframe)
        self._load(*key)
        self._frames.update(candle)
        due = []
        for active in list(self.strategies.values()):
            if active.symbol != candle.symbol or candle.timeframe not in active.strategy.timeframes:
                continue
            if candle.timeframe == active.strategy.timeframes[0] and not event.backfilled:
                if active.pending is not None:
                    active.skipped += 1
                    active.waited += 1
                active.pending = candle.timestamp
            due.append(active)
        for active in due:
            if self._in_lockstep:
                # The market waits, so that each may take as long as it likes.
                await self._evaluate(active)
            else:
                self._begin(active)
        self._newest[key] = candle.timestamp
        self._moved.set()

    def _begin(self, active: ActiveStrategy) -> None:
        """Evaluate a strategy beside the others; nothing waits for it but itself."""
        if active.working is not None and not active.working.done():
            active.again = True
            return
        active.working_since = asyncio.get_running_loop().time()
        active.working = asyncio.ensure_future(self._work(active))

    async def _work(self, active: ActiveStrategy) -> None:
        """Evaluate a strategy until it has seen the newest candle."""
        active.again = True
        while active.again:
            active.again = False
            active.working_since = asyncio.get_running_loop().time()
            try:
                await self._evaluate(active)
            except Exception as error:
                self._failed(active, error, active.pending or active.evaluated or 0)

    def _silence(self) -> None:
        """Discard what the strategies still compute: it leads to no order any more."""
        for active in self.strategies.values():
            active.cancel()

    def late(self) -> dict[str, float]:
        """Return the strategies that compute past their deadline, with the seconds so far.

        May be called from any thread.
        """
        return {
            active.name: seconds
            for active in list(self.strategies.values())
            if active.working is not None
            and not active.working.done()
            and (seconds := active.working.get_loop().time() - active.working_since)
            > EVALUATION_DEADLINE
        }

    async def _evaluate(self, active: ActiveStrategy) -> None:
        timestamp, timeframes = active.pending, active.strategy.timeframes
        if timestamp is None:
            return
        for timeframe in timeframes:
            self._load(active.symbol, timeframe)
        if not self._frames.complete(active.symbol, timeframes, timestamp):
            return
        active.pending = None
        if active.evaluated is not None and timestamp <= active.evaluated:
            return
        active.evaluated = timestamp
        try:
            await self._fitting.first(active, timestamp)
            # Only the loop changes frames, and the strategy gets a copy.
            data = self._frames.frames(active.symbol, timeframes, timestamp)
            signal = await asyncio.to_thread(newest_signal, active, data)
        except Exception as error:
            # The other strategies are evaluated all the same.
            self._failed(active, error, timestamp)
            signal = None
        else:
            active.evaluations += 1
            active.failure, active.waited = None, 0
        if self.strategies.get(active.name) is not active:
            return  # it was stopped or replaced while it computed
        if signal is not None:
            self._raise(active, signal)
        self._trail(active)
        if self._fitting.due(active, timestamp):
            active.fitting = asyncio.ensure_future(self._fitting.again(active, timestamp))
            if self._in_lockstep:
                await active.fitting
        if self._in_lockstep:
            await self._orders.settled(active.symbol)

    def _raise(self, active: ActiveStrategy, signal: Signal) -> None:
        active.signals += 1
        active.last_signal = signal
        logger.info("%s: %s %s at %s", active.name, signal.action, signal.symbol, signal.price)
        self.history.add([signal], ordered=active.trades, live=True)
        self._bus.publish(SignalRaised(signal=signal))
        if active.order_cost is None:
            return
        try:
            self._orders.signal(signal, active.order_cost)
        except BotlibError as error:
            self._failed(active, error, signal.timestamp)

    def _failed(self, active: ActiveStrategy, error: Exception, timestamp: int) -> None:
        """Record that a strategy failed on a candle, and show the first failure of its kind."""
        active.errors += 1
        when = f"{active.symbol} {active.strategy.timeframes[0]} of {iso(timestamp)} UTC"
        if active.failure is not None:
            active.failure = active.failure.again(error, timestamp)
            words = "strategy %s failed on %d candles in a row, the newest %s: %s"
            logger.warning(words, active.name, active.failure.in_row, when, active.failure.error)
            return
        active.failure = failure = Failure.of(error, active.strategy, timestamp)
        logger.error("strategy %s failed on the candle %s", active.name, when, exc_info=error)
        if failure.error != active.told:
            active.told = failure.error
            words = failure.told(active.name, active.symbol, active.strategy.timeframes[0])
            self._tell(words)

    async def try_out(self, active: ActiveStrategy) -> None:
        """Ask a strategy that is not started yet about the newest candle, if there is one.

        One that computes for longer than `EVALUATION_DEADLINE` is not waited for.

        Raises:
            ConfigError: it failed, or what it returned are no signals.
        """
        symbol, timeframes = active.symbol, active.strategy.timeframes
        for timeframe in timeframes:
            self.keep(symbol, timeframe, active.rows(timeframe))
            self._load(symbol, timeframe)
        newest = self._frames.last_open(symbol, timeframes[0])
        if newest is None:
            return
        try:
            await self._fitting.first(active, newest)
        except Exception as failed:
            raise self._not_started(active, failed, newest) from failed
        data = self._frames.frames(symbol, timeframes, newest)
        work = asyncio.ensure_future(asyncio.to_thread(newest_signal, active, data))
        await asyncio.wait({work}, timeout=EVALUATION_DEADLINE)
        if not work.done():
            work.cancel()
            return
        error = work.exception()
        if isinstance(error, Exception):
            raise self._not_started(active, error, newest) from error

    @staticmethod
    def _not_started(active: ActiveStrategy, error: Exception, newest: int) -> ConfigError:
        found = Failure.of(error, active.strategy, newest)
        return ConfigError(
            f"The strategy {active.name!r} was not started: asked about the newest candle of "
            f"{active.symbol} {active.strategy.timeframes[0]}, {iso(newest)} UTC, it failed.\n"
            f"{found.trace}"
        )

    def _trail(self, active: ActiveStrategy) -> None:
        """Pass the highest high since the entry to the order path, if the stop trails."""
        if active.rules.trailing_stop is None or not active.trades:
            return
        opened = self._orders.opened(BookKey(active.name, active.symbol))
        timeframes, timestamp = active.strategy.timeframes, active.evaluated
        if opened is None or timestamp is None:
            return
        frame = self._frames.frames(active.symbol, timeframes, timestamp).frame
        first = utc(open_time(opened, timeframes[0])).replace(tzinfo=None)
        highs = frame.loc[frame.index >= first, "high"]
        if len(highs):
            self._orders.candle(active.name, active.symbol, float(highs.max()))

    def warm(self) -> None:
        """Load every frame from the store, so that prices are known before the first candle."""
        for key in self._rows:
            self._load(*key)

    def _load(self, symbol: str, timeframe: str) -> None:
        """Load a frame from the store once, and again when it has to be longer."""
        key = (symbol, timeframe)
        rows = self._rows.get(key)
        if rows is None or self._loaded.get(key, 0) >= rows:
            return
        self._loaded[key] = rows
        self._frames.forget(symbol, timeframe)
        self._frames.require(symbol, timeframe, rows)
        # Candles are stored before they are published, so the store has those of unread events.
        depth = self._frames.depth(symbol, timeframe)
        self._frames.load(self._storage.candles(symbol, timeframe, limit=depth))
