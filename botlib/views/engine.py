"""The engine as views see it: `EngineReading`, and `OperableEngine` for the dashboard's buttons.

A view depends on these protocols and never on the engine itself; the `Orchestrator` satisfies both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from botlib.config import Settings
    from botlib.core.bus import EventBus
    from botlib.core.clock import Clock, MarketClock
    from botlib.core.lag import LagMeter
    from botlib.engine.account.monitor import AccountMonitor
    from botlib.engine.health import EngineHealth
    from botlib.engine.log_tail import LogTail
    from botlib.engine.order_books import OrderBooks
    from botlib.engine.parts import RunStart, StoreParts
    from botlib.engine.safety.arming import Arming
    from botlib.engine.safety.kill_switch import KillSwitch
    from botlib.engine.strategies.roster import StrategyRoster
    from botlib.engine.strategies.signals import SignalGenerator
    from botlib.engine.watchlist import Watchlist
    from botlib.execution import HaltLatch, OrderPath
    from botlib.market_data import CandleStream
    from botlib.market_data.history import History
    from botlib.paper import MirrorState
    from botlib.runtime import Stall
    from botlib.tasks import BackgroundTaskManager
    from botlib.trading.positions import PositionManager
    from botlib.trading.risk import RiskValidator
    from botlib.venues.base import Exchange
    from botlib.venues.kinds import MarketKind


class ControlPage(Protocol):
    """Where the control page answers."""

    @property
    def url(self) -> str | None: ...

    @property
    def token_file(self) -> Path | None: ...


class EngineReading(Protocol):
    """What charts, dashboard and summary read of an engine."""

    started: bool
    left_over: tuple[str, ...]

    @property
    def settings(self) -> Settings: ...

    @property
    def venue(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def shown_venue(self) -> str: ...

    @property
    def kind_words(self) -> MarketKind: ...

    @property
    def arming(self) -> Arming | None: ...

    @property
    def mirror(self) -> MirrorState | None: ...

    @property
    def database(self) -> str: ...

    @property
    def run_start(self) -> RunStart | None: ...

    @property
    def stored(self) -> StoreParts: ...

    @property
    def bus(self) -> EventBus: ...

    @property
    def market_clock(self) -> MarketClock: ...

    @property
    def system_clock(self) -> Clock: ...

    @property
    def lag(self) -> LagMeter: ...

    @property
    def stalls(self) -> Callable[[], Sequence[Stall]]: ...

    @property
    def tasks(self) -> BackgroundTaskManager: ...

    @property
    def log(self) -> LogTail: ...

    @property
    def in_lockstep(self) -> bool: ...

    @property
    def exchange(self) -> Exchange: ...

    @property
    def history(self) -> History: ...

    @property
    def stream(self) -> CandleStream: ...

    @property
    def books(self) -> OrderBooks: ...

    @property
    def orders(self) -> OrderPath: ...

    @property
    def halts(self) -> HaltLatch: ...

    @property
    def positions(self) -> PositionManager: ...

    @property
    def risk(self) -> RiskValidator: ...

    @property
    def signals(self) -> SignalGenerator: ...

    @property
    def roster(self) -> StrategyRoster: ...

    @property
    def account(self) -> AccountMonitor: ...

    @property
    def watchlist(self) -> Watchlist: ...

    def subscriptions(self) -> list[tuple[str, str]]: ...

    def health(self) -> EngineHealth: ...

    def before_stop(self, hook: Callable[[EngineHealth], Awaitable[None]]) -> None: ...


class OperableEngine(EngineReading, Protocol):
    """What the buttons of the dashboard and of charts use besides."""

    @property
    def control(self) -> ControlPage: ...

    @property
    def kill_switch(self) -> KillSwitch: ...

    async def watch(
        self, symbol: str, timeframes: Sequence[str], *, rows: Mapping[str, int] | None = ...
    ) -> list[tuple[str, str]]: ...

    async def unwatch(self, symbol: str, timeframe: str | None = ...) -> list[tuple[str, str]]: ...

    async def kill(
        self, reason: str, *, by: str = ..., close_positions: bool = ...
    ) -> list[str]: ...
