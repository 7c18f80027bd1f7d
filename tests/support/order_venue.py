"""A venue in memory for tests of the order path: exact books, and every fault on demand.

It fills market orders at its price, holds back what resting orders would sell, and can lose
requests and answers, lag behind with reads, refuse, and report late, twice or never.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal

from botlib.core.errors import ExchangeBusy, ExchangeUnavailable, OrderRejected, OrderUnknown
from botlib.core.market import Market
from botlib.core.model import Fill, OrderIntent, OrderStatus, OrderType, Side
from botlib.venues.base import Balance, OrderReport, ReplaceReport
from botlib.venues.budget import Purpose
from tests.support.order_limits import OrderLimits

D = Decimal
FEE = D("0.001")
OPEN = OrderStatus.OPEN


def market(symbol: str = "BTC/USDT") -> Market:
    """Return a market with small steps that takes everything the kit sends."""
    base, quote = symbol.split("/")
    return Market(
        symbol=symbol,
        id=base + quote,
        base=base,
        quote=quote,
        tick=D("0.01"),
        step=D("0.001"),
        min_amount=D("0.001"),
        min_cost=D(5),
        order_types=frozenset({"LIMIT", "LIMIT_MAKER", "MARKET", "STOP_LOSS", "STOP_LOSS_LIMIT"}),
        replaces=True,
        lists=True,
    )


@dataclass
class Faults:
    """What goes wrong with the next requests: each entry is used up by one of them.

    ``place``, ``cancel``, ``read`` hold names of faults: ``lost before``, ``lost after``,
    ``silent after`` (the request is carried out, and its answer never comes), ``refused``,
    ``busy``, ``crash before``, ``crash after``; or errors, which are raised.
    """

    place: list[str | Exception] = field(default_factory=list)
    cancel: list[str | Exception] = field(default_factory=list)
    read: list[str | Exception] = field(default_factory=list)
    stall: float = 0.0
    """Seconds until a question is answered."""
    slow: float = 0.0
    """Seconds until an order that arrived is answered."""
    blind: bool = False
    """Whether trades cannot be asked for."""
    lag: float = 0.0
    """Seconds by which queries lag behind: younger orders are not there yet."""
    deaf: bool = False
    """Whether reads fail."""
    mute: bool = False
    """Whether nothing is reported on the stream."""
    echo: int = 0
    """How often a report is repeated."""
    late: float = 0.0
    """Seconds by which reports lag behind."""


class Crash(BaseException):
    """The process ends here."""


class OrderVenue:
    """One account at a venue of several symbols.

    Args:
        now: returns the market's time, ms.
        partial: market orders fill in this many parts.
    """

    def __init__(self, now: Callable[[], int] = lambda: 0, *, partial: int = 1) -> None:
        self.markets = {"BTC/USDT": market(), "ETH/USDT": market("ETH/USDT")}
        self.rules: dict[str, Market] = {}
        """Rules that have changed, which the kit has not read yet."""
        self.prices = dict.fromkeys(self.markets, D(100))
        self.now = now
        self.partial = partial
        self.orders: dict[str, OrderReport] = {}
        self.arrived: dict[str, float] = {}
        self.lists: dict[str, str] = {}
        """The list each order is a leg of."""
        self.trades: list[Fill] = []
        self.held: dict[str, Decimal] = {"USDT": D(10_000)}
        self.foreign: dict[str, Decimal] = {}
        """What of each asset somebody else bought."""
        self.busy_until = 0.0
        """Time of the loop until which nothing may be sent, as was answered."""
        self.faults = Faults()
        self.requests: list[tuple[str, str]] = []
        self.reported: Callable[[OrderReport], None] = lambda report: None
        self.on_request: Callable[[str], None] = lambda what: None
        self.on_order: Callable[[OrderIntent], None] = lambda intent: None
        """Is called with every order that arrives, before it is judged."""
        self.on_haste: Callable[[str], None] = lambda what: None
        """Is called with every request that comes although the venue asked to wait."""
        self.on_cancel: Callable[[OrderReport], None] = lambda order: None
        """Is called with every order that is cancelled by a request."""
        self.limits = OrderLimits()
        self.budget = self.limits.budget
        self.on_limit: Callable[[str], None] = lambda what: None
        """Is called with every request that the limits refuse."""
        self.venue = "paper:memory"
        self.max_streams = 1

    # What a test does

    def set_price(self, price: Decimal | int, symbol: str = "BTC/USDT") -> None:
        """Move the price; stops below and targets above it trade."""
        self.prices[symbol] = D(price)
        for name, order in list(self.orders.items()):
            if order.symbol != symbol or self.orders[name].status is not OPEN:
                continue
            if order.stop_price is not None and self.prices[symbol] <= order.stop_price:
                self._fill(name, min(order.stop_price, self.prices[symbol]))
            elif order.stop_price is None and order.price is not None and order.side is Side.SELL:
                if self.prices[symbol] >= order.price:
                    self._fill(name, order.price)

    def fill_part(self, name: str, amount: Decimal, price: Decimal | int) -> None:
        """Have a part of an open order trade."""
        order = self.orders[name]
        fill = self._trade(order, amount, D(price))
        report = replace(
            order,
            filled=order.filled + amount,
            cost=order.cost + fill.cost,
            updated=self.now(),
            fills=(fill,),
        )
        self.orders[name] = replace(report, fills=())
        self._tell(report)

    def buy(self, amount: Decimal, symbol: str = "BTC/USDT") -> None:
        """Buy for somebody else on the same account."""
        order = self._rest(
            OrderIntent(
                client_order_id=f"web-{len(self.orders)}",
                strategy="",
                symbol=symbol,
                side=Side.BUY,
                type=OrderType.MARKET,
                amount=amount,
            )
        )
        self._fill(order.client_order_id, self.prices[symbol])
        base = symbol.split("/")[0]
        self.foreign[base] = self.foreign.get(base, D(0)) + amount * (1 - FEE)

    def end(self, name: str, status: OrderStatus = OrderStatus.EXPIRED) -> None:
        """Have the venue end an open order."""
        self._end(name, status)

    def bought(self, symbol: str = "BTC/USDT") -> list[OrderReport]:
        """Return the purchases of a symbol that arrived."""
        return [
            one for one in self.orders.values() if one.side is Side.BUY and one.symbol == symbol
        ]

    def resting(self, symbol: str = "BTC/USDT") -> list[OrderReport]:
        """Return the open orders of a symbol."""
        return [one for one in self.orders.values() if one.status is OPEN and one.symbol == symbol]

    def covered(self, symbol: str = "BTC/USDT") -> Decimal:
        """Return what the stops of a symbol would sell."""
        return sum(
            (
                one.amount - one.filled
                for one in self.resting(symbol)
                if one.stop_price is not None and one.side is Side.SELL
            ),
            D(0),
        )

    def amount(self, asset: str = "BTC") -> Decimal:
        """Return what the account holds of an asset, what is held back included."""
        return self.held.get(asset, D(0))

    # What the kit asks

    def market(self, symbol: str) -> Market:
        return self.markets[symbol]

    async def reload_market(self, symbol: str, *, purpose: Purpose = Purpose.READ) -> Market:
        await self._read("market", 20, purpose)
        self.markets[symbol] = self.rules.get(symbol, self.markets[symbol])
        return self.markets[symbol]

    async def place_order(self, intent: OrderIntent) -> OrderReport:
        async with self._request("place", intent.client_order_id, intent.role, 1):
            report = self._accept(intent)
            if self.faults.slow:
                await asyncio.sleep(self.faults.slow)
            return report

    async def place_list(self, intents: Sequence[OrderIntent]) -> list[OrderReport]:
        async with self._request("place", str(intents[0].list_id), intents[0].role, 2):
            for intent in intents:
                self.on_order(intent)
                self._check(intent)
            for intent in intents:
                self.lists[intent.client_order_id] = str(intent.list_id)
            return [self._rest(intent) for intent in intents]

    async def replace_order(self, client_order_id: str, intent: OrderIntent) -> ReplaceReport:
        what = f"{client_order_id}>{intent.client_order_id}"
        async with self._request("place", what, intent.role, 1):
            result = ReplaceReport()
            order = self.orders.get(client_order_id)
            if order is None or order.status is not OPEN:
                result.cancel_error = OrderRejected("Unknown order sent.")
            else:
                self.on_cancel(order)
                result.cancelled = self._end(client_order_id, OrderStatus.CANCELED)
                try:
                    result.placed = self._accept(intent)
                except OrderRejected as error:
                    result.place_error = error
            return result

    async def cancel_order(self, symbol: str, client_order_id: str) -> OrderReport:
        async with self._request("cancel", client_order_id, "cancel", 0):
            order = self.orders.get(client_order_id)
            if order is None or order.status is not OPEN:
                raise OrderRejected("Unknown order sent.")
            self.on_cancel(order)
            report = self._end(client_order_id, OrderStatus.CANCELED)
            self._end_list(client_order_id, OrderStatus.CANCELED)
            return report

    async def fetch_order(
        self, symbol: str, client_order_id: str, *, purpose: Purpose = Purpose.READ
    ) -> OrderReport | None:
        await self._read("query", 4, purpose)
        arrived = self.arrived.get(client_order_id, 0.0)
        if asyncio.get_running_loop().time() - arrived < self.faults.lag:
            return None
        report = self.orders.get(client_order_id)
        return None if report is None else replace(report, fills=())

    async def open_orders(self, symbol: str | None = None) -> list[OrderReport]:
        await self._read("open orders", 80)
        return [
            replace(one, fills=())
            for one in self.orders.values()
            if one.status is OPEN and symbol in (None, one.symbol)
        ]

    async def fetch_fills(
        self, symbol: str, from_id: int = 0, *, purpose: Purpose = Purpose.READ
    ) -> list[Fill]:
        await self._read("trades", 20, purpose)
        return [
            replace(one, client_order_id=None)
            for one in self.trades
            if one.symbol == symbol and one.trade_id >= from_id
        ]

    async def balances(self, *, purpose: Purpose = Purpose.READ) -> dict[str, Balance]:
        await self._read("balances", 20, purpose)
        return {asset: Balance(free=total, locked=D(0)) for asset, total in self.held.items()}

    # How it works

    @asynccontextmanager
    async def _request(self, kind: str, what: str, role: str, orders: int) -> AsyncIterator[None]:
        """Receive an order or a cancellation, and lose its answer if that is a fault's turn."""
        request = self.budget.begin(weight=1, orders=orders)
        try:
            fault = self._meet(kind, what)
            wait = self.limits.spend(1, orders)
            if wait:
                self.on_limit(role)
                self.busy_until = asyncio.get_running_loop().time() + wait
                raise OrderRejected("Too much was sent.", retry_after=wait)
            yield
            await self._lose(kind, fault)
            self.limits.spend(-1)  # What is accepted weighs nothing.
            self.limits.tell(request)
        finally:
            self.budget.end(request)

    def _meet(self, kind: str, what: str) -> str:
        self.requests.append((kind, what))
        self.on_request(f"before {kind}")
        if asyncio.get_running_loop().time() < self.busy_until - 0.01:
            self.on_haste(f"{kind} {what}")
        queue = getattr(self.faults, kind)
        fault = queue.pop(0) if queue else ""
        if isinstance(fault, Exception):
            raise fault
        if fault == "crash before":
            raise Crash
        if fault == "lost before":
            raise OrderUnknown("no answer")
        if fault == "refused":
            raise OrderRejected("the venue refuses it")
        if fault == "busy":
            self.busy_until = asyncio.get_running_loop().time() + 1.0
            raise OrderRejected("Too many requests.", retry_after=1.0)
        if fault == "hang":
            raise TimeoutError
        return str(fault)

    async def _lose(self, kind: str, fault: str) -> None:
        self.on_request(f"after {kind}")
        if fault == "crash after":
            raise Crash
        if fault == "lost after":
            raise OrderUnknown("no answer")
        if fault == "silent after":
            await asyncio.sleep(3_600)

    async def _read(self, what: str, weight: int, purpose: Purpose = Purpose.READ) -> None:
        if purpose is Purpose.READ:
            await self.budget.admit(purpose, weight=weight)
        elif (short := self.budget.shortage(purpose, weight=weight)) is not None:
            raise ExchangeBusy(str(short), retry_after=short.wait)
        request = self.budget.begin(weight=weight)
        try:
            if self.faults.stall:
                await asyncio.sleep(self.faults.stall)
            self._answer(what, weight)
            self.limits.tell(request)
        finally:
            self.budget.end(request)

    def _answer(self, what: str, weight: int) -> None:
        self.requests.append(("read", what))
        self.on_request(f"before {what}")
        if wait := self.limits.spend(weight):
            self.on_limit(what)
            self.busy_until = asyncio.get_running_loop().time() + wait
            raise ExchangeBusy("Too much was asked.", retry_after=wait)
        fault = self.faults.read.pop(0) if self.faults.read else ""
        if isinstance(fault, Exception):
            raise fault
        if self.faults.blind and what == "trades":
            raise ExchangeUnavailable("no answer")
        if self.faults.deaf or fault == "lost before":
            raise ExchangeUnavailable("no answer")
        if fault.startswith("crash"):
            raise Crash

    def _free(self, symbol: str) -> Decimal:
        """Return what may be sold: what resting orders hold is not free, a list holds once."""
        counted: set[str] = set()
        total = self.held.get(symbol.split("/")[0], D(0))
        for name, order in self.orders.items():
            if order.status is not OPEN or order.symbol != symbol or order.side is not Side.SELL:
                continue
            group = self.lists.get(name, name)
            if group not in counted:
                counted.add(group)
                total -= order.amount - order.filled
        return total

    def _check(self, intent: OrderIntent) -> None:
        rules = self.rules.get(intent.symbol, self.markets[intent.symbol])
        if not rules.active:
            raise OrderRejected("Market is closed.", rules=True)
        if intent.amount % rules.step or (intent.stop_price or D(0)) % rules.tick:
            raise OrderRejected("Filter failure: LOT_SIZE", rules=True)
        known = self.orders.get(intent.client_order_id)
        assert known is None, f"{intent.client_order_id} was sent twice"
        if intent.side is Side.SELL and intent.amount > self._free(intent.symbol):
            raise OrderRejected("Account has insufficient balance for requested action.")
        price = self.prices[intent.symbol]
        if intent.stop_price is not None and intent.stop_price >= price:
            raise OrderRejected("Order would trigger immediately.")
        if intent.amount * (intent.price or intent.stop_price or price) < 5:
            raise OrderRejected("Filter failure: NOTIONAL")

    def _accept(self, intent: OrderIntent) -> OrderReport:
        self.on_order(intent)
        self._check(intent)
        report = self._rest(intent)
        if intent.type is OrderType.MARKET:
            self._fill(intent.client_order_id, self.prices[intent.symbol])
            return self.orders[intent.client_order_id]
        return report

    def _rest(self, intent: OrderIntent) -> OrderReport:
        report = OrderReport(
            symbol=intent.symbol,
            client_order_id=intent.client_order_id,
            venue_order_id=f"v{len(self.orders) + 1}",
            side=intent.side,
            type=intent.type,
            amount=intent.amount,
            price=intent.price,
            stop_price=intent.stop_price,
            status=OPEN,
            filled=D(0),
            cost=D(0),
            created=self.now(),
            updated=self.now(),
        )
        self.orders[intent.client_order_id] = report
        self.arrived[intent.client_order_id] = asyncio.get_running_loop().time()
        self._tell(report)
        return report

    def _fill(self, name: str, price: Decimal) -> None:
        order = self.orders[name]
        step = self.markets[order.symbol].step
        left, fills = order.amount - order.filled, []
        part = max(step, left / self.partial // step * step)
        while left:
            amount = left if left < 2 * part else part
            left -= amount
            fills.append(self._trade(order, amount, price))
        cost = order.cost + sum((fill.cost for fill in fills), D(0))
        report = replace(
            order,
            status=OrderStatus.FILLED,
            filled=order.amount,
            cost=cost,
            updated=self.now(),
            fills=tuple(fills),
        )
        self.orders[name] = report
        self._end_list(name, OrderStatus.EXPIRED)
        self._tell(report)

    def _trade(self, order: OrderReport, amount: Decimal, price: Decimal) -> Fill:
        base, quote = order.symbol.split("/")
        buys = order.side is Side.BUY
        fee = amount * FEE if buys else amount * price * FEE
        fill = Fill(
            symbol=order.symbol,
            trade_id=len(self.trades) + 1,
            venue_order_id=order.venue_order_id,
            client_order_id=order.client_order_id,
            side=order.side,
            price=price,
            amount=amount,
            fee=fee,
            fee_asset=base if buys else quote,
            timestamp=self.now(),
            maker=False,
        )
        self.trades.append(fill)
        sign = 1 if buys else -1
        self.held[base] = self.held.get(base, D(0)) + sign * amount - (fee if buys else 0)
        self.held[quote] -= sign * amount * price + (0 if buys else fee)
        return fill

    def _end(self, name: str, status: OrderStatus) -> OrderReport:
        report = replace(self.orders[name], status=status, updated=self.now(), fills=())
        self.orders[name] = report
        self._tell(report)
        return report

    def _end_list(self, name: str, status: OrderStatus) -> None:
        group = self.lists.get(name)
        for other, of in self.lists.items():
            if of == group and other != name and self.orders[other].status is OPEN:
                self._end(other, status)

    def _tell(self, report: OrderReport) -> None:
        if not self.faults.mute:
            loop = asyncio.get_running_loop()
            for again in range(1 + self.faults.echo):
                # Whoever listens when it arrives hears it: after a crash that is nobody.
                loop.call_later(self.faults.late * (1 + again), lambda: self.reported(report))
