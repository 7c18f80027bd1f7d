"""`EntryLimits`: the risk limits of a bot, applied to the entries of a simulation.

The rules are those of `botlib.trading.risk.RiskValidator`, which is asked about every entry, day
and drawdown. Exits and stops always pass. A bot that has halted waits for a person: here one is
assumed who re-arms at the next UTC day after a daily loss, and does not after a drawdown.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from botlib.core.errors import RiskRejected
from botlib.core.model import OrderIntent, OrderType, Side
from botlib.trading.risk import Exposure, RiskValidator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from botlib.backtesting.account import SimulatedAccount
    from botlib.backtesting.metrics import Floats
    from botlib.trading.risk import RiskLimits

_DAY: Final = 86_400_000

FilledRow = tuple[int, bool, float, float, float, float, int]
"""Row, whether it bought, price, amount, amount kept, fee, place of the reason."""


class EntryLimits:
    """The limits of one simulation; entries are asked about in order.

    Args:
        times: open times of the candles, ms.
        closes: one per candle.
        cash: quote units at the start.
        symbol: what is traded; empty if it is not known, and any symbol is then allowed.
    """

    def __init__(
        self,
        limits: RiskLimits,
        *,
        times: npt.NDArray[np.int64],
        closes: Floats,
        cash: float,
        symbol: str,
    ) -> None:
        self._validator = RiskValidator(limits if symbol else replace(limits, symbols=None))
        self._times, self._closes, self._symbol = times, closes, symbol
        self._days = times // _DAY
        self._equity: Floats = np.empty(len(closes))
        self._known = self._seen = 0
        self._cash, self._held = cash, 0.0
        self._first = self._highest = cash
        self._fallen = False

    def refuses(
        self, row: int, price: float, account: SimulatedAccount, fills: Sequence[FilledRow]
    ) -> bool:
        """Return whether an entry at the open of a row is refused.

        Args:
            price: close of the candle on which it was decided.
            fills: all fills so far.
        """
        self._follow(row, fills)
        if self._fallen or self._lost(row):
            return True
        exact = Decimal(str(price))
        dust = Decimal(str(account.held)) * exact
        intent = OrderIntent(
            client_order_id="",
            strategy="",
            symbol=self._symbol,
            side=Side.BUY,
            type=OrderType.MARKET,
            amount=account.wanted(price),
        )
        at_risk = Exposure(total=dust, by_symbol={self._symbol: dust}, price=exact)
        try:
            self._validator.check(intent, price=exact, at_risk=at_risk, now=int(self._times[row]))
        except RiskRejected:
            return True
        return False

    def _follow(self, row: int, fills: Sequence[FilledRow]) -> None:
        """Compute the equity at every close before a row, and whether it fell too far."""
        while self._known < row:
            while self._seen < len(fills) and fills[self._seen][0] <= self._known:
                _, buy, price, amount, kept, fee, _ = fills[self._seen]
                self._cash += (-kept if buy else amount) * price - fee
                self._held += kept if buy else -amount
                self._seen += 1
            end = row
            if self._seen < len(fills):
                end = min(row, fills[self._seen][0])
            span = self._cash + self._held * self._closes[self._known : end]
            self._equity[self._known : end] = span
            self._known = end
            peaks = np.maximum.accumulate(np.concatenate(([self._highest], span)))
            deepest = int(np.argmin(span / peaks[1:]))
            self._highest = float(peaks[-1])
            fall = Decimal(str(span[deepest])), Decimal(str(peaks[1 + deepest]))
            self._fallen |= self._validator.check_drawdown(*fall) is not None

    def _lost(self, row: int) -> bool:
        """Return whether the day of a row has lost too much at one of its closes so far."""
        first = int(np.searchsorted(self._days, self._days[row]))
        if first == row:
            return False
        start = self._equity[first - 1] if first else self._first
        worst = float(self._equity[first:row].min() - start)
        return self._validator.check_loss(Decimal(str(worst))) is not None
