"""Health of the engine: derived from the work it did, never declared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from botlib.clock import iso
from botlib.timeframe import timeframe_ms

if TYPE_CHECKING:
    from botlib.engine.orchestrator import Orchestrator


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHealth:
    """Whether the engine does its work; the reasons say what it does not do."""

    healthy: bool
    reasons: tuple[str, ...]
    mode: str
    venue: str
    market_time: str
    """Market time as text, UTC; empty before the first event."""
    candles_closed: int
    orders_sent: int
    fills: int
    lag: float
    """Seconds by which the loop runs late now."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def engine_health(engine: Orchestrator) -> EngineHealth:
    """Judge an engine by its tasks, its candles and its loop."""
    reasons = list(engine.tasks.health().reasons)
    closed = sent = fills = 0
    if not engine.started:
        reasons.append("the engine is not running")
    else:
        reasons += _candle_reasons(engine)
        closed = sum(stream.closed for stream in engine.stream.status().streams)
        sent, fills = engine.orders.sent, engine.orders.fills
        if engine.risk.halted is not None:
            reasons.append(f"entries are halted: {engine.risk.halted}")
        for asset, missing in engine.account.drift.items():
            reasons.append(f"the venue holds {missing} {asset} less than the book says")
    lag = engine.lag.current
    if lag > engine.settings.health.max_lag:
        reasons.append(
            f"the loop runs {lag:.1f} s late, more than the "
            f"{engine.settings.health.max_lag:g} s of health.max_lag"
        )
    now = engine.market_clock.now()
    return EngineHealth(
        healthy=not reasons,
        reasons=tuple(reasons),
        mode=engine.settings.mode,
        venue=engine.venue,
        market_time=iso(now) if now else "",
        candles_closed=closed,
        orders_sent=sent,
        fills=fills,
        lag=lag,
    )


def _candle_reasons(engine: Orchestrator) -> list[str]:
    reasons = []
    now = engine.market_clock.now()
    late = round(engine.settings.health.candle_deadline * 1_000)
    # Beyond this silence the stream itself has redialled twice and found nothing.
    silence = 2 * engine.settings.exchange.data_deadline
    for stream in engine.stream.status().streams:
        name = f"{stream.symbol} {stream.timeframe}"
        if not stream.ready:
            reasons.append(f"the history of {name} is not complete")
        elif stream.age is None or stream.age > silence:
            age = "never" if stream.age is None else f"{stream.age:.0f} s ago"
            reasons.append(f"the last frame of {name} came {age}, the limit is {silence:.0f} s")
        elif stream.last_closed is None:
            reasons.append(f"no candle of {name} has closed")
        else:
            due = stream.last_closed + 2 * timeframe_ms(stream.timeframe)
            if now > due + late:
                reasons.append(
                    f"the candle of {name} due at {iso(due)} has not closed by {iso(now)} (market "
                    "time)"
                )
    return reasons
