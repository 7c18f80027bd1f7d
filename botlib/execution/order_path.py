"""The order path of a bot: one desk per symbol over one journal."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from botlib.core.errors import StoreError
from botlib.core.model import OrderRole, Position, Signal, SignalAction
from botlib.core.timeframe import timeframe_ms
from botlib.execution.bot_identity import bot_id
from botlib.execution.context import Context
from botlib.execution.desk import Desk
from botlib.execution.journal_guard import JournalGuard
from botlib.execution.ledger import OrderLedger
from botlib.execution.reconciliation import (
    Reconciliation,
    foreign_bot,
    reconcile,
    unknown_of_ours,
)
from botlib.execution.restoring import is_listed, read_journal, stored_books
from botlib.trading.books import ZERO, BookKey, Protection, Want, flaw_of
from botlib.trading.risk import exposure_of
from botlib.trading.sizing import amount_for, sellable, tradable
from botlib.trading.steps import HELD_THEN
from botlib.trading.stops import StopRules
from botlib.venues.budget import Purpose

if TYPE_CHECKING:
    from botlib.core.bus import EventBus
    from botlib.core.clock import Clock
    from botlib.execution.halts import HaltLatch
    from botlib.execution.refusals import Refusals
    from botlib.store.journal import OrderJournal
    from botlib.trading.orders import TrackedOrder
    from botlib.trading.positions import PositionManager
    from botlib.trading.risk import RiskValidator
    from botlib.venues.base import Exchange, OrderReport

logger = logging.getLogger(__name__)

MANUAL: Final = "by-hand"
"""Reason of wants that a person has."""

OLD: Final = 60_000
"""Milliseconds after which an unknown outcome holds entries back and is told of."""

CHECK_EVERY: Final = 300.0
"""Longest seconds between two checks of a symbol, even if nothing can be missing."""


class OrderPath:
    """The desks of a bot, and the entrance to them for strategies, people and reports.

    Args:
        system_clock: wall time; it dates the journal and the fence of unknown orders.
        market_clock: market time; wants expire by it.
        price_of: returns the newest price of a symbol, None before the first.
        held_back: returns why nothing may be entered for the moment.
        absence_fence: of the venue, ms.
    """

    def __init__(
        self,
        *,
        exchange: Exchange,
        journal: OrderJournal,
        positions: PositionManager,
        risk: RiskValidator,
        halts: HaltLatch,
        bus: EventBus,
        system_clock: Clock,
        market_clock: Clock,
        price_of: Callable[[str], float | None],
        held_back: Callable[[], str | None] = lambda: None,
        absence_fence: int,
        rng: random.Random | None = None,
        on_progress: Callable[[], None] = lambda: None,
    ) -> None:
        self._rng = rng or random.Random()
        self._cautions: dict[str, str] = {}
        self._outer_caution = held_back
        self._context = Context(
            bot=bot_id(journal, self._rng),
            exchange=exchange,
            journal=JournalGuard(journal),
            ledger=OrderLedger(journal),
            positions=positions,
            risk=risk,
            halts=halts,
            bus=bus,
            system_clock=system_clock,
            market_clock=market_clock,
            price_of=price_of,
            held_back=self.held_back,
            absence_fence=absence_fence,
            on_progress=on_progress,
        )
        self._desks: dict[str, Desk] = {}
        self._checked: dict[str, float] = {}
        self._stopping = False
        self._read_at: dict[str, float] = {}
        self.on_desk: Callable[[Desk], None] = lambda desk: None
        """Is called for every new desk, so that its task can be started."""
        self.reconciliation: Reconciliation | None = None
        """What the start found."""

    # What is seen

    @property
    def ledger(self) -> OrderLedger:
        """What is known of every order."""
        return self._context.ledger

    @property
    def bot(self) -> str:
        """The id of the bot."""
        return self._context.bot

    @property
    def sent(self) -> int:
        """Orders sent since the start."""
        return self._context.sender.sent

    @property
    def fills(self) -> int:
        """Fills booked since the start."""
        return self._context.fills

    @property
    def refused(self) -> dict[str, str]:
        """Why the newest want of a strategy was not done, by strategy."""
        return self._context.refusals.newest

    @property
    def refusals(self) -> Refusals:
        """How often the wants of strategies were refused."""
        return self._context.refusals

    @property
    def desks(self) -> dict[str, Desk]:
        """The desks by symbol."""
        return dict(self._desks)

    def desk(self, symbol: str) -> Desk:
        """Return the desk of a symbol; the first call opens it."""
        if symbol not in self._desks:
            desk = self._desks[symbol] = Desk(symbol, self._context)
            self.on_desk(desk)
        return self._desks[symbol]

    def protection(self, symbol: str) -> Protection | None:
        """Return what protects the position of a symbol: that of its first book that is held."""
        if symbol not in self._desks:
            return None
        for book in self._desks[symbol].books:
            if self._context.positions.of(*book.key).amount > 0 and book.protection.any:
                return book.protection
        return None

    def position(self, key: BookKey) -> Position:
        """Return the position of a book."""
        return self._context.positions.of(*key)

    def opened(self, key: BookKey) -> int | None:
        """Return when the entry of a book was first filled (market time, ms); None if flat.

        A remainder of an earlier position does not date the present one.
        """
        position = self._context.positions.of(*key)
        book = self.desk(key.symbol).books.get(key)
        if position.opened is None or book is None or book.protection.opened is None:
            return position.opened
        return book.protection.opened

    def exposure(self) -> Decimal:
        """Return what is held plus what entries under way may still buy, quote units."""
        held, ledger = self._context.positions.all(), self.ledger
        return exposure_of(held, ledger.open, ledger.owed, self._context.price).total

    def book_rows(self) -> list[dict[str, object]]:
        """Return every book as plain values, for people."""
        return [row for desk in list(self._desks.values()) for row in desk.rows()]

    def troubles(self) -> list[str]:
        """Return what the desks cannot do at present, and how old unknown outcomes are."""
        now = self._context.system_clock.now()
        closed = [one for one in self._desks if not self._context.market(one).active]
        troubles = (desk.enquiries.troubled for desk in self._desks.values())
        found = [trouble for trouble in troubles if trouble is not None]
        found += [f"the venue does not trade {symbol} now" for symbol in closed]
        found += [
            f"the {what} of {one.id} of {one.intent.symbol} has been unknown for "
            f"{(now - since) / 1_000:.0f} s"
            for one, what, since in self._unknown()
            if now - since > OLD
        ]
        return found

    # Cautions

    def held_back(self) -> str | None:
        """Return why nothing may be entered for the moment; it passes by itself."""
        if self._context.journal.failing is not None:
            return f"the journal cannot be written: {self._context.journal.failing}"
        for reason in self._cautions.values():
            return reason
        now = self._context.system_clock.now()
        for order, what, since in self._unknown():
            if now - since > OLD:
                return f"the {what} of {order.id} of {order.intent.symbol} is not known"
        return self._outer_caution()

    def _unknown(self) -> Iterable[tuple[TrackedOrder, str, int]]:
        """Yield what is not known of which orders, and since when (wall time, ms)."""
        for order in self.ledger.open:
            if order.intent.symbol not in self._desks:
                continue
            if order.unclear:
                yield order, "outcome", order.created
            elif self.ledger.owes(order):
                yield order, "fill", order.updated

    def caution(self, name: str, reason: str | None) -> None:
        """Set or, with None, remove a reason that holds entries back."""
        if reason is None:
            self._cautions.pop(name, None)
        else:
            self._cautions[name] = reason

    @property
    def cautions(self) -> tuple[str, ...]:
        """Why entries are held back now."""
        found = self.held_back()
        short = self._context.exchange.budget.shortage(Purpose.ENTRY, weight=2, orders=2)
        words = None if short is None else str(short)
        return tuple(dict.fromkeys(filter(None, (*self._cautions.values(), found, words))))

    # Strategies

    def register(self, strategy: str, symbol: str, rules: StopRules) -> None:
        """Register a strategy; the book of its name is its own."""
        self.desk(symbol).books.register(BookKey(strategy, symbol), rules)

    def unregister(self, strategy: str, symbol: str) -> None:
        """Mark a strategy as gone; its position stays protected."""
        self.desk(symbol).books.unregister(BookKey(strategy, symbol))

    def signal(self, signal: Signal, order_cost: Decimal) -> None:
        """Store what a signal wants; the desk carries it out.

        Args:
            order_cost: quote units an entry may spend.
        """
        key = BookKey(signal.strategy, signal.symbol)
        price = Decimal(str(signal.price))
        closed = signal.timestamp + timeframe_ms(signal.timeframe)
        entering = signal.action is SignalAction.ENTRY
        if entering:
            market = self._context.market(signal.symbol)
            target = amount_for(order_cost, price, market)
        else:
            target = ZERO
        want = Want(
            target=target,
            reason=signal.action.value,
            decided=signal.timestamp,
            timeframe=signal.timeframe,
            price=price,
            valid_until=closed + timeframe_ms(signal.timeframe) if entering else None,
        )
        pointless = self._pointless(key, want, closed)
        if pointless is not None:
            why, harmless = pointless
            self._context.refuse(key, want, why, harmless=harmless)
        elif entering or key in self._concerned(key.symbol):
            self.wish(key, want)

    def _concerned(self, symbol: str) -> list[BookKey]:
        """Return the books of a symbol that hold some of it, or may come to by an entry."""
        held = self._context.positions.books(symbol)
        keys = [BookKey(strategy, symbol) for strategy, one in held.items() if one.amount > 0]
        keys += [
            BookKey(one.intent.strategy, symbol)
            for one in self.ledger.open
            if one.intent.symbol == symbol and one.role is OrderRole.ENTRY
        ]
        keys += [
            book.key
            for book in self.desk(symbol).books
            if book.want is not None and book.want.target > 0
        ]
        return list(dict.fromkeys(keys))

    def _pointless(self, key: BookKey, want: Want, closed: int) -> tuple[str, bool] | None:
        """Return why a want to enter is not even written down, None if it is.

        Returns:
            The reason, and whether nothing is missed by that.
        """
        if want.target <= 0 and want.reason != SignalAction.ENTRY.value:
            return None
        if self._stopping:
            return "the bot is being stopped", True
        halts = self._context.halts.reasons(key.symbol)
        if halts:
            return f"entries are halted: {halts[0]}", False
        book = self.desk(key.symbol).books.get(key)
        if book is not None and book.want is not None and book.want.target <= 0:
            return "the position is being left", True
        if book is not None and book.released >= closed:
            # The stop sold at the open that followed the candle of the signal.
            return HELD_THEN, True
        held = self._context.positions.of(*key).amount
        market = self._context.market(key.symbol)
        if tradable(sellable(held, market), want.price, market):
            # Dropped now: its stop may sell at the open, and then it is too late to enter.
            return f"{held} {market.base} are held already", True
        if self._context.market_clock.now() >= (want.valid_until or 0):
            return "the candle is old: the next one has closed too", False
        return None

    def wish(self, key: BookKey, want: Want) -> None:
        """Store what a book is to hold; an amount or price that is none is refused."""
        flaw = flaw_of(want)
        if flaw is not None:
            self._context.refuse(key, want, flaw)
            return
        try:
            self.desk(key.symbol).books.want(key, want)
        except StoreError as error:
            self._context.refuse(key, want, f"it could not be journaled: {error}")

    def leave(
        self, symbol: str, reason: str = MANUAL, *, strategy: str | None = None
    ) -> list[BookKey]:
        """Store the want that every book of a symbol is flat; return those that are not yet.

        A book whose entry is under way is among them: what it buys is sold again.

        Args:
            strategy: whose book; None is all of them.
        """
        keys = [one for one in self._concerned(symbol) if strategy in (None, one.strategy)]
        for key in keys:
            self.wish(
                key,
                Want(
                    target=ZERO,
                    reason=reason,
                    decided=self._context.market_clock.now(),
                    price=self._context.price(symbol) or ZERO,
                ),
            )
        return keys

    def leave_everything(self, reason: str = MANUAL) -> dict[str, list[BookKey]]:
        """Store the want that every book is flat; return those that are not yet, by symbol.

        The wants are stored before any of them is carried out, and hold after a restart.
        """
        left = {symbol: self.leave(symbol, reason) for symbol in self._desks}
        return {symbol: keys for symbol, keys in left.items() if keys}

    def candle(self, strategy: str, symbol: str, high: float | None) -> None:
        """Set the highest high since the entry of a book, after a candle has closed."""
        if high is not None and symbol in self._desks:
            self._desks[symbol].books.raise_high(BookKey(strategy, symbol), high)

    async def settled(self, symbol: str) -> None:
        """Wait until the desk of a symbol has done all that can be done now."""
        if symbol in self._desks:
            await self._desks[symbol].settled()

    # The venue

    def on_execution(self, report: OrderReport) -> None:
        """Process a report of the user data stream."""
        order = self.ledger.get(report.client_order_id)
        if order is None:
            self._foreign(report)
            return
        self.desk(report.symbol).report(report, "stream")

    def _foreign(self, report: OrderReport) -> None:
        """Record an order that is not in the journal; one of another bot halts entries.

        That it has ended does not: a person who has re-armed since knows of it.
        """
        name, bot = report.client_order_id, self._context.bot
        other = foreign_bot(name, bot)
        if other is not None:
            reason = f"another bot ({other}) trades on this account: {name} of {report.symbol}"
        elif unknown_of_ours(name, bot):
            reason = f"{name} of {report.symbol} has our id, and the journal does not know it"
        else:
            logger.info("EXTERNAL order, not touched: %s of %s", name, report.symbol)
            return
        if report.status.final and not report.fills:
            logger.info("ended without a trade: %s", reason)
        else:
            self._context.halts.add(reason, source="desk")

    def check(self, *, thorough: bool = True) -> None:
        """Make the desks ask about everything that rests, and for unreported trades.

        Args:
            thorough: of all symbols; otherwise of those with an open order, and of each of them
                every `CHECK_EVERY`.
        """
        now = asyncio.get_running_loop().time()
        self._context.journal.flush()
        self._context.halts.settle()
        busy = {order.intent.symbol for order in self.ledger.open}
        for symbol, desk in self._desks.items():
            due = now - self._checked.get(symbol, -CHECK_EVERY) >= CHECK_EVERY
            if thorough or due or symbol in busy:
                self._checked[symbol] = now
                desk.check_resting()

    async def read_markets(self) -> None:
        """Read again how symbols are traded: those that are not, and each every `CHECK_EVERY`.

        Raises:
            ExchangeError: the venue did not answer.
        """
        now = asyncio.get_running_loop().time()
        for symbol in self._desks:
            before = self._context.market(symbol)
            if before.active and now - self._read_at.setdefault(symbol, now) < CHECK_EVERY:
                continue
            self._read_at[symbol] = now
            after = await self._context.exchange.reload_market(symbol)
            if after.active != before.active:
                words = "is traded again" if after.active else "is not traded now"
                logger.warning("%s %s", symbol, words)
                self._desks[symbol].wake()

    async def start(self, symbols: Iterable[str]) -> Reconciliation:
        """Reconcile journal and venue before anything is traded.

        Args:
            symbols: those that are traded; others that still have a book or an order are looked
                after as well.
        """
        problems, orders, fills = read_journal(self._context.journal)
        strategies = {order.id: order.intent.strategy for order in orders}
        earlier = self._context.journal.journal.orders_without_events()
        self._context.positions.load(
            fills,
            lambda fill: strategies.get(fill.client_order_id or "", ""),
            lambda fill: fill.client_order_id in earlier,
        )
        self.ledger.load(orders, fills)
        self._restore(symbols)
        self.reconciliation = await reconcile(self._context, self._desks, problems, self._rng)
        return self.reconciliation

    def _restore(self, symbols: Iterable[str]) -> None:
        """Open the desks, with the books of the journal."""
        stored, held = stored_books(self._context)
        busy = {order.intent.symbol for order in self.ledger.open}
        for symbol in dict.fromkeys([*symbols, *sorted({key.symbol for key in held} | busy)]):
            if is_listed(self._context, symbol):
                self.desk(symbol)
        for key, book in stored.items():
            if key.symbol in self._desks:
                self._desks[key.symbol].books.restore(book)
        for key in sorted(held - stored.keys()):
            if key.symbol in self._desks:
                self._desks[key.symbol].books.adopt(key)

    async def wind_down(self, deadline: float) -> list[str]:
        """Drop wants to enter, and wait until every desk has settled and protected its books.

        Returns:
            What could not be done within ``deadline`` seconds, in sentences.
        """
        self._stopping = True
        for desk in self._desks.values():
            desk.books.forget_entries("the bot is being stopped")
        try:
            async with asyncio.timeout(deadline):
                for desk in self._desks.values():
                    await desk.at_rest()
        except TimeoutError:
            pass
        self._context.journal.flush()
        return [words for desk in self._desks.values() for words in desk.left_over()]
