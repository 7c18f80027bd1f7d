"""The parts of an engine: frozen records, one for each stage of its start.

`BaseParts` exist from the construction on, `StoreParts` since the database was opened, and
`TradingParts` since the exchange was connected. They are made by `botlib.engine.build`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from botlib.core.errors import EngineError
from botlib.venues.kinds import KINDS, STAND_IN, MarketKind, market_kind
from botlib.venues.registry import venue_in

if TYPE_CHECKING:
    from botlib.config import Settings
    from botlib.core.bus import EventBus
    from botlib.core.clock import Clock, MarketClock, SystemClock
    from botlib.core.lag import LagMeter
    from botlib.engine.account.monitor import AccountMonitor
    from botlib.engine.environment import EngineEnvironment
    from botlib.engine.log_tail import LogTail
    from botlib.engine.manual_orders import ManualOrders
    from botlib.engine.order_books import OrderBooks
    from botlib.engine.paper.lockstep import Lockstep
    from botlib.engine.paper.mirror_watch import MirrorWatch
    from botlib.engine.paper.service import PaperService
    from botlib.engine.safety.execution_watch import ExecutionWatch
    from botlib.engine.safety.kill_switch import KillSwitch
    from botlib.engine.strategies.signals import SignalGenerator
    from botlib.engine.watchlist import Watchlist
    from botlib.execution import HaltLatch, OrderPath
    from botlib.frames import MultiTimeframeEngine
    from botlib.market_data import CandleStream
    from botlib.market_data.history import History
    from botlib.paper import MirrorState
    from botlib.runtime import Stall
    from botlib.store import CandleStorage, Database, OrderJournal
    from botlib.tasks import BackgroundTaskManager
    from botlib.trading.positions import PositionManager
    from botlib.trading.risk import RiskValidator
    from botlib.venues.base import Exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseParts:
    """The parts that need neither a database nor an exchange."""

    settings: Settings
    environment: EngineEnvironment
    lag: LagMeter
    stalls: Callable[[], Sequence[Stall]]
    """Returns the functions that blocked the loop, the latest last."""
    tell: Callable[[str], None]
    """Shows a text to a person at once."""
    bus: EventBus
    market_clock: MarketClock
    system_clock: SystemClock
    positions: PositionManager
    risk: RiskValidator
    frames: MultiTimeframeEngine
    tasks: BackgroundTaskManager
    halts: HaltLatch
    kill_switch: KillSwitch
    watchlist: Watchlist
    log: LogTail
    """The newest lines of the log."""
    paper: PaperService | None
    """The paper exchange, None in live trading."""

    @property
    def venue(self) -> str:
        """The market that is traded; that of a paper exchange is known after its start."""
        if self.paper is not None:
            return self.paper.venue
        return venue_in(self.settings.exchange.environment)

    @property
    def kind(self) -> str:
        """The kind of market, as `botlib.venues.kinds` names it and badges show it."""
        return market_kind(self.venue, self.settings.kind)

    @property
    def shown_venue(self) -> str:
        """The market as people read it: a stand-in is not the venue whose name it has."""
        return f"{self.venue}, a stand-in" if self.stands_in else self.venue

    @property
    def kind_words(self) -> MarketKind:
        """Whose prices and whose money it is."""
        return STAND_IN if self.stands_in else KINDS[self.kind]

    @property
    def stands_in(self) -> bool:
        """Whether a paper exchange stands in for the venue that is watched or traded."""
        return self.paper is None and self.settings.exchange.url is not None

    @property
    def in_lockstep(self) -> bool:
        """Whether the market waits until each closed candle was processed."""
        return self.paper is not None and self.settings.paper.lockstep

    def subscriptions(self) -> list[tuple[str, str]]:
        """Return the (symbol, timeframe) pairs that are streamed."""
        return self.watchlist.all()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreParts:
    """The open database, and the candles and orders in it."""

    database: Database
    storage: CandleStorage
    journal: OrderJournal
    counts_before: Mapping[tuple[str, str], int]
    """Stored candles by (symbol, timeframe) when the database was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TradingParts:
    """The parts that collect candles and trade on a connected exchange."""

    exchange: Exchange
    history: History
    stream: CandleStream
    books: OrderBooks
    orders: OrderPath
    signals: SignalGenerator
    account: AccountMonitor
    manual_orders: ManualOrders
    executions: ExecutionWatch
    mirror: MirrorWatch | None
    lockstep: Lockstep | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStart:
    """The moment from which the figures of a run count."""

    time: int
    """Wall time, ms."""
    market_time: int
    """Market time, ms."""
    equity: Decimal
    """Value of the account, quote units."""


