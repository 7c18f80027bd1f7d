"""`InvariantChecker`: compares a bot with the ledger of its paper exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from botlib.core.errors import BotlibError
from botlib.core.model import FillReceived, SignalRaised
from botlib.core.symbol import split_symbol, symbol_id
from botlib.invariants import rules
from botlib.invariants.bot_record import BotRecord, Stream
from botlib.invariants.candle_check import CandleCheck, VenueCandles
from botlib.invariants.report import InvariantReport, Violation
from botlib.invariants.secrets import find_secrets
from botlib.invariants.settled import NOTHING, Settled
from botlib.invariants.venue_record import ZERO, VenueRecord
from botlib.trading.risk import RiskLimits
from botlib.trading.sizing import round_down

if TYPE_CHECKING:
    from botlib.core.bus import BusSubscription, EventBus
    from botlib.engine import Orchestrator

GRACE: Final = 10.0
"""Seconds for which a position may be without its stop."""

CONVERGENCE: Final = 60.0
"""Seconds after the last fault within which every invariant has to hold again."""

POLL: Final = 0.25
REQUESTS_PER_MINUTE: Final = 1_200
"""Most requests of a bot, a fifth of the venue's limit by weight."""

SPARE_TASKS: Final = 20
"""Most tasks of the loop that may be added after the start."""

_EVENTS: Final = 1_000_000


class VenueControl(VenueCandles, Protocol):
    """The part of `PaperControl` that a check reads."""

    async def state(self) -> dict[str, Any]: ...

    async def ledger(self, after: int = 0, orders: Sequence[int] = ()) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class _Records:
    """What both sides have recorded beyond what was settled."""

    settled: Settled
    bot: BotRecord
    venue: VenueRecord


