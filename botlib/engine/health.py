"""The health of the engine: derived from the work it did, never declared."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from botlib.core.clock import iso
from botlib.core.text import formats
from botlib.core.text.cards import Tone, card, figures, lines
from botlib.core.text.masking import masked
from botlib.engine.paper.mirror_watch import stale_words
from botlib.engine.strategies.condition import (
    BAD,
    WARNED,
    StrategyCondition,
    overdue,
    strategy_conditions,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from botlib.config import Settings
    from botlib.engine.parts import BaseParts, TradingParts
    from botlib.market_data import ConnectionStatus

LAG_MEMORY: Final = 5.0
"""Seconds after a late beat of the loop during which entries are held back."""

BOOK_GRACE: Final = 10.0
"""Seconds an order book may be out of step with the venue after a lost connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineHealth:
    """Whether the engine does its work, and the reasons if it does not."""

    healthy: bool
    reasons: tuple[str, ...]
    """Why it does not."""
    mode: str
    venue: str
    market_time: str
    """Market time as text, UTC; empty before the first event."""
    candles_closed: int
    orders_sent: int
    fills: int
    lag: float
    """Seconds by which the loop is late at present."""
    warnings: tuple[str, ...] = ()
    """What a person should look at, although the engine does its work."""
    strategies: tuple[StrategyCondition, ...] = ()

    @property
    def word(self) -> str:
        """``healthy``, ``healthy with warnings`` or ``unhealthy``."""
        if not self.healthy:
            return "unhealthy"
        return "healthy with warnings" if self.warnings else "healthy"

    @property
    def tone(self) -> Tone:
        """Green, yellow or red."""
        if not self.healthy:
            return Tone.BAD
        return Tone.WARN if self.warnings else Tone.GOOD

    def __repr__(self) -> str:
        found = (*self.reasons, *self.warnings)
        words = f"{self.word}: {'; '.join(found)}" if found else self.word
        return f"<EngineHealth {self.mode.upper()} {self.venue} · {words}>"

    def _repr_html_(self) -> str:
        return card(
            self.word,
            lines(self.reasons, Tone.BAD),
            lines(self.warnings, Tone.WARN),
            figures(
                [
                    ("candles closed", formats.count(self.candles_closed)),
                    ("orders", formats.count(self.orders_sent)),
                    ("fills", formats.count(self.fills)),
                    ("loop lag", formats.duration(self.lag)),
                ]
            ),
            badge=self.mode.upper(),
            tone=self.tone,
            notes=f"{self.venue} · "
            + (f"market time {self.market_time} UTC" if self.market_time else "not started"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        strategies = [one.to_dict() for one in self.strategies]
        return {**asdict(self), "strategies": strategies}


def late_loop(base: BaseParts) -> str | None:
    """Return why entries are held back, None if they are not: a late loop decides on old prices.

    In lockstep the market waits, so no price becomes old.
    """
    late = base.lag.recent(LAG_MEMORY)
    if base.in_lockstep or late <= base.settings.health.max_lag:
        return None
    return f"the loop ran {late:.1f} s late within the last {LAG_MEMORY:g} s"


def engine_health(base: BaseParts, parts: TradingParts | None) -> EngineHealth:
    """Return the health of an engine, derived from its tasks, its candles and its loop.

    Args:
        parts: those that trade, None while the engine does not run.
    """
    reasons = list(base.tasks.health().reasons)
    warnings: list[str] = []
    strategies: list[StrategyCondition] = []
    closed = sent = fills = 0
    if parts is None:
        reasons.append("the engine is not running")
    else:
        mirror = base.paper.mirror if base.paper is not None else None
        stale = stale_words(mirror) if mirror is not None and mirror.stale else None
        if stale is not None:
            # The first reason is the one that is seen.
            reasons.insert(0, stale)
        reasons += _candle_reasons(base, parts) + _book_reasons(base, parts)
        closed = sum(entry.closed for entry in parts.stream.status().subscriptions)
        sent, fills = parts.orders.sent, parts.orders.fills
        reasons += [f"entries are halted: {reason}" for reason in base.halts.reasons()]
        reasons += [
            f"entries are held back: {reason}"
            for reason in parts.orders.cautions
            if reason != stale
        ]
        strategies = strategy_conditions(base, parts)
        reasons += [str(one) for one in strategies if one.state in BAD]
        warnings += [str(one) for one in strategies if one.state in WARNED]
        reasons += parts.orders.troubles()
        for asset, missing in parts.account.drift.items():
            reasons.append(f"the venue holds {missing} {asset} less than the book says")
    lag = base.lag.current
    if lag > base.settings.health.max_lag and (stalls := base.stalls()):
        reasons.append(f"the loop was last kept by {stalls[-1].where}")
    now = base.market_clock.now()
    return EngineHealth(
        healthy=not reasons,
        # Reasons quote the errors of tasks, and are stored in notebooks and summaries.
        reasons=tuple(map(masked, reasons)),
        mode=base.kind,
        venue=base.shown_venue,
        market_time=iso(now) if now else "",
        candles_closed=closed,
        orders_sent=sent,
        fills=fills,
        lag=lag,
        warnings=tuple(map(masked, warnings)),
        strategies=tuple(strategies),
    )


def _candle_reasons(base: BaseParts, parts: TradingParts) -> list[str]:
    reasons = []
    now = base.market_clock.now()
    status = parts.stream.status()
    if not status.subscriptions:
        reasons.append("no candle is subscribed to")
    reasons += _silences(status.connections, base.settings)
    for entry in status.subscriptions:
        name = f"{entry.symbol} {entry.timeframe}"
        if not entry.ready:
            reasons.append(f"{name} is not complete up to now")
        if entry.last_closed is None:
            reasons.append(f"no candle of {name} has closed")
            continue
        due = overdue(entry, base)
        if due is not None:
            reasons.append(
                f"the candle of {name} due at {iso(due)} has not closed by {iso(now)}, market time"
            )
    return reasons


def _book_reasons(base: BaseParts, parts: TradingParts) -> list[str]:
    reasons = _silences(parts.books.connections(), base.settings)
    for book in parts.books.status():
        if not book.ready and book.silence > BOOK_GRACE:
            reasons.append(
                f"the order book of {book.symbol} has been out of step for {book.silence:.0f} s: "
                f"{book.why}"
            )
    return reasons


def _silences(connections: Iterable[ConnectionStatus], settings: Settings) -> list[str]:
    # After this silence the stream has dialled again twice and received nothing.
    longest = 2 * settings.exchange.data_deadline
    return [
        f"no frame came for {one.silence:.0f} s, the limit is {longest:.0f} s"
        + (f"; last loss: {one.last_loss}" if one.last_loss else "")
        for one in connections
        if one.silence is not None and one.silence > longest
    ]
