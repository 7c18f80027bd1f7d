"""The stored records of orders, order lists, trades and prevented matches."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from botlib.paper.protocol.params import DEFAULT_ACCOUNT
from botlib.paper.protocol.stored import Stored

OPEN: Final = frozenset({"NEW", "PARTIALLY_FILLED", "PENDING_NEW"})
PENDING: Final = "PENDING_NEW"

STOPS: Final = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT"})
TARGETS: Final = frozenset({"TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
CONDITIONAL: Final = STOPS | TARGETS
"""Order types that wait outside the book until a stop price is reached."""

LIMITED: Final = frozenset({"LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
"""Order types with a limit price."""

_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peg:
    """How a pegged order takes its price from the book.

    Attributes:
        type: ``PRIMARY_PEG`` or ``MARKET_PEG``.
        offset: price levels away from the best one, None if not sent.
        price: limit price that was sent with the peg, 0 for none.
    """

    type: str
    offset: int | None = None
    price: Decimal = _NOTHING

    @property
    def level(self) -> int:
        """Price levels away from the best one, 0 if not sent."""
        return self.offset or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperOrder(Stored):
    """An order, with Binance's values for side, type, status and time in force.

    Attributes:
        amount: in base units, as are ``executed`` and ``iceberg``.
        quote_amount: in quote units, as is ``cost``.
        locked: reserved amount: quote units for a buy, base units for a sell.
        created: market time, ms, as are ``updated``, ``triggered`` and ``trailing_since``.
        stop_price: price at which the order enters the book, 0 for none.
        triggered: when the order entered the book, if later than it was sent; 0 otherwise.
        trailing_delta: distance of a trailing stop in basis points, 0 for none.
        trailed: best price since the trailing stop was activated, 0 before.
        trailing_since: when the trailing stop was activated, 0 before.
        prevented: amount that self-trade prevention removed from the order, in base units.
        priority: position in the queue at its price, lowest first.
        ahead: amount at its price that has to trade before this order, in base units.
        peg: how the price is taken from the book, None for orders that are not pegged. The price of
            a pegged order is 0 until it enters the book.
        amends: number of amendments.
        expiry: why the order expired, "" if it did not.
        amended: the amendments, each with execution id, client ids and amounts before and after,
            and time (ms).
    """

    order_id: int
    client_order_id: str
    symbol: str
    side: str
    type: str
    time_in_force: str
    price: Decimal
    amount: Decimal
    quote_amount: Decimal
    executed: Decimal
    cost: Decimal
    locked: Decimal
    locked_asset: str
    status: str
    created: int
    updated: int
    stop_price: Decimal = _NOTHING
    triggered: int = 0
    account: str = DEFAULT_ACCOUNT
    list_id: int = -1
    iceberg: Decimal = _NOTHING
    trailing_delta: int = 0
    trailed: Decimal = _NOTHING
    trailing_since: int = 0
    self_trade: str = "EXPIRE_MAKER"
    prevented: Decimal = _NOTHING
    prevented_match: int = -1
    priority: int = 0
    ahead: Decimal = _NOTHING
    strategy_id: int = 0
    strategy_type: int = 0
    amends: int = 0
    amended: list[dict[str, Any]] = field(default_factory=list)
    peg: Peg | None = None
    expiry: str = ""

    @classmethod
    def revive(cls, values: dict[str, Any]) -> None:
        """Convert the stored values of the peg."""
        if (peg := values.get("peg")) is not None:
            values["peg"] = Peg(**{**peg, "price": Decimal(peg["price"])})

    @property
    def limited(self) -> bool:
        """Whether the order has a limit price."""
        return self.type in LIMITED

    @property
    def open(self) -> bool:
        """Whether the order can still trade."""
        return self.status in OPEN

    @property
    def sent_price(self) -> Decimal:
        """Limit price that the client sent, 0 for none."""
        return self.price if self.peg is None else self.peg.price

    @property
    def buys(self) -> bool:
        """Whether this is a buy order."""
        return self.side == "BUY"

    @property
    def conditional(self) -> bool:
        """Whether the order was sent with a stop price or a trailing delta."""
        return self.stop_price > 0 or self.trailing_delta > 0

    @property
    def pending(self) -> bool:
        """Whether the order waits for the working order of its list."""
        return self.status == PENDING

    @property
    def dormant(self) -> bool:
        """Whether the order still waits for its stop price, outside the book."""
        return self.conditional and not self.triggered

    @property
    def working(self) -> bool:
        """Whether the order is in the book."""
        return self.open and not self.pending and not self.dormant

    @property
    def remaining(self) -> Decimal:
        """Amount that can still trade, in base units."""
        return self.amount - self.executed - self.prevented

    @property
    def visible(self) -> Decimal:
        """Amount that the book shows, in base units: of an iceberg order one part at a time."""
        if not self.iceberg:
            return self.remaining
        return min(self.remaining, self.iceberg - self.executed % self.iceberg)

    @property
    def working_since(self) -> int:
        """Market time (ms) at which the order entered the book, -1 before."""
        return -1 if self.dormant or self.pending else self.triggered or self.created


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTrade(Stored):
    """One side of an execution.

    Attributes:
        amount: in base units.
        quote_amount: price times amount, before the commission.
        commission: in units of ``commission_asset``.
        time: market time, ms.
        maker: whether the order was resting in the book.
        taped: whether the trade is on the public tape, under the same id.
        replaced: amount of the market's own trades that the trade replaces on that tape.
    """

    trade_id: int
    order_id: int
    symbol: str
    side: str
    price: Decimal
    amount: Decimal
    quote_amount: Decimal
    commission: Decimal
    commission_asset: str
    time: int
    maker: bool
    account: str = DEFAULT_ACCOUNT
    list_id: int = -1
    taped: bool = False
    replaced: Decimal = _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderList(Stored):
    """Orders that depend on each other: ``OCO``, or ``OTO`` with one or two pending orders.

    Attributes:
        order_ids: the working order first, if there is one, then the others.
        pending_ids: the orders that wait for the working order.
        created: market time, ms, as is ``updated``.
        done: whether no order of the list is open any more.
        pays: whether the amount that the working order receives becomes the amount of the pending
            orders (OPO).
    """

    list_id: int
    client_id: str
    account: str
    symbol: str
    contingency: str
    order_ids: list[int]
    pending_ids: list[int]
    created: int
    updated: int
    done: bool = False
    pays: bool = False

    @property
    def working_id(self) -> int | None:
        """Id of the order that the others wait for, None for an OCO."""
        return self.order_ids[0] if self.contingency != "OCO" else None

    def siblings(self, order_id: int) -> list[int]:
        """Return the ids of the other orders of which only one may trade."""
        pair = self.order_ids if self.contingency == "OCO" else self.pending_ids
        return [one for one in pair if one != order_id] if order_id in pair else []


@dataclass(frozen=True, slots=True, kw_only=True)
class PreventedMatch(Stored):
    """A trade between two orders of one account, or of one trade group, that was prevented.

    Attributes:
        account: account of the taker.
        mode: self-trade prevention mode that was applied.
        taker_amount: amount removed from the taker's order, in base units.
        maker_amount: amount removed from the maker's order, in base units.
        time: market time, ms.
        maker_account: account of the maker, "" for the same.
        group: number of the trade group, -1 for none.
        amount: amount that would have traded, in base units.
    """

    match_id: int
    account: str
    symbol: str
    taker_id: int
    maker_id: int
    mode: str
    price: Decimal
    taker_amount: Decimal
    maker_amount: Decimal
    time: int
    maker_account: str = ""
    group: int = -1
    amount: Decimal = _NOTHING

    @property
    def accounts(self) -> tuple[str, str]:
        """The accounts of taker and maker."""
        return self.account, self.maker_account or self.account
