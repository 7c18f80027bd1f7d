"""What the operator of the venue may do while it runs: money, halts, delistings and rules."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final, NamedTuple

from botlib.core.errors import PaperExchangeError, did_you_mean
from botlib.paper.accounts.keys import PAPER_API_KEY, PAPER_API_SECRET, KeyRegister
from botlib.paper.market.halts import halted, resumed
from botlib.paper.market.quotes import Json, eight_decimals
from botlib.paper.market.rules import Rules, amended
from botlib.paper.protocol.params import DEFAULT_ACCOUNT
from botlib.paper.venue import Venue

STATUSES: Final = ("TRADING", "BREAK", "HALT", "END_OF_DAY")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")

_LEAST: Final = Decimal("0.00000001")
_MOST: Final = Decimal(10**12)
"""What can be moved at once: Binance counts assets in 8 decimals."""


class Credentials(NamedTuple):
    """What a client signs with, HMAC-SHA256."""

    key: str
    secret: str


def credentials(account: str) -> Credentials:
    """Return the key and the secret of an account: the same on every paper exchange."""
    if account == DEFAULT_ACCOUNT:
        return Credentials(PAPER_API_KEY, PAPER_API_SECRET)
    names = (f"botlib paper {kind} of {account}" for kind in ("key", "secret"))
    return Credentials(*(hashlib.sha256(name.encode()).hexdigest() for name in names))


class Administration:
    """Acts on a running venue; every act is told to whom it concerns.

    Args:
        keys: learns the keys of all accounts there are.
    """

    def __init__(self, venue: Venue, keys: KeyRegister) -> None:
        self._venue = venue
        self._keys = keys
        for name in venue.engine.state.accounts:
            self._let_in(name)

    def _let_in(self, account: str) -> Credentials:
        found = credentials(account)
        if account != DEFAULT_ACCOUNT:
            self._keys.add(found.key, account, secret=found.secret)
        return found

    async def open_account(self, account: str, balances: Mapping[str, Decimal]) -> Credentials:
        """Open an account, or find it; return what its requests are signed with.

        Args:
            account: letters, digits, ``-`` and ``_``, 32 at most.
            balances: what is deposited at once, by asset.

        Raises:
            PaperExchangeError: the name cannot be one, or an amount cannot be moved.
        """
        if not _NAME.fullmatch(account):
            raise PaperExchangeError(
                f"{account!r} cannot be the name of an account. "
                "Accepted: 1 to 32 letters, digits, - and _."
            )
        owner = self._venue.engine.state.account(account)
        await self.burn_bnb(account, owner.burns_bnb)
        for asset, amount in balances.items():
            await self.deposit(account, asset, amount)
        return self._let_in(account)

    async def deposit(self, account: str, asset: str, amount: Decimal) -> None:
        """Bring ``amount`` of an asset into an account.

        Raises:
            PaperExchangeError: the amount is not above 0, has more than 8 decimals or is beyond
                reason.
        """
        await self._move(account, asset, amount, 1)

    async def withdraw(self, account: str, asset: str, amount: Decimal) -> None:
        """Take ``amount`` of an asset out of an account.

        Raises:
            PaperExchangeError: there is not so much that is free, or the amount is none to deposit.
        """
        await self._move(account, asset, amount, -1)

    async def _move(self, account: str, asset: str, amount: Decimal, sign: int) -> None:
        if not amount.is_finite() or not _LEAST <= amount <= _MOST or amount % _LEAST:
            raise PaperExchangeError(
                f"Cannot move {amount} {asset}. Accepted: {_LEAST:f} to {_MOST:f} units of the "
                "asset, with 8 decimals at most."
            )
        engine = self._venue.engine
        user_events = engine.deposit(account, asset, sign * amount, self._venue.market_time)
        await engine.durable()
        await self._venue.send_user_events(user_events)

    async def burn_bnb(self, account: str, burns: bool) -> None:
        """Let an account pay its fees in BNB where it has some, 25 % less."""
        self._venue.engine.burn_bnb(account, burns, self._venue.market_time)
        await self._venue.engine.durable()

    async def join(self, account: str, group: int) -> None:
        """Put an account into a group whose members do not trade with each other.

        Args:
            group: its number, from 0 up; -1 for none.
        """
        self._venue.engine.join(account, group, self._venue.market_time)
        await self._venue.engine.durable()

    def set_status(self, symbol: str, status: str) -> None:
        """Halt a symbol (``BREAK``, ``HALT``), or let it trade again (``TRADING``).

        Open orders stay, and may be cancelled; nothing trades meanwhile, and no candle opens.
        Trading goes on within the candle of the halt, or else with the next one that opens. All of
        this outlasts a restart of the venue.

        Raises:
            PaperExchangeError: no such status.
            UnknownSymbol: no such symbol.
        """
        if status not in STATUSES:
            raise PaperExchangeError(
                f"Unknown status {status!r} of a symbol. Accepted: {', '.join(STATUSES)}."
                f"{did_you_mean(status, STATUSES)}"
            )
        feed, time = self._venue.feed(symbol), self._venue.market_time
        state = self._venue.engine.state.symbol(feed.id)
        change = resumed if status == "TRADING" else halted
        holes = [(*hole,) for hole in change(state.halts, time, feed.base)]
        self._venue.change(feed, replace(state, status=status, holes=holes))

    async def delist(self, symbol: str) -> None:
        """End a symbol for good: its open orders expire, and nobody knows it any more.

        Raises:
            UnknownSymbol: no such symbol.
        """
        feed = self._venue.feed(symbol)
        user_events = self._venue.engine.delist(feed, self._venue.market_time)
        await self._venue.engine.durable()
        self._venue.orders_changed(feed)
        self._venue.delist(feed)
        await self._venue.send_user_events(user_events)

    def change_rules(self, symbol: str, changes: Mapping[str, object]) -> Rules:
        """Change filters of a symbol, by the names of `Rules`; open orders keep what they have.

        Raises:
            PaperExchangeError: an unknown name, or a value that is none.
            UnknownSymbol: no such symbol.
        """
        feed = self._venue.feed(symbol)
        amended(feed.rules, changes)
        state = self._venue.engine.state.symbol(feed.id)
        self._venue.change(feed, replace(state, rules={**state.rules, **changes}))
        return feed.rules

    def books(self) -> Json:
        """Return what the venue has besides the accounts, and whether all adds up, by asset."""
        state = self._venue.engine.state
        imbalance = state.imbalance()
        return {
            asset: {
                "market": eight_decimals(clearing.market),
                "fees": eight_decimals(clearing.fees),
                "deposited": eight_decimals(clearing.deposited),
                "imbalance": eight_decimals(imbalance[asset]),
            }
            for asset, clearing in sorted(state.clearing.items())
        }
