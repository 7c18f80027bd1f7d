"""New orders and order lists as they were sent, before any check against the market."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from botlib.paper.accounts.orders import CONDITIONAL, LIMITED, Peg
from botlib.paper.market.rules import DEFAULT_SELF_TRADE, SELF_TRADE_MODES
from botlib.paper.matching.filters import ORDER_TYPES
from botlib.paper.protocol.params import Params
from botlib.paper.protocol.refusals import Refusal, illegal, missing, refusal, rejected, unexpected

_CLIENT_ID_RANGE: Final = "^[a-zA-Z0-9-_]{1,36}$"
_CLIENT_ID: Final = re.compile(_CLIENT_ID_RANGE)
_FORCES: Final = ("GTC", "IOC", "FOK")
_LOWEST_STRATEGY_TYPE: Final = 1_000_000
_MAX_OFFSET: Final = 100
"""Maximum offset of a pegged price, in price levels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """A new order; None for parameters that were not sent.

    Attributes:
        amount: in base units, as is ``iceberg``.
        quote_amount: in quote units.
        trailing_delta: in basis points, 0 for none.
        paid: whether its amount is what the working order of its list receives (OPO).
    """

    side: str
    type: str
    time_in_force: str
    price: Decimal | None
    amount: Decimal | None
    quote_amount: Decimal | None
    client_order_id: str | None
    stop_price: Decimal | None = None
    trailing_delta: int = 0
    iceberg: Decimal | None = None
    self_trade: str = DEFAULT_SELF_TRADE
    strategy_id: int = 0
    strategy_type: int = 0
    peg: Peg | None = None
    paid: bool = False

    @property
    def conditional(self) -> bool:
        """Whether the order waits for a stop price."""
        return self.type in CONDITIONAL

    @property
    def stays_open(self) -> bool:
        """Whether the order can be open after its request: it waits, or rests in the book."""
        return self.conditional or (self.type in LIMITED and self.time_in_force == "GTC")


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderListRequest:
    """A new order list.

    Attributes:
        working: order that the others wait for, None for an OCO.
        others: one order, or the two orders of a pair with the upper one first.
        client_id: id of the list given by the client, None for a generated one.
        pays: whether the amount the working order receives becomes the amount of the others (OPO).
    """

    working: OrderRequest | None
    others: Sequence[OrderRequest]
    client_id: str | None = None
    pays: bool = False

    @property
    def orders(self) -> list[OrderRequest]:
        """All orders of the list, the working order first."""
        return [*self.others] if self.working is None else [self.working, *self.others]


def read_order(
    params: Params,
    names: Mapping[str, str] | None = None,
    given: Mapping[str, str] | None = None,
    *,
    paid: bool = False,
) -> OrderRequest:
    """Parse the parameters of a new order.

    Args:
        params: parameters of the request.
        names: names under which parameters of this order are sent, by their usual names; ""
            for a parameter that cannot be sent.
        given: values of parameters that follow from the request.
        paid: whether its amount is what the working order of its list receives.

    Raises:
        Refusal: a parameter is missing, not accepted, or does not belong to the order type.
    """
    reader = _OrderParams(params, names or {}, given or {})
    side, kind = reader.need("side"), reader.need("type")
    if side not in ("BUY", "SELL"):
        raise refusal(-1117)
    if kind not in ORDER_TYPES:
        raise refusal(-1116)
    _check_combination(reader, kind, paid=paid)
    force = reader.text("timeInForce") or "GTC"
    if force not in _FORCES:
        raise refusal(-1115)
    iceberg = _read_iceberg(reader, kind, force, listed=bool(names))
    price, peg = reader.decimal("price"), _read_peg(reader, kind, force)
    if peg is not None and price is not None:
        peg = replace(peg, price=price)
        price = None
    return OrderRequest(
        side=side,
        type=kind,
        time_in_force=force,
        price=price,
        peg=peg,
        paid=paid,
        amount=reader.decimal("quantity"),
        quote_amount=reader.decimal("quoteOrderQty"),
        client_order_id=read_client_id(params, reader.name("newClientOrderId")),
        stop_price=reader.decimal("stopPrice"),
        trailing_delta=reader.integer("trailingDelta") or 0,
        iceberg=iceberg,
        self_trade=read_self_trade(params),
        strategy_id=reader.integer("strategyId") or 0,
        strategy_type=_strategy_type(reader),
    )


def _read_iceberg(reader: _OrderParams, kind: str, force: str, *, listed: bool) -> Decimal | None:
    """Parse the visible part of an iceberg order, None for any other order.

    Args:
        listed: whether the order is one of a list, whose parameters have names of their own.
    """
    iceberg = reader.decimal("icebergQty")
    if iceberg is not None and (force != "GTC" or kind not in LIMITED):
        name, other = reader.name("icebergQty"), reader.name("timeInForce")
        if kind in LIMITED and listed:
            raise Refusal(-1160, f"Parameter '{name}' is not supported if {other} is not GTC.")
        raise unexpected(name)
    return iceberg


