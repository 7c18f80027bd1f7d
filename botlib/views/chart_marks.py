"""An engine's orders and signals on a chart: markers, and lines at the prices of orders."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from botlib.core.model import Fill, OrderRole, Side, Signal
from botlib.core.timeframe import timeframe_ms
from botlib.trading.positions import is_held
from botlib.widgets.chart.marks import Line, Marker

if TYPE_CHECKING:
    from botlib.views.engine import EngineReading

IsStop = Callable[[str | None], bool]
"""Returns whether a client order id is that of a stop."""


class OrderMarks:
    """The fills of one symbol as markers, one per order."""

    def __init__(self) -> None:
        self._orders: dict[str, tuple[int, Side, bool]] = {}
        self._seen: set[int] = set()

    def load(self, fills: Iterable[Fill], is_stop: IsStop) -> None:
        """Add the fills of the journal."""
        for fill in fills:
            self.add(fill, is_stop)

    def add(self, fill: Fill, is_stop: IsStop) -> None:
        """Add a fill; one that is known changes nothing."""
        if fill.trade_id in self._seen:
            return
        self._seen.add(fill.trade_id)
        key = fill.client_order_id or fill.venue_order_id
        if key not in self._orders:
            stop = is_stop(fill.client_order_id)
            self._orders[key] = (fill.timestamp, fill.side, stop)

    def markers(self) -> list[Marker]:
        """Return one marker per filled order, at the time of its first fill."""
        return [
            Marker(
                timestamp=first,
                kind="entry" if side is Side.BUY else "stop" if stop else "exit",
                text="stop" if stop else side.value,
            )
            for first, side, stop in self._orders.values()
        ]


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
                    title=f"stop {_short(order.amount)}",
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
                    title=f"{order.side} {_short(order.amount)}",
                )
            )
    return lines


def _position_lines(engine: EngineReading, symbol: str) -> Iterable[Line]:
    position = engine.positions.get(symbol)
    market = engine.exchange.market(symbol)
    if not is_held(position.amount, position.entry_price, market):
        return
    held = f"{_short(position.amount)} {symbol.split('/')[0]}"
    yield Line(id="position", kind="position", price=float(position.entry_price), title=held)
    protection = engine.orders.protection(symbol)
    if protection is not None and protection.target is not None:
        yield Line(id="target", kind="target", price=float(protection.target), title="target")


def _short(amount: Decimal) -> str:
    return f"{float(amount):.6g}"
