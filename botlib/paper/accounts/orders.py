"""Orders, their lists and their trades, as the venue keeps them."""

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
"""Types that wait for a stop price outside the book."""

LIMITED: Final = frozenset({"LIMIT", "LIMIT_MAKER", "STOP_LOSS_LIMIT", "TAKE_PROFIT_LIMIT"})
"""Types that name a price of their own."""

_NOTHING: Final = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peg:
    """How the price of an order is found in the book.

    Attributes:
        type: ``PRIMARY_PEG`` or ``MARKET_PEG``.
        offset: price levels away from the best one, None where none were asked for.
        price: the price that was sent besides, 0 for none.
    """

    type: str
    offset: int | None = None
    price: Decimal = _NOTHING

    @property
    def level(self) -> int:
        """Price levels away from the best one."""
        return self.offset or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperOrder(Stored):
    """An order in Binance's words. Amounts in base, ``cost`` and ``quote_amount`` in quote units.

    Attributes:
        locked: what the order still holds back: quote for a buy, base for a sale.
        stop_price: the order is not in the book before the price reaches it; 0 for none.
        triggered: when it came into the book later than it was sent, ms.
        trailing_delta: distance in basis points at which the stop follows the price; 0 for none.
        trailed: the best price since the stop began to follow, 0 before.
        trailing_since: when it began to follow, ms; 0 before.
        prevented: what self-trade prevention took away from the amount.
        priority: place in the queue at its price, the smallest first.
        ahead: what stands before it at its price and has to trade first.
        peg: how its price is found, where it is; the price is 0 before.
        amended: how it was made smaller: number of the execution, ids and amounts before and
            after, and time (ms).
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

    @classmethod
    def revive(cls, values: dict[str, Any]) -> None:
        """Make of a stored record's values what they were."""
        if (peg := values.get("peg")) is not None:
            values["peg"] = Peg(**{**peg, "price": Decimal(peg["price"])})

    @property
    def limited(self) -> bool:
        """Whether it names a price of its own."""
        return self.type in LIMITED

    @property
    def open(self) -> bool:
        """Whether it can still trade."""
        return self.status in OPEN

    @property
    def sent_price(self) -> Decimal:
        """The price that the client sent."""
        return self.price if self.peg is None else self.peg.price

    @property
    def buys(self) -> bool:
        """Whether it buys."""
        return self.side == "BUY"

    @property
    def conditional(self) -> bool:
        """Whether it was sent with a stop price or a trailing one."""
        return self.stop_price > 0 or self.trailing_delta > 0

    @property
    def pending(self) -> bool:
        """Whether it waits for another order of its list."""
        return self.status == PENDING

    @property
    def dormant(self) -> bool:
        """Whether it still waits for its stop price, outside the book."""
        return self.conditional and not self.triggered

    @property
    def working(self) -> bool:
        """Whether it stands in the book."""
        return self.open and not self.pending and not self.dormant

    @property
    def remaining(self) -> Decimal:
        """What can still trade, in base units."""
        return self.amount - self.executed - self.prevented

    @property
    def visible(self) -> Decimal:
        """What the book shows of it: an iceberg shows one part at a time."""
        if not self.iceberg:
            return self.remaining
        return min(self.remaining, self.iceberg - self.executed % self.iceberg)

    @property
    def working_since(self) -> int:
        """Market time (ms) at which it came into the book, -1 where it did not yet."""
        return -1 if self.dormant or self.pending else self.triggered or self.created


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperTrade(Stored):
    """One side of an execution. ``quote_amount`` is price times amount, before the commission."""

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
    """Whether it stands on the public tape, under the same id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderList(Stored):
    """Orders that depend on each other: ``OCO``, or ``OTO`` with one or two that wait.

    Attributes:
        order_ids: the working order first where there is one, then the others.
        pending_ids: the orders that wait for the working one.
        pays: whether what the working order receives becomes the amount of the others.
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
        """The order that the others wait for, None for a plain OCO."""
        return self.order_ids[0] if self.contingency != "OCO" else None

    def siblings(self, order_id: int) -> list[int]:
        """Return the orders of which only one may trade, without the given one."""
        pair = self.order_ids if self.contingency == "OCO" else self.pending_ids
        return [one for one in pair if one != order_id] if order_id in pair else []


@dataclass(frozen=True, slots=True, kw_only=True)
class PreventedMatch(Stored):
    """Two orders of one account, or of one group of accounts, that would have met each other.

    Attributes:
        account: the taker's.
        mode: how they were kept from it.
        taker_amount: what that took away from the taker's order, ``maker_amount`` from the maker's.
        maker_account: the maker's, "" for the same.
        group: the number of the group of accounts, -1 for none.
        amount: what they would have traded.
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
        """The accounts of both sides."""
        return self.account, self.maker_account or self.account
