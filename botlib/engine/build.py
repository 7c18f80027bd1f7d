"""The construction of an engine's parts: the one place that connects them to each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from botlib.config.secrets import ApiKeys
from botlib.core.bus import EventBus
from botlib.core.clock import MarketClock, SystemClock
from botlib.core.model import RequestsHeldBack, TaskFailed
from botlib.core.text.masking import masked
from botlib.engine.account.monitor import AccountMonitor
from botlib.engine.cautions import Cautions
from botlib.engine.log_tail import LogTail
from botlib.engine.manual_orders import ManualOrders
from botlib.engine.order_books import OrderBooks
from botlib.engine.paper.lockstep import Lockstep
from botlib.engine.paper.mirror_watch import MirrorWatch
from botlib.engine.parts import BaseParts, StoreParts, TradingParts
from botlib.engine.safety.execution_watch import ExecutionWatch
from botlib.engine.safety.kill_switch import STOP_FILE, KillSwitch
from botlib.engine.strategies.signals import SignalGenerator
from botlib.engine.watching import NoOrders
from botlib.engine.watchlist import Watchlist
from botlib.execution import HaltLatch, OrderPath
from botlib.frames import MultiTimeframeEngine
from botlib.market_data import CandleStream
from botlib.market_data.history import History
from botlib.paper import PAPER_API_KEY, PAPER_API_SECRET
from botlib.store import CandleStorage, Database, OrderJournal, database_path
from botlib.tasks import BackgroundTaskManager, beat
from botlib.trading.positions import PositionManager
from botlib.trading.risk import RiskLimits, RiskValidator
from botlib.venues.registry import DEFAULT_VENUE, build_exchange, capabilities, registered

if TYPE_CHECKING:
    from botlib.config import Settings
    from botlib.core.lag import LagMeter
    from botlib.engine.environment import EngineEnvironment
    from botlib.runtime import Stall
    from botlib.venues.base import Exchange
    from botlib.venues.budget import Shortage


STAND_IN: Final = "stand-in"
"""Folder of the databases of an exchange that stands in for a venue: its prices are not real."""

# The library of a venue takes seconds to import, for which a running loop would stand still.
registered(DEFAULT_VENUE).load()


def build_base(
    settings: Settings,
    environment: EngineEnvironment,
    *,
    lag: LagMeter,
    stalls: Callable[[], Sequence[Stall]],
    tell: Callable[[str], None],
) -> BaseParts:
    """Return the parts that need neither a database nor an exchange."""
    bus, market_clock, system_clock = EventBus(), MarketClock(), SystemClock()
    risk = RiskValidator(RiskLimits(**settings.risk.model_dump()))
    halts = HaltLatch(bus, system_clock)
    paper = environment.paper(settings) if settings.mode == "paper" else None

    def task_failed(name: str, error: BaseException) -> None:
        bus.publish(TaskFailed(task=name, error=masked(f"{type(error).__name__}: {error}")))

    base = BaseParts(
        settings=settings,
        environment=environment,
        lag=lag,
        stalls=stalls,
        tell=tell,
        bus=bus,
        market_clock=market_clock,
        system_clock=system_clock,
        positions=PositionManager(),
        risk=risk,
        frames=MultiTimeframeEngine(),
        tasks=BackgroundTaskManager(
            # Calendar time of tasks: the market's in a replay, the computer's live.
            clock=market_clock if paper is not None else system_clock,
            lag=lag,
            on_failure=task_failed,
            unhealthy_lag=settings.health.max_lag,
            health_check_interval=environment.health_check_interval,
            max_threads=environment.threads,
            rng=environment.rng,
        ),
        halts=halts,
        kill_switch=KillSwitch(
            halts=halts,
            clock=system_clock,
            stop_file=settings.data_directory / STOP_FILE,
            interval=environment.stop_file_interval,
        ),
        watchlist=Watchlist(settings),
        log=LogTail(),
        paper=paper,
    )
    return base


def open_store(base: BaseParts) -> StoreParts:
    """Open the database of the market, and return it with its candles and orders."""
    directory = base.settings.data_directory
    if base.stands_in:
        directory /= STAND_IN
    path = database_path(directory, base.venue)
    database = Database.open(path, base.venue)
    storage = CandleStorage(database)
    return StoreParts(
        database=database,
        storage=storage,
        journal=OrderJournal(database),
        counts_before=storage.counts(),
    )


def make_exchange(base: BaseParts) -> Exchange:
    """Return the exchange of the settings, not connected yet."""
    if base.paper is None:
        return build_exchange(base.venue, rest_url=base.settings.exchange.url, keys=_keys(base))
    return build_exchange(
        base.venue,
        rest_url=base.paper.url,
        keys=base.paper.keys,
        market_time=base.paper.market_time,
        connector=base.environment.connector,
        rng=base.environment.rng,
    )


def _keys(base: BaseParts) -> ApiKeys | tuple[str, str] | None:
    if base.settings.mode == "watch":
        # Without keys no request can be signed, whatever else goes wrong.
        return None
    if base.stands_in:
        # Whoever listens at the address must not get a request signed for the real venue.
        return PAPER_API_KEY, PAPER_API_SECRET
    return ApiKeys.from_environment(venue=base.venue)


def build(base: BaseParts, store: StoreParts, exchange: Exchange) -> TradingParts:
    """Return the parts that collect candles and trade on a connected exchange."""
    settings, rng = base.settings, base.environment.rng
    exchange.on_barred = lambda reason: _barred(base.halts, reason)
    exchange.budget.on_short = lambda short: _publish_shortage(base.bus, short)
    if base.paper is not None:
        # A paper market counts anew with its own minutes too, so that a replay is not slowed down.
        exchange.budget.market = base.market_clock.now
    stream = CandleStream(
        exchange,
        store.storage,
        base.bus,
        base.market_clock,
        data_deadline=settings.exchange.data_deadline,
        on_progress=beat,
        rng=rng,
    )
    orders = OrderPath(
        exchange=exchange,
        journal=store.journal,
        positions=base.positions,
        risk=base.risk,
        halts=base.halts,
        bus=base.bus,
        system_clock=base.system_clock,
        market_clock=base.market_clock,
        price_of=base.frames.last_close,
        held_back=Cautions(base),
        absence_fence=capabilities(base.venue).absence_fence,
        rng=rng,
        on_progress=beat,
    )
    signals = SignalGenerator(
        bus=base.bus,
        storage=store.storage,
        frames=base.frames,
        orders=NoOrders() if settings.mode == "watch" else orders,
        on_progress=beat,
        in_lockstep=base.in_lockstep,
        tell=lambda text: base.tell(masked(text)),
    )
    account = AccountMonitor(
        exchange=exchange,
        positions=base.positions,
        risk=base.risk,
        halts=base.halts,
        journal=store.journal,
        clock=base.market_clock,
        symbols=settings.symbols,
        price_of=_price_of(base, stream),
        has_account=settings.mode != "watch",
    )
    return TradingParts(
        exchange=exchange,
        history=History(exchange, store.storage, rng),
        stream=stream,
        books=OrderBooks(
            exchange=exchange,
            clock=base.market_clock,
            dial_limiter=stream.dial_limiter,
            tasks=base.tasks,
            data_deadline=settings.exchange.data_deadline,
            rng=rng,
        ),
        orders=orders,
        signals=signals,
        account=account,
        manual_orders=ManualOrders(exchange=exchange, orders=orders),
        executions=ExecutionWatch(exchange=exchange, orders=orders),
        mirror=_build_mirror_watch(base, orders),
        lockstep=_build_lockstep(base, store, exchange, signals, account),
    )


def _build_mirror_watch(base: BaseParts, orders: OrderPath) -> MirrorWatch | None:
    if base.paper is None or base.paper.mirror is None:
        return None
    return MirrorWatch(base.paper, orders)


def _price_of(base: BaseParts, stream: CandleStream) -> Callable[[str], float | None]:
    """Return what returns the newest price of a symbol, by which the account is valued."""
    if base.in_lockstep:
        return base.frames.last_close  # the market waits after each closed candle

    def newest(symbol: str) -> float | None:
        return stream.newest_price(symbol) or base.frames.last_close(symbol)

    return newest


def _publish_shortage(bus: EventBus, short: Shortage) -> None:
    bus.publish(
        RequestsHeldBack(
            requests=short.purpose.value,
            reason=str(short),
            rule=short.rule,
            value=str(short.used),
            limit=str(short.limit.most),
        )
    )


def _barred(halts: HaltLatch, reason: str) -> None:
    halts.add(reason, source="venue")
    halts.settle()


def _build_lockstep(
    base: BaseParts,
    store: StoreParts,
    exchange: Exchange,
    signals: SignalGenerator,
    account: AccountMonitor,
) -> Lockstep | None:
    if base.paper is None or not base.in_lockstep:
        return None
    return Lockstep(
        base.paper.control,
        exchange,
        base.subscriptions(),
        signals=signals if base.settings.tasks.signal_generation.enabled else None,
        storage=store.storage,
        tasks=base.tasks,
        data_deadline=base.settings.exchange.data_deadline,
        on_boundary=account.sample,
        on_progress=beat,
    )
