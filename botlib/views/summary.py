"""`RunSummary`: the figures of a run, printed at its end and stored in its notebook."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from botlib.core.clock import iso
from botlib.core.errors import EngineError, ExchangeError
from botlib.core.text import formats
from botlib.core.text.cards import Tone, Toned, card, figures
from botlib.core.text.masking import masked_values
from botlib.core.text.tables import html_table, text_table
from botlib.core.timeframe import HOUR
from botlib.engine.strategies.condition import StrategyCondition
from botlib.venues.kinds import KINDS, market_kind
from botlib.views.paths import project_path

if TYPE_CHECKING:
    from botlib.engine.health import EngineHealth
    from botlib.views.engine import EngineReading

logger = logging.getLogger(__name__)

WATCH: Final = "watch"
"""Mode of a bot that orders nothing and has no account to show."""

SUMMARY_MIME: Final = "application/vnd.botlib.summary+json"
"""Mime type of the summary in a notebook, a JSON object."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CandleCount:
    """Candles of one symbol and timeframe: stored since the start, and in all."""

    symbol: str
    timeframe: str
    stored: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """The figures of a run. Times are ms of market time; money is in ``quote`` units."""

    mode: str
    venue: str
    database: str
    market_start: int
    market_end: int
    tasks_registered: int
    tasks_started: int
    tasks_failed: int
    candles: tuple[CandleCount, ...]
    gaps_filled: int
    holes: int
    reconnects: int
    signals: int
    orders: int
    fills: int
    quote: str
    equity_start: str
    equity: str
    realised: str
    worst_lag: float
    """Longest delay of the loop, seconds."""
    stalled_by: str
    """The function that blocked the loop longest, empty if none blocked it for long."""
    healthy: bool
    reasons: tuple[str, ...] = field(default=())
    mirror: str = ""
    """What the mirror that was traded on lost; empty if nothing, or without a mirror."""
    left_over: tuple[str, ...] = field(default=())
    """What the stop could not do in time, in sentences."""
    warnings: tuple[str, ...] = field(default=())
    """What a person should look at, although the bot did its work."""
    strategies: tuple[StrategyCondition, ...] = field(default=())
    """Whether each strategy did its work."""
    words: str = ""
    """Whose prices and whose money it is; empty in summaries of earlier versions."""

    @property
    def market_hours(self) -> float:
        """Hours of market time covered."""
        return (self.market_end - self.market_start) / HOUR

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain JSON values."""
        strategies = [one.to_dict() for one in self.strategies]
        values = {**asdict(self), "strategies": strategies, "market_hours": self.market_hours}
        return {name: masked_values(value) for name, value in values.items()}

    @property
    def word(self) -> str:
        """``healthy``, ``healthy with warnings`` or ``unhealthy``."""
        if not self.healthy:
            return "unhealthy"
        return "healthy with warnings" if self.warnings else "healthy"

    def __str__(self) -> str:
        return text_table(*summary_table(self.to_dict()))

    def __repr__(self) -> str:
        done = f"{self.fills} fills · equity {self.equity} {self.quote}"
        if self.mode == WATCH:
            done = f"{self.signals} signals"
        return (
            f"<RunSummary {self.mode.upper()} {self.venue} · {self.market_hours:.1f} h · {done} · "
            f"{self.word}>"
        )

    def _repr_html_(self) -> str:
        shown: list[tuple[str, object]] = [
            (f"equity {self.quote}", formats.number(Decimal(self.equity))),
            ("this run", _gain(Decimal(self.equity) - Decimal(self.equity_start))),
            ("booked", _gain(Decimal(self.realised))),
            ("fills", formats.count(self.fills)),
        ]
        if self.mode == WATCH:
            shown = [("signals", formats.count(self.signals))]
        shown += [
            ("tasks failed", self.tasks_failed),
            ("worst loop lag", formats.duration(self.worst_lag)),
        ]
        return card(
            "Run summary",
            figures(shown),
            html_table(*summary_table(self.to_dict()), wrapped=("value",)),
            badge=self.mode.upper(),
            tone=self._tone(),
            notes=f"{self.venue} · {self.word}",
        )

    def _tone(self) -> Tone:
        if not self.healthy or self.left_over:
            return Tone.BAD
        return Tone.WARN if self.warnings else Tone.GOOD

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        headers, rows = summary_table(self.to_dict())
        return {
            "text/plain": text_table(headers, rows),
            "text/html": self._repr_html_(),
            SUMMARY_MIME: self.to_dict(),
        }


def summary_table(figures: Mapping[str, Any]) -> tuple[list[str], list[list[object]]]:
    """Return headers and rows of a summary.

    Args:
        figures: a summary as `RunSummary.to_dict` returns it and notebooks store it.
    """
    # Summaries of earlier versions call every paper market that.
    kind = market_kind(figures["venue"], figures["mode"])
    words = figures.get("words") or KINDS[kind].words
    quote = figures["quote"]
    stalled = f", kept by {figures['stalled_by']}" if figures["stalled_by"] else ""
    rows: list[list[object]] = [
        ["market", f"{kind.upper()} {figures['venue']} ({words})"],
        [
            "market time",
            f"{iso(figures['market_start'])} to {iso(figures['market_end'])} UTC "
            f"({figures['market_hours']:.1f} h)",
        ],
        ["tasks registered", figures["tasks_registered"]],
        ["tasks started", figures["tasks_started"]],
        ["tasks failed", figures["tasks_failed"]],
    ]
    rows += [
        [
            f"candles {row['symbol']} {row['timeframe']}",
            f"{formats.count(row['stored'])} stored, {formats.count(row['total'])} in the database",
        ]
        for row in figures["candles"]
    ]
    # Summaries of earlier versions say nothing about strategies.
    rows += [
        [f"strategy {row['name']}", f"{row['state']}: {row['detail']}"]
        for row in figures.get("strategies", ())
    ]
    rows += [
        ["gaps", f"{figures['gaps_filled']} filled, {figures['holes']} candles the venue lacks"],
        ["reconnects", figures["reconnects"]],
        # Summaries of earlier versions have no such figure.
        *([["mirror", figures["mirror"]]] if figures.get("mirror") else []),
        ["signals", figures["signals"]],
    ]
    if figures["mode"] != WATCH:
        rows += [
            ["orders", figures["orders"]],
            ["fills", figures["fills"]],
            ["equity at the start", f"{_money(figures['equity_start'])} {quote}"],
            ["final equity", f"{_money(figures['equity'])} {quote}"],
            ["profit booked", f"{_money(figures['realised'])} {quote}"],
        ]
    rows += [
        ["worst loop lag", f"{formats.duration(figures['worst_lag'])}{stalled}"],
        ["health", _health(figures)],
        ["database", figures["database"]],
    ]
    # Summaries of earlier versions have no such figure.
    if left_over := figures.get("left_over"):
        rows.insert(-1, ["left over", "; ".join(left_over)])
    return ["what", "value"], rows


def _health(figures: Mapping[str, Any]) -> str:
    if not figures["healthy"]:
        return "; ".join([*figures["reasons"], *figures.get("warnings", ())])
    return "; ".join(["healthy", *figures.get("warnings", ())])


def _money(text: str) -> str:
    return formats.number(Decimal(text))


def _gain(value: Decimal) -> Toned:
    return Toned(formats.number(value, sign=True), Tone.of(float(value)))


class Summaries:
    """The figures of an engine: those so far, and after its stop those it ended with."""

    def __init__(self, engine: EngineReading) -> None:
        self._engine = engine
        self._last: RunSummary | None = None
        engine.before_stop(self._finish)

    async def get(self) -> RunSummary:
        """Return the figures of the run so far; after the stop, those it ended with."""
        if not self._engine.started and self._last is not None:
            return self._last
        return await summarise(self._engine, self._engine.health())

    async def _finish(self, health: EngineHealth) -> None:
        try:
            self._last = await summarise(self._engine, health)
        except Exception:
            logger.exception("the final figures could not be computed")


async def summarise(engine: EngineReading, health: EngineHealth) -> RunSummary:
    """Return the figures of an engine that runs.

    Raises:
        EngineError: the engine has never run.
    """
    start = engine.run_start
    if start is None:
        raise EngineError("The bot has never run, so there are no figures. Start it first.")
    stream, stored = engine.stream.status(), engine.stored
    counts = stored.storage.counts()
    tasks = engine.tasks.status()
    try:
        equity = await engine.account.value()
    except ExchangeError as error:
        equity = engine.account.equity or Decimal(0)
        logger.warning("the account is shown as it was last valued: %s", error)
    return RunSummary(
        mode=engine.kind,
        venue=engine.venue,
        database=project_path(engine.settings, Path(engine.database)),
        market_start=start.market_time,
        market_end=engine.market_clock.now(),
        tasks_registered=len(tasks.tasks),
        tasks_started=sum(task.runs > 0 or task.last_start is not None for task in tasks.tasks),
        tasks_failed=sum(task.failures for task in tasks.tasks),
        candles=tuple(
            CandleCount(
                symbol=symbol,
                timeframe=timeframe,
                stored=counts.get((symbol, timeframe), 0)
                - stored.counts_before.get((symbol, timeframe), 0),
                total=counts.get((symbol, timeframe), 0),
            )
            for symbol, timeframe in engine.subscriptions()
        ),
        gaps_filled=sum(entry.gaps for entry in stream.subscriptions),
        holes=sum(entry.holes for entry in stream.subscriptions),
        reconnects=sum(entry.reconnects for entry in stream.connections),
        mirror=engine.mirror.losses() if engine.mirror is not None else "",
        signals=engine.signals.signals,
        orders=engine.orders.sent,
        fills=engine.orders.fills,
        quote=engine.account.quote,
        equity_start=f"{start.equity:.2f}",
        equity=f"{equity:.2f}",
        realised=f"{engine.positions.realised():.2f}",
        worst_lag=engine.lag.worst,
        stalled_by=_worst_stall(engine, start.time),
        healthy=health.healthy,
        reasons=tuple(health.reasons),
        left_over=engine.left_over,
        warnings=tuple(health.warnings),
        strategies=health.strategies,
        words=engine.kind_words.words,
    )


def _worst_stall(engine: EngineReading, since: int) -> str:
    """Return the function that blocked the loop longest since a wall time in ms."""
    stalls = [stall for stall in engine.stalls() if stall.when >= since]
    return max(stalls, key=lambda stall: stall.seconds).where if stalls else ""
