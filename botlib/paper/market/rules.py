"""The trading rules of a symbol, as exchangeInfo shows them and an operator may change them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal, InvalidOperation
from typing import Final

from botlib.core.errors import PaperExchangeError, did_you_mean
from botlib.paper.market.market import SymbolListing

SELF_TRADE_MODES: Final = (
    *("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH", "DECREMENT", "TRANSFER"),
)
DEFAULT_SELF_TRADE: Final = "EXPIRE_MAKER"

_MAX_AMOUNT_STEPS: Final = Decimal("900000000")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The filters and the status of a symbol. A bound of 0 is no bound.

    Prices and costs are in quote units, amounts in base units, trailing deltas in basis points.
    ``up`` and ``down`` are multiples of the average price of the last ``average_minutes``.
    """

    tick: Decimal
    min_price: Decimal
    step: Decimal
    min_amount: Decimal
    max_amount: Decimal
    min_cost: Decimal
    max_price: Decimal = Decimal(1_000_000)
    market_min_amount: Decimal = Decimal(0)
    market_max_amount: Decimal = Decimal(0)
    market_step: Decimal = Decimal(0)
    max_cost: Decimal = Decimal(9_000_000)
    min_cost_of_market: bool = True
    max_cost_of_market: bool = False
    up: Decimal = Decimal(5)
    down: Decimal = Decimal("0.2")
    average_minutes: int = 5
    max_orders: int = 200
    max_algo_orders: int = 5
    max_order_lists: int = 20
    max_amends: int = 10
    iceberg_parts: int = 100
    min_trailing: int = 10
    max_trailing: int = 2_000
    max_position: Decimal = Decimal(0)
    amends_allowed: bool = True
    pegs_allowed: bool = True
    paying_lists_allowed: bool = True
    status: str = "TRADING"


def amended(rules: Rules, changes: Mapping[str, object]) -> Rules:
    """Return rules of which some are changed, by name.

    Raises:
        PaperExchangeError: a name is unknown, or a value is not accepted.
    """
    kinds = {field.name: field.type for field in fields(Rules) if field.name != "status"}
    values: dict[str, object] = {}
    for name, value in changes.items():
        if name not in kinds:
            raise PaperExchangeError(
                f"Unknown rule {name!r} of a symbol. Accepted: {', '.join(kinds)}."
                f"{did_you_mean(name, tuple(kinds))}"
            )
        values[name] = _value(name, str(kinds[name]), value)
    return replace(rules, **values)  # type: ignore[arg-type]


def _value(name: str, kind: str, value: object) -> object:
    if kind == "bool" and isinstance(value, bool):
        return value
    try:
        number = Decimal(str(value))
        if kind != "bool" and not isinstance(value, bool) and number.is_finite() and number >= 0:
            return int(number) if kind == "int" else number
    except InvalidOperation:
        pass
    accepted = "true or false" if kind == "bool" else "a number from 0 up"
    raise PaperExchangeError(f"The rule {name} is {value!r}. Accepted: {accepted}.")


def rules_of(listing: SymbolListing) -> Rules:
    """Return the rules with which a symbol is listed."""
    largest = listing.step * _MAX_AMOUNT_STEPS
    usual = Rules(
        tick=listing.tick,
        min_price=listing.tick,
        step=listing.step,
        min_amount=listing.min_amount,
        max_amount=largest,
        market_max_amount=largest,
        min_cost=listing.min_cost,
    )
    return amended(usual, listing.rules) if listing.rules else usual
