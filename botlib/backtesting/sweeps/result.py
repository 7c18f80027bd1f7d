"""The result of a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from botlib.backtesting.arguments import checked
from botlib.backtesting.metrics import Floats
from botlib.backtesting.significance.block_scores import LEAST_ROUND_TRIPS
from botlib.backtesting.sweeps.evaluator import METRICS, SweepSettings
from botlib.backtesting.sweeps.space import Combination
from botlib.core.errors import InvalidInput, did_you_mean
from botlib.core.received import refused
from botlib.core.text import formats
from botlib.core.text.masking import masked

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.significance.overfitting import OverfittingReport
    from botlib.frames import Frames
    from botlib.store.experiment_book import ExperimentBook
    from botlib.strategy import Strategy


class SweepResult:
    """The figures and returns of every combination of a sweep.

    Attributes:
        parameters: names of the parameters that were varied.
        metric: the figure the combinations are ranked by.
        wanted: number of combinations asked for.
        interrupted: whether the sweep ended before it had all of them.
        book: the experiment book that has the sweep, None if there is none.
    """

    def __init__(
        self,
        *,
        names: tuple[str, ...],
        axes: tuple[tuple[object, ...], ...],
        figures: Mapping[Combination, Floats],
        equity: Mapping[Combination, Floats],
        errors: Mapping[Combination, str],
        wanted: int,
        interrupted: bool,
        strategy: type[Strategy],
        frames: Frames,
        settings: SweepSettings,
        metric: str,
        times: npt.NDArray[np.datetime64],
    ) -> None:
        self.strategy = strategy
        self.parameters = names
        self.metric = metric
        self.settings = settings
        self.wanted = wanted
        self.interrupted = interrupted
        self.frames = frames
        self.book: ExperimentBook | None = None
        self._errors = {key: masked(text) for key, text in errors.items()}
        self._times = times
        self._axes = axes
        combinations = list(figures)
        lookup = [{value: place for place, value in enumerate(axis)} for axis in axes]
        places = np.array(
            [
                [place[value] for place, value in zip(lookup, combination, strict=True)]
                for combination in combinations
            ],
            dtype=np.int64,
        ).reshape(len(combinations), len(names))
        table = _stacked([figures[c] for c in combinations], len(METRICS))
        # Best first, equal ones in the order of the grid. Combinations without a figure come last,
        # and so do infinite ones: a profit factor without a loss says little.
        ranks = table[:, METRICS.index(metric)]
        ranks = np.where(np.isfinite(ranks), ranks, -np.inf)
        order = np.lexsort((*reversed(places.T), -ranks))
        self._combinations = [combinations[row] for row in order]
        self._places = places[order]
        self._table = table[order]
        self._equity = _stacked([equity[c] for c in self._combinations], len(times))

    def __len__(self) -> int:
        """Return how many combinations were computed."""
        return len(self._combinations)

    @property
    def combinations(self) -> list[Combination]:
        """The values of `parameters`, one tuple per row of `frame`."""
        return list(self._combinations)

    @property
    def traded(self) -> pd.DataFrame:
        """The candles that were traded, without those that only warmed up."""
        return self.frames.frame.iloc[self.settings.start :]

    @property
    def equity_of_best(self) -> pd.Series:
        """Equity of the best combination at the ends of the periods, in quote units."""
        import pandas as pd

        self._check_any()
        index = pd.DatetimeIndex(self._times, name="timestamp")
        return pd.Series(self._equity[0], index=index, name="equity")

    @cached_property
    def frame(self) -> pd.DataFrame:
        """One row per combination, best first: its parameters and its figures."""
        import pandas as pd

        columns: dict[str, Any] = {
            name: [combination[place] for combination in self._combinations]
            for place, name in enumerate(self.parameters)
        }
        columns |= {name: self._table[:, place] for place, name in enumerate(METRICS)}
        frame = pd.DataFrame(columns)
        return frame.astype({"round_trips": np.int64, "open": np.int64})

    @cached_property
    def failures(self) -> pd.DataFrame:
        """One row per combination that could not be computed: its parameters and the error."""
        import pandas as pd

        rows = [(*combination, error) for combination, error in self._errors.items()]
        return pd.DataFrame(rows, columns=[*self.parameters, "error"])

    @property
    def best_parameters(self) -> dict[str, Any]:
        """Parameters of the best combination.

        Raises:
            InvalidInput: nothing was computed before the sweep was interrupted.
        """
        self._check_any()
        return dict(zip(self.parameters, self._combinations[0], strict=True))

    @property
    def best_strategy(self) -> Strategy:
        """The strategy with the best combination, ready for `backtest`."""
        return self.strategy(**self.best_parameters)

    @checked
    def best(self, n: int = 10) -> pd.DataFrame:
        """Return the best rows of `frame` with the metric of their neighbours.

        ``neighbours`` is the median of the metric over the combinations one step away in any
        parameters: an isolated peak is more often luck than an edge.
        """
        rows = range(min(n, len(self)))
        medians = [self._neighbours_median(row) for row in rows]
        frame = self.frame.head(n).copy()
        frame.insert(len(self.parameters), "neighbours", np.array(medians, dtype=np.float64))
        return frame

    def neighbourhood(
        self, parameters: Mapping[str, object] | None = None, *, reach: int = 1
    ) -> pd.DataFrame:
        """Return the rows of `frame` at most ``reach`` steps away in every parameter.

        Args:
            parameters: the combination in the middle, by default the best.

        Returns:
            Those rows with ``steps``, their distance, nearest first.

        Raises:
            InvalidInput: the combination was not computed in this sweep.
        """
        middle = self._row_of(parameters if parameters is not None else self.best_parameters)
        steps = np.abs(self._places - self._places[middle]).max(axis=1)
        near = np.flatnonzero(steps <= reach)
        near = near[np.argsort(steps[near], kind="stable")]
        frame = self.frame.iloc[near].copy()
        frame.insert(len(self.parameters), "steps", steps[near])
        return frame

    @checked
    def period_returns(self, periods: int | None = None, *, top: int | None = None) -> pd.DataFrame:
        """Return log returns over periods of equal length, one column per combination.

        Args:
            periods: how many periods, by default as many as were kept (usually 480).
            top: only this many of the best combinations.

        Returns:
            (periods, combinations), indexed by the open time of the last candle of each period,
            columns in the order of `frame`, labelled with the parameters.

        Raises:
            InvalidInput: fewer or more periods are wanted than there are.
        """
        import pandas as pd

        self._check_any()
        kept = len(self._times)
        wanted = kept if periods is None else periods
        if not 0 < wanted <= kept:
            raise InvalidInput(
                f"periods must be from 1 to {kept}, what this sweep kept, not {periods!r}."
            )
        ends = np.arange(1, wanted + 1) * kept // wanted - 1
        value = self._equity[:top, ends].T
        # The logarithm of an account that lost everything is replaced by that of the least float.
        logs = np.log(np.maximum(value / self.settings.terms.cash, np.finfo(float).tiny))
        labels = pd.MultiIndex.from_tuples(self._combinations[:top], names=self.parameters)
        index = pd.DatetimeIndex(self._times[ends], name="timestamp")
        return pd.DataFrame(np.diff(logs, axis=0, prepend=0.0), index=index, columns=labels)

    @checked
    def overfitting(
        self, *, blocks: int = 16, least_round_trips: int = LEAST_ROUND_TRIPS
    ) -> OverfittingReport:
        """Return how likely the best combination is luck, given all that were tried.

        What is judged is the first row of `frame` and of `best`, and each half of the time chooses
        by the metric of the sweep. With an experiment book, combinations that earlier runs tried
        on the same candles count as trials too; see `botlib.store.experiment_book`.

        Args:
            blocks: an even number of stretches of time; 16 give 12,870 splits.
            least_round_trips: a best with fewer finished round trips is not vouched for.
        """
        from botlib.backtesting.experiments.recording import earlier_trials, sharpes_per_period
        from botlib.backtesting.significance.overfitting import overfitting

        self._check_any()
        earlier = earlier_trials(self.book, self) if self.book is not None else None
        return overfitting(
            self.period_returns(),
            blocks=blocks,
            best=0,
            metric=self.metric,
            earlier=earlier and replace(earlier, sharpes=sharpes_per_period(earlier, self)),
            round_trips=int(self._table[0, METRICS.index("round_trips")]),
            least_round_trips=least_round_trips,
        )

    @checked
    def heatmap(
        self, x: str | None = None, y: str | None = None, *, metric: str | None = None
    ) -> Any:
        """Return a plotly heat map of a figure over two parameters.

        If more parameters were varied, each cell shows the median over them.

        Raises:
            InvalidInput: a name is not known, or only one parameter was varied.
        """
        from botlib.backtesting.views.sweep import heatmap

        self._check_any()
        return heatmap(self, *self._axes_for(x, y), self._metric(metric))

    def __repr__(self) -> str:
        done = f"{formats.count(len(self))} of {formats.count(self.wanted)} combinations"
        parts = [f"{self.strategy.__name__} · {done}"]
        if self._errors:
            parts.append(f"{formats.count(len(self._errors))} failed")
        if self.interrupted:
            parts.append("interrupted")
        if self._combinations:
            named = ", ".join(f"{name}={value!r}" for name, value in self.best_parameters.items())
            top = self._table[0, METRICS.index(self.metric)]
            parts.append(f"best {self.metric} {top:.4g} at {named}")
        return masked(f"<SweepResult {' · '.join(parts)}>")

    def _repr_html_(self) -> str:
        from botlib.backtesting.views.sweep import sweep_card

        return sweep_card(self)

    def _check_any(self) -> None:
        if not self._combinations:
            raise InvalidInput("The sweep was interrupted before any combination was computed.")

    def _neighbours_median(self, row: int) -> float:
        steps = np.abs(self._places - self._places[row]).max(axis=1)
        near = self._table[steps == 1, METRICS.index(self.metric)]
        near = near[~np.isnan(near)]
        return float(np.median(near)) if len(near) else np.nan

    def _row_of(self, parameters: Mapping[str, object]) -> int:
        for name in parameters:
            if name not in self.parameters:
                raise InvalidInput(
                    f"{name!r} was not varied in this sweep; varied: {', '.join(self.parameters)}."
                    f"{did_you_mean(name, self.parameters)}"
                )
        wanted = tuple(parameters.get(name) for name in self.parameters)
        try:
            return self._combinations.index(wanted)
        except ValueError:
            raise InvalidInput(
                f"{dict(parameters)} was not computed in this sweep. Name a value for each of "
                f"{', '.join(self.parameters)}, as they stand in .frame."
            ) from None

    def _axes_for(self, x: str | None, y: str | None) -> tuple[str, str]:
        varied = [n for n, axis in zip(self.parameters, self._axes, strict=True) if len(axis) > 1]
        free = [name for name in (varied or list(self.parameters)) if name not in (x, y)]
        chosen = []
        for name in (x, y):
            if name is None and not free:
                raise InvalidInput(
                    "A heat map needs two varied parameters; this sweep varied "
                    f"{', '.join(varied) or 'none'}. Look at .frame instead."
                )
            if name is not None and name not in self.parameters:
                raise InvalidInput(
                    f"{name!r} was not varied in this sweep; varied: {', '.join(self.parameters)}."
                    f"{did_you_mean(name, self.parameters)}"
                )
            chosen.append(name if name is not None else free.pop(0))
        return chosen[0], chosen[1]

    def _metric(self, metric: str | None) -> str:
        name = self.metric if metric is None else metric
        if not isinstance(name, str):
            raise refused("metric", name, f"one of {', '.join(METRICS)}")
        if name not in METRICS:
            raise InvalidInput(
                f"metric {name!r} is not known. Accepted: {', '.join(METRICS)}."
                f"{did_you_mean(name, METRICS)}"
            )
        return name


def _stacked(rows: list[Floats], width: int) -> Floats:
    return np.array(rows, dtype=np.float64).reshape(len(rows), width)
