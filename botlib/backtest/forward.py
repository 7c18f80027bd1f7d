"""Walk-forward analysis: choose parameters on the past, trade them on what came next, again and
again.

What is stitched together is out of sample throughout: no candle was traded with parameters that
were chosen with it in view.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from botlib.backtest.checking.truncation import until
from botlib.backtest.metrics import CurveFigures, curve_figures
from botlib.backtest.prepare import frames_for
from botlib.backtest.run import backtest
from botlib.errors import ConfigError, InvalidInput
from botlib.frames import Frames
from botlib.strategy import STOPS, Signals, Strategy
from botlib.tables import html_table, text_table
from botlib.timeframe import parse_duration, timeframe_ms

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtest.result import BacktestResult
    from botlib.backtest.sweeps import SweepResult

# Fewer cannot hold an entry, a candle in the market and the exit at the end.
_LEAST_CANDLES: Final = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One step: parameters chosen in sample, traded out of sample.

    Attributes:
        train_from, train_until, test_from, test_until: open times of the first and last candles.
        in_sample: the metric of the best combination over the training candles.
        out_of_sample: the same metric of the same parameters over the test candles.
        result: the backtest over the test candles, which ends without a position.
    """

    train_from: pd.Timestamp
    train_until: pd.Timestamp
    test_from: pd.Timestamp
    test_until: pd.Timestamp
    parameters: dict[str, object]
    in_sample: float
    out_of_sample: float
    result: BacktestResult


class WalkForwardResult:
    """What came of a walk forward. ``metric`` is what the parameters were chosen by.

    ``left_over`` counts the candles after the last window, too few for another one.
    """

    def __init__(
        self,
        *,
        strategy: type[Strategy],
        timeframe: str,
        symbol: str,
        windows: tuple[Window, ...],
        metric: str,
        anchored: bool,
        cash: float,
        left_over: int,
        interrupted: bool,
    ) -> None:
        self.strategy = strategy
        self.timeframe = timeframe
        self.symbol = symbol
        self.windows = windows
        self.metric = metric
        self.anchored = anchored
        self.cash = cash
        self.left_over = left_over
        self.interrupted = interrupted

    @property
    def frame(self) -> pd.DataFrame:
        """One row per window: its times, parameters, and the metric in and out of sample."""
        import pandas as pd

        rows = [
            {
                "train_from": window.train_from,
                "train_until": window.train_until,
                "test_from": window.test_from,
                "test_until": window.test_until,
                **window.parameters,
                "in_sample": window.in_sample,
                "out_of_sample": window.out_of_sample,
                "total_return": window.result.figures.total_return,
                "round_trips": int((~window.result.fills.buy).sum()),
            }
            for window in self.windows
        ]
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="window"))

    @property
    def equity(self) -> pd.Series:
        """Out-of-sample equity in quote units at the close of every test candle."""
        import pandas as pd

        equity: pd.Series = pd.concat([window.result.equity for window in self.windows])
        return equity

    @property
    def roundtrips(self) -> pd.DataFrame:
        """The round trips of all windows, see `BacktestResult.roundtrips`."""
        import pandas as pd

        found = [window.result.roundtrips for window in self.windows]
        some = [trips for trips in found if len(trips)]
        return pd.concat(some, ignore_index=True) if some else found[0]

    @property
    def figures(self) -> CurveFigures:
        """Figures of the out-of-sample equity."""
        equity = self.equity.to_numpy(dtype=np.float64)
        return curve_figures(equity, self.cash, timeframe_ms(self.timeframe))

    @property
    def in_sample(self) -> float:
        """Mean of the metric over the windows, in sample; NaN where it never was a number."""
        return _mean([window.in_sample for window in self.windows])

    @property
    def out_of_sample(self) -> float:
        """Mean of the metric over the windows, out of sample."""
        return _mean([window.out_of_sample for window in self.windows])

    @property
    def degradation(self) -> float:
        """The share of the in-sample metric that was lost out of sample: 0 none, 1 all of it.

        NaN where the metric in sample is not above 0.
        """
        before = self.in_sample
        return 1 - self.out_of_sample / before if before > 0 else math.nan

    def plot(self) -> Any:
        """Return a plotly figure: stitched equity, and the metric in and out of sample."""
        from botlib.backtest.forward_plot import plot_walk_forward

        return plot_walk_forward(self)

    def __repr__(self) -> str:
        figures = self.figures
        return (
            f"<WalkForwardResult {self.strategy.__name__} {self.symbol or '-'} {self.timeframe} · "
            f"{len(self.windows)} {'anchored' if self.anchored else 'rolling'} windows · "
            f"{self.metric} {self.in_sample:.2f} in sample, {self.out_of_sample:.2f} out · "
            f"{figures.total_return:+.2%} · drawdown {figures.max_drawdown:.1%}"
            f"{' · interrupted' if self.interrupted else ''}>"
        )

    def __str__(self) -> str:
        return f"{self.verdict}\n{text_table(*self._table())}"

    def _repr_html_(self) -> str:
        return html_table(*self._table(), title=self.verdict)

    @property
    def verdict(self) -> str:
        """The result in a sentence."""
        lost = self.degradation
        kept = "" if math.isnan(lost) else f", {lost:.0%} lost" if lost > 0 else ", nothing lost"
        figures = self.figures
        return (
            f"{self.strategy.__name__}, {len(self.windows)} windows: mean {self.metric} "
            f"{self.in_sample:.2f} in sample, {self.out_of_sample:.2f} out of sample{kept}; "
            f"{figures.total_return:+.2%} with a drawdown of {figures.max_drawdown:.1%} "
            f"out of sample{'; interrupted' if self.interrupted else ''}."
        )

    def _table(self) -> tuple[list[str], list[list[object]]]:
        names = list(self.windows[0].parameters)
        headers = ["test from", "until", *names, f"{self.metric} in", "out", "return", "trips"]
        rows: list[list[object]] = [
            [
                window.test_from,
                window.test_until,
                *window.parameters.values(),
                f"{window.in_sample:.2f}",
                f"{window.out_of_sample:.2f}",
                f"{window.result.figures.total_return:+.2%}",
                int((~window.result.fills.buy).sum()),
            ]
            for window in self.windows
        ]
        return headers, rows


