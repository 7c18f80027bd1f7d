"""`Bot`: the bot as cells use it, without ``await``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from botlib.bot.async_bot import AsyncBot
from botlib.core.clock import iso, utc
from botlib.core.errors import ConfigError
from botlib.core.timeframe import parse_duration, parse_since
from botlib.frames import Frames
from botlib.market_data.history import Moment
from botlib.runtime import Blocking, Runtime
from botlib.views.progress import ProgressStep, watch_progress

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting import (
        BacktestResult,
        CheckReport,
        ParityReport,
        SweepResult,
        WalkForwardResult,
    )
    from botlib.drill import DrillReport
    from botlib.strategy import Strategy

T = TypeVar("T")

SHOWN_FROM = 2_000
"""Least number of missing candles for which a progress bar is shown."""


class Bot(Blocking):
    """The bot in a notebook: every method of `AsyncBot`, without ``await``.

    `botlib.connect` returns it. Its ``aio`` is the `AsyncBot`, for code that runs on the loop.
    Research runs in the thread of the cell, so that an interrupt reaches it.
    """

    __slots__ = ("_runtime",)

    def __init__(self, core: AsyncBot, runtime: Runtime) -> None:
        super().__init__(core, runtime.call)
        object.__setattr__(self, "_runtime", runtime)

    @property
    def aio(self) -> AsyncBot:
        """The async bot, whose methods are awaited on the runtime."""
        core: AsyncBot = self._obj
        return core

    def wait(self, run_for: float | str | None = None, *, progress: bool = True) -> None:
        """Wait for a span of market time such as ``"12h"``, or until the bot is stopped.

        Args:
            run_for: seconds, or a text; None waits for the stop.
            progress: show a progress bar of market time.

        Raises:
            Exception: the error of a CRITICAL task that failed, so that a headless run fails.
        """
        if not progress or run_for is None:
            self._call(self.aio.wait(run_for))
            return
        span, clock = parse_duration(run_for), self.aio.engine.market_clock
        start = clock.now()

        def step() -> ProgressStep:
            now = clock.now()
            return ProgressStep((now - start) // 60_000, round(span / 60), f"{iso(now)} UTC")

        watch_progress(self._runtime, self.aio.wait(span), step, what="market time", unit="min")

    def fire_drill(self, *, faults: Sequence[str] | None = None) -> DrillReport:
        """Inject faults into a separate bot, and grade how it recovers from them.

        Dropped connections, lost answers and fills, doubled frames, a restart of the exchange, a
        kernel that is killed with a position and a sleeping computer are injected into a separate
        bot, in a separate Jupyter kernel and on a separate paper exchange: this bot and its account
        are not affected. The drill takes about a minute.

        Args:
            faults: names of faults, such as ``["kernel killed"]``; None injects all.

        Raises:
            InvalidInput: a fault is unknown.
        """
        state = ProgressStep(0, 0, "")

        def note(done: int, total: int, fault: str) -> None:
            nonlocal state
            state = ProgressStep(done, total, fault)

        return watch_progress(
            self._runtime,
            self.aio.fire_drill(faults=faults, progress=note),
            lambda: state,
            what="fire drill",
            unit="faults",
        )

    def kill(self, reason: str, *, close_positions: bool = False) -> list[str]:
        """Stop entries at once, until `rearm`; return what was done, in sentences.

        It takes effect from this thread, also while the loop hangs, and outlasts restarts. Exits
        and protective stops go on.

        Args:
            reason: quoted wherever an entry is refused.
            close_positions: also sell every position at the market.
        """
        self.aio.engine.kill_switch.throw(reason, by="method")
        done: list[str] = self._call(self.aio.kill(reason, close_positions=close_positions))
        return done

    def candles(
        self,
        symbol: str,
        timeframe: str,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        limit: int | None = None,
    ) -> pd.DataFrame:
        """Return closed candles: columns open to volume, index open time (UTC).

        Missing candles of the span are fetched and stored first, with a progress bar; after an
        interrupt the next call continues. With neither ``since`` nor ``limit``, only stored
        candles are returned.

        Args:
            since: ``"180d"``, ``"2024-01-01"``, a datetime or ms.
            until: the last open time.
            limit: the newest n only.
        """
        return self._fetched(
            lambda progress: self.aio.candles(
                symbol, timeframe, since=since, until=until, limit=limit, progress=progress
            ),
            f"{symbol} {timeframe}",
        )

    def frames(
        self,
        symbol: str,
        timeframes: Sequence[str],
        *,
        since: Moment,
        until: Moment | None = None,
        warmup: int = 0,
    ) -> Frames:
        """Return frames as strategies see them; missing candles are fetched first.

        Args:
            timeframes: the trading one first.
            since: as in `candles`.
            warmup: candles of each timeframe before ``since``.
        """
        return self._fetched(
            lambda progress: self.aio.frames(
                symbol, timeframes, since=since, until=until, warmup=warmup, progress=progress
            ),
            symbol,
        )

    def backtest(
        self,
        strategy: Strategy,
        symbol: str,
        *,
        since: Moment,
        until: Moment | None = None,
        fee: float | None = None,
        **options: Any,
    ) -> BacktestResult:
        """Run a backtest of a strategy, with the fills and the order sizes of the venue.

        Args:
            since: start of trading; the candles of the warm-up before it are fetched too.
            until: the last open time.
            fee: fraction of each fill; None is the fee of the paper exchange.
            options: as for `botlib.backtesting.backtest`: ``slippage``, ``cash``, ``order_cost``.
        """
        from botlib.backtesting import backtest

        start = parse_since(since, self.aio.engine.market_clock.now())
        data = self._history_of(strategy, symbol, start, until, strategy.warmup)
        terms = {**self._terms(symbol, fee), "start": utc(start), **options}
        return backtest(strategy, data, **terms)

    def sweep(
        self,
        strategy: type[Strategy],
        symbol: str,
        *,
        since: Moment,
        until: Moment | None = None,
        timeframes: Sequence[str] | None = None,
        fee: float | None = None,
        **options: Any,
    ) -> SweepResult:
        """Run a backtest for every combination of a strategy's parameters, in worker processes.

        Args:
            timeframes: for a strategy that names none; the trading one first.
            fee: fraction of each fill; None is the fee of the paper exchange.
            options: as for `botlib.backtesting.sweep`: the parameters with the values to try
                (``fast=range(5, 50)``), ``metric``, ``where``, ``method``, ``client``, …
                ``market=None`` sizes orders without the venue's lots, which is several times as
                fast: lots are rounded order by order, in decimals.
        """
        from botlib.backtesting import sweep

        data = self._of_class(strategy, symbol, since, until, timeframes)
        return sweep(strategy, data, **{**self._terms(symbol, fee), **options})

    def walk_forward(
        self,
        strategy: type[Strategy],
        symbol: str,
        *,
        since: Moment,
        until: Moment | None = None,
        timeframes: Sequence[str] | None = None,
        fee: float | None = None,
        **options: Any,
    ) -> WalkForwardResult:
        """Choose parameters on training windows, and test the best on the candles that follow.

        Args:
            options: as for `botlib.backtesting.walk_forward`: ``train``, ``test``, ``anchored``,
                the parameters with the values to try, … ``market=None`` as for `sweep`.
        """
        from botlib.backtesting import walk_forward

        data = self._of_class(strategy, symbol, since, until, timeframes)
        return walk_forward(strategy, data, **{**self._terms(symbol, fee), **options})

    def check(
        self,
        strategy: Strategy,
        symbol: str | None = None,
        *,
        since: Moment = "30d",
        until: Moment | None = None,
        **options: Any,
    ) -> CheckReport:
        """Check a strategy for look-ahead, repainting and an unsettled warm-up.

        Args:
            symbol: whose candles to use; None is the first configured one.
            options: as for `botlib.backtesting.check`: ``cuts``, ``seed``.
        """
        from botlib.backtesting import check

        name = symbol or self.aio.settings.symbols[0]
        return check(strategy, self._history_of(strategy, name, since, until, 0), **options)

    def compare(self, result: BacktestResult, name: str | None = None) -> ParityReport:
        """Compare a backtest with the fills of this bot in the same span.

        Args:
            name: the name a strategy trades under, where several trade the same symbol; None
                compares all fills of the symbol.
        """
        from botlib.backtesting import compare

        return compare(result, self._call(self.aio.journaled_fills(name)))

    def _terms(self, symbol: str, fee: float | None) -> dict[str, Any]:
        market = self.aio.engine.exchange.market(symbol)
        return {
            "symbol": market.symbol,
            "market": market,
            "fee": float(self.aio.settings.paper.fee) if fee is None else fee,
        }

    def _history_of(
        self,
        strategy: Strategy,
        symbol: str,
        since: Moment,
        until: Moment | None,
        warmup: int,
    ) -> Frames:
        if not strategy.timeframes:
            name = type(strategy).__name__
            raise ConfigError(
                f"{name} names no timeframe. Give it one: {name}(timeframes=('1h',))."
            )
        return self.frames(symbol, strategy.timeframes, since=since, until=until, warmup=warmup)

    def _of_class(
        self,
        strategy: type[Strategy],
        symbol: str,
        since: Moment,
        until: Moment | None,
        timeframes: Sequence[str] | None,
    ) -> Frames:
        names = tuple(timeframes or strategy.timeframes)
        if not names:
            raise ConfigError(f"{strategy.__name__} names no timeframe. Pass timeframes=('1h',).")
        return self.frames(symbol, names, since=since, until=until)

    def _fetched(
        self, work: Callable[[Callable[[int, int], None]], Coroutine[Any, Any, T]], what: str
    ) -> T:
        state = ProgressStep(0, 0, "")

        def note(done: int, total: int) -> None:
            nonlocal state
            state = ProgressStep(done, total if total >= SHOWN_FROM else 0, "")

        return watch_progress(self._runtime, work(note), lambda: state, what=what, unit="candles")
