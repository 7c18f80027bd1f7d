"""The commission of a trade: a fraction of the received amount, or BNB at a discount."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from typing import Final

from botlib.paper.accounts.orders import PaperOrder
from botlib.paper.accounts.transaction import Transaction

EIGHT: Final = Decimal("0.00000001")
BNB: Final = "BNB"
DISCOUNT: Final = Decimal("0.25")
"""Fraction by which a commission paid in BNB is lower."""


@dataclass(frozen=True, slots=True)
class Commission:
    """The commission rates of the venue.

    Attributes:
        maker: fraction of the amount that a resting order receives.
        taker: fraction of the amount that any other order receives.
        bnb_price: returns the price of one BNB in an asset, None if it is unknown.
    """

    maker: Decimal
    taker: Decimal
    bnb_price: Callable[[str], Decimal | None] = lambda asset: None

    def charge(
        self,
        transaction: Transaction,
        order: PaperOrder,
        *,
        burns: bool,
        quote: str,
        cost: Decimal,
        received: str,
        amount: Decimal,
        maker: bool,
    ) -> tuple[str, Decimal]:
        """Credit the received amount minus the commission.

        Args:
            transaction: change that the trade belongs to.
            order: order that traded.
            burns: whether the account pays in BNB while it has enough.
            quote: quote asset of the symbol.
            cost: price times amount, in units of ``quote``.
            received: asset that the order receives.
            amount: received amount.
            maker: whether the order was resting in the book.

        Returns:
            Asset and amount of the commission.
        """
        rate = self.maker if maker else self.taker
        if burns and rate:
            fee = self._in_bnb(quote, cost * rate)
            have = transaction.balance(order.account, BNB).free
            if received == BNB:
                have += amount
            if fee is not None and fee <= have:
                transaction.receive(order.account, received, amount)
                transaction.receive(order.account, BNB, -fee)
                transaction.to_fees(BNB, fee)
                return BNB, fee
        fee = (amount * rate).quantize(EIGHT, ROUND_DOWN)
        transaction.receive(order.account, received, amount - fee)
        transaction.to_fees(received, fee)
        return received, fee

    def _in_bnb(self, quote: str, fee: Decimal) -> Decimal | None:
        price = Decimal(1) if quote == BNB else self.bnb_price(quote)
        if not price:
            return None
        return (fee * (1 - DISCOUNT) / price).quantize(EIGHT, ROUND_DOWN)
