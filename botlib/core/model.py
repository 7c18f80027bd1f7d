"""The domain: candles, signals, orders, fills, positions, and the events that carry them.

Everything here is frozen. Candle prices and volumes are float64, as analysis wants them; order
prices and amounts are `decimal.Decimal`, as money wants them. Timestamps are int ms, UTC; symbols
are unified (``BTC/USDT``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


class CandleSource(StrEnum):
    """The source of a stored candle."""

    STREAM = "stream"
    REST = "rest"
    IMPORT = "import"


class Side(StrEnum):
    """Side of an order."""

    BUY = "buy"
    SELL = "sell"


class SignalAction(StrEnum):
    """The wish of a strategy that a signal carries."""

    ENTRY = "entry"
    EXIT = "exit"


class OrderType(StrEnum):
    """The kind of an order: when and at which price it is filled."""

    MARKET = "market"
    LIMIT = "limit"
    STOP_LOSS = "stop_loss"
    """Sells at the market when the price has fallen to the stop price (buys: risen)."""
    STOP_LOSS_LIMIT = "stop_loss_limit"
    TAKE_PROFIT = "take_profit"
    """Sells at the market when the price has risen to the stop price (buys: fallen)."""
    TAKE_PROFIT_LIMIT = "take_profit_limit"

    @property
    def conditional(self) -> bool:
        """Whether it waits for a stop price."""
        return self not in (OrderType.MARKET, OrderType.LIMIT)

    @property
    def limited(self) -> bool:
        """Whether it has a limit price."""
        return self in (
            OrderType.LIMIT,
            OrderType.STOP_LOSS_LIMIT,
            OrderType.TAKE_PROFIT_LIMIT,
        )


class OrderStatus(StrEnum):
    """The status of an order, as far as it is known.

    ``INTENT`` is journaled and not yet sent. ``UNKNOWN`` was sent and its outcome is not known: it
    may exist, counts as filled for every limit, and only the venue can settle it.
    """

    INTENT = "intent"
    SENT = "sent"
    UNKNOWN = "unknown"
    OPEN = "open"
    PARTIALLY_FILLED = "partially_filled"
    PENDING_CANCEL = "pending_cancel"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    ABSENT = "absent"

    @property
    def final(self) -> bool:
        """Whether the status can no longer change."""
        return self in _FINAL


_FINAL = frozenset(
    {
        OrderStatus.FILLED,
        OrderStatus.CANCELED,
        OrderStatus.REJECTED,
        OrderStatus.EXPIRED,
        OrderStatus.ABSENT,
    }
)


class OrderRole(StrEnum):
    """What an order does for the book it belongs to."""

    ENTRY = "entry"
    EXIT = "exit"
    STOP = "stop"
    TARGET = "target"
    EMERGENCY = "emergency"
    """Sells at the market what could not be protected."""
    MANUAL = "manual"

    @property
    def protects(self) -> bool:
        """Whether the order limits the loss or takes the profit of a position."""
        return self in (OrderRole.STOP, OrderRole.TARGET, OrderRole.EMERGENCY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candle:
    """One candle, stamped with its open time.

    ``closed`` means that it is final: the venue's own flag in the stream, or REST after the close.
    """

    symbol: str
    timeframe: str
    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    closed: bool
    source: CandleSource

    def flaw(self) -> str | None:
        """Return what makes the candle impossible, or None if it is sound."""
        o, h, low, c, v = self.open, self.high, self.low, self.close, self.volume
        if not all(map(math.isfinite, (o, h, low, c, v))):
            return "a value is not finite"
        if low <= 0:
            return f"low {low} is not positive"
        if not (low <= o <= h and low <= c <= h):
            return f"open {o} or close {c} lies outside low {low} to high {h}"
        if v < 0:
            return f"volume {v} is negative"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """An entry or exit wish of a strategy, decided on the closed candle opened at ``timestamp``."""

    strategy: str
    symbol: str
    timeframe: str
    timestamp: int
    action: SignalAction
    price: float
    """Close of that candle: a reference, not a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderIntent:
    """An order as it is to be sent after the risk rules have approved it.

    ``client_order_id`` is derived from the signal, so that the same decision is the same intent.
    """

    client_order_id: str
    strategy: str
    symbol: str
    side: Side
    type: OrderType
    amount: Decimal
    price: Decimal | None = None
    stop_price: Decimal | None = None
    """The price that triggers a conditional order."""
    signal_timestamp: int | None = None
    reason: str = ""
    protects: bool = False
    """Whether it sells a position to limit its loss: a stop, or the sale in place of one."""
    role: OrderRole = OrderRole.ENTRY
    entry: str | None = None
    """Client order id of the entry whose position the order closes or protects."""
    sequence: int = 0
    """Number of the order among those of the same decision and role."""
    list_id: str | None = None
    """Client id of the order list that the order is a leg of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """An order as the venue last described it. ``cost`` is in quote units.

    ``created`` and ``updated`` are wall time (ms); ``market_time`` is the market's when it was
    sent, which differs from it in a replay, and None if an older journal does not store it.
    """

    client_order_id: str
    venue_order_id: str | None
    strategy: str
    symbol: str
    side: Side
    type: OrderType
    amount: Decimal
    price: Decimal | None
    status: OrderStatus
    filled: Decimal
    cost: Decimal
    created: int
    updated: int
    message: str = ""
    stop_price: Decimal | None = None
    market_time: int | None = None
    role: OrderRole = OrderRole.ENTRY
    entry: str | None = None
    list_id: str | None = None

    @property
    def average(self) -> Decimal | None:
        """Average fill price, or None before the first fill."""
        return self.cost / self.filled if self.filled else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill:
    """One execution of one of our orders. The fee is taken from ``fee_asset``."""

    symbol: str
    trade_id: int
    venue_order_id: str
    client_order_id: str | None
    side: Side
    price: Decimal
    amount: Decimal
    fee: Decimal
    fee_asset: str
    timestamp: int
    maker: bool

    @property
    def cost(self) -> Decimal:
        """Price times amount, in quote units, before fees."""
        return self.price * self.amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """The sum of the fills of one symbol; ``amount`` is net of fees taken in the base asset."""

    symbol: str
    amount: Decimal
    entry_price: Decimal
    """Average price paid per unit held, fees included, in quote units; 0 when flat."""
    opened: int | None
    realised: Decimal
    """Profit booked so far, in quote units, fees included."""

    @property
    def flat(self) -> bool:
        """Whether no amount is held."""
        return self.amount == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of all events published on the bus."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleUpdated(Event):
    """The forming candle of a subscription changed. Conflated: only the newest state is kept."""

    candle: Candle
    event_time: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleClosed(Event):
    """A candle became final and is stored. Published once per candle, in order, per subscription.

    ``event_time`` is the market's time when it became known. ``backfilled`` marks history that
    was fetched later: strategies see it as data, but it is too old to trade on.
    """

    candle: Candle
    event_time: int
    backfilled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GapFilled(Event):
    """A range of candles was missed and fetched again, from ``start`` to ``end`` (open times)."""

    symbol: str
    timeframe: str
    start: int
    end: int
    candles: int
    holes: int
    """Number of candles the venue itself does not have: recorded as holes, never invented."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalRaised(Event):
    """A strategy raised a signal."""

    signal: Signal


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUpdated(Event):
    """The state of one of our orders changed."""

    order: Order


@dataclass(frozen=True, slots=True, kw_only=True)
class FillReceived(Event):
    """One of our orders was filled, in part or whole. Published once per execution."""

    fill: Fill


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionChanged(Event):
    """A fill changed a position."""

    position: Position


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed(Event):
    """A run of a task failed."""

    task: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryRefused(Event):
    """What a strategy wanted was not done: by which rule, at which value and limit, and why."""

    strategy: str
    symbol: str
    reason: str
    rule: str = ""
    value: str = ""
    limit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestsHeldBack(Event):
    """Requests other than exits wait, since a limit of the venue is nearly used up.

    Published once for each limit and kind of request in a window of the limit.
    """

    requests: str
    """What is held back: ``entries``, ``reads`` …"""
    reason: str
    rule: str
    """Name of the limit, such as ``request_weight_1m`` or ``orders_10s``."""
    value: str
    limit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Halted(Event):
    """Entries were stopped; exits stay allowed."""

    reason: str
