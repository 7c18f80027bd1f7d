"""What a trade costs: a part of what it receives, or less of BNB where the account pays so."""

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
"""Fraction by which a commission is smaller when it is paid in BNB."""


@dataclass(frozen=True, slots=True)
class Commission:
    """The rates of the venue.

    Attributes:
        maker: fraction of what a resting order receives.
        taker: fraction of what any other order receives.
        bnb_price: returns what a BNB costs in an asset, None where nobody knows.
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
        """Credit what a trade received, less the commission; return its asset and amount.

        Args:
            burns: whether the account pays in BNB where it has enough.
            cost: price times amount, in units of ``quote``.
            received: the asset that the trade brings in.
            amount: how much of it.
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