class PartsAccess:
    """Read-only names for the parts of an engine.

    Reading a part before the stage that makes it raises `EngineError`.
    """

    _base: BaseParts
    _store: StoreParts | None = None
    _trading: TradingParts | None = None

    @property
    def parts(self) -> TradingParts:
        """The parts that trade."""
        if self._trading is None:
            raise EngineError("The engine is not connected yet. Start it first.")
        return self._trading

    @property
    def stored(self) -> StoreParts:
        """The open database, and the candles and orders in it."""
        if self._store is None:
            raise EngineError("The engine has opened no database yet. Start it first.")
        return self._store

    @property
    def in_lockstep(self) -> bool:
        """Whether the market waits until each closed candle was processed."""
        return self._base.in_lockstep

    @property
    def settings(self) -> Settings:
        return self._base.settings

    @property
    def environment(self) -> EngineEnvironment:
        return self._base.environment

    @property
    def lag(self) -> LagMeter:
        return self._base.lag

    @property
    def stalls(self) -> Callable[[], Sequence[Stall]]:
        return self._base.stalls

    @property
    def tell(self) -> Callable[[str], None]:
        return self._base.tell

    @property
    def bus(self) -> EventBus:
        return self._base.bus

    @property
    def market_clock(self) -> MarketClock:
        return self._base.market_clock

    @property
    def system_clock(self) -> Clock:
        return self._base.system_clock

    @property
    def positions(self) -> PositionManager:
        return self._base.positions

    @property
    def risk(self) -> RiskValidator:
        return self._base.risk

    @property
    def frames(self) -> MultiTimeframeEngine:
        return self._base.frames

    @property
    def tasks(self) -> BackgroundTaskManager:
        return self._base.tasks

    @property
    def halts(self) -> HaltLatch:
        return self._base.halts

    @property
    def kill_switch(self) -> KillSwitch:
        return self._base.kill_switch

    @property
    def log(self) -> LogTail:
        return self._base.log

    @property
    def paper(self) -> PaperService | None:
        return self._base.paper

    @property
    def watchlist(self) -> Watchlist:
        return self._base.watchlist

    @property
    def storage(self) -> CandleStorage:
        return self.stored.storage

    @property
    def journal(self) -> OrderJournal:
        return self.stored.journal

    @property
    def exchange(self) -> Exchange:
        return self.parts.exchange

    @property
    def history(self) -> History:
        return self.parts.history

    @property
    def stream(self) -> CandleStream:
        return self.parts.stream

    @property
    def books(self) -> OrderBooks:
        return self.parts.books

    @property
    def orders(self) -> OrderPath:
        return self.parts.orders

    @property
    def signals(self) -> SignalGenerator:
        return self.parts.signals

    @property
    def account(self) -> AccountMonitor:
        return self.parts.account

    @property
    def venue(self) -> str:
        """The market that is traded."""
        return self._base.venue

    @property
    def kind(self) -> str:
        """The kind of market, as badges show it."""
        return self._base.kind

    @property
    def shown_venue(self) -> str:
        """The market as people read it."""
        return self._base.shown_venue

    @property
    def kind_words(self) -> MarketKind:
        """Whose prices and whose money it is."""
        return self._base.kind_words

    @property
    def mirror(self) -> MirrorState | None:
        """The state of the mirror that is traded on as it was last read, if it is one."""
        return self._base.paper.mirror if self._base.paper is not None else None

    @property
    def database(self) -> str:
        """Path of the database, empty before it was opened."""
        return str(self._store.database.path) if self._store else ""

    def subscriptions(self) -> list[tuple[str, str]]:
        """Return the (symbol, timeframe) pairs that are streamed."""
        return self._base.subscriptions()
