"""The start of the order path: journal, open orders, trades and balances brought together.

Whatever agrees is adopted. Orders and coins that are not ours are EXTERNAL and never touched. What
cannot be explained stops entries; protection goes on.
"""

from __future__ import annotations

import logging
import random
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeVar

from botlib.core.errors import ExchangeError
from botlib.core.retry import retry
from botlib.core.symbol import split_symbol
from botlib.core.text.cards import Tone, card
from botlib.core.text.tables import html_table, text_table
from botlib.trading.books import ZERO
from botlib.trading.sales import ID_PREFIX

if TYPE_CHECKING:
    from botlib.execution.context import Context
    from botlib.execution.desk import Desk
    from botlib.venues.base import Balance, OrderReport

logger = logging.getLogger(__name__)

_OF_A_BOT: Final = re.compile(rf"{ID_PREFIX}([0-9a-f]{{6}})-[0-9a-f]{{24}}")

MISSING: Final = Decimal("0.01")
"""Fraction of what the books hold that the venue may lack: fees taken in the asset itself."""

SMALLEST: Final = Decimal("0.00000001")
"""Smallest unit of an asset; a smaller difference is rounding."""

T = TypeVar("T")

COLUMNS: Final = ("symbol", "what", "journal", "venue", "done")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconciliationRow:
    """One thing that was compared: what the journal says, what the venue says, what was done."""

    symbol: str
    what: str
    journal: str = ""
    venue: str = ""
    done: str = ""
    halts: bool = False


@dataclass(slots=True, kw_only=True)
class Reconciliation:
    """What the start found, row by row."""

    rows: list[ReconciliationRow] = field(default_factory=list)

    @property
    def explained(self) -> bool:
        """Whether everything could be explained."""
        return not any(row.halts for row in self.rows)

    def add(self, symbol: str, what: str, **values: str | bool) -> None:
        """Add a row."""
        self.rows.append(ReconciliationRow(symbol=symbol, what=what, **values))  # type: ignore[arg-type]

    def __repr__(self) -> str:
        if not self.rows:
            return "<Reconciliation: journal and venue agree, nothing is open>"
        return text_table(COLUMNS, [self._row(row) for row in self.rows])

    def _repr_html_(self) -> str:
        rows = [self._row(row) for row in self.rows]
        words = "all explained" if self.explained else "not explained"
        if not rows:
            words = "journal and venue agree, nothing is open"
        return card(
            "Reconciliation",
            html_table(COLUMNS, rows, wrapped=COLUMNS[2:]) if rows else "",
            notes=f"{len(rows)} compared · {words}" if rows else words,
            tone=Tone.GOOD if self.explained else Tone.BAD,
        )

    @staticmethod
    def _row(row: ReconciliationRow) -> list[str]:
        return [row.symbol, row.what, row.journal, row.venue, row.done]


async def reconcile(
    context: Context, desks: Mapping[str, Desk], problems: Iterable[str], rng: random.Random
) -> Reconciliation:
    """Compare the journal with the venue, and have the desks adopt what is there.

    Args:
        problems: what was wrong with the table of orders, which was built again.

    Raises:
        ExchangeError: the venue did not answer; nothing may be traded.
    """
    found = Reconciliation()
    for problem in problems:
        found.add("", "journal", journal=problem, done="built again from its events")

    async def ask(request: Callable[[], Awaitable[T]]) -> T:
        return await retry(request, rng=rng)

    open_orders = {
        order.client_order_id: order for order in await ask(context.exchange.open_orders)
    }
    _compare_open(context, found, open_orders)
    for order in context.ledger.open:
        if order.intent.symbol not in desks:
            done = "left alone: it is not listed any more"
            found.add(order.intent.symbol, f"order {order.id}", done=done)
            continue
        await _settle(context, desks, found, order.id, open_orders)
    for symbol, desk in desks.items():
        try:
            await ask(desk.enquiries.sweep_now)
        except ExchangeError as error:
            found.add(symbol, "trades", venue=str(error), done="asked again by the desk")
    _compare_balances(context, found, await ask(context.exchange.balances))
    for row in found.rows:
        logger.info(
            "start: %s %s: %s | %s: %s", row.symbol, row.what, row.journal, row.venue, row.done
        )
        if row.halts:
            context.halts.add(f"{row.what} of {row.symbol}: {row.done}", source="start")
    return found


