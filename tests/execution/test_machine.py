"""A state machine of desks and venue: whatever is wanted, fails or crashes, in any order."""

from __future__ import annotations

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Awaitable
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from botlib.core.model import OrderStatus
from botlib.simulation.loop import VirtualLoop
from tests.support.order_rig import START, Rig
from tests.support.order_venue import Crash, D, OrderVenue

BOOKS = st.sampled_from(
    [("trend", "BTC/USDT"), ("swing", "BTC/USDT"), ("trend", "ETH/USDT"), ("swing", "ETH/USDT")]
)
SYMBOLS = st.sampled_from(["BTC/USDT", "ETH/USDT"])
REQUESTS = st.sampled_from(["", "lost before", "lost after", "busy", "hang", "refused"])


class OrderPathMachine(RuleBasedStateMachine):
    """Two strategies on two symbols, on a venue in memory that may fail in every way."""

    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.CRITICAL)
        memory = Path("/dev/shm")
        self.place = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.loop = VirtualLoop(START)
        self.rig = Rig(self.place / "orders.db", OrderVenue())
        self.rig.symbols = ("BTC/USDT", "ETH/USDT")
        self.moments_left = -1
        self.run(self.rig.start())
        self.run(self._register())

    def run(self, work: Awaitable[object]) -> None:
        """Do something on the loop, and let the desks settle."""

        async def body() -> None:
            try:
                await work
            except Crash:
                self.rig.crash()
            await self.rig.quiet()

        self.loop.run_until_complete(body())

    async def _register(self) -> None:
        self.rig.trade("trend", stop_loss=0.05)
        self.rig.trade("swing", trailing_stop=0.1)
        self.rig.trade("trend", "ETH/USDT", stop_loss=0.02, take_profit=0.04)
        self.rig.trade("swing", "ETH/USDT", take_profit=0.1)

    @property
    def lives(self) -> bool:
        """Whether the process runs."""
        return not self.rig.crashed.is_set()

    # What strategies want and the market does

    @precondition(lambda self: self.lives)
    @rule(book=BOOKS, cost=st.sampled_from([20, 500, 3_000]))
    def enter(self, book: tuple[str, str], cost: int) -> None:
        async def work() -> None:
            self.rig.enter(*book, cost=cost)

        self.run(work())

    @precondition(lambda self: self.lives)
    @rule(book=BOOKS)
    def leave(self, book: tuple[str, str]) -> None:
        async def work() -> None:
            self.rig.exit(*book)

        self.run(work())

    @rule(symbol=SYMBOLS, price=st.integers(80, 125))
    def move(self, symbol: str, price: int) -> None:
        async def work() -> None:
            self.rig.venue.set_price(price, symbol)
            if self.lives:
                for name, traded in self.rig.strategies:
                    if traded == symbol:
                        self.rig.candle(name, symbol, float(price))

        self.run(work())

    @rule(count=st.integers(1, 2))
    def minutes(self, count: int) -> None:
        self.run(self.rig.minute(count))

    @rule(symbol=SYMBOLS)
    def sell_a_part(self, symbol: str) -> None:
        """Have the oldest stop that rests sell a part, and end at once or go on."""

        async def work() -> None:
            for order in self.rig.venue.resting(symbol):
                if order.stop_price is not None and not order.filled and order.amount > D("0.2"):
                    self.rig.venue.fill_part(order.client_order_id, D("0.1"), order.stop_price)
                    self.rig.venue.end(order.client_order_id, OrderStatus.EXPIRED)
                    return

        self.run(work())

    # What fails

    @rule(place=st.lists(REQUESTS, max_size=3), cancel=st.lists(REQUESTS, max_size=2))
    def requests_fail(self, place: list[str], cancel: list[str]) -> None:
        self.rig.venue.faults.place[:] = place
        self.rig.venue.faults.cancel[:] = [one for one in cancel if one not in ("hang", "refused")]

    @rule(
        lag=st.sampled_from([0.0, 0.3, 1.5]),
        reads=st.integers(0, 3),
        mute=st.booleans(),
        echo=st.integers(0, 2),
        late=st.sampled_from([0.0, 0.2, 3.0]),
    )
    def answers_fail(self, lag: float, reads: int, mute: bool, echo: int, late: float) -> None:
        faults = self.rig.venue.faults
        faults.lag, faults.mute, faults.echo, faults.late = lag, mute, echo, late
        faults.read[:] = ["lost before"] * reads

    @precondition(lambda self: self.lives)
    @rule(moments=st.integers(0, 12))
    def crash_soon(self, moments: int) -> None:
        """Have the process crash at one of the next writes or requests."""
        self.moments_left = moments

        def hook(moment: str) -> None:
            self.moments_left -= 1
            if self.moments_left < 0:
                raise Crash

        self.rig.hook = self.rig.venue.on_request = hook

    @precondition(lambda self: self.lives)
    @rule()
    def crash_now(self) -> None:
        async def work() -> None:
            self.rig.crash()

        self.run(work())

    @rule()
    def heal(self) -> None:
        self._heal()

    @precondition(lambda self: not self.lives)
    @rule()
    def start_again(self) -> None:
        self.rig.venue.faults.read.clear()
        self.run(self.rig.start())

    def _heal(self) -> None:
        faults = self.rig.venue.faults
        faults.place.clear()
        faults.cancel.clear()
        faults.read.clear()
        faults.lag = faults.late = 0.0
        faults.mute, faults.echo = False, 0
        if self.lives:
            self.rig.hook = self.rig.venue.on_request = lambda moment: None

    async def _converge(self) -> None:
        await self.rig.minute(3)
        self.rig.orders.check()
        await self.rig.quiet(120)

    # What holds

    @invariant()
    def nothing_that_arrived_or_rests_is_wrong(self) -> None:
        assert self.rig.monitor.breaches == []

    def teardown(self) -> None:
        try:
            self._heal()
            if not self.lives:
                self.run(self.rig.start())
            self.run(self._converge())
            assert self.rig.violations() == []
            if not self.rig.halts.first:
                desks = self.rig.orders.desks.values()
                assert all(desk.quiet for desk in desks), [desk.doing for desk in desks]
            self.run(self.rig.stop())
        finally:
            logging.disable(logging.NOTSET)
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()
            shutil.rmtree(self.place, ignore_errors=True)


OrderPathMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestOrderPathMachine = OrderPathMachine.TestCase
