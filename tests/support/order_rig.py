"""An order path over a real journal and a venue in memory, in virtual time, that may crash."""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
from collections.abc import Awaitable, Callable, Coroutine
from decimal import Decimal
from pathlib import Path
from typing import Any

from botlib.core.bus import EventBus
from botlib.core.clock import MarketClock, SystemClock
from botlib.core.errors import StoreError
from botlib.core.model import OrderRole, Signal, SignalAction
from botlib.execution import HaltLatch, OrderPath
from botlib.execution.desk import Desk
from botlib.simulation.loop import VirtualLoop
from botlib.store import Database, OrderJournal
from botlib.trading.positions import PositionManager
from botlib.trading.risk import RiskLimits, RiskValidator
from botlib.trading.sizing import sellable
from botlib.trading.stops import StopRules
from botlib.venues.base import OrderReport
from botlib.venues.binance.capabilities import BINANCE
from tests.support.order_monitor import Monitor
from tests.support.order_venue import Crash, OrderVenue

D = Decimal
START = 1_767_571_200_000
MINUTE = 60_000
SYMBOL = "BTC/USDT"
LIMITS = RiskLimits(
    max_order_cost=D(2_000),
    max_exposure=D(6_000),
    max_open_orders=5,
    max_orders_per_minute=100,
    max_daily_loss=D(500),
)
FENCE = BINANCE.absence_fence

WRITES = (
    "record_intents",
    "record",
    "save_book",
    "save_fills",
    "begin_halt",
    "set_state",
)


