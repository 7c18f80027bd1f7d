"""An engine's orders and signals on a chart: markers, and lines at the prices of orders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from botlib.core.model import Fill, OrderRole, Position, Side, Signal
from botlib.core.symbol import split_symbol
from botlib.core.text import formats
from botlib.core.timeframe import timeframe_ms
from botlib.trading.positions import apply_fill, flat_position, is_held
from botlib.widgets.chart.marks import Line, Marker

if TYPE_CHECKING:
    from botlib.views.engine import EngineReading


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderFacts:
    """What is known of an order besides its fills."""

    role: OrderRole
    strategy: str

    @property
    def words(self) -> str:
        """Why the order exists."""
        return f"{_REASONS[self.role]} ({self.strategy})" if self.strategy else _REASONS[self.role]


OrderOf = Callable[[str | None], OrderFacts | None]
"""Returns what is known of the order with a client order id."""

_REASONS: Final = {
    OrderRole.ENTRY: "entry signal",
    OrderRole.EXIT: "exit signal",
    OrderRole.STOP: "stop reached",
    OrderRole.TARGET: "target reached",
    OrderRole.EMERGENCY: "could not be protected",
    OrderRole.MANUAL: "by hand",
}
_KINDS: Final = {
    OrderRole.STOP: "stop",
    OrderRole.EMERGENCY: "stop",
    OrderRole.TARGET: "target",
}


class FilledOrder:
    """The fills of one order, and what they brought."""

    def __init__(self, first: Fill, facts: OrderFacts | None) -> None:
        self.facts = facts
        self.side = first.side
        self.symbol = first.symbol
        self.timestamp = first.timestamp
        self.amount = self.cost = self.booked = self.paid = Decimal(0)
        self.fees: dict[str, Decimal] = {}

    def add(self, fill: Fill, before: Position, after: Position) -> None:
        """Add a fill, with the position of its strategy before and after it."""
        self.amount += fill.amount
        self.cost += fill.cost
        self.fees[fill.fee_asset] = self.fees.get(fill.fee_asset, Decimal(0)) + fill.fee
        if fill.side is Side.SELL:
            self.booked += after.realised - before.realised
            self.paid += before.entry_price * fill.amount

    def marker(self) -> Marker:
        """Return its marker."""
        sold = self.side is Side.SELL
        kind = "entry"
        if sold:
            kind = _KINDS.get(self.facts.role, "exit") if self.facts else "exit"
        return Marker(
            timestamp=self.timestamp,
            kind=kind,
            text=self.side.value if kind in ("entry", "exit") else kind,
            details=tuple(self._details(sold)),
        )

    def _details(self, sold: bool) -> Iterable[tuple[str, str]]:
        base, quote = split_symbol(self.symbol)
        yield "price", formats.price(self.cost / self.amount)
        yield "amount", f"{formats.exact(self.amount)} {base}"
        yield "cost", f"{formats.number(self.cost)} {quote}"
        fees = [f"{formats.exact(fee)} {asset}" for asset, fee in self.fees.items() if fee]
        if fees:
            yield "fee", ", ".join(fees)
        if self.facts is not None:
            yield "why", self.facts.words
        if sold and self.paid:
            share = formats.percent(self.booked / self.paid, sign=True)
            yield "result", f"{formats.number(self.booked, sign=True)} {quote} ({share})"


class OrderMarks:
    """The fills of one symbol as markers, one per order."""

    def __init__(self) -> None:
        self._orders: dict[str, FilledOrder] = {}
        self._held: dict[str, Position] = {}
        """By strategy."""
        self._seen: set[int] = set()

    def load(self, fills: Iterable[Fill], order_of: OrderOf) -> None:
        """Add the fills of the journal, oldest first."""
        for fill in fills:
            self.add(fill, order_of)

    def add(self, fill: Fill, order_of: OrderOf) -> None:
        """Add a fill; one that is known changes nothing."""
        if fill.trade_id in self._seen:
            return
        self._seen.add(fill.trade_id)
        key = fill.client_order_id or fill.venue_order_id
        order = self._orders.get(key)
        if order is None:
            order = self._orders[key] = FilledOrder(fill, order_of(fill.client_order_id))
        strategy = order.facts.strategy if order.facts is not None else ""
        before = self._held.get(strategy, flat_position(fill.symbol))
        self._held[strategy] = apply_fill(before, fill)
        order.add(fill, before, self._held[strategy])

    def markers(self) -> list[Marker]:
        """Return one marker per filled order, at the time of its first fill."""
        return [order.marker() for order in self._orders.values()]


def signal_markers(signals: Sequence[Signal]) -> list[Marker]:
    """Return one marker per signal that was not ordered, at the close on which it was decided.

    Args:
        signals: those of one symbol; their strategies are named if there are several.
    """
    named = len({signal.strategy for signal in signals}) > 1
    return [
        Marker(
            # On a chart of a shorter timeframe, the decision is no earlier than it was.
            timestamp=signal.timestamp + timeframe_ms(signal.timeframe) - 1,
            kind=f"{signal.action} signal",
            text=f"{signal.strategy}: {signal.action}" if named else str(signal.action),
        )
        for signal in signals
    ]


def price_lines(engine: EngineReading, symbol: str) -> list[Line]:
    """Return the position, its stop and target, and the open orders of a symbol as lines."""
    lines = [*_position_lines(engine, symbol)]
    for order in engine.orders.ledger.stops(symbol):
        if order.stop_price is not None:
            lines.append(
                Line(
                    id=f"stop:{order.client_order_id}",
                    kind="stop",
                    price=float(order.stop_price),
                    title=f"stop {formats.exact(order.amount)}",
                )
            )
    for one in engine.orders.ledger.open:
        order = one.order
        if one.role is OrderRole.TARGET or order.symbol != symbol:
            continue
        if order.price is not None and order.stop_price is None:
            lines.append(
                Line(
                    id=f"order:{order.client_order_id}",
                    kind="order",
                    price=float(order.price),
                    title=f"{order.side} {formats.exact(order.amount)}",
                )
            )
    return lines


def _position_lines(engine: EngineReading, symbol: str) -> Iterable[Line]:
    position = engine.positions.get(symbol)
    market = engine.exchange.market(symbol)
    if not is_held(position.amount, position.entry_price, market):
        return
    held = f"{formats.exact(position.amount)} {symbol.split('/')[0]}"
    yield Line(id="position", kind="position", price=float(position.entry_price), title=held)
    protection = engine.orders.protection(symbol)
    if protection is not None and protection.target is not None:
        yield Line(id="target", kind="target", price=float(protection.target), title="target")
