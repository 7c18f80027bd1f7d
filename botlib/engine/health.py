"""Health of the engine: derived from the work it did, never declared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from botlib.core.cards import Tone, card, figures, lines
from botlib.core.clock import iso
from botlib.core.timeframe import timeframe_ms

if TYPE_CHECKING:
    from collections.abc import Iterable

    from botlib.engine.orchestrator import Orchestrator
    from botlib.market_data import ConnectionStatus

LAG_MEMORY: Final = 5.0
"""Seconds after a late beat of the loop in which nothing is entered."""


BOOK_GRACE: Final = 10.0
"""Seconds an order book may take to get into step again after a cut."""


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

    def __repr__(self) -> str:
        words = "healthy" if self.healthy else f"unhealthy: {'; '.join(self.reasons)}"
        return f"<EngineHealth {self.mode.upper()} {self.venue} · {words}>"

    def _repr_html_(self) -> str:
        return card(
            "healthy" if self.healthy else "unhealthy",
            lines(self.reasons, Tone.BAD),
            figures(
                [
                    ("candles closed", f"{self.candles_closed:,}"),
                    ("orders", self.orders_sent),
                    ("fills", self.fills),
                    ("loop lag", f"{self.lag * 1e3:.1f} ms"),
                ]
            ),
            badge=self.mode.upper(),
            tone=Tone.GOOD if self.healthy else Tone.BAD,
            notes=f"{self.venue} · {self.market_time or 'not started'} UTC",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self)


def late_loop(engine: Orchestrator) -> str | None:
    """Return why nothing is entered now: what is decided while the loop lags behind is old.

    In lockstep the market waits, so that nothing gets old.
    """
    late = engine.lag.recent(LAG_MEMORY)
    if engine.lockstep is not None or late <= engine.settings.health.max_lag:
        return None
    return f"the loop ran {late:.1f} s late within the last {LAG_MEMORY:g} s"


def engine_health(engine: Orchestrator) -> EngineHealth:
    """Judge an engine by its tasks, its candles and its loop."""
    reasons = list(engine.tasks.health().reasons)
    closed = sent = fills = 0
    if not engine.started:
        reasons.append("the engine is not running")
    else:
        reasons += _candle_reasons(engine) + _book_reasons(engine)
        closed = sum(entry.closed for entry in engine.stream.status().subscriptions)
        sent, fills = engine.orders.sent, engine.orders.fills
        if engine.risk.halted is not None:
            reasons.append(f"entries are halted: {engine.risk.halted}")
        for asset, missing in engine.account.drift.items():
            reasons.append(f"the venue holds {missing} {asset} less than the book says")
    lag = engine.lag.current
    if lag > engine.settings.health.max_lag and (stalls := engine.stalls()):
        reasons.append(f"the loop was last kept by {stalls[-1].where}")
    now = engine.market_clock.now()
    return EngineHealth(
        healthy=not reasons,
        # They quote what tasks raised, and stand in notebooks and summaries.
        reasons=tuple(map(engine.log.masked, reasons)),
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
    status = engine.stream.status()
    if not status.subscriptions:
        reasons.append("no candle is subscribed to")
    reasons += _silences(engine, status.connections)
    for entry in status.subscriptions:
        name = f"{entry.symbol} {entry.timeframe}"
        if not entry.ready:
            reasons.append(f"{name} is not complete up to now")
        if entry.last_closed is None:
            reasons.append(f"no candle of {name} has closed")
            continue
        due = entry.last_closed + 2 * timeframe_ms(entry.timeframe)
        if now > due + late:
            reasons.append(
                f"the candle of {name} due at {iso(due)} has not closed by {iso(now)}, market time"
            )
    return reasons


def _book_reasons(engine: Orchestrator) -> list[str]:
    reasons = _silences(engine, engine.books.connections())
    for book in engine.books.status():
        if not book.ready and book.silence > BOOK_GRACE:
            reasons.append(
                f"the order book of {book.symbol} has been out of step for {book.silence:.0f} s: "
                f"{book.why}"
            )
    return reasons


def _silences(engine: Orchestrator, connections: Iterable[ConnectionStatus]) -> list[str]:
    # Beyond this silence the stream itself has redialled twice and found nothing.
    longest = 2 * engine.settings.exchange.data_deadline
    return [
        f"no frame came for {one.silence:.0f} s, the limit is {longest:.0f} s"
        + (f"; last loss: {one.last_loss}" if one.last_loss else "")
        for one in connections
        if one.silence is not None and one.silence > longest
    ]