def walk_forward(
    strategy: type[Strategy],
    data: Frames | pd.DataFrame | Mapping[str, pd.DataFrame],
    *,
    train: int | str,
    test: int | str,
    anchored: bool = False,
    metric: str = "sharpe",
    symbol: str = "",
    fee: float = 0.001,
    slippage: float = 0.0,
    cash: float = 10_000.0,
    where: Callable[[dict[str, Any]], bool] | None = None,
    method: str = "grid",
    samples: int | None = None,
    seed: int = 0,
    workers: int | None = None,
    memory: str | int = "1GB",
    client: Any = None,
    directory: str | Path | None = None,
    progress: bool = True,
    **space: object,
) -> WalkForwardResult:
    """Choose parameters on each training window by a sweep and trade the best on the next candles.

    Test windows follow each other without a gap and without overlap. Before each of them lie the
    candles the strategy needs to warm up: data, not traded. Each begins and ends without a
    position: what is still held is sold at the open of its last candle, fees and all. An interrupt
    ends the walk and returns the windows that are finished.

    Args:
        strategy: the class; its parameters are keywords with the values to try, as for `sweep`.
        data: candles as for `backtest`.
        train: length of a training window in candles, or a duration such as ``"90d"``. Its first
            candles warm up.
        test: length of a test window, likewise. A last, shorter one is made of at least half.
        anchored: let every training window begin with the first candle instead of rolling on.
        metric: the figure to choose by, more is better.
        where, method, samples, seed, workers, memory, client: as for `sweep`.
        directory: where to keep results of the sweeps, so that the walk can be resumed.

    Raises:
        InvalidInput: a window is too short, or there are too few candles for one of each.
        SweepError: no combination could be computed on a training window.
    """
    frames = frames_for(_with_defaults(strategy), data, symbol)
    spans, left_over = _spans(frames, train, test, anchored=anchored)
    trade = {"fee": fee, "slippage": slippage, "symbol": frames.symbol}
    search = {
        "metric": metric,
        "where": where,
        "method": method,
        "samples": samples,
        "seed": seed,
        "workers": workers,
        "memory": memory,
        "client": client,
    }
    windows: list[Window] = []
    interrupted = False
    try:
        for number, span in enumerate(_shown(spans, progress)):
            kept = None if directory is None else Path(directory) / f"window-{number:04d}"
            training = _traded(frames, span.first, span.middle)
            found = _sweep(
                strategy,
                training,
                **(search | trade),
                cash=cash,
                directory=kept,
                progress=False,
                **space,
            )
            if found.interrupted:
                raise KeyboardInterrupt
            held = float(windows[-1].result.equity.iloc[-1]) if windows else cash
            windows.append(_window(frames, span, found, cash=held, **trade))
    except KeyboardInterrupt:
        if not windows:
            raise
        interrupted = True
    return WalkForwardResult(
        strategy=strategy,
        timeframe=frames.timeframes[0],
        symbol=frames.symbol,
        windows=tuple(windows),
        metric=metric,
        anchored=anchored,
        cash=cash,
        left_over=left_over,
        interrupted=interrupted,
    )


