"""The settlement of trades: balances, commissions, and the amounts that orders reserve.

Everything here changes a `Transaction` only.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from typing import Final, NamedTuple

from botlib.paper.accounts.commission import EIGHT, Commission
from botlib.paper.accounts.orders import LIMITED, PaperOrder, PaperTrade
from botlib.paper.accounts.state import VenueState
from botlib.paper.accounts.transaction import Transaction
from botlib.paper.market.feed import Feed
from botlib.paper.matching.crossing import PlannedPrevention

_NOTHING: Final = Decimal(0)


class TradeTerms(NamedTuple):
    """One side of a trade.

    Attributes:
        trade_id: id of the trade.
        price: in quote units.
        amount: in base units.
        maker: whether the order was resting in the book.
        replaced: amount of the market's own trades that it replaces on the tape.
    """

    trade_id: int
    price: Decimal
    amount: Decimal
    maker: bool
    replaced: Decimal = _NOTHING

    @property
    def cost(self) -> Decimal:
        """Price times amount, in quote units, rounded down to 8 decimals."""
        return _cost(self.price, self.amount)


class TradeSettlement:
    """Settlement of trades in a transaction.

    Args:
        state: state of the venue.
        commission: rates of the venue.
    """

    def __init__(self, state: VenueState, commission: Commission) -> None:
        self._state = state
        self._commission = commission

    def trade_with_market(
        self, transaction: Transaction, feed: Feed, order: PaperOrder, terms: TradeTerms
    ) -> PaperOrder:
        """Settle a trade of an order with the market, and return the order after it."""
        sign = 1 if order.buys else -1
        transaction.to_market(feed.listing.base, -sign * terms.amount)
        transaction.to_market(feed.listing.quote, sign * terms.cost)
        return self.settle(transaction, feed, order, terms)

    def settle(
        self, transaction: Transaction, feed: Feed, order: PaperOrder, terms: TradeTerms
    ) -> PaperOrder:
        """Settle one side of a trade, and return the order after it."""
        listing, amount, cost = feed.listing, terms.amount, terms.cost
        if order.buys:
            spent, received, received_amount = cost, listing.base, amount
        else:
            spent, received, received_amount = amount, listing.quote, cost
        transaction.spend(order.account, order.locked_asset, spent)
        asset, fee = self._commission.charge(
            transaction,
            order,
            burns=self._state.account(order.account).burns_bnb,
            quote=listing.quote,
            cost=cost,
            received=received,
            amount=received_amount,
            maker=terms.maker,
        )
        order = replace(
            order,
            executed=order.executed + amount,
            cost=order.cost + cost,
            locked=order.locked - spent,
            status="PARTIALLY_FILLED" if order.remaining - amount else "FILLED",
            updated=transaction.time,
        )
        trade = _trade_of(order, terms, fee, asset, taped=feed.tapes_accounts)
        order = transaction.report_order(release_surplus(transaction, order), "TRADE", trade)
        if order.list_id >= 0:
            _reserve_for_pending(transaction, order, trade)
        return order


def _trade_of(
    order: PaperOrder, terms: TradeTerms, fee: Decimal, fee_asset: str, *, taped: bool
) -> PaperTrade:
    """Return the trade that has just changed an order."""
    return PaperTrade(
        trade_id=terms.trade_id,
        order_id=order.order_id,
        symbol=order.symbol,
        side=order.side,
        price=terms.price,
        amount=terms.amount,
        quote_amount=terms.cost,
        commission=fee,
        commission_asset=fee_asset,
        time=order.updated,
        maker=terms.maker,
        account=order.account,
        list_id=order.list_id,
        taped=taped,
        replaced=terms.replaced,
    )


def next_trade_id(
    transaction: Transaction,
    feed: Feed,
    price: Decimal,
    amount: Decimal,
    *,
    seller_taker: bool,
    replaced: Decimal = _NOTHING,
) -> int:
    """Return the id of a new trade, which is on the public tape if the book has a depth.

    Otherwise it is of the size of those on the tape.

    Args:
        transaction: change that the trade belongs to.
        feed: feed of the symbol.
        price: in quote units.
        amount: in base units.
        seller_taker: whether the seller was the taker.
        replaced: amount of the market's own trades that it replaces on the tape.
    """
    if not feed.tapes_accounts:
        return transaction.next_trade_id(feed.trade_number(transaction.time))
    return transaction.add_to_tape(
        feed.tape, price, amount, seller_taker=seller_taker, replaced=replaced
    )


def transfer(
    transaction: Transaction,
    feed: Feed,
    taker: PaperOrder,
    maker: PaperOrder,
    step: PlannedPrevention,
) -> tuple[PaperOrder, PaperOrder]:
    """Exchange an amount between two accounts of a trade group, without a commission.

    Returns:
        The taker's order and the maker's order after the transfer.
    """
    base, quote = feed.listing.base, feed.listing.quote
    cost = _cost(step.price, step.amount)
    changed = []
    for order in (taker, maker):
        spent, amount = (quote, cost) if order.buys else (base, step.amount)
        received, received_amount = (base, step.amount) if order.buys else (quote, cost)
        transaction.spend(order.account, spent, amount)
        transaction.receive(order.account, received, received_amount)
        changed.append(transaction.put_order(replace(order, locked=order.locked - amount)))
    return changed[0], changed[1]


def release_surplus(transaction: Transaction, order: PaperOrder) -> PaperOrder:
    """Release what an order reserves beyond its need, and return the order after it."""
    surplus = order.locked - (required_reserve(order) if order.open else _NOTHING)
    if surplus <= 0:
        return order
    transaction.unlock(order.account, order.locked_asset, surplus)
    return replace(order, locked=order.locked - surplus)


def change_reserve(
    transaction: Transaction, order: PaperOrder, amount: Decimal
) -> PaperOrder | None:
    """Replace the reserve of an order by another amount.

    Returns:
        The order after it, None if the balance is too small.
    """
    if amount > order.locked + transaction.balance(order.account, order.locked_asset).free:
        return None
    transaction.unlock(order.account, order.locked_asset, order.locked)
    transaction.lock(order.account, order.locked_asset, amount)
    return replace(order, locked=amount)


def required_reserve(order: PaperOrder) -> Decimal:
    """Return the amount an open order has to reserve: quote units for a buy, base for a sell."""
    if not order.buys:
        return order.remaining
    price = order.price or order.stop_price
    if not price or (order.type not in LIMITED and not order.dormant):
        return order.locked
    return (order.remaining * price).quantize(EIGHT, ROUND_UP)


def _reserve_for_pending(transaction: Transaction, order: PaperOrder, trade: PaperTrade) -> None:
    """Reserve the amount a working order received for its pending orders, if it pays them."""
    found = transaction.list_of(order)
    if found is None or not found.pays or found.working_id != order.order_id:
        return
    first = transaction.find_order(order.account, found.pending_ids[0])
    asset, amount = first.locked_asset, trade.amount
    # The commission is paid from the rest of the free balance, if that is large enough.
    if transaction.balance(order.account, asset).free < amount and trade.commission_asset == asset:
        amount -= trade.commission
    transaction.lock(order.account, asset, amount)
    transaction.put_order(replace(first, locked=first.locked + amount))


def _cost(price: Decimal, amount: Decimal) -> Decimal:
    return (amount * price).quantize(EIGHT, ROUND_DOWN)
