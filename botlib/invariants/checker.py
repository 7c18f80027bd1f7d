"""`InvariantChecker`: holds a bot against the ledger of its paper exchange, at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from botlib.core.errors import BotlibError
from botlib.core.model import FillReceived, SignalRaised
from botlib.core.symbol import split_symbol, symbol_id
from botlib.invariants import rules
from botlib.invariants.kit_record import KitRecord, Stream
from botlib.invariants.report import InvariantReport, Violation
from botlib.invariants.secrets import find_secrets
from botlib.invariants.venue_record import ZERO, VenueRecord
from botlib.trading.risk import RiskLimits
from botlib.trading.sizing import round_down

if TYPE_CHECKING:
    from botlib.core.bus import BusSubscription, EventBus
    from botlib.engine import Orchestrator

GRACE: Final = 10.0
"""Seconds a position may be without its stop."""

CONVERGENCE: Final = 60.0
"""Seconds after the last fault in which everything has to hold again."""

POLL: Final = 0.25
REQUESTS_PER_MINUTE: Final = 1_200
"""Requests a bot may make, a fifth of what the venue allows by weight."""

SPARE_TASKS: Final = 20
"""Tasks of the loop that may have come since the beginning."""

_EVENTS: Final = 1_000_000


class VenueControl(Protocol):
    """What a `PaperControl` tells."""

    async def state(self) -> dict[str, Any]: ...

    async def ledger(self) -> dict[str, Any]: ...

    async def candles(
        self, symbol: str, timeframe: str, start: int, end: int
    ) -> list[tuple[int, float, float, float, float, float]]: ...


class InvariantChecker:
    """Checks I1 to I9 of one bot.

    `begin` before it trades, `check` whenever all is quiet, `converge` after a fault; `watch`
    beside it looks for stops all the time. With `of` it knows a running engine; without, it reads
    what a bot in another process has on disk.

    Args:
        oracle: the control of the paper exchange.
        database: the file of the bot.
        venue: the market it is stamped with.
        streams: (symbol, timeframe) pairs the bot collects.
        limits: its caps on risk; None leaves I7 out.
        stops: tells whether the position in a symbol has to have a stop; None leaves I6 out.
        steps: the amount step of each symbol, base units.
        halted: tells why entries are halted, None where they are not.
        bus: where signals and fills are told.
        tasks: counts the tasks of the bot's loop.
        secrets: texts that must not stand in any of ``artefacts``; none leaves I8 out.
        artefacts: files and directories the bot wrote.
    """

    def __init__(
        self,
        oracle: VenueControl,
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
        self._oracle = oracle
        self._database = database
        self._venue = venue
        self._streams = tuple(streams)
        self._symbols = tuple(dict.fromkeys(symbol for symbol, _ in streams))
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
        self._since: dict[Stream, int] = {}
        self._bare: dict[str, float] = {}
        self._noted: list[Violation] = []
        self._began: tuple[float, int, int] | None = None

    @classmethod
    def of(cls, engine: Orchestrator, *, secrets: Sequence[str] = ()) -> Self:
        """Return the checker of an engine that runs on a paper exchange, on the loop it runs on."""
        assert engine.paper is not None
        symbols = engine.settings.symbols

        def stops(symbol: str) -> bool:
            entry = engine.protector.entry(symbol)
            found = engine.protector.rules.get(entry.strategy) if entry is not None else None
            return found is not None and found.stops

        return cls(
            engine.paper.control,
            database=Path(engine.database),
            venue=engine.venue,
            streams=engine.subscriptions(),
            limits=engine.risk.limits,
            stops=stops,
            steps={symbol: engine.exchange.market(symbol).step for symbol in symbols},
            halted=lambda: engine.risk.halted,
            bus=engine.bus,
            tasks=lambda: len(asyncio.all_tasks()),
            secrets=secrets,
            artefacts=[engine.settings.data_directory],
        )

    async def begin(self) -> None:
        """Note what is there before: balances that are not the bot's, requests, tasks."""
        venue = VenueRecord.read(await self._oracle.ledger())
        for symbol in self._symbols:
            base, _ = split_symbol(symbol)
            traded = sum((trade.change(base) for trade in venue.trades), ZERO)
            self._baseline[base] = venue.balance(base) - traded
        self._began = (self._now(), await self._requests(), self._tasks() if self._tasks else 0)

    def close(self) -> None:
        """Stop listening."""
        if self._inbox is not None:
            self._inbox.close()

    async def check(self) -> InvariantReport:
        """Check everything that can be checked, now.

        Orders under way look like violations of I2 and I3: check where all is quiet, or `converge`.

        Raises:
            BotlibError: the exchange does not answer, or the database cannot be read.
        """
        self._read_events()
        # What the venue knows first: what it has told by then, the kit may have by the second look.
        venue = VenueRecord.read(await self._oracle.ledger())
        kit = KitRecord.read(self._database, self._venue, self._streams, self._since)
        bars = await self._bars(kit)
        found = [
            *rules.one_order_per_decision(kit, venue),
            *rules.fills_are_trades(kit, venue),
            *rules.booked_once(self._fills),
            *rules.positions_agree(kit, venue, self._symbols, self._baseline),
            *rules.candles_are_the_venues(kit, bars),
            *rules.one_signal_per_candle(kit, self._signals, venue.market_time),
        ]
        checked = ["I1", "I2", "I3", "I4", "I5"]
        if self._stops is not None:
            checked.append("I6")
            self._look(kit, venue)
        if self._limits is not None:
            checked.append("I7")
            found += rules.caps_hold(kit, venue, self._limits)
        if self._secrets:
            checked.append("I8")
            found += find_secrets(self._artefacts, self._secrets)
        checked.append("I9")
        found += await self._bounds()
        candles = sum(map(len, kit.candles.values()))
        return InvariantReport(
            checked=tuple(checked),
            violations=(*found, *self._noted),
            looked_at=f"{len(venue.orders)} orders, {len(venue.trades)} trades, {candles} candles",
        )

    async def watch(self, interval: float = 1.0) -> None:
        """Look for the stops of all positions until cancelled; violations stand in each `check`."""
        while True:
            try:
                venue = VenueRecord.read(await self._oracle.ledger())
                kit = KitRecord.read(self._database, self._venue, (), {})
            except BotlibError:
                # Nobody can tell while the exchange is away.
                self._bare.clear()
            else:
                self._look(kit, venue)
            await asyncio.sleep(interval)

    async def converge(
        self, within: float = CONVERGENCE, *, ready: Callable[[], bool] = lambda: True
    ) -> InvariantReport:
        """Check until everything holds, ``within`` seconds at most; return the last report.

        Args:
            ready: tells whether the bot itself says that all is well.
        """
        until = self._now() + within
        report: InvariantReport | None = None
        why = ""
        while True:
            try:
                report = await self.check()
                if report.ok and ready():
                    return report
                why = "" if ready() else "it does not call itself well"
            except BotlibError as error:
                why = str(error)
            if self._now() > until:
                break
            await asyncio.sleep(POLL)
        late = Violation(
            invariant="I9",
            what=f"not well {within:g} s after the last fault",
            kit=why or "violations remain",
            venue="no fault any more",
        )
        found = report.violations if report is not None else ()
        checked = report.checked if report is not None else ("I9",)
        return InvariantReport(checked=checked, violations=(*found, late))

    # -- details

    def _read_events(self) -> None:
        while self._inbox is not None and (event := self._inbox.get_nowait()) is not None:
            if isinstance(event, SignalRaised):
                self._signals.append(event)
            else:
                self._fills.append(event)

    async def _bars(self, kit: KitRecord) -> rules.Bars:
        found: dict[Stream, dict[int, tuple[float, ...]]] = {}
        for stream in self._streams:
            span = kit.span(stream)
            if span is not None:
                rows = await self._oracle.candles(*stream, *span)
                found[stream] = {row[0]: row[1:] for row in rows}
        return found

    def _look(self, kit: KitRecord, venue: VenueRecord) -> None:
        """I6: note since when a position has been without its stop."""
        for symbol in self._symbols:
            step = self._steps.get(symbol, ZERO)
            amount = round_down(rules.held(kit, symbol), step)
            wanted = self._stops is not None and amount > 0 and self._stops(symbol)
            covered = sum(
                (
                    order.amount - order.executed
                    for order in venue.ours(kit.orders).values()
                    if order.symbol == symbol_id(symbol)
                    and order.open
                    and order.side == "SELL"
                    and order.stop_price > 0
                ),
                ZERO,
            )
            if not wanted or covered >= amount or self._halted() is not None:
                self._bare.pop(symbol, None)
                continue
            since = self._bare.setdefault(symbol, self._now())
            if self._now() - since > GRACE:
                self._bare[symbol] = self._now()
                self._noted.append(
                    Violation(
                        invariant="I6",
                        what=f"no stop for over {GRACE:g} s, and no halt",
                        kit=f"{amount} {symbol}",
                        venue=f"stops for {covered}",
                    )
                )

    async def _bounds(self) -> list[Violation]:
        """I9: requests and tasks."""
        return list(self._excess(await self._requests())) if self._began is not None else []

    def _excess(self, requests: int) -> Iterator[Violation]:
        assert self._began is not None
        time, before, tasks = self._began
        minutes = 1 + (self._now() - time) / 60
        if requests - before > REQUESTS_PER_MINUTE * minutes:
            yield Violation(
                invariant="I9",
                what=f"more than {REQUESTS_PER_MINUTE} requests a minute",
                kit="asks on",
                venue=f"{requests - before} requests in {minutes - 1:.1f} min",
            )
        if self._tasks is not None and self._tasks() > tasks + SPARE_TASKS:
            yield Violation(
                invariant="I9",
                what="tasks leak",
                kit=f"{self._tasks()} tasks, {tasks} at the beginning",
                venue="no such thing",
            )

    async def _requests(self) -> int:
        return int((await self._oracle.state())["counters"]["requests"])

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