def foreign_bot(client_order_id: str, bot: str) -> str | None:
    """Return the id of another bot that made a client order id, None if no other bot did."""
    match = _OF_A_BOT.fullmatch(client_order_id)
    return match[1] if match and match[1] != bot else None


def unknown_of_ours(client_order_id: str, bot: str) -> bool:
    """Return whether a client order id carries the id of our bot."""
    match = _OF_A_BOT.fullmatch(client_order_id)
    return bool(match) and match[1] == bot  # type: ignore[index]


def _compare_open(
    context: Context, found: Reconciliation, open_orders: Mapping[str, OrderReport]
) -> None:
    for name, report in open_orders.items():
        if context.ledger.get(name) is not None:
            continue
        venue = f"{report.side} {report.amount} {report.type} {name}"
        if unknown_of_ours(name, context.bot):
            done = "an order with our id that the journal does not know: a second bot, or a copy"
            found.add(report.symbol, "order", venue=venue, done=done, halts=True)
        elif (other := foreign_bot(name, context.bot)) is not None:
            done = f"another bot ({other}) trades on this account"
            found.add(report.symbol, "order", venue=venue, done=done, halts=True)
        else:
            found.add(report.symbol, "order", venue=venue, done="EXTERNAL, not touched")


async def _settle(
    context: Context,
    desks: Mapping[str, Desk],
    found: Reconciliation,
    name: str,
    open_orders: Mapping[str, OrderReport],
) -> None:
    """Have an order that has not ended settled, by the list of open orders or by a query."""
    order = context.ledger.get(name)
    if order is None or order.ended:
        return
    symbol, before = order.intent.symbol, str(order.status)
    desk = desks.get(symbol)
    report = open_orders.get(name)
    venue = "open"
    if report is None:
        try:
            report = await context.exchange.fetch_order(symbol, name)
        except ExchangeError as error:
            # One order that cannot be asked about must not keep the others.
            found.add(symbol, f"order {name}", journal=before, venue=str(error), done="asked again")
            return
        venue = "not known" if report is None else f"{report.status} {report.filled}"
    if report is not None and desk is not None:
        desk.report(report, "start")
    elif desk is not None:
        desk.enquiries.not_found(name)
    now = context.ledger.get(name)
    found.add(
        symbol,
        f"{order.role} {name}",
        journal=before,
        venue=venue,
        done=f"now {now.status}" if now is not None else "",
    )


def _compare_balances(
    context: Context, found: Reconciliation, balances: Mapping[str, Balance]
) -> None:
    held: dict[str, Decimal] = {}
    for position in context.positions.all():
        base, _ = split_symbol(position.symbol)
        held[base] = held.get(base, ZERO) + position.amount
    for base, amount in held.items():
        total = balances[base].total if base in balances else ZERO
        if not amount and not total:
            continue
        missing = amount - total
        open_ = any(
            one.unclear and split_symbol(one.intent.symbol)[0] == base
            for one in context.ledger.open
        )
        if open_:
            done = "waits for an order whose outcome is not known"
            found.add(base, "balance", journal=str(amount), venue=str(total), done=done)
        elif missing > max(amount * MISSING, SMALLEST):
            done = f"{missing} {base} are missing"
            found.add(base, "balance", journal=str(amount), venue=str(total), done=done, halts=True)
        elif amount > 0:
            extra = total - amount
            done = f"{extra} EXTERNAL" if extra > SMALLEST else "agree"
            found.add(base, "balance", journal=str(amount), venue=str(total), done=done)
