"""A bot as it is shown in a notebook: one line, and a card."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botlib.core.text import formats
from botlib.core.text.cards import Tone, Toned, card, figures, lines
from botlib.tasks.status import ACTIVE

if TYPE_CHECKING:
    from botlib.paper import MirrorState
    from botlib.views.engine import EngineReading


def _facts(engine: EngineReading) -> list[str]:
    """Return mode, venue, state, running tasks and equity of an engine."""
    running = sum(task.state in ACTIVE for task in engine.tasks.status().tasks)
    equity = engine.account.equity if engine.started else None
    parts = [
        engine.kind.upper(),
        engine.shown_venue or "not connected",
        "connected" if engine.started else "stopped",
        f"{running} tasks running",
    ]
    if equity is not None:
        parts.append(f"{formats.number(equity)} {engine.account.quote}")
    return parts


def bot_line(engine: EngineReading) -> str:
    """Return mode, venue, state, running tasks and equity of an engine, and what is wrong."""
    parts = _facts(engine)
    health = engine.health()
    found = (*health.reasons, *health.warnings)
    if engine.arming is not None:
        parts.append(engine.arming.words)
    if engine.started and found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        parts.append(f"{health.word}: {found[0]}{more}")
    return " · ".join(parts)


def _nothing_trades(engine: EngineReading) -> list[str]:
    """Return how a strategy is started, if none is there."""
    if not engine.started or engine.signals.strategies:
        return []
    if engine.settings.mode == "watch":
        return ["No strategy is followed: bot.follow(strategy, symbol) starts one."]
    return ["No strategy trades: bot.trade(strategy, symbol, name=...) starts one."]


def bot_card(engine: EngineReading) -> str:
    """Return the state of an engine as an HTML card."""
    health = engine.health()
    shown: list[tuple[str, object]] = [("candles", formats.count(health.candles_closed))]
    if engine.started and engine.settings.mode == "watch":
        shown += [("signals", engine.signals.signals), ("orders", "none: it only watches")]
    elif engine.started:
        profit = float(engine.positions.realised())
        shown += [
            ("booked", Toned(formats.number(profit, sign=True), Tone.of(profit))),
            ("orders", formats.count(engine.orders.sent)),
            ("fills", formats.count(engine.orders.fills)),
            ("entries", _entries(engine)),
        ]
    if engine.started and engine.mirror is not None:
        shown += _mirror_figures(engine.mirror)
    if engine.started:
        shown.append(("loop lag", formats.duration(engine.lag.current)))
    _, venue, *more = _facts(engine)
    return card(
        venue,
        figures(shown),
        lines([] if engine.arming is None else [engine.arming.words], Tone.WARN),
        lines(health.reasons, Tone.BAD if engine.started else Tone.PLAIN),
        lines(health.warnings, Tone.WARN),
        *(
            lines([f"{one.name} on {one.symbol}: {one.state}, {one.detail}"], one.tone)
            for one in health.strategies
            if not one.troubled
        ),
        lines(_nothing_trades(engine)),
        notes=" · ".join([*more, health.word]),
        tone=health.tone if engine.started else Tone.PLAIN,
        badge=engine.kind.upper(),
    )


def _entries(engine: EngineReading) -> object:
    """Return whether entries are allowed."""
    if engine.halts.first:
        return Toned("stopped", Tone.BAD)
    return Toned("held back", Tone.WARN) if engine.orders.cautions else "allowed"


def _mirror_figures(mirror: MirrorState) -> list[tuple[str, object]]:
    """Return whether a mirror follows its venue, and what it lost if it did."""
    state = Toned("stale", Tone.BAD) if mirror.stale else Toned("follows", Tone.GOOD)
    losses = mirror.losses()
    return [("mirror", state), *([("lost", Toned(losses, Tone.WARN))] if losses else [])]