class InvariantChecker:
    """The check of I1 to I9 for one bot.

    Call `begin` before the bot trades, `check` while no order is under way, and `converge` after a
    fault; `watch` runs beside the bot and checks the stops continuously. `of` creates a checker
    from a running engine; one that is constructed directly reads the database of a bot in another
    process. What a check found in order and cannot change is summed up, so a bot can be checked for
    any time.

    Args:
        control: of the paper exchange.
        database: file of the bot.
        venue: the market that the database is stamped with.
        streams: (symbol, timeframe) pairs that the bot collects.
        limits: its risk limits; None leaves I7 out.
        stops: returns whether the position in a symbol has to have a stop; None leaves I6 out.
        steps: the amount step of each symbol, base units.
        halted: returns why entries are halted, None if they are not.
        bus: the bus on which signals and fills are published.
        tasks: returns the number of tasks of the bot's loop.
        secrets: texts that none of ``artefacts`` may contain; empty leaves I8 out.
        artefacts: files and directories that the bot wrote.
    """

    def __init__(
        self,
        control: VenueControl,
        *,
        database: Path,
        venue: str,
        streams: Sequence[Stream],
        limits: RiskLimits | None = None,
        stops: Callable[[str], bool] | None = None,
        steps: Mapping[str, Decimal] | None = None,
        halted: Callable[[], str | None] = lambda: None,
        bus: EventBus | None = None,
        tasks: Callable[[], int] | None = None,
        secrets: Sequence[str] = (),
        artefacts: Sequence[Path] = (),
    ) -> None:
        self._control = control
        self._database = database
        self._venue = venue
        self._symbols = tuple(dict.fromkeys(symbol for symbol, _ in streams))
        self._candles = CandleCheck(control, database, venue, streams)
        self._limits = limits
        self._stops = stops
        self._steps = dict(steps or {})
        self._halted = halted
        self._tasks = tasks
        self._secrets = tuple(secrets)
        self._artefacts = tuple(artefacts)
        self._signals: list[SignalRaised] = []
        self._fills: list[FillReceived] = []
        self._inbox: BusSubscription[SignalRaised | FillReceived] | None = None
        if bus is not None:
            self._inbox = bus.subscribe(
                SignalRaised, FillReceived, name="invariants", maxsize=_EVENTS
            )
        self._baseline: dict[str, Decimal] = {}
        self._settled = NOTHING
        self._unprotected: dict[str, float] = {}
        self._recorded: list[Violation] = []
        self._start: tuple[float, int, int] | None = None

    @classmethod
    def of(cls, engine: Orchestrator, *, secrets: Sequence[str] = ()) -> Self:
        """Create the checker of an engine on a paper exchange; call it on the engine's loop."""
        assert engine.paper is not None
        symbols = engine.settings.symbols

        def stops(symbol: str) -> bool:
            found = engine.orders.protection(symbol)
            return found is not None and found.stop is not None

        return cls(
            engine.paper.control,
            database=Path(engine.database),
            venue=engine.venue,
            streams=engine.subscriptions(),
            limits=engine.risk.limits,
            stops=stops,
            steps={symbol: engine.exchange.market(symbol).step for symbol in symbols},
            halted=lambda: engine.halts.first,
            bus=engine.bus,
            tasks=lambda: len(asyncio.all_tasks()),
            secrets=secrets,
            artefacts=[engine.settings.data_directory],
        )

    async def begin(self) -> None:
        """Record the state before the bot trades: foreign balances, requests and tasks."""
        venue = VenueRecord.read(await self._control.ledger())
        for symbol in self._symbols:
            base, _ = split_symbol(symbol)
            traded = sum((trade.change(base) for trade in venue.trades), ZERO)
            self._baseline[base] = venue.balance(base) - traded
        self._start = (self._now(), await self._requests(), self._tasks() if self._tasks else 0)

    def close(self) -> None:
        """Unsubscribe from the bus."""
        if self._inbox is not None:
            self._inbox.close()

    async def check(self) -> InvariantReport:
        """Check every invariant that can be checked now.

        Orders under way look like violations of I2 and I3: call it while there are none, or call
        `converge`.

        Raises:
            BotlibError: the exchange does not answer, or the database cannot be read.
        """
        candles = await self._candles.violations()
        bounds = await self._bounds()
        self._read_events()
        # A signal that is read later may be on a candle that closes after the venue was read.
        signals = tuple(self._signals)
        records = await self._records()
        bot, venue, settled = records.bot, records.venue, records.settled
        # By now the fills in the records were published.
        self._read_events()
        found = [
            *rules.one_order_per_decision(bot, venue),
            *rules.fills_are_trades(bot, venue, settled),
            *rules.booked_once(self._fills, settled),
            *rules.positions_agree(bot, venue, self._symbols, self._baseline, settled),
            *candles,
            *rules.one_signal_per_candle(bot, signals, venue.market_time, settled),
        ]
        checked = ["I1", "I2", "I3", "I4", "I5"]
        if self._stops is not None:
            checked.append("I6")
            self._check_stops(records)
        if self._limits is not None:
            checked.append("I7")
            found += rules.caps_hold(bot, venue, self._limits, settled)
        if self._secrets:
            checked.append("I8")
            found += find_secrets(self._artefacts, self._secrets)
        checked.append("I9")
        found += bounds
        if not found:
            self._settle(records, signals)
        return InvariantReport(
            checked=tuple(checked),
            violations=(*found, *self._recorded),
            looked_at=(
                f"{settled.orders + len(venue.orders)} orders, "
                f"{settled.trades + len(venue.trades)} trades, {self._candles.count} candles"
            ),
        )

    async def watch(self, interval: float = 1.0) -> None:
        """Check the stops of all positions until cancelled; each `check` reports the violations."""
        while True:
            try:
                records = await self._records()
            except BotlibError:
                # While the exchange is away the stops cannot be checked.
                self._unprotected.clear()
            else:
                self._check_stops(records)
            await asyncio.sleep(interval)

    async def converge(
        self, within: float = CONVERGENCE, *, ready: Callable[[], bool] = lambda: True
    ) -> InvariantReport:
        """Check until every invariant holds, and return the last report.

        Args:
            within: seconds, after which the report has a violation of I9.
            ready: returns whether the bot calls itself healthy.
        """
        until = self._now() + within
        report: InvariantReport | None = None
        why = ""
        while True:
            try:
                report = await self.check()
                if report.ok and ready():
                    return report
                why = "" if ready() else "it does not call itself healthy"
            except BotlibError as error:
                why = str(error)
            if self._now() > until:
                break
            await asyncio.sleep(POLL)
        late = Violation(
            invariant="I9",
            what=f"not recovered {within:g} s after the last fault",
            bot=why or "violations remain",
            venue="no further fault",
        )
        found = report.violations if report is not None else ()
        checked = report.checked if report is not None else ("I9",)
        return InvariantReport(checked=checked, violations=(*found, late))

    def _read_events(self) -> None:
        while self._inbox is not None and (event := self._inbox.get_nowait()) is not None:
            if isinstance(event, SignalRaised):
                self._signals.append(event)
            else:
                self._fills.append(event)

    async def _records(self) -> _Records:
        settled = self._settled
        # The venue is read first: the bot's record may only be newer, never older.
        answer = await self._control.ledger(settled.last, sorted(settled.unfinished))
        venue = VenueRecord.read(answer)
        names = {one.client_order_id for one in venue.orders}
        bot = BotRecord.read_orders(self._database, self._venue, names, settled)
        return _Records(settled, bot, venue)

    def _settle(self, records: _Records, signals: Sequence[SignalRaised]) -> None:
        """Sum up what was checked and cannot change, and forget it."""
        settled = records.settled.with_venue(records.venue, records.bot.orders)
        self._settled = settled = settled.with_signals(signals)
        del self._signals[: len(signals)]
        self._fills = [
            event for event in self._fills if not settled.covers(int(event.fill.venue_order_id))
        ]

    def _check_stops(self, records: _Records) -> None:
        """Record since when each position has been without its stop, and violations of I6."""
        bot, venue = records.bot, records.venue
        for symbol in self._symbols:
            step = self._steps.get(symbol, ZERO)
            amount = round_down(rules.held(bot, symbol, records.settled), step)
            wanted = self._stops is not None and amount > 0 and self._stops(symbol)
            covered = sum(
                (
                    order.amount - order.executed
                    for order in venue.ours(bot.orders).values()
                    if order.symbol == symbol_id(symbol)
                    and order.open
                    and order.side == "SELL"
                    and order.stop_price > 0
                ),
                ZERO,
            )
            if not wanted or covered >= amount or self._halted() is not None:
                self._unprotected.pop(symbol, None)
                continue
            since = self._unprotected.setdefault(symbol, self._now())
            if self._now() - since > GRACE:
                self._unprotected[symbol] = self._now()
                self._recorded.append(
                    Violation(
                        invariant="I6",
                        what=f"no stop for over {GRACE:g} s, and no halt",
                        bot=f"{amount} {symbol}",
                        venue=f"stops for {covered}",
                    )
                )

    async def _bounds(self) -> list[Violation]:
        """Return violations of I9: too many requests or tasks."""
        return list(self._excess(await self._requests())) if self._start is not None else []

    def _excess(self, requests: int) -> Iterator[Violation]:
        assert self._start is not None
        time, before, tasks = self._start
        minutes = 1 + (self._now() - time) / 60
        if requests - before > REQUESTS_PER_MINUTE * minutes:
            yield Violation(
                invariant="I9",
                what=f"more than {REQUESTS_PER_MINUTE} requests a minute",
                bot="sends more",
                venue=f"{requests - before} requests in {minutes - 1:.1f} min",
            )
        if self._tasks is not None and self._tasks() > tasks + SPARE_TASKS:
            yield Violation(
                invariant="I9",
                what="tasks leak",
                bot=f"{self._tasks()} tasks, {tasks} at the start",
                venue="no tasks",
            )

    async def _requests(self) -> int:
        return int((await self._control.state())["counters"]["requests"])

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
