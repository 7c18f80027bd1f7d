"""The matching engine: takes orders, fills them at the market's prices, and keeps the account.

The market is deep: an order that trades is filled whole, at one price. Market orders and limit
orders that cross take the present price; resting orders fill at their own price, as maker, when the
market reaches it. The fee is taken from the asset received.

An order with a stop price waits outside the book until the market reaches that price. Inside a
candle the price moves from one step to the next without a gap, so the order is triggered at its
stop price; where a candle opens beyond the stop price, it is triggered at the open.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Final

from botlib.exchange.paper import filters
from botlib.exchange.paper.account import Account, Draft
from botlib.exchange.paper.feed import Feed
from botlib.exchange.paper.ledger import Ledger
from botlib.exchange.paper.market import Listing
from botlib.exchange.paper.orders import PaperOrder, PaperTrade
from botlib.exchange.paper.params import Params
from botlib.exchange.paper.quotes import Json
from botlib.exchange.paper.refusals import Refusal, illegal, missing, rejected, unexpected

_EIGHT: Final = Decimal("0.00000001")
_NOTHING: Final = Decimal(0)
_CLIENT_ID_RANGE: Final = "^[a-zA-Z0-9-_]{1,36}$"
_CLIENT_ID: Final = re.compile(_CLIENT_ID_RANGE)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderRequest:
    """A new order as it was sent, its parameters read but not yet weighed."""

    side: str
    type: str
    time_in_force: str
    price: Decimal | None
    amount: Decimal | None
    quote_amount: Decimal | None
    client_order_id: str | None
    stop_price: Decimal | None = None


def read_order(params: Params) -> OrderRequest:
    """Read the parameters of a new order.

    Raises:
        Refusal: one is missing, not accepted, or does not belong to the type of the order.
    """
    side, kind = params.need("side"), params.need("type")
    if side not in ("BUY", "SELL"):
        raise Refusal(-1117, "Invalid side.")
    if kind not in filters.ORDER_TYPES:
        raise Refusal(-1116, "Invalid orderType.")
    for name in ("trailingDelta", "icebergQty"):
        if name in params:
            raise unexpected(name)
    forced = kind in filters.LIMITED and kind != "LIMIT_MAKER"
    for name, needed in (
        ("timeInForce", forced),
        ("price", kind in filters.LIMITED),
        ("stopPrice", kind in filters.CONDITIONAL),
    ):
        if needed:
            params.need(name)
        elif name in params:
            raise unexpected(name)
    if kind != "MARKET":
        params.need("quantity")
        if "quoteOrderQty" in params:
            raise unexpected("quoteOrderQty")
    else:
        if "quantity" not in params and "quoteOrderQty" not in params:
            raise missing("quantity")
        if "quantity" in params and "quoteOrderQty" in params:
            raise unexpected("quoteOrderQty")
    force = params.text("timeInForce") or "GTC"
    if force not in ("GTC", "IOC", "FOK"):
        raise Refusal(-1115, "Invalid timeInForce.")
    return OrderRequest(
        side=side,
        type=kind,
        time_in_force=force,
        price=params.decimal("price"),
        amount=params.decimal("quantity"),
        quote_amount=params.decimal("quoteOrderQty"),
        client_order_id=read_client_id(params, "newClientOrderId"),
        stop_price=params.decimal("stopPrice"),
    )


def read_client_id(params: Params, name: str) -> str | None:
    """Read a client's own id, None where none was sent."""
    value = params.text(name)
    if value is not None and not _CLIENT_ID.fullmatch(value):
        raise illegal(name, _CLIENT_ID_RANGE)
    return value