def _read_peg(reader: _OrderParams, kind: str, force: str) -> Peg | None:
    """Parse the peg of an order, None for an order that is not pegged."""
    found, offset = reader.text("pegPriceType"), reader.integer("pegOffsetValue")
    unit = reader.text("pegOffsetType")
    if unit not in (None, "PRICE_LEVEL"):
        raise refusal(-1211)
    if (unit is None) != (offset is None) or (found is None and offset is not None):
        raise refusal(-1128)
    if found is None:
        return None
    if found not in ("PRIMARY_PEG", "MARKET_PEG"):
        raise refusal(-1210)
    if offset is not None and offset > _MAX_OFFSET:
        raise refusal(-1130, reader.name("pegOffsetValue"))
    if kind not in LIMITED:
        raise rejected("This order type may not use pegged price.")
    rests = found == "PRIMARY_PEG"
    if (kind == "LIMIT_MAKER" and not rests) or (kind == "LIMIT" and rests and force != "GTC"):
        raise rejected("This price peg cannot be used with this order type.")
    return Peg(type=found, offset=offset)


def _strategy_type(reader: _OrderParams) -> int:
    found = reader.integer("strategyType")
    if found is not None and found < _LOWEST_STRATEGY_TYPE:
        raise refusal(-1134)
    return found or 0


def _check_combination(reader: _OrderParams, kind: str, *, paid: bool) -> None:
    """Check that the parameters are those of the order type.

    Raises:
        Refusal: one is missing, or does not belong to the type.
    """
    forced = kind in LIMITED and kind != "LIMIT_MAKER"
    for name, needed in (("timeInForce", forced), ("price", kind in LIMITED)):
        if needed and not (name == "price" and "pegPriceType" in reader):
            reader.need(name)
        elif name in reader and not needed:
            raise unexpected(reader.name(name))
    if kind not in CONDITIONAL:
        for name in ("stopPrice", "trailingDelta"):
            if name in reader:
                raise unexpected(reader.name(name))
    elif "stopPrice" not in reader and "trailingDelta" not in reader:
        raise Refusal(
            -1102,
            f"Param '{reader.name('stopPrice')}' or '{reader.name('trailingDelta')}' must be "
            "sent, but both were empty/null!",
        )
    if paid:
        return
    if kind != "MARKET":
        reader.need("quantity")
        if "quoteOrderQty" in reader:
            raise unexpected("quoteOrderQty")
    elif "quantity" not in reader and "quoteOrderQty" not in reader:
        raise missing(reader.name("quantity"))
    elif "quantity" in reader and "quoteOrderQty" in reader:
        raise unexpected("quoteOrderQty")


class _OrderParams:
    """The parameters of one order of a request that may carry several orders."""

    def __init__(self, params: Params, names: Mapping[str, str], given: Mapping[str, str]) -> None:
        self._params = params
        self._names = names
        self._given = given

    def name(self, name: str) -> str:
        """Return the name under which a parameter is sent."""
        return self._names.get(name, name)

    def __contains__(self, name: str) -> bool:
        return bool(self.name(name)) and self.name(name) in self._params

    def text(self, name: str) -> str | None:
        """Return a text, None if it was not sent."""
        if name in self._given:
            return self._given[name]
        sent = self.name(name)
        return self._params.text(sent) if sent else None

    def need(self, name: str) -> str:
        """Return a mandatory text."""
        found = self.text(name)
        return found if found is not None else self._params.need(self.name(name))

    def decimal(self, name: str) -> Decimal | None:
        """Return a positive decimal, None if it was not sent."""
        sent = self.name(name)
        return self._params.decimal(sent) if sent else None

    def integer(self, name: str) -> int | None:
        """Return an integer, None if it was not sent."""
        sent = self.name(name)
        return self._params.integer(sent) if sent else None


def read_client_id(params: Params, name: str) -> str | None:
    """Parse a client id, None if it was not sent."""
    value = params.text(name)
    if value is not None and not _CLIENT_ID.fullmatch(value):
        raise illegal(name, _CLIENT_ID_RANGE)
    return value


def read_self_trade(params: Params) -> str:
    """Parse the self-trade prevention mode."""
    mode = params.text("selfTradePreventionMode") or DEFAULT_SELF_TRADE
    if mode not in SELF_TRADE_MODES:
        raise Refusal(-1013, "This symbol does not allow the specified self-trade prevention mode.")
    return mode


def read_detail(params: Params, default: str) -> str:
    """Parse the detail of the answer to a new order: ``ACK``, ``RESULT`` or ``FULL``."""
    detail = params.text("newOrderRespType") or default
    if detail not in ("ACK", "RESULT", "FULL"):
        raise missing("newOrderRespType")
    return detail
