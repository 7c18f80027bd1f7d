"""The administration of a running venue: accounts, deposits, halts, delistings and rules."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final, NamedTuple

from botlib.core.errors import PaperExchangeError, did_you_mean
from botlib.paper.accounts.keys import PAPER_API_KEY, PAPER_API_SECRET, KeyRegister
from botlib.paper.api.market_data import STATUSES
from botlib.paper.market.halts import halted, resumed
from botlib.paper.market.quotes import Json, eight_decimals
from botlib.paper.market.rules import Rules, amended
from botlib.paper.protocol.params import DEFAULT_ACCOUNT
from botlib.paper.venue import Venue

_ACCOUNT_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,32}")

_MIN_AMOUNT: Final = Decimal("0.00000001")
_MAX_AMOUNT: Final = Decimal(10**12)
"""Smallest and largest amount of a deposit or withdrawal; Binance counts 8 decimals."""


class ApiCredentials(NamedTuple):
    """API key and secret of a client, for HMAC-SHA256 signatures."""

    key: str
    secret: str


def api_credentials(account: str) -> ApiCredentials:
    """Return the API key and secret of an account, which are the same on every paper exchange."""
    if account == DEFAULT_ACCOUNT:
        return ApiCredentials(PAPER_API_KEY, PAPER_API_SECRET)
    names = (f"botlib paper {kind} of {account}" for kind in ("key", "secret"))
    return ApiCredentials(*(hashlib.sha256(name.encode()).hexdigest() for name in names))


class Administration:
    """Administration of a running venue, which publishes the user events of every action.

    Args:
        venue: the venue.
        keys: register to which the API keys of all accounts are added.
    """

    def __init__(self, venue: Venue, keys: KeyRegister) -> None:
        self._venue = venue
        self._keys = keys
        for name in venue.engine.state.accounts:
            self._add_key(name)
        for name, public_key in venue.engine.ledger.public_keys():
            keys.register(name, public_key)

    def _add_key(self, account: str) -> ApiCredentials:
        found = api_credentials(account)
        if account != DEFAULT_ACCOUNT:
            self._keys.add(found.key, account, secret=found.secret)
        return found

    def is_open(self, account: str) -> bool:
        """Return whether an account exists."""
        return account in self._venue.engine.state.accounts

    async def open_account(self, account: str, balances: Mapping[str, Decimal]) -> ApiCredentials:
        """Open an account if it does not exist, deposit into it, and return its API key.

        Args:
            account: name of 1 to 32 letters, digits, ``-`` and ``_``.
            balances: amounts to deposit, by asset.

        Raises:
            PaperExchangeError: the name or an amount is not accepted.
        """
        if not _ACCOUNT_NAME.fullmatch(account):
            raise PaperExchangeError(
                f"{account!r} cannot be the name of an account. "
                "Accepted: 1 to 32 letters, digits, - and _."
            )
        owner = self._venue.engine.state.account(account)
        await self.burn_bnb(account, owner.burns_bnb)
        for asset, amount in balances.items():
            await self.deposit(account, asset, amount)
        return self._add_key(account)

    async def deposit(self, account: str, asset: str, amount: Decimal) -> None:
        """Deposit an amount of an asset into an account.

        Raises:
            PaperExchangeError: the amount is not above 0, has more than 8 decimals or is too large.
        """
        await self._move(account, asset, amount, 1)

    async def withdraw(self, account: str, asset: str, amount: Decimal) -> None:
        """Withdraw an amount of an asset from an account.

        Raises:
            PaperExchangeError: the free balance is smaller, or the amount is not one that `deposit`
                accepts.
        """
        await self._move(account, asset, amount, -1)

    async def _move(self, account: str, asset: str, amount: Decimal, sign: int) -> None:
        if (
            not amount.is_finite()
            or not _MIN_AMOUNT <= amount <= _MAX_AMOUNT
            or amount % _MIN_AMOUNT
        ):
            raise PaperExchangeError(
                f"Cannot move {amount} {asset}. Accepted: {_MIN_AMOUNT:f} to {_MAX_AMOUNT:f} units "
                "of the asset, with 8 decimals at most."
            )
        engine = self._venue.engine
        async with self._venue.turn() as time:
            user_events = engine.deposit(account, asset, sign * amount, time)
        await engine.durable()
        await self._venue.send_user_events(user_events)

    async def burn_bnb(self, account: str, burns: bool) -> None:
        """Set whether an account pays its commissions in BNB, with a discount of 25 %."""
        async with self._venue.turn() as time:
            self._venue.engine.burn_bnb(account, burns, time)
        await self._venue.engine.durable()

    def permit(self, account: str, permissions: Iterable[str]) -> None:
        """Set what the API keys of an account may do, until the exchange ends.

        Args:
            account: name of the account.
            permissions: ``USER_DATA``, ``TRADE`` and ``WITHDRAW``, as many as apply.

        Raises:
            PaperExchangeError: a permission is unknown, or the account has no key.
        """
        self._keys.permit(account, permissions)

    def register_key(self, account: str, public_key: str) -> str:
        """Register the Ed25519 public key of an account, and return its API key.

        The ledger keeps it, so it is known after a restart of the venue.

        Args:
            account: name of the account.
            public_key: Ed25519 public key, as PEM.

        Raises:
            PaperExchangeError: the account does not exist, or the key cannot be read.
        """
        if account not in self._venue.engine.state.accounts:
            raise PaperExchangeError(f"There is no account {account!r}. Open it first.")
        added = self._keys.register(account, public_key)
        self._venue.engine.ledger.save_public_key(account, public_key)
        return added.key

    async def join(self, account: str, group: int) -> None:
        """Put an account into a trade group, whose members do not trade with each other.

        Args:
            account: name of the account.
            group: number of the group, from 0 up; -1 for none.
        """
        async with self._venue.turn() as time:
            self._venue.engine.join(account, group, time)
        await self._venue.engine.durable()

    def set_status(self, symbol: str, status: str) -> None:
        """Halt a symbol (``BREAK``, ``HALT``, ``CANCEL_ONLY``), or resume it (``TRADING``).

        During a halt open orders stay and can be cancelled; nothing trades, and no candle opens.
        Trading resumes inside the candle of the halt, or else with the next candle. The halt is
        stored and survives a restart of the venue.

        Raises:
            PaperExchangeError: the status is unknown.
            UnknownSymbol: the symbol is not listed.
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
        """Delist a symbol for good; its open orders expire.

        Raises:
            UnknownSymbol: the symbol is not listed.
        """
        feed = self._venue.feed(symbol)
        async with self._venue.turn(feed) as time:
            user_events = await self._venue.engine.delist(feed, time)
        await self._venue.engine.durable()
        self._venue.orders_changed(feed)
        self._venue.delist(feed)
        await self._venue.send_user_events(user_events)

    def change_rules(self, symbol: str, changes: Mapping[str, object]) -> Rules:
        """Change filters of a symbol; open orders stay as they are.

        Args:
            symbol: symbol or symbol id.
            changes: new values by field name of `Rules`.

        Returns:
            The new rules.

        Raises:
            PaperExchangeError: a name is unknown, or a value is not accepted.
            UnknownSymbol: the symbol is not listed.
        """
        feed = self._venue.feed(symbol)
        amended(feed.rules, changes)
        state = self._venue.engine.state.symbol(feed.id)
        self._venue.change(feed, replace(state, rules={**state.rules, **changes}))
        return feed.rules

    def clearing_report(self) -> Json:
        """Return the clearing balances and the imbalance, by asset."""
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
