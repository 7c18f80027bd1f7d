"""The operator API: requests about accounts, deposits, halts, delistings and rules."""

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
    """Handlers of the operator's requests, whose bodies are JSON objects."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration

    def handlers(self) -> dict[str, Handler]:
        """Return the handlers by the last part of their path."""
        return {
            "accounts": self._open,
            "deposit": self._deposit,
            "withdraw": self._withdraw,
            "fees": self._fees,
            "group": self._group,
            "permissions": self._permissions,
            "keys": self._keys,
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
        amounts = {str(asset): _parse_amount(amount) for asset, amount in balances.items()}
        account = _parse_text(body, "account")
        if body.get("new_only") is True and self._administration.is_open(account):
            amounts = {}
        found = await self._administration.open_account(account, amounts)
        return {"account": account, "key": found.key, "secret": found.secret}

    async def _deposit(self, body: Mapping[str, object]) -> Answer:
        await self._administration.deposit(*_parse_movement(body))
        return {}

    async def _withdraw(self, body: Mapping[str, object]) -> Answer:
        await self._administration.withdraw(*_parse_movement(body))
        return {}

    async def _fees(self, body: Mapping[str, object]) -> Answer:
        burns = body.get("bnb")
        if not isinstance(burns, bool):
            raise PaperExchangeError(f"bnb is {burns!r}. Accepted: true or false.")
        await self._administration.burn_bnb(_parse_text(body, "account", DEFAULT_ACCOUNT), burns)
        return {}

    async def _group(self, body: Mapping[str, object]) -> Answer:
        group = body.get("group")
        if isinstance(group, bool) or not isinstance(group, int) or not -1 <= group < 2**31:
            raise PaperExchangeError(
                f"group is {group!r}. Accepted: a whole number from 0 up, or -1 for no group."
            )
        await self._administration.join(_parse_text(body, "account", DEFAULT_ACCOUNT), group)
        return {}

    async def _permissions(self, body: Mapping[str, object]) -> Answer:
        names = body.get("permissions")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise PaperExchangeError(
                f'permissions is {names!r}. Accepted: a list such as ["USER_DATA", "TRADE"].'
            )
        self._administration.permit(_parse_text(body, "account", DEFAULT_ACCOUNT), names)
        return {}

    async def _keys(self, body: Mapping[str, object]) -> Answer:
        public_key = _parse_text(body, "public_key")
        account = _parse_text(body, "account", DEFAULT_ACCOUNT)
        key = self._administration.register_key(account, public_key)
        return {"account": account, "key": key}

    async def _status(self, body: Mapping[str, object]) -> Answer:
        self._administration.set_status(_parse_text(body, "symbol"), _parse_text(body, "status"))
        return {}

    async def _delist(self, body: Mapping[str, object]) -> Answer:
        await self._administration.delist(_parse_text(body, "symbol"))
        return {}

    async def _rules(self, body: Mapping[str, object]) -> Answer:
        changes = {name: value for name, value in body.items() if name != "symbol"}
        rules = self._administration.change_rules(_parse_text(body, "symbol"), changes)
        return {
            name: str(value) if isinstance(value, Decimal) else value
            for name, value in asdict(rules).items()
        }

    async def _books(self, body: Mapping[str, object]) -> Answer:
        return self._administration.clearing_report()


def _parse_movement(body: Mapping[str, object]) -> tuple[str, str, Decimal]:
    account = _parse_text(body, "account", DEFAULT_ACCOUNT)
    return account, _parse_text(body, "asset"), _parse_amount(body.get("amount"))


def _parse_text(body: Mapping[str, object], name: str, default: str | None = None) -> str:
    value = body.get(name, default)
    if not isinstance(value, str) or not value:
        raise PaperExchangeError(f"{name} is {value!r}. Accepted: a text.")
    return value


def _parse_amount(value: object) -> Decimal:
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return Decimal(str(value))
    except InvalidOperation:
        pass
    raise PaperExchangeError(f"amount is {value!r}. Accepted: a number above 0.")
