"""The order state machine: what is known about one order, and how each event changes it.

What is known of an order is a set of facts that only grow: it was sent, the venue acknowledged it,
so much of it is filled, its outcome was lost, it has ended. `transition` adds the fact of one
event, and the status follows from the facts. The same events in any order, with duplicates, lead
to the same facts, so that an answer, the user data stream and a query may overtake each other.

    ==================== ============================================================
    status               facts
    ==================== ============================================================
    INTENT               journaled, not sent by this process
    SENT                 the request is under way
    UNKNOWN              sent, and no answer came: it may exist
    OPEN                 acknowledged, nothing filled
    PARTIALLY_FILLED     acknowledged, a part filled
    PENDING_CANCEL       a cancellation was sent and is not answered for
    FILLED, CANCELED,    the venue's last word
    EXPIRED
    REJECTED             refused, or never sent
    ABSENT               never acknowledged, and proved not to have arrived
    ==================== ============================================================
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, Self

from botlib.core.model import Order, OrderIntent, OrderRole, OrderStatus, Side

ZERO: Final = Decimal(0)


class EventKind(StrEnum):
    """What happened to an order."""

    SENT = "sent"
    """The request left this process."""
    REPORTED = "reported"
    """The venue said how the order stands: in an answer, on a stream or to a query."""
    REFUSED = "refused"
    """The venue refused it, or it was never sent."""
    LOST = "lost"
    """No answer came, or one that cannot be read."""
    ABSENT = "absent"
    """Proved never to have arrived."""
    CANCEL_SENT = "cancel_sent"
    CANCEL_REFUSED = "cancel_refused"
    """The venue said that there is no such open order; a query has to tell why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEvent:
    """One event of an order.

    Attributes:
        status: of a report: OPEN or a final status.
        filled: of a report: base units filled so far.
        cost: of a report: quote units of what is filled.
        number: of a cancellation: which one of the order, from 1.
    """

    kind: EventKind
    status: OrderStatus | None = None
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    venue_order_id: str | None = None
    message: str = ""
    number: int = 0
    retry: bool = False
    """Of a refusal: the venue did not look at it, and another one may be sent later."""

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON values, without what is empty."""
        values: dict[str, Any] = {"kind": self.kind.value}
        if self.status is not None:
            values |= {"status": self.status.value}
        if self.kind is EventKind.REPORTED:
            values |= {"filled": str(self.filled), "cost": str(self.cost)}
        if self.venue_order_id is not None:
            values["venue_order_id"] = self.venue_order_id
        if self.message:
            values["message"] = self.message
        if self.number:
            values["number"] = self.number
        if self.retry:
            values["retry"] = True
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the event that `to_dict` described."""
        status = values.get("status")
        return cls(
            kind=EventKind(values["kind"]),
            status=None if status is None else OrderStatus(status),
            filled=Decimal(values.get("filled", "0")),
            cost=Decimal(values.get("cost", "0")),
            venue_order_id=values.get("venue_order_id"),
            message=values.get("message", ""),
            number=values.get("number", 0),
            retry=values.get("retry", False),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedOrder:
    """An order with everything that is known about it.

    ``created`` is wall time (ms); ``market_time`` the market's when it was decided.
    """

    intent: OrderIntent
    created: int
    market_time: int | None = None
    sent: bool = False
    venue_order_id: str | None = None
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    final: OrderStatus | None = None
    final_filled: Decimal = ZERO
    """Base units that were filled by the venue's last word."""
    refused: bool = False
    retry: bool = False
    """Whether the refusal says nothing about the order, so that another one may be sent."""
    lost: bool = False
    absent: bool = False
    cancels_sent: int = 0
    cancels_refused: int = 0
    message: str = ""
    conflict: str = ""
    """Two statements about the order that cannot both be true, or nothing."""
    updated: int = 0

    @property
    def id(self) -> str:
        """The client order id."""
        return self.intent.client_order_id

    @property
    def role(self) -> OrderRole:
        """What the order is for."""
        return self.intent.role

    @property
    def sells(self) -> bool:
        """Whether the order sells."""
        return self.intent.side is Side.SELL

    @property
    def acknowledged(self) -> bool:
        """Whether the venue has said that the order exists."""
        return self.venue_order_id is not None

    @property
    def status(self) -> OrderStatus:
        """The status that follows from the facts."""
        if self.final is not None:
            return self.final
        if self.acknowledged:
            if self.cancels_sent > self.cancels_refused:
                return OrderStatus.PENDING_CANCEL
            return OrderStatus.PARTIALLY_FILLED if self.filled else OrderStatus.OPEN
        if self.refused:
            return OrderStatus.REJECTED
        if self.absent:
            return OrderStatus.ABSENT
        if self.lost:
            return OrderStatus.UNKNOWN
        return OrderStatus.SENT if self.sent else OrderStatus.INTENT

    @property
    def ended(self) -> bool:
        """Whether nothing can happen to the order any more."""
        return self.status.final

    @property
    def rests(self) -> bool:
        """Whether the order waits at the venue for its price, as is known for certain."""
        limited = self.intent.type.conditional or self.intent.type.limited
        return limited and self.status in (OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)

    @property
    def unclear(self) -> bool:
        """Whether the venue has to be asked what became of the order."""
        return not self.ended and not self.rests

    @property
    def remaining(self) -> Decimal:
        """Base units that may still be filled."""
        return ZERO if self.ended else self.intent.amount - self.filled

    @property
    def order(self) -> Order:
        """The order as it is shown and published."""
        intent = self.intent
        return Order(
            client_order_id=intent.client_order_id,
            venue_order_id=self.venue_order_id,
            strategy=intent.strategy,
            symbol=intent.symbol,
            side=intent.side,
            type=intent.type,
            amount=intent.amount,
            price=intent.price,
            status=self.status,
            filled=self.filled,
            cost=self.cost,
            created=self.created,
            updated=self.updated or self.created,
            message=self.conflict or self.message,
            stop_price=intent.stop_price,
            market_time=self.market_time,
            role=intent.role,
            entry=intent.entry,
            list_id=intent.list_id,
        )


def transition(order: TrackedOrder, event: OrderEvent, *, at: int = 0) -> TrackedOrder:
    """Return what is known about an order after an event.

    Two statements that cannot both be true are kept as ``conflict``; whoever calls halts the
    symbol.

    Args:
        at: wall time of the event, ms.
    """
    changed = _TABLE[event.kind](order, event)
    if changed == order:
        return order
    return replace(changed, updated=max(at, order.updated))


def fold(order: TrackedOrder, events: Iterable[OrderEvent]) -> TrackedOrder:
    """Return what is known about an order after a series of events."""
    for event in events:
        order = transition(order, event)
    return order


def _sent(order: TrackedOrder, event: OrderEvent) -> TrackedOrder:
    return replace(order, sent=True)


def _lost(order: TrackedOrder, event: OrderEvent) -> TrackedOrder:
    return replace(order, sent=True, lost=True, message=order.message or event.message)


def _absent(order: TrackedOrder, event: OrderEvent) -> TrackedOrder:
    return _checked(replace(order, absent=True))


def _refused(order: TrackedOrder, event: OrderEvent) -> TrackedOrder:
    return _checked(
        replace(
            order,
            refused=True,
            retry=event.retry or order.retry,
            message=order.message or event.message,
        )
    )


def _cancel_sent(order: TrackedOrder, event: OrderEvent) -> TrackedOrder:
    return replace(order, cancels_sent=max(order.cancels_sent, event.number))


def _cancel_refused(order: TrackedOrder, event: OrderEvent) -> TrackedOrder:
    return replace(order, cancels_refused=max(order.cancels_refused, event.number))


def _reported(order: TrackedOrder, event: OrderEvent) -> TrackedOrder:
    # The larger of two statements stands, so that it does not matter which of them came first.
    filled, cost = max((order.filled, order.cost), (event.filled, event.cost))
    order = replace(_named(order, event.venue_order_id or ""), sent=True, filled=filled, cost=cost)
    if event.status is not None and event.status.final:
        order = _ended(order, event.status, event)
    return _checked(order)


def _named(order: TrackedOrder, venue_order_id: str) -> TrackedOrder:
    """Return an order that the venue knows by an id, "" where the venue did not say which."""
    known = order.venue_order_id
    if not known or not venue_order_id:
        return replace(order, venue_order_id=known or venue_order_id)
    if known == venue_order_id:
        return order
    words = f"the venue has it as {known} and as {venue_order_id}"
    kept = min(known, venue_order_id)
    return replace(order, venue_order_id=kept, conflict=order.conflict or words)


def _ended(order: TrackedOrder, status: OrderStatus, event: OrderEvent) -> TrackedOrder:
    if order.final is None:
        message = event.message or order.message
        return replace(order, final=status, final_filled=event.filled, message=message)
    # The smaller word stands, so that it does not matter which of the two came first.
    kept, filled = min(order.final, status), min(order.final_filled, event.filled)
    changed = replace(order, final=kept, final_filled=filled)
    if order.final is status or {order.final, status} == _GIVEN_UP:
        return changed
    words = f"the venue says {order.final} and {status}"
    return replace(changed, conflict=order.conflict or words)


def _checked(order: TrackedOrder) -> TrackedOrder:
    """Return an order with a conflict, if two of its facts exclude each other."""
    amount, words = order.intent.amount, ""
    if order.acknowledged and (order.absent or order.refused):
        words = f"the venue reports it, and it was {'refused' if order.refused else 'absent'}"
    elif order.filled > amount:
        words = f"{order.filled} is filled of {amount}"
    elif order.final is OrderStatus.FILLED and order.filled < amount:
        words = f"it is filled, with {order.filled} of {amount}"
    elif order.final is not None and order.filled != order.final_filled:
        words = f"it ended with {order.final_filled} filled, and {order.filled} is reported"
    if not words or order.conflict:
        return order
    return replace(order, conflict=words)


_GIVEN_UP: Final = {OrderStatus.CANCELED, OrderStatus.EXPIRED}
"""Two words for one end: a venue cancels the other leg of a list under either."""

_TABLE: Final = {
    EventKind.SENT: _sent,
    EventKind.REPORTED: _reported,
    EventKind.REFUSED: _refused,
    EventKind.LOST: _lost,
    EventKind.ABSENT: _absent,
    EventKind.CANCEL_SENT: _cancel_sent,
    EventKind.CANCEL_REFUSED: _cancel_refused,
}