def in_virtual_time(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a coroutine on a loop whose time jumps."""
    loop = VirtualLoop(START)
    try:
        loop.run_until_complete(main())
    finally:
        loop.close()


def rigged(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Run a test in virtual time, with a `Rig` that has been started as its ``rig``."""
    wanted = inspect.signature(test)
    path = inspect.Parameter("tmp_path", inspect.Parameter.KEYWORD_ONLY)
    others = [one for name, one in wanted.parameters.items() if name not in ("rig", "tmp_path")]

    @functools.wraps(test)
    def run(*, tmp_path: Path, **values: Any) -> None:
        async def main() -> None:
            rig = Rig(tmp_path / "orders.db", OrderVenue())
            await rig.start()
            more = {"tmp_path": tmp_path} if "tmp_path" in wanted.parameters else {}
            try:
                await test(rig=rig, **more, **values)
            finally:
                await rig.stop()

        in_virtual_time(main)

    run.__signature__ = wanted.replace(  # type: ignore[attr-defined]
        parameters=[*(one.replace(kind=path.kind) for one in others), path]
    )
    return run


class SetClock(SystemClock):
    """A wall clock that can be set, ms ahead of the loop's calendar."""

    ahead = 0

    def now(self) -> int:
        return super().now() + self.ahead


class FragileJournal(OrderJournal):
    """A journal that calls back before and after every write."""

    hook: Callable[[str], None] = staticmethod(lambda moment: None)
    full: Callable[[], bool] = staticmethod(lambda: False)
    """Returns whether nothing can be written."""


def _hooked(name: str) -> Callable[..., Any]:
    def write(self: FragileJournal, *args: Any, **values: Any) -> Any:
        self.hook(f"before {name}")
        if self.full():
            raise StoreError("The disk is full.")
        result = getattr(OrderJournal, name)(self, *args, **values)
        self.hook(f"after {name}")
        return result

    return write


for _name in WRITES:
    setattr(FragileJournal, _name, _hooked(_name))


class Rig:
    """A bot's order path that can be killed and started again.

    Args:
        path: of the database.
        venue: what it trades on.
        seed: of everything that is drawn.
    """

    def __init__(self, path: Path, venue: OrderVenue, *, seed: int = 1) -> None:
        self.path, self.venue = path, venue
        self.rng = random.Random(seed)
        self.symbols: tuple[str, ...] = (SYMBOL,)
        self.market_clock = MarketClock(START)
        venue.now = self.market_clock.now
        self.strategies: dict[tuple[str, str], StopRules] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.crashed = asyncio.Event()
        self.hook: Callable[[str], None] = lambda moment: None
        self.limits = LIMITS
        self.disk_full = False
        self.monitor = Monitor(self)
        self.clock = SetClock()
        self.price_of: Callable[[str], float | None] = lambda name: float(venue.prices.get(name, 0))

    async def start(self, *, register: bool = True) -> None:
        """Start the order path as an engine does; a crash on the way is noted."""
        self.crashed.clear()
        self.database = Database.open(self.path, self.venue.venue)
        journal = FragileJournal(self.database)
        journal.hook = lambda moment: self.hook(moment)  # type: ignore[method-assign]
        journal.full = lambda: self.disk_full  # type: ignore[method-assign]
        bus = EventBus()
        clock = self.clock
        self.positions = PositionManager()
        self.halts = HaltLatch(bus, clock)
        self.bus = bus
        try:
            self.halts.open(journal)
            self.orders = OrderPath(
                exchange=self.venue,  # type: ignore[arg-type]
                journal=journal,
                positions=self.positions,
                risk=RiskValidator(self.limits),
                halts=self.halts,
                bus=bus,
                system_clock=clock,
                market_clock=self.market_clock,
                price_of=lambda symbol: self.price_of(symbol),
                absence_fence=FENCE,
                rng=self.rng,
            )
            self.venue.reported = self._hear
            await self.orders.start(self.symbols)
            if register:
                for (name, symbol), rules in self.strategies.items():
                    self.orders.register(name, symbol, rules)
        except (Crash, StoreError):
            self.crash()
            return
        self.monitor.begin()
        for desk in self.orders.desks.values():
            self.run(desk)
        self.orders.on_desk = self.run
        self.tasks.append(asyncio.create_task(self._check()))
        self.tasks.append(asyncio.create_task(self.monitor.watch()))

    def _hear(self, report: OrderReport) -> None:
        try:
            self.orders.on_execution(report)
        except Crash:
            self.crash()

    def run(self, desk: Desk) -> None:
        """Start the task of a desk."""
        self.tasks.append(asyncio.create_task(self._run(desk)))

    async def _run(self, desk: Desk) -> None:
        try:
            await desk.run()
        except Crash:
            self.crash()
        except Exception as error:
            self.monitor.note(f"I9 the desk of {desk.symbol} ended: {error!r}")
            raise

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(30)
            try:
                self.orders.check(thorough=False)
            except Crash:
                self.crash()

    def crash(self) -> None:
        """Have the process end here: nothing more is written or asked."""
        self.venue.reported = lambda report: None
        self.hook = lambda moment: None
        self.venue.on_request = lambda moment: None
        current = asyncio.current_task()
        for task in self.tasks:
            if task is not current:
                task.cancel()
        self.tasks.clear()
        self.database.close()
        self.crashed.set()

    async def restart(self, *, register: bool = True) -> None:
        """Kill the process and start it again; what it held is protected by then."""
        self.crash()
        await self.start(register=register)
        await self.quiet()

    async def stop(self) -> None:
        """End the order path in order."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        self.database.close()

    # What strategies want

    def trade(self, name: str = "trend", symbol: str = SYMBOL, **rules: float) -> None:
        """Register a strategy and what limits its positions."""
        self.strategies[name, symbol] = StopRules(**rules)
        self.orders.register(name, symbol, self.strategies[name, symbol])

    def signal(
        self, action: SignalAction, name: str = "trend", symbol: str = SYMBOL, cost: int = 500
    ) -> None:
        """Raise a signal on the candle that has just closed."""
        now = self.market_clock.now()
        try:
            self.monitor.costs[name, symbol] = cost
            self.orders.signal(
                Signal(
                    strategy=name,
                    symbol=symbol,
                    timeframe="1m",
                    timestamp=now // MINUTE * MINUTE - MINUTE,
                    action=action,
                    price=float(self.venue.prices[symbol]),
                ),
                D(cost),
            )
            self.monitor.wished((name, symbol), action, cost)
        except Crash:
            self.crash()

    def enter(self, name: str = "trend", symbol: str = SYMBOL, cost: int = 500) -> None:
        """Raise an entry."""
        self.signal(SignalAction.ENTRY, name, symbol, cost)

    def exit(self, name: str = "trend", symbol: str = SYMBOL) -> None:
        """Raise an exit."""
        self.signal(SignalAction.EXIT, name, symbol)

    def candle(self, name: str, symbol: str, high: float) -> None:
        """Tell the highest high since the entry of a book."""
        self.orders.candle(name, symbol, high)
        self.monitor.rose((name, symbol), high)

    async def minute(self, count: int = 1) -> None:
        """Let minutes pass, of the market and of the wall."""
        for _ in range(count):
            await asyncio.sleep(60)
            self.market_clock.advance(self.market_clock.now() + MINUTE)
            if not self.crashed.is_set():
                for desk in self.orders.desks.values():
                    desk.wake()

    async def quiet(self, seconds: float = 5.0) -> None:
        """Wait until the desks have nothing to do, or the process has crashed."""
        await asyncio.sleep(0.01)
        try:
            async with asyncio.timeout(seconds):
                while not self.crashed.is_set():
                    if all(desk.quiet for desk in self.orders.desks.values()):
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            return

    # What has to hold

    def violations(self) -> list[str]:
        """Return what of the invariants does not hold, when all is quiet."""
        found = []
        journal = OrderJournal(self.database)
        ours = {(one.symbol, one.trade_id) for one in journal.fills()}
        theirs = {
            (one.symbol, one.trade_id)
            for one in self.venue.trades
            if (one.client_order_id or "").startswith("bl")
        }
        if ours != theirs:
            found.append(f"I2 fills: journal {sorted(ours)}, venue {sorted(theirs)}")
        for symbol in self.venue.markets:
            base = symbol.split("/")[0]
            booked = self.positions.get(symbol).amount
            held = self.venue.amount(base) - self.venue.foreign.get(base, D(0))
            if booked != held:
                found.append(f"I3 position of {symbol}: book {booked}, venue {held}")
        if journal.differences():
            found.append(f"journal: {journal.differences()}")
        found += self._unprotected()
        entries: dict[object, int] = {}
        for order in journal.tracked():
            if order.role is OrderRole.ENTRY and order.filled:
                key = (order.intent.strategy, order.intent.symbol, order.intent.signal_timestamp)
                entries[key] = entries.get(key, 0) + 1
        found += [f"I1 {key} was bought {n} times" for key, n in entries.items() if n > 1]
        monitor = self.monitor
        found += [*monitor.breaches, *monitor.settled(), *monitor.told(), *monitor.unfounded()]
        return found

    def _unprotected(self) -> list[str]:
        found = []
        for symbol, desk in self.orders.desks.items():
            wanted = D(0)
            for book in desk.books:
                amount = self.positions.of(*book.key).amount
                if book.protection.stop is not None:
                    wanted += sellable(amount, self.venue.market(symbol))
            covered = self.venue.covered(symbol)
            if covered < wanted and not self.halts.first:
                found.append(f"I6 {symbol}: {wanted} held, stops for {covered}")
            if covered > self.venue.amount(symbol.split("/")[0]):
                found.append(f"I6 {symbol}: stops for {covered} sell more than is held")
        return found
