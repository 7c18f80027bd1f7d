"""`Lab`: research on the candles of one market, as cells use it, without ``await``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from botlib.backtesting.arguments import ARGUMENTS, checked
from botlib.backtesting.checking.run import check
from botlib.backtesting.forward.cross_validation import cross_validate
from botlib.backtesting.forward.run import walk_forward
from botlib.backtesting.run import backtest
from botlib.backtesting.sweeps.run import sweep
from botlib.core.arguments import WHOLE, Kind, checked_arguments, is_text
from botlib.core.clock import utc
from botlib.core.errors import ConfigError, UnknownSymbol
from botlib.lab.async_lab import AsyncLab
from botlib.lab.options import takes_options_of
from botlib.market_data.history import FetchReport, Moment
from botlib.runtime import Blocking, Runtime
from botlib.strategy import strategy_class, strategy_object
from botlib.venues.symbols import unified_symbol
from botlib.views.progress import ProgressStep, watch_progress

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting import BacktestResult, CheckReport, SweepResult, WalkForwardResult
    from botlib.backtesting.experiments import Experiments
    from botlib.backtesting.forward import CrossValidationResult
    from botlib.frames import Frames
    from botlib.store.files.importing import ImportReport
    from botlib.strategy import Strategy
    from botlib.widgets.chart import Chart

T = TypeVar("T")

SHOWN_FROM: Final = 2_000
"""Least number of missing candles for which a progress bar is shown."""


class Lab(Blocking):
    """Research on one market: its candles, backtests, sweeps, checks, charts, reports and files.

    `botlib.research` returns it for stored candles, and ``bot.lab`` is one on the bot's market. Its
    ``aio`` is the `AsyncLab`, for code that runs on the loop. Backtests run in the thread of the
    cell, so that an interrupt reaches them.
    """

    __slots__ = ("_runtime",)

    def __init__(self, core: AsyncLab, runtime: Runtime) -> None:
        super().__init__(core, runtime.call)
        object.__setattr__(self, "_runtime", runtime)

    @property
    def aio(self) -> AsyncLab:
        """The async lab, whose methods are awaited on the runtime."""
        core: AsyncLab = self._obj
        return core

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *dir(type(self))})

    @checked
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

        A running bot fetches and stores the missing candles of the span first, with a progress bar;
        after an interrupt the next call continues. With neither ``since`` nor ``limit`` it returns
        the stored ones. A lab of `botlib.research` and a stopped bot return stored candles only. A
        timeframe that is not stored is built from a shorter one that is, and a note says so.

        Args:
            since: ``"180d"``, ``"2024-01-01"``, a datetime or ms. A span counts back from the
                market's present: in a lab, the close of the newest stored candle.
            until: the last open time.
            limit: the newest n only.

        Raises:
            InvalidInput: there are no such candles; the message says where some are.
        """
        return self._watched(
            lambda progress: self.aio.candles(
                symbol, timeframe, since=since, until=until, limit=limit, progress=progress
            ),
            f"{symbol} {timeframe}",
        )

    @checked
    def frames(
        self,
        symbol: str,
        timeframes: Sequence[str] | str,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        warmup: int | Mapping[str, int] = 0,
    ) -> Frames:
        """Return frames as strategies see them; `candles` says what is fetched.

        Args:
            timeframes: the trading one first.
            since: as in `candles`; None is the first stored candle.
            until: as in `candles`.
            warmup: candles before ``since``, of each timeframe or by timeframe.
        """
        return self._watched(
            lambda progress: self.aio.frames(
                symbol, timeframes, since=since, until=until, warmup=warmup, progress=progress
            ),
            symbol,
        )

    @takes_options_of(backtest)
    def backtest(
        self,
        /,
        strategy: Strategy,
        symbol: str,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        fee: float | None = None,
        **options: Any,
    ) -> BacktestResult:
        """Run a backtest of a strategy, with the fills and the order sizes of the venue.

        Args:
            since: start of trading, as in `candles`; the candles of the warm-up before it are used
                too. None is the first stored candle.
            until: the last open time.
            fee: fraction of each fill; None is that of `market`.
            options: as for `botlib.backtesting.backtest`: ``costs``, ``slippage``, ``cash``,
                ``order_cost``, ``limits``, ``market``. By default an entry spends what it would
                live, and fills cost what they do on this market.
        """
        strategy = strategy_object(strategy, "backtest")
        timeframes = _timeframes(strategy)
        start = self._call(self.aio.moment(since, symbol, timeframes))
        warmup = {name: strategy.warmup_of(name) for name in timeframes}
        data = self.frames(symbol, timeframes, since=start, until=until, warmup=warmup)
        terms = self._terms(symbol, fee, options)
        if start is not None:
            terms = {"start": utc(start), **terms}
        return backtest(strategy, data, **terms)

    @takes_options_of(sweep)
    def sweep(
        self,
        /,
        strategy: type[Strategy],
        symbol: str,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        timeframes: Sequence[str] | str | None = None,
        fee: float | None = None,
        **options: Any,
    ) -> SweepResult:
        """Run a backtest for every combination of a strategy's parameters, in worker processes.

        Args:
            since: as in `candles`; None is the first stored candle.
            until: the last open time.
            timeframes: for a strategy that names none; the trading one first.
            fee: fraction of each fill; None is that of `market`.
            options: as for `botlib.backtesting.sweep`: the parameters with the values to try
                (``fast=range(5, 50)``), ``metric``, ``where``, ``method``, ``client``, …
                ``market=None`` sizes orders without the venue's lots, which is several times as
                fast: lots are rounded order by order, in decimals.
        """
        strategy = strategy_class(strategy, "sweep")
        data = self.frames(symbol, _timeframes(strategy, timeframes), since=since, until=until)
        return sweep(strategy, data, **self._terms(symbol, fee, options))

    @takes_options_of(walk_forward)
    def walk_forward(
        self,
        /,
        strategy: type[Strategy],
        symbol: str,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        timeframes: Sequence[str] | str | None = None,
        fee: float | None = None,
        **options: Any,
    ) -> WalkForwardResult:
        """Choose parameters on training windows, and test the best on the candles that follow.

        Args:
            since: as in `candles`; None is the first stored candle.
            until: the last open time.
            timeframes: for a strategy that names none; the trading one first.
            fee: fraction of each fill; None is that of `market`.
            options: as for `botlib.backtesting.walk_forward`: ``train``, ``test``, ``anchored``,
                the parameters with the values to try, … ``market=None`` as for `sweep`.
        """
        strategy = strategy_class(strategy, "walk_forward")
        data = self.frames(symbol, _timeframes(strategy, timeframes), since=since, until=until)
        return walk_forward(strategy, data, **self._terms(symbol, fee, options))

    @takes_options_of(cross_validate)
    def cross_validate(
        self,
        /,
        strategy: type[Strategy],
        symbol: str,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        timeframes: Sequence[str] | str | None = None,
        fee: float | None = None,
        **options: Any,
    ) -> CrossValidationResult:
        """Choose parameters on most groups of candles and test on the others, in every combination.

        Args:
            since: as in `candles`; None is the first stored candle.
            until: the last open time.
            timeframes: for a strategy that names none; the trading one first.
            fee: fraction of each fill; None is that of `market`.
            options: as for `botlib.backtesting.cross_validate`: ``groups``, ``tests``, ``purge``,
                ``embargo``, the parameters with the values to try, … ``market=None`` as for
                `sweep`.
        """
        strategy = strategy_class(strategy, "cross_validate")
        data = self.frames(symbol, _timeframes(strategy, timeframes), since=since, until=until)
        return cross_validate(strategy, data, **self._terms(symbol, fee, options))

    @checked_arguments({**ARGUMENTS, "strategy": Kind(is_text, "the name of a strategy's class")})
    def experiments(
        self,
        *,
        strategy: str | None = None,
        symbol: str | None = None,
        kind: str | None = None,
    ) -> Experiments:
        """Return the runs of research on this data directory, the newest first, to compare them.

        Every `backtest`, `sweep` and `walk_forward` of a lab and of a bot is written into the
        experiment book ``experiments/book.db``, with all combinations it tried;
        ``SweepResult.overfitting`` counts them. ``book=None`` as an option writes nothing.
        ``lab.experiments().compare(3, 7)`` shows runs side by side.

        Args:
            strategy: only runs of a class of this name.
            symbol: only runs on this symbol.
            kind: only ``backtest``, ``sweep`` or ``walk_forward``.

        Raises:
            StoreError: the book is damaged, or locked for too long.
            InvalidInput: no run is of that strategy, symbol or kind.
        """
        from botlib.backtesting.experiments import Experiments

        name = symbol and unified_symbol(symbol)
        return Experiments(self.aio.book.runs()).of(strategy=strategy, symbol=name, kind=kind)

    @takes_options_of(check)
    def check(
        self,
        /,
        strategy: Strategy,
        symbol: str | None = None,
        *,
        since: Moment = "30d",
        until: Moment | None = None,
        **options: Any,
    ) -> CheckReport:
        """Check a strategy for look-ahead, repainting, other data and an unsettled warm-up.

        Args:
            symbol: whose candles to use; None is a bot's first symbol, or a lab's only one.
            since: as in `candles`.
            until: the last open time.
            options: as for `botlib.backtesting.check`: ``cuts``, ``seconds``, ``seed``, …
        """
        strategy = strategy_object(strategy, "check")
        name = symbol or self.aio.default_symbol()
        return check(
            strategy, self.frames(name, _timeframes(strategy), since=since, until=until), **options
        )

    @checked_arguments({**ARGUMENTS, "window": WHOLE})
    def chart(
        self,
        symbol: str,
        timeframe: str,
        *,
        since: Moment | None = None,
        until: Moment | None = None,
        overlays: Sequence[str] = (),
        panes: Sequence[str | Sequence[str]] = (),
        height: int = 520,
        window: int = 2_000,
        title: str = "",
    ) -> Chart:
        """Return a chart of candles that are stored; it does not follow the market.

        Args:
            since: as in `candles`; None is the first stored candle.
            until: the last open time.
            overlays: indicators over the candles, such as ``"ema(20)"``.
            panes: indicators below, one pane each; those of a list share one.
            height: of the whole chart, in pixels.
            window: candles shown at first; older ones follow when a reader scrolls back.
            title: above the chart; by default symbol, timeframe and market.
        """
        from botlib.widgets.chart import chart

        name = unified_symbol(symbol)
        return chart(
            self.candles(symbol, timeframe, since=since, until=until),
            overlays=overlays,
            panes=panes,
            height=height,
            window=window,
            title=title or f"{name} {timeframe} · {self.aio.venue}",
            symbol=name,
            timeframe=timeframe,
        )

    @checked
    def download(
        self,
        symbol: str,
        timeframe: str,
        *,
        since: Moment,
        until: Moment | None = None,
        url: str | None = None,
    ) -> FetchReport:
        """Fetch the missing candles of a span from the venue and store them, without a key.

        Only what is missing is fetched, with a progress bar; after an interrupt the next call
        continues.

        Args:
            since: ``"365d"`` (back from now), ``"2024-01-01"``, a datetime or ms.
            until: the last open time; None is that of the newest closed candle.
            url: address of a running paper exchange, in the lab of its market.

        Raises:
            StoreLocked: another process writes to the database; the message says which.
            ExchangeUnavailable: the venue cannot be reached. What arrived before is stored.
        """
        return self._watched(
            lambda progress: self.aio.download(
                symbol, timeframe, since=since, until=until, url=url, progress=progress
            ),
            f"{symbol} {timeframe}",
        )

    @checked
    def import_files(
        self, paths: str | Path | Iterable[str | Path], *, overwrite: bool = False
    ) -> ImportReport:
        """Store the candles of files: dumps of a venue, CSV, Parquet, freqtrade feather or JSON.

        Args:
            paths: one file or several.
            overwrite: use the values of the files where they differ from stored ones.

        Raises:
            StoreLocked: another process writes to the database; the message says which.
            InvalidInput: the market is a paper market.
        """
        return self._watched(
            lambda progress: self.aio.import_files(paths, overwrite=overwrite, progress=progress),
            "import",
            unit="bytes",
        )

    def _terms(self, symbol: str, fee: float | None, options: dict[str, Any]) -> dict[str, Any]:
        """Return the terms of trade: those of the market, and the options on top."""
        terms: dict[str, Any] = {"symbol": unified_symbol(symbol), "book": self.aio.book}
        try:
            listed = self.aio.market(symbol)
        except UnknownSymbol as error:
            if "market" not in options:
                _write(f"{error} Order sizes are not rounded to lots.")
        else:
            terms |= {
                "market": listed.market,
                "costs": listed.costs,
                "order_cost": listed.order_cost,
            }
        self._show_notes()
        if fee is not None:
            terms["fee"] = fee
        if options.get("limits") is not None:
            terms.pop("order_cost", None)
        return {**terms, **options}

    def _watched(
        self,
        work: Callable[[Callable[[int, int], None]], Coroutine[Any, Any, T]],
        what: str,
        unit: str = "candles",
    ) -> T:
        """Run work on the runtime with a progress bar, and show the notes on its result."""
        state = ProgressStep(0, 0, "")

        def note(done: int, total: int) -> None:
            nonlocal state
            state = ProgressStep(done, total if total >= SHOWN_FROM else 0, "")

        found = watch_progress(self._runtime, work(note), lambda: state, what=what, unit=unit)
        self._show_notes()
        return found

    def _show_notes(self) -> None:
        for text in self.aio.taken_notes():
            _write(text)


def _write(text: str) -> None:
    """Write a line below the cell that runs, or to the output of a program."""
    sys.stdout.write(f"{text}\n")


def _timeframes(
    strategy: Strategy | type[Strategy], given: Sequence[str] | str | None = None
) -> tuple[str, ...]:
    """Return the timeframes of a strategy, the trading one first.

    Raises:
        ConfigError: neither the strategy nor the caller names one.
    """
    names = (given,) if isinstance(given, str) else tuple(given or strategy.timeframes)
    if names:
        return names
    if isinstance(strategy, type):
        raise ConfigError(f"{strategy.__name__} names no timeframe. Pass timeframes=('1h',).")
    name = type(strategy).__name__
    raise ConfigError(f"{name} names no timeframe. Give it one: {name}(timeframes=('1h',)).")
