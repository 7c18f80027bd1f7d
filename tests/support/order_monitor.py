"""A monitor at the venue's side of an order path: the invariants, from what really arrived.

It knows every order that came in, and believes nothing the bot remembers except its journal.
"""

from __future__ import annotations

import asyncio
from collections import deque
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from botlib.core.model import OrderIntent, OrderRole, OrderStatus, Side, SignalAction
from botlib.store import OrderJournal
from botlib.trading.sizing import sellable, tradable

if TYPE_CHECKING:
    from botlib.trading.stops import StopRules
    from botlib.venues.base import OrderReport
    from tests.support.order_rig import Rig

D = Decimal
GRACE: Final = 10.0
"""Seconds for which a position may be without its stop while entries are allowed."""
SPARE: Final = 3.0
MINUTE: Final = 60_000
FLOOD: Final = 120
"""Most requests within ten seconds."""
HEAD_START: Final = 0.2
"""Seconds for which only exits may come after a venue that asked to wait."""
SLACK: Final = D("1.02")
EXCUSES: Final = ("neither be protected nor be sold", "cannot be sold")
"""Halts that say why a position stays as it is."""
UNFOUNDED: Final = ("contradicts itself", "does not know it", "are missing", "another bot")
"""Halts for which a venue that keeps its word gives no cause."""
FEES: Final = D("0.002")
"""Fraction by which the price a stop starts from may lie below that of the trades."""

Key = tuple[str, str]


