"""`StrategyCondition`: whether a strategy does its work, derived from what it did."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from botlib.core.clock import iso
from botlib.core.text import formats
from botlib.core.text.cards import Tone
from botlib.core.text.masking import masked
from botlib.core.timeframe import timeframe_ms
from botlib.tasks.status import ACTIVE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from botlib.engine.parts import BaseParts, TradingParts
    from botlib.engine.strategies.active import ActiveStrategy
    from botlib.market_data.candle_subscription import SubscriptionStatus


ASKING: Final = "signal_generation"
"""The task that asks the strategies."""


class StrategyState(StrEnum):
    """The state of a strategy; the later ones of the list hide the earlier."""

    WORKING = "working"
    """It is asked, and has signalled since it was started."""
    QUIET = "quiet"
    """It is asked, and has not signalled; or its first candle has not closed yet."""
    BLIND = "blind"
    """There are fewer candles than its warm-up needs."""
    STALE = "stale"
    """It did not learn again when it had to, and goes on with what it learned before."""
    REFUSED = "refused"
    """What it wanted since its last filled entry was refused."""
    STARVED = "starved"
    """No candles come that it could be asked about."""
    FAILING = "failing"
    """It raised an error when it was asked last, or does not return."""


BAD: Final = frozenset({StrategyState.FAILING, StrategyState.STARVED})
"""States that make a bot unhealthy."""
WARNED: Final = frozenset({StrategyState.REFUSED, StrategyState.BLIND, StrategyState.STALE})
"""States that are warned of."""

TONES: Final = {
    **dict.fromkeys(BAD, Tone.BAD),
    **dict.fromkeys(WARNED, Tone.WARN),
    StrategyState.WORKING: Tone.GOOD,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyCondition:
    """A strategy at one moment."""

    name: str
    symbol: str
    state: StrategyState
    detail: str
    """The reason or the figures, as the rest of a sentence."""
    since: int | None
    """Market time (ms) of the first failure or refusal in a row, None for other states."""
    count: int
    """Failures or refusals in a row."""
    asked: int
    """Candles on which it was asked and did not fail."""
    signals: int
    worked: bool
    """Whether it did, since it was started, what it is there for: it was asked without an error
    and, if it wanted to enter, an entry was filled."""

    @property
    def troubled(self) -> bool:
        """Whether a person has to look at it."""
        return self.state in BAD or self.state in WARNED

    @property
    def tone(self) -> Tone:
        """Green, yellow or red; quiet is plain."""
        return TONES.get(self.state, Tone.PLAIN)

    def __str__(self) -> str:
        return f"the strategy {self.name!r} is {self.state}: {self.detail}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {**asdict(self), "state": str(self.state)}


def strategy_conditions(base: BaseParts, parts: TradingParts) -> list[StrategyCondition]:
    """Return the condition of every strategy of a started engine."""
    streams = {(one.symbol, one.timeframe): one for one in parts.stream.status().subscriptions}
    late = parts.signals.late()
    strategies = list(parts.signals.strategies.values())
    stopped = _stopped(base) if strategies else None
    return [
        _condition(
            active,
            base,
            parts,
            late=late.get(active.name),
            starved=stopped or _starved(active, base, streams),
        )
        for active in strategies
    ]


def _stopped(base: BaseParts) -> str | None:
    """Return why no strategy is asked at all, None if they are."""
    for task in base.tasks.status().tasks:
        if task.name == ASKING and task.state not in ACTIVE:
            return f"the task {ASKING}, which asks it, is {task.state}"
    return None


def overdue(entry: SubscriptionStatus, base: BaseParts) -> int | None:
    """Return when the next candle of a stream was due (ms), None if it is not late."""
    if entry.last_closed is None:
        return None
    due = entry.last_closed + 2 * timeframe_ms(entry.timeframe)
    late = round(base.settings.health.candle_deadline * 1_000)
    return due if base.market_clock.now() > due + late else None


def _condition(
    active: ActiveStrategy,
    base: BaseParts,
    parts: TradingParts,
    *,
    late: float | None,
    starved: str | None,
) -> StrategyCondition:
    refusal = parts.orders.refusals.row(active.name)
    failure, since, count = active.failure, None, 0
    if failure is not None:
        state, since, count = StrategyState.FAILING, failure.since, failure.in_row
        detail = f"{_times(count, 'candle')} in a row since {iso(since)}: {failure.error}"
    elif late is not None:
        state = StrategyState.FAILING
        detail = f"it has computed for {late:.0f} s on one candle"
    elif starved is not None:
        state, detail = StrategyState.STARVED, starved
    elif refusal is not None:
        state, since, count = StrategyState.REFUSED, refusal.since, refusal.in_row
        detail = f"{_times(count, 'entry')} in a row since {iso(since)}: {refusal.reason}"
    elif active.unseen:
        needed = max(map(active.strategy.warmup_of, active.strategy.timeframes))
        state = StrategyState.BLIND
        detail = f"it has seen {max(0, needed - active.unseen)} of {needed} candles of its warm-up"
    elif active.misfit is not None:
        state, since, count = StrategyState.STALE, active.misfit.since, active.misfit.in_row
        detail = (
            f"it did not learn again, {_times(count, 'time')} since {iso(since)}: "
            f"{active.misfit.error}; in use is what it learned from {active.strategy.training}"
        )
    elif active.signals:
        state = StrategyState.WORKING
        detail = (
            f"asked on {_times(active.evaluations, 'candle')}, {_times(active.signals, 'signal')}"
        )
    else:
        state = StrategyState.QUIET
        detail = f"asked on {_times(active.evaluations, 'candle')}, no signal so far"
        if not active.evaluations:
            detail = f"its first candle of {active.strategy.timeframes[0]} has not closed yet"
    if state in (StrategyState.WORKING, StrategyState.QUIET) and active.strategy.training:
        detail += f", learned from {active.strategy.training}"
    entered = active.name in parts.orders.refusals.filled
    return StrategyCondition(
        name=active.name,
        symbol=active.symbol,
        state=state,
        detail=masked(detail),
        since=since,
        count=count,
        asked=active.evaluations,
        signals=active.signals,
        worked=bool(active.evaluations) and not active.unseen and (refusal is None or entered),
    )


def _starved(
    active: ActiveStrategy,
    base: BaseParts,
    streams: Mapping[tuple[str, str], SubscriptionStatus],
) -> str | None:
    """Return why a strategy gets no candles, None if it does."""
    if active.waited:
        higher = " and ".join(active.strategy.timeframes[1:])
        return f"the candle of {higher} was missing {_times(active.waited, 'time')} in a row"
    for timeframe in active.strategy.timeframes:
        entry = streams.get((active.symbol, timeframe))
        if entry is None:
            return f"{active.symbol} {timeframe} is not streamed"
        due = overdue(entry, base)
        if due is not None:
            return f"the candle of {timeframe} due at {iso(due)} has not closed"
    return None


def _times(count: int, noun: str) -> str:
    if count != 1:
        noun = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{formats.count(count)} {noun}"