class _Span(NamedTuple):
    """Rows of the trading frame: where training and test begin, and where the test has ended."""

    first: int
    middle: int
    end: int


class _EndsFlat(Strategy):
    """A strategy that leaves the market at the open of the last candle it is shown."""

    def __init__(self, inner: Strategy) -> None:
        super().__init__(
            timeframes=inner.timeframes, **{name: getattr(inner, name) for name in STOPS}
        )
        self._inner = inner

    @property
    def warmup(self) -> int:
        return self._inner.warmup

    def signals(self, data: Frames) -> Signals:
        signals = self._inner.signals(data)
        signals.check(data.frame)
        entry, leave = signals.entry.copy(), signals.exit.copy()
        entry.iloc[-2:] = False
        leave.iloc[-2:] = True
        return Signals(entry=entry, exit=leave)

    def __repr__(self) -> str:
        return repr(self._inner)


def _window(frames: Frames, span: _Span, found: SweepResult, **how: Any) -> Window:
    """Trade the best of a sweep over the test candles."""
    parameters = dict(found.best_parameters)
    strategy = found.strategy(timeframes=frames.timeframes, **parameters)
    # A wish of the last training candle is acted on at the first open of the test.
    first = max(span.middle - max(strategy.warmup, 1), 0)
    data = _traded(frames, first, span.end)
    index = frames.frame.index
    result = backtest(_EndsFlat(strategy), data, start=index[span.middle], **how)
    return Window(
        train_from=index[span.first],
        train_until=index[span.middle - 1],
        test_from=index[span.middle],
        test_until=index[span.end - 1],
        parameters=parameters,
        in_sample=float(found.frame[found.metric].iloc[0]),
        out_of_sample=float(result.stats()[found.metric]),
        result=result,
    )


def _traded(frames: Frames, first: int, end: int) -> Frames:
    """Return trading candles ``first`` to ``end`` - 1, higher ones all that had closed by then."""
    cut = until(frames, end)
    base = frames.timeframes[0]
    return Frames(frames.symbol, {**cut, base: cut.frame.iloc[first:]})


def _spans(
    frames: Frames, train: int | str, test: int | str, *, anchored: bool
) -> tuple[list[_Span], int]:
    """Return the rows of every window, and how many are left over."""
    length = timeframe_ms(frames.timeframes[0])
    training, testing = _candles("train", train, length), _candles("test", test, length)
    rows = len(frames.frame)
    least = max(-(-testing // 2), _LEAST_CANDLES)
    spans = []
    middle = training
    while rows - middle >= least:
        end = min(middle + testing, rows)
        spans.append(_Span(0 if anchored else middle - training, middle, end))
        middle = end
    if not spans:
        raise InvalidInput(
            f"{rows:,} candles are too few for a training window of {training:,} and a test window "
            f"of {testing:,} (at least {least:,}). Load more, or make the windows shorter."
        )
    return spans, rows - middle


def _candles(name: str, value: int | str, length: int) -> int:
    """Return a number of candles of ``length`` ms."""
    count = value
    if isinstance(value, str):
        exact = parse_duration(value) * 1000 / length
        count = round(exact)
    if not isinstance(count, int) or isinstance(count, bool) or count < _LEAST_CANDLES:
        raise InvalidInput(
            f"{name}={value!r} is no length of a window. Accepted: {_LEAST_CANDLES} candles or "
            "more, as a number or as a duration such as '30d'."
        )
    return count


def _with_defaults(strategy: type[Strategy]) -> Strategy:
    """Return the strategy with its defaults, to learn what it looks at."""
    try:
        return strategy()
    except ConfigError as error:
        raise ConfigError(f"{strategy.__name__}() has to work with its defaults: {error}") from None


def _sweep(strategy: type[Strategy], frames: Frames, **how: Any) -> SweepResult:
    from botlib.backtest.sweeps import sweep

    return sweep(strategy, frames, **how)


def _shown(spans: list[_Span], progress: bool) -> Iterator[_Span]:
    if not progress:
        yield from spans
        return
    from tqdm.auto import tqdm

    yield from tqdm(spans, unit="window", leave=False)


def _mean(values: list[float]) -> float:
    known = [value for value in values if math.isfinite(value)]
    return sum(known) / len(known) if known else math.nan