class Desk:
    """Takes, fills and cancels the orders of one account.

    Args:
        account: the state, as loaded from the ledger.
        ledger: written before anything becomes true.
        fee: fraction of what is received.
        slippage: fraction by which takers fill worse than the present price.
    """

    def __init__(
        self, account: Account, ledger: Ledger, *, fee: Decimal, slippage: Decimal = _NOTHING
    ) -> None:
        self.account = account
        self.fee = fee
        self.slippage = slippage
        self._ledger = ledger

    def resting(self, symbol: str) -> int:
        """Return how many orders of a symbol (by id) wait in the book."""
        return len(self.account.open_orders(symbol))

    def check(self, feed: Feed, request: OrderRequest, time: int) -> None:
        """Weigh an order without taking it.

        Raises:
            Refusal: it would not be taken.
        """
        self._draft_order(feed, request, time)

    def place(
        self, feed: Feed, request: OrderRequest, time: int
    ) -> tuple[PaperOrder, list[PaperTrade], list[Json]]:
        """Take an order; returns it, its trades and the user events.

        Raises:
            Refusal: it is not accepted; nothing has changed.
        """
        draft, number = self._draft_order(feed, request, time)
        self._make_true(draft)
        return draft.orders[number], draft.trades, draft.events()

    def cancel(
        self, order: PaperOrder, cancel_id: str | None, time: int
    ) -> tuple[PaperOrder, str, list[Json]]:
        """Take an order out of the book; returns it, the cancellation's id and the user events."""
        draft = Draft(self.account, time)
        done, number = self._draft_cancel(draft, order, cancel_id)
        self._make_true(draft)
        return done, number, draft.events()

    def cancel_all(self, symbol: str, time: int) -> tuple[list[tuple[PaperOrder, str]], list[Json]]:
        """Take every order of a symbol out of the book, in one piece."""
        draft = Draft(self.account, time)
        done = [
            self._draft_cancel(draft, order, None) for order in self.account.open_orders(symbol)
        ]
        self._make_true(draft)
        return done, draft.events()

    def cross(self, feed: Feed, time: int) -> list[Json]:
        """Trigger and fill the orders that the present price reaches; returns the user events."""
        price = feed.last_price
        reached = [order for order in self.account.open_orders(feed.id) if _reached(order, price)]
        if not reached:
            return []
        draft = Draft(self.account, time)
        for order in reached:
            if order.dormant:
                self._trigger(draft, order, feed)
            else:
                self._fill(draft, order, feed.listing, order.price, maker=True)
        self._make_true(draft)
        return draft.events()

    # -- one change

    def _make_true(self, draft: Draft) -> None:
        self._ledger.commit(draft)
        self.account.apply(draft)

    def _draft_order(self, feed: Feed, request: OrderRequest, time: int) -> tuple[Draft, int]:
        if not feed.trading:
            raise rejected("Market is closed.")
        listing = feed.listing
        market = request.type not in filters.LIMITED
        stop = request.stop_price or _NOTHING
        taking = self._taking_price(listing, request.side, stop or feed.last_price)
        amount = request.amount
        if amount is None:
            assert request.quote_amount is not None
            amount = request.quote_amount / taking // listing.step * listing.step
        price = request.price or _NOTHING
        filters.check_amount(listing, amount, market=market)
        if not market:
            filters.check_price(listing, request.side, price, feed.average())
        if stop:
            filters.check_grid(listing, stop)
        value = price or stop or feed.average()
        filters.check_cost(listing, amount * value, market=market)
        waiting = self.account.open_orders(feed.id)
        conditional = sum(order.conditional for order in waiting)
        filters.check_open_orders(len(waiting), conditional + 1 if stop else 0)
        client_id = request.client_order_id
        if any(order.client_order_id == client_id for order in waiting):
            raise rejected("Duplicate order sent.")
        if stop and _beyond(request.type, request.side, feed.last_price, stop):
            raise rejected("Order would trigger immediately.")
        crosses = not stop and (market or _crosses(request.side, price, taking))
        if crosses and request.type == "LIMIT_MAKER":
            raise rejected("Order would immediately match and take.")
        draft = Draft(self.account, time)
        number = draft.next_order_id()
        asset, held = self._held(listing, request.side, amount, taking if market else price)
        draft.lock(asset, held)
        order = PaperOrder(
            order_id=number,
            client_order_id=client_id or f"paper{number}",
            symbol=listing.id,
            side=request.side,
            type=request.type,
            time_in_force=request.time_in_force,
            price=price,
            amount=amount,
            quote_amount=request.quote_amount or _NOTHING,
            executed=_NOTHING,
            cost=_NOTHING,
            locked=held,
            locked_asset=asset,
            status="NEW",
            created=time,
            updated=time,
            stop_price=stop,
        )
        draft.report(order, "NEW")
        if crosses:
            self._fill(draft, order, listing, taking, maker=False)
        elif request.time_in_force != "GTC" and not stop:
            self._expire(draft, order)
        return draft, number

    def _trigger(self, draft: Draft, order: PaperOrder, feed: Feed) -> None:
        """Send a dormant order into the book, at the price that triggered it."""
        listing = feed.listing
        price = feed.last_price if feed.opening else order.stop_price
        taking = self._taking_price(listing, order.side, price)
        order = dataclasses.replace(order, triggered=draft.time, updated=draft.time)
        market = order.type not in filters.LIMITED
        if not market and not _crosses(order.side, order.price, taking):
            draft.report(order, "NEW")
            if order.time_in_force != "GTC":
                self._expire(draft, order)
            return
        if market and order.side == "BUY":
            # A gap may cost more than was held back.
            asset, held = self._held(listing, order.side, order.amount, taking)
            if held > order.locked + draft.balance(asset).free:
                self._expire(draft, order)
                return
            draft.unlock(asset, order.locked)
            draft.lock(asset, held)
            order = dataclasses.replace(order, locked=held)
        self._fill(draft, order, listing, taking, maker=False)

    @staticmethod
    def _expire(draft: Draft, order: PaperOrder) -> None:
        draft.unlock(order.locked_asset, order.locked)
        expired = dataclasses.replace(order, locked=_NOTHING, status="EXPIRED", updated=draft.time)
        draft.report(expired, "EXPIRED")

    def _taking_price(self, listing: Listing, side: str, price: Decimal) -> Decimal:
        tick = listing.tick
        if not self.slippage:
            return price
        sign, rounding = (1, ROUND_UP) if side == "BUY" else (-1, ROUND_DOWN)
        ticks = (price * (1 + sign * self.slippage) / tick).to_integral_value(rounding)
        return max(tick, ticks * tick)

    @staticmethod
    def _held(listing: Listing, side: str, amount: Decimal, price: Decimal) -> tuple[str, Decimal]:
        if side == "BUY":
            return listing.quote, (amount * price).quantize(_EIGHT, ROUND_UP)
        return listing.base, amount

    def _fill(
        self, draft: Draft, order: PaperOrder, listing: Listing, price: Decimal, *, maker: bool
    ) -> None:
        amount = order.amount - order.executed
        cost = (amount * price).quantize(_EIGHT, ROUND_DOWN)
        if order.side == "BUY":
            given, received, got = cost, listing.base, amount
        else:
            given, received, got = amount, listing.quote, cost
        commission = (got * self.fee).quantize(_EIGHT, ROUND_DOWN)
        draft.spend(order.locked_asset, given)
        if order.locked > given:
            draft.unlock(order.locked_asset, order.locked - given)
        draft.receive(received, got - commission)
        trade = PaperTrade(
            trade_id=draft.next_trade_id(),
            order_id=order.order_id,
            symbol=order.symbol,
            side=order.side,
            price=price,
            amount=amount,
            quote_amount=cost,
            commission=commission,
            commission_asset=received,
            time=draft.time,
            maker=maker,
        )
        filled = dataclasses.replace(
            order,
            executed=order.amount,
            cost=order.cost + cost,
            locked=_NOTHING,
            status="FILLED",
            updated=draft.time,
        )
        draft.report(filled, "TRADE", trade)

    def _draft_cancel(
        self, draft: Draft, order: PaperOrder, cancel_id: str | None
    ) -> tuple[PaperOrder, str]:
        number = cancel_id or f"cancel{order.order_id}"
        draft.unlock(order.locked_asset, order.locked)
        done = dataclasses.replace(order, locked=_NOTHING, status="CANCELED", updated=draft.time)
        draft.report(done, "CANCELED", cancel_id=number)
        return done, number


def _beyond(kind: str, side: str, price: Decimal, stop: Decimal) -> bool:
    """Tell whether a price has reached a stop price, from the side the order waits on."""
    rising = (kind in filters.STOPS) == (side == "BUY")
    return price >= stop if rising else price <= stop


def _crosses(side: str, price: Decimal, taking: Decimal) -> bool:
    return price >= taking if side == "BUY" else price <= taking


def _reached(order: PaperOrder, price: Decimal) -> bool:
    if order.dormant:
        return _beyond(order.type, order.side, price, order.stop_price)
    return price <= order.price if order.side == "BUY" else price >= order.price