class Monitor:
    """Checks every order that arrives, and every second the protection of what is held.

    Args:
        rig: is watched from its next start on.
    """

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.breaches: list[str] = []
        self.intents: dict[str, OrderIntent] = {}
        self.wishes: dict[Key, SignalAction] = {}
        """The last signal of each book that was raised while the process lived."""
        self.highs: dict[Key, float] = {}
        """Highest high of each book since its entry, as it was told to the living process."""
        self.costs: dict[Key, int] = {}
        """What the last signal of each book allowed to be spent."""
        self.stopped = ""
        """Why nothing may be entered any more, as a person said."""
        self._bare: dict[Key, float] = {}
        self._levels: dict[tuple[str, str, str], Decimal] = {}
        self._requests: deque[float] = deque()
        self._entries: deque[int] = deque()
        rig.venue.on_order = self.order
        rig.venue.on_cancel = self._cancelled
        rig.venue.on_limit = lambda what: self.note(f"I9 the venue's limits refused: {what}")
        rig.venue.on_haste = lambda what: self.note(f"I9 {what} although the venue asked to wait")

    def note(self, words: str) -> None:
        """Note a breach, each once."""
        if words not in self.breaches and len(self.breaches) < 20:
            self.breaches.append(words)

    def begin(self) -> None:
        """Note that a process starts: it has the whole grace."""
        self._bare.clear()
        self._requests.clear()
        self.rig.venue.busy_until = 0.0  # What was answered died with the process.

    def wished(self, key: Key, action: SignalAction, cost: int) -> None:
        """Note a signal that was raised while the process lived, and what it may cost."""
        self.wishes[key] = action
        self.costs[key] = cost
        if action is SignalAction.ENTRY:
            self.highs.pop(key, None)

    def rose(self, key: Key, high: float) -> None:
        """Note a high that was told to a process that knows of the position."""
        if self.rig.positions.of(*key).amount > 0:
            self.highs[key] = max(high, self.highs.get(key, 0.0))

    # Orders that arrive

    def order(self, intent: OrderIntent) -> None:
        """Check an order that arrives at the venue."""
        name = intent.client_order_id
        if not name.startswith("bl"):
            return  # Somebody else's.
        if name in self.intents:
            self.note(f"I1 {name} was sent twice")
        self.intents[name] = intent
        self._journaled(intent)
        if intent.side is Side.BUY:
            self._entry(intent)
        else:
            self._sale(intent)

    def _cancelled(self, order: OrderReport) -> None:
        if order.stop_price is not None and order.filled:
            self.note(f"I6 the stop {order.client_order_id} was cancelled while it sold")

    def _journaled(self, intent: OrderIntent) -> None:
        if self.rig.disk_full and intent.side is Side.SELL:
            return
        journal = OrderJournal(self.rig.database)
        if journal.tracked_order(intent.client_order_id) is None:
            self.note(f"I1 {intent.role} {intent.client_order_id} was sent, and is not journaled")

    def _entry(self, intent: OrderIntent) -> None:
        rig, limits = self.rig, self.rig.limits
        busy_until = rig.venue.busy_until
        if busy_until and asyncio.get_running_loop().time() < busy_until + HEAD_START:
            self.note("I9 an entry was sent before the exits that waited for the venue")
        if self.rig.disk_full:
            self.note(f"I1 {intent.client_order_id} was entered with a journal that fails")
        halts = [one.reason for one in rig.halts.all if one.symbol in (None, intent.symbol)]
        if halts or self.stopped:
            self.note(f"I6 an entry was sent while entries are halted: {[*halts, self.stopped]}")
        if rig.market_clock.now() >= (intent.signal_timestamp or 0) + 2 * MINUTE:
            self.note(f"I5 an entry was sent although its candle is old: {intent.reason}")
        for other in OrderJournal(rig.database).tracked(ended=False):
            if other.id != intent.client_order_id and other.intent.symbol == intent.symbol:
                if other.status in (
                    OrderStatus.SENT,
                    OrderStatus.UNKNOWN,
                    OrderStatus.PENDING_CANCEL,
                ):
                    self.note(f"I7 an entry was sent while {other.role} is {other.status}")
        again = [
            name
            for name, one in self.intents.items()
            if name in rig.venue.orders
            and one.side is Side.BUY
            and (one.strategy, one.symbol, one.signal_timestamp)
            == (intent.strategy, intent.symbol, intent.signal_timestamp)
        ]
        if again:
            self.note(f"I1 {intent.strategy} bought {intent.symbol} twice on one candle")
        price = intent.price or rig.venue.prices[intent.symbol]
        if intent.amount * price > self.costs.get((intent.strategy, intent.symbol), 10**9) * SLACK:
            self.note(f"I7 an entry of {intent.amount * price:.0f} is more than was wanted")
        if intent.amount * price > limits.max_order_cost * SLACK:
            self.note(f"I7 an entry of {intent.amount * price:.0f} is above max_order_cost")
        exposure = sum(
            (rig.venue.amount(one.split("/")[0]) * at for one, at in rig.venue.prices.items()),
            D(0),
        )
        if exposure + intent.amount * price > limits.max_exposure * SLACK:
            self.note(f"I7 {exposure + intent.amount * price:.0f} is above max_exposure")
        now = rig.market_clock.now()
        self._entries.append(now)
        while self._entries[0] <= now - MINUTE:
            self._entries.popleft()
        if len(self._entries) > limits.max_orders_per_minute:
            self.note(f"I7 {len(self._entries)} entries within a minute")

    def _sale(self, intent: OrderIntent) -> None:
        held = self.held((intent.strategy, intent.symbol))
        if intent.amount > held:
            self.note(f"I3 {intent.strategy} sells {intent.amount} {intent.symbol} and has {held}")
        if intent.role is OrderRole.STOP and intent.stop_price is not None:
            key = (intent.strategy, intent.symbol, intent.entry or "")
            if intent.stop_price < self._levels.get(key, D(0)):
                self.note(f"I6 the stop of {intent.strategy} fell to {intent.stop_price}")
            self._levels[key] = max(self._levels.get(key, D(0)), intent.stop_price)

    # What is held

    def held(self, key: Key) -> Decimal:
        """Return what a book really holds: the venue's trades of its orders, net of fees."""
        base, total = key[1].split("/")[0], D(0)
        for trade in self.rig.venue.trades:
            intent = self.intents.get(trade.client_order_id or "")
            if intent is None or (intent.strategy, intent.symbol) != key:
                continue
            total += trade.amount if trade.side is Side.BUY else -trade.amount
            total -= trade.fee if trade.fee_asset == base else D(0)
        return total

    def resting(self, key: Key, role: OrderRole) -> list[Decimal]:
        """Return what each open order of a book and role would still sell."""
        return [
            one.amount - one.filled
            for one in self.rig.venue.resting(key[1])
            if (intent := self.intents.get(one.client_order_id)) is not None
            and (intent.strategy, intent.symbol) == key
            and intent.role is role
        ]

    def sellable(self, key: Key) -> Decimal:
        """Return what of a book the venue would take an order for."""
        market = self.rig.venue.market(key[1])
        amount = sellable(self.held(key), market)
        return amount if tradable(amount, self.rig.venue.prices[key[1]], market) else D(0)

    # As time passes

    async def watch(self) -> None:
        """Check protection and requests every second, until cancelled."""
        seen = len(self.rig.venue.requests)
        while True:
            await asyncio.sleep(1)
            now = asyncio.get_running_loop().time()
            made = len(self.rig.venue.requests)
            self._requests.append(made - seen)
            seen = made
            if len(self._requests) > 10:
                self._requests.popleft()
            if sum(self._requests) > FLOOD:
                self.note(f"I9 {sum(self._requests)} requests within ten seconds")
            self._watch_stops(now)

    def _watch_stops(self, now: float) -> None:
        rig = self.rig
        silent = rig.venue.faults.deaf or rig.venue.faults.blind
        for key, rules in rig.strategies.items():
            bare = (
                rules.stops
                and not silent  # Whether anything is held cannot be known.
                and not rig.crashed.is_set()
                and rig.positions.of(*key).amount >= self.held(key)  # It is known of.
                and not rig.halts.reasons(key[1])
                and self.sellable(key) > sum(self.resting(key, OrderRole.STOP), D(0))
            )
            if not bare:
                self._bare.pop(key, None)
            elif now - self._bare.setdefault(key, now) > GRACE + SPARE:
                self.note(f"I6 {key} had no stop for over {GRACE:g} s, and no halt")

    # When all is quiet

    def settled(self) -> list[str]:
        """Return what does not hold when all is quiet: protection, its prices, forgotten exits."""
        found = []
        for key, rules in self.rig.strategies.items():
            amount = self.sellable(key)
            halts = " ".join(one.reason for one in self.rig.halts.all)
            if not amount or any(words in halts for words in EXCUSES):
                continue
            if self.wishes.get(key) is SignalAction.EXIT:
                found.append(f"I9 {key} wants to be sold, and {amount} is held")
            if rules.stops:
                found += self._stop(key, rules, amount)
            target = sum(self.resting(key, OrderRole.TARGET), D(0))
            if rules.take_profit is not None and target != amount and not self._refused_target(key):
                found.append(f"I6 {key} holds {amount} without its target")
        return found

    def _refused_target(self, key: Key) -> bool:
        """Return whether the venue refused the target of what is held: its stop has to do."""
        journal = OrderJournal(self.rig.database)
        entries = [one for one in journal.tracked() if one.role is OrderRole.ENTRY and one.filled]
        mine = [one for one in entries if (one.intent.strategy, one.intent.symbol) == key]
        return any(
            one.role is OrderRole.TARGET
            and one.status is OrderStatus.REJECTED
            and bool(mine)
            and one.intent.entry == mine[-1].id
            for one in journal.tracked()
        )

    def told(self) -> list[str]:
        """Return where the journal does not say of an order what the venue says."""
        known = {one.id: one for one in OrderJournal(self.rig.database).tracked()}
        found = []
        for name in self.intents:
            there, here = self.rig.venue.orders.get(name), known.get(name)
            if there is None:
                if here is not None and here.filled:
                    found.append(f"I2 {name} never arrived, and is {here.status}")
            elif here is None:
                found.append(f"I1 {name} is not in the journal")
            elif (here.filled, here.ended) != (there.filled, there.status.final):
                found.append(
                    f"I2 {here.role} {name} is {here.status} with {here.filled}, "
                    f"the venue says {there.status} with {there.filled}"
                )
        return found

    def unfounded(self) -> list[str]:
        """Return the halts for which there is no cause."""
        reasons = [one.reason for one in self.rig.halts.all]
        return [f"I9 halted: {one}" for one in reasons if any(word in one for word in UNFOUNDED)]

    def _stop(self, key: Key, rules: StopRules, amount: Decimal) -> list[str]:
        stops = self.resting(key, OrderRole.STOP)
        if stops != [amount]:
            return [f"I6 {key} holds {amount}, its stops sell {list(map(str, stops))}"]
        (order,) = (
            one
            for one in self.rig.venue.resting(key[1])
            if (intent := self.intents.get(one.client_order_id)) is not None
            and (intent.strategy, intent.symbol) == key
            and intent.role is OrderRole.STOP
        )
        bought = self._last_entry(key)
        if bought is None or order.stop_price is None:
            return []
        least = rules.stop_price(float(bought * (1 - FEES)), self.highs.get(key), D("0.01"))
        if order.stop_price < least:
            return [f"I6 the stop of {key} lies at {order.stop_price}, below {least}"]
        return []

    def _last_entry(self, key: Key) -> Decimal | None:
        """Return the average price of the entry that was filled last."""
        name, amount, cost = "", D(0), D(0)
        for trade in self.rig.venue.trades:
            intent = self.intents.get(trade.client_order_id or "")
            if intent is None or (intent.strategy, intent.symbol) != key or trade.side is Side.SELL:
                continue
            if trade.client_order_id != name:
                name, amount, cost = trade.client_order_id or "", D(0), D(0)
            amount, cost = amount + trade.amount, cost + trade.cost
        return cost / amount if amount else None
