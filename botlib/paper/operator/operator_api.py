"""The control API of the operator: accounts, deposits, halts, delistings and rules as requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from decimal import Decimal, InvalidOperation

from botlib.core.errors import PaperExchangeError
from botlib.paper.operator.administration import Administration
from botlib.paper.protocol.params import DEFAULT_ACCOUNT

Answer = dict[str, object]
Handler = Callable[[Mapping[str, object]], Awaitable[Answer]]


class OperatorApi:
    """Reads the operator's requests, JSON objects all of them."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration

    def handlers(self) -> dict[str, Handler]:
        """Return what answers each request, by the last part of its path."""
        return {
            "accounts": self._open,
            "deposit": self._deposit,
            "withdraw": self._withdraw,
            "fees": self._fees,
            "group": self._group,
            "status": self._status,
            "delist": self._delist,
            "rules": self._rules,
            "books": self._books,
        }

    async def _open(self, body: Mapping[str, object]) -> Answer:
        balances = body.get("balances") or {}
        if not isinstance(balances, dict):
            raise PaperExchangeError(
                f'balances is {balances!r}. Accepted: amounts by asset, such as {{"USDT": "100"}}.'
            )
        amounts = {str(asset): _amount(amount) for asset, amount in balances.items()}
        account = _text(body, "account")
        found = await self._administration.open_account(account, amounts)
        return {"account": account, "key": found.key, "secret": found.secret}

    async def _deposit(self, body: Mapping[str, object]) -> Answer:
        await self._administration.deposit(*_movement(body))
        return {}

    async def _withdraw(self, body: Mapping[str, object]) -> Answer:
        await self._administration.withdraw(*_movement(body))
        return {}

    async def _fees(self, body: Mapping[str, object]) -> Answer:
        burns = body.get("bnb")
        if not isinstance(burns, bool):
            raise PaperExchangeError(f"bnb is {burns!r}. Accepted: true or false.")
        await self._administration.burn_bnb(_text(body, "account", DEFAULT_ACCOUNT), burns)
        return {}

    async def _group(self, body: Mapping[str, object]) -> Answer:
        group = body.get("group")
        if isinstance(group, bool) or not isinstance(group, int) or not -1 <= group < 2**31:
            raise PaperExchangeError(
                f"group is {group!r}. Accepted: a whole number from 0 up, or -1 for no group."
            )
        await self._administration.join(_text(body, "account", DEFAULT_ACCOUNT), group)
        return {}

    async def _status(self, body: Mapping[str, object]) -> Answer:
        self._administration.set_status(_text(body, "symbol"), _text(body, "status"))
        return {}

    async def _delist(self, body: Mapping[str, object]) -> Answer:
        await self._administration.delist(_text(body, "symbol"))
        return {}

    async def _rules(self, body: Mapping[str, object]) -> Answer:
        changes = {name: value for name, value in body.items() if name != "symbol"}
        rules = self._administration.change_rules(_text(body, "symbol"), changes)
        return {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in asdict(rules).items()
        }

    async def _books(self, body: Mapping[str, object]) -> Answer:
        return self._administration.books()


def _movement(body: Mapping[str, object]) -> tuple[str, str, Decimal]:
    account = _text(body, "account", DEFAULT_ACCOUNT)
    return account, _text(body, "asset"), _amount(body.get("amount"))


def _text(body: Mapping[str, object], name: str, default: str | None = None) -> str:
    value = body.get(name, default)
    if not isinstance(value, str) or not value:
        raise PaperExchangeError(f"{name} is {value!r}. Accepted: a text.")
    return value


def _amount(value: object) -> Decimal:
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return Decimal(str(value))
    except InvalidOperation:
        pass
    raise PaperExchangeError(f"amount is {value!r}. Accepted: a number above 0.")
