"""The parts of an engine that trade, made and connected to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botlib.engine.account import AccountMonitor
from botlib.engine.signals import SignalGenerator
from botlib.execution import OrderExecutor, Protector
from botlib.market_data import CandleStream
from botlib.tasks import beat

if TYPE_CHECKING:
    from botlib.engine.orchestrator import Orchestrator


def wire(engine: Orchestrator) -> None:
    """Give an engine that is connected its stream, orders, stops, signals and account."""
    engine.stream = CandleStream(
        engine.exchange,
        engine.storage,
        engine.bus,
        engine.market_clock,
        data_deadline=engine.settings.exchange.data_deadline,
        on_progress=beat,
        rng=engine.environment.rng,
    )
    engine.orders = OrderExecutor(
        exchange=engine.exchange,
        journal=engine.journal,
        positions=engine.positions,
        risk=engine.risk,
        bus=engine.bus,
        system_clock=engine.system_clock,
        market_clock=engine.market_clock,
        price_of=engine.frames.last_close,
    )
    engine.protector = Protector(
        orders=engine.orders,
        exchange=engine.exchange,
        positions=engine.positions,
        risk=engine.risk,
        bus=engine.bus,
        system_clock=engine.system_clock,
        market_clock=engine.market_clock,
    )
    engine.signals = SignalGenerator(
        bus=engine.bus,
        storage=engine.storage,
        frames=engine.frames,
        orders=engine.orders,
        on_progress=beat,
        protector=engine.protector,
        positions=engine.positions,
        now=engine.market_clock.now,
    )
    engine.account = AccountMonitor(
        exchange=engine.exchange,
        positions=engine.positions,
        risk=engine.risk,
        bus=engine.bus,
        clock=engine.market_clock,
        symbols=engine.settings.symbols,
        price_of=engine.frames.last_close,
    )
