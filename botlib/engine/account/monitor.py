"""`AccountMonitor`: the value of the account, its result of the day, and its balances."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from botlib.core.errors import BotlibError, InvalidInput
from botlib.core.symbol import split_symbol
from botlib.core.timeframe import open_time
from botlib.engine.account.equity_curve import EquityCurve
from botlib.venues.budget import Purpose

if TYPE_CHECKING:
    from botlib.core.clock import Clock
    from botlib.execution import HaltLatch
    from botlib.store import OrderJournal
    from botlib.trading.positions import PositionManager
    from botlib.trading.risk import RiskValidator
    from botlib.venues.base import Balance, Exchange

logger = logging.getLogger(__name__)

ZERO = Decimal(0)
DUST = Decimal("0.00000001")
"""Smallest unit of any asset at the venue; a smaller difference is rounding."""
TOLERANCE = Decimal("0.01")
"""Fraction of a position that may be missing: fees paid in the asset itself."""

DAILY_LOSS: Final = "max_daily_loss"
DRAWDOWN: Final = "max_drawdown"
BALANCES: Final = "balances"
"""Sources of the halts of the account; the first two also name a state in the journal."""


class AccountMonitor:
    """The account, valued by the venue's balances and compared with the positions.

    Args:
        symbols: whose base assets count, together with the quote asset of the first.
        price_of: returns the newest price of a symbol, None if there is none.
        has_account: False for a bot that only watches, which asks for no balances.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        positions: PositionManager,
        risk: RiskValidator,
        halts: HaltLatch,
        journal: OrderJournal,
        clock: Clock,
        symbols: Sequence[str],
        price_of: Callable[[str], float | None],
        has_account: bool = True,
    ) -> None:
        self._has_account = has_account
        self._exchange = exchange
        self._positions = positions
        self._risk = risk
        self._halts = halts
        self._journal = journal
        self._clock = clock
        self._symbols = tuple(symbols)
        self._price_of = price_of
        self._day: int | None = None
        self._day_start = ZERO
        self._asset_prices: dict[str, Decimal] = {}
        """What a unit of a third asset, in which fees are paid, is worth today, quote units."""
        self.quote = split_symbol(symbols[0])[1]
        self._begun = False
        self.curve = EquityCurve()
        """Equity over the run so far."""
        self._held: dict[str, Decimal] | None = None
        self._flows: dict[str, Decimal] = {}
        """What all fills had changed, by asset, when the balances were read."""
        self.drift: dict[str, Decimal] = {}
        """Amount by which the venue holds less than the positions add up to, by asset."""

    def begin(self) -> None:
        """Begin to show and to judge the equity: the price of what is held is known from now on."""
        self._begun = True

    @property
    def equity(self) -> Decimal | None:
        """The value of the account at present, quote units, None before it is known.

        It is the one figure that is shown anywhere: the balances that the venue told last, with the
        fills since, at the newest prices.
        """
        return self.worth(self.prices()) if self._begun else None

    def sample(self) -> None:
        """Add the present equity to the curve."""
        equity = self.equity
        if equity is not None:
            self.curve.add(self._clock.now(), float(equity))

    def check_quote(self, symbol: str) -> None:
        """Check that a symbol can be counted.

        Raises:
            InvalidInput: it is quoted in another asset.
        """
        quote = split_symbol(symbol)[1]
        if quote != self.quote:
            raise InvalidInput(
                f"{symbol} is quoted in {quote}, this bot counts in {self.quote}: its caps add "
                "amounts up in one quote asset. Give each quote asset a bot of its own."
            )

    def include(self, symbol: str) -> Decimal:
        """Count the base asset of a further symbol, and return by how much that raises the equity.

        Raises:
            InvalidInput: it is quoted in another asset.
        """
        self.check_quote(symbol)
        if symbol in self._symbols:
            return ZERO
        self._symbols += (symbol,)
        base, _ = split_symbol(symbol)
        held, price = (self._held or {}).get(base, ZERO), self._price_of(symbol)
        return held * Decimal(str(price)) if price is not None else ZERO

    def prices(self) -> dict[str, float]:
        """Return the newest price of every symbol that has one."""
        found = {symbol: self._price_of(symbol) for symbol in self._symbols}
        return {symbol: price for symbol, price in found.items() if price is not None}

    async def value(self) -> Decimal:
        """Fetch the balances from the venue and return the equity in quote units.

        The quote asset and the base assets of the configured symbols are counted. A bot that only
        watches has no account, and nothing in it.
        """
        if not self._has_account:
            return ZERO
        return self._mark(await self._exchange.balances())

    def worth(self, prices: Mapping[str, float]) -> Decimal | None:
        """Return the value of the balances at prices by symbol, in quote units.

        Returns:
            None before the first answer of the venue.
        """
        if self._held is None:
            return None
        held, then = dict(self._held), self._flows
        for asset, amount in self._positions.flows().items():
            held[asset] = held.get(asset, ZERO) + amount - then.get(asset, ZERO)
        equity = held.get(self.quote, ZERO)
        for symbol in self._symbols:
            base, quote = split_symbol(symbol)
            if quote == self.quote and symbol in prices:
                equity += held.get(base, ZERO) * Decimal(str(prices[symbol]))
        return equity

    def day_profit(self, prices: Mapping[str, float]) -> Decimal | None:
        """Return the result of the UTC day at prices by symbol; None before the first check.

        Fees in a third asset count at what it was worth at the last check.
        """
        if self._day is None:
            return None
        fees = sum(
            (
                amount * self._asset_prices.get(asset, ZERO)
                for asset, amount in self._positions.other_fees(self._day).items()
            ),
            ZERO,
        )
        return self._profit(prices) - fees - self._day_start

    def _mark(self, balances: Mapping[str, Balance]) -> Decimal:
        self._held = {asset: balance.total for asset, balance in balances.items()}
        self._flows = self._positions.flows()
        self.sample()
        return self.worth(self.prices()) or ZERO

    async def monitor_positions(self) -> None:
        """Value the account and compare the positions with the venue's balances.

        If the venue holds less than the positions add up to in two checks in a row, entries are
        halted until a person re-arms. A single difference may be a fill that is under way.
        """
        balances = await self._exchange.balances(purpose=Purpose.CHECK)
        self._mark(balances)
        drift: dict[str, Decimal] = {}
        for position in self._positions.all():
            base, _ = split_symbol(position.symbol)
            held = balances[base].total if base in balances else ZERO
            if position.amount - held > DUST:
                drift[base] = position.amount - held
        if drift != self.drift:
            for asset, missing in drift.items():
                logger.warning("the venue holds %s %s less than the book says", missing, asset)
        elif any(self._missing(asset) for asset in drift):
            self._halt(
                BALANCES,
                f"the venue does not hold what the book says: {_amounts(drift)} are missing",
            )
        self.drift = drift

    def _missing(self, asset: str) -> bool:
        held = sum(
            (one.amount for one in self._positions.all() if split_symbol(one.symbol)[0] == asset),
            ZERO,
        )
        return self.drift[asset] > held * TOLERANCE

    def _halt(self, rule: str, reason: str) -> None:
        """Halt entries by a rule, once: its words change with every price."""
        if all(halt.source != rule for halt in self._halts.all):
            self._halts.add(reason, source=rule)
            self._halts.settle()

    async def check_risk(self) -> None:
        """Halt entries if the loss of the UTC day, or the fall from the highest, is too large.

        Both survive a restart: the day's result counts from its first moment, and the highest
        equity is stored. A person who re-arms accepts what was lost: both count from then.
        """
        self._begin_day()
        await self._value_fees()
        self._check_loss(self.day_profit(self.prices()) or ZERO)
        equity = self.equity
        if equity is not None:
            self._check_drawdown(equity)

    def _begin_day(self) -> None:
        day = open_time(self._clock.now(), "1d")
        if day == self._day:
            return
        known = self._journal.day_start(day)
        profit = self._profit(self.prices())
        if known is None:
            self._journal.begin_day(day, self.equity or ZERO, profit)
        self._day, self._day_start = day, profit if known is None else known[1]
        self._asset_prices.clear()

    def _check_loss(self, profit: Decimal) -> None:
        assert self._day is not None
        known = self._journal.get_state(DAILY_LOSS)
        before = _Loss(**known) if known is not None else _Loss(day=self._day)
        if before.day != self._day:
            before = _Loss(day=self._day)
        rearmed = before.halted and all(halt.source != DAILY_LOSS for halt in self._halts.all)
        accepted = profit if rearmed else Decimal(before.accepted)
        reason = self._risk.check_loss(profit - accepted)
        if reason is not None:
            self._halt(DAILY_LOSS, reason)
        now = _Loss(
            day=self._day,
            accepted=str(accepted),
            halted=reason is not None or (before.halted and not rearmed),
        )
        if now != before:
            self._journal.set_state(DAILY_LOSS, asdict(now))

    def _check_drawdown(self, equity: Decimal) -> None:
        if self._risk.limits.max_drawdown is None:
            return
        known = self._journal.get_state(DRAWDOWN)
        peak = _Peak(**known) if known is not None else _Peak()
        rearmed = peak.halted and all(halt.source != DRAWDOWN for halt in self._halts.all)
        highest = equity if rearmed else max(Decimal(peak.highest), equity)
        reason = self._risk.check_drawdown(equity, highest)
        if reason is not None:
            self._halt(DRAWDOWN, reason)
        now = _Peak(
            highest=str(highest), halted=reason is not None or (peak.halted and not rearmed)
        )
        if now != peak:
            self._journal.set_state(DRAWDOWN, asdict(now))

    def _profit(self, prices: Mapping[str, float]) -> Decimal:
        """Return the profit since ever without fees in a third asset, quote units."""
        return self._positions.realised() + self._positions.unrealised(prices)

    async def _value_fees(self) -> None:
        """Ask what the assets are worth in which fees of the day were paid."""
        assert self._day is not None
        for asset in self._positions.other_fees(self._day):
            price = await self._price_of_asset(asset)
            if price is not None:
                self._asset_prices[asset] = price

    async def _price_of_asset(self, asset: str) -> Decimal | None:
        """Return what a unit of an asset is worth, quote units; None if no one can say."""
        if asset == self.quote:
            return Decimal(1)
        symbol = f"{asset}/{self.quote}"
        price = self._price_of(symbol)
        if price is not None:
            return Decimal(str(price))
        try:
            now = await self._exchange.market_time()
            candles = await self._exchange.fetch_candles(
                symbol, "1m", now - 600_000, now, now=now, forming=True
            )
        except BotlibError as error:
            logger.warning("the fees in %s cannot be valued: %s", asset, error)
            return None
        return Decimal(str(candles[-1].close)) if candles else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loss:
    """The result of a day (quote units) that a person accepted, and whether its loss halted."""

    day: int
    accepted: str = "0"
    halted: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Peak:
    """The highest equity (quote units), and whether a fall from it halted entries."""

    highest: str = "0"
    halted: bool = False


def _amounts(drift: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{amount} {asset}" for asset, amount in drift.items())
