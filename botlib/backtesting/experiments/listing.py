"""`Experiments`: the runs of an experiment book, as a table, a card and a choice to compare."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from botlib.backtesting.experiments.comparison import ExperimentComparison
from botlib.core.clock import iso
from botlib.core.errors import InvalidInput, did_you_mean
from botlib.core.text import formats
from botlib.core.text.cards import card
from botlib.core.text.tables import html_table, text_table

if TYPE_CHECKING:
    import pandas as pd

    from botlib.store.experiment_book import Experiment

SHOWN: Final = 20
"""Most runs on the card."""

_HEADERS: Final = (
    "run", "ended", "kind", "strategy", "parameters", "market", "from", "until", "tries", "return",
    "sharpe", "drawdown", "trips", "code", "data",
)  # fmt: skip


class Experiments:
    """The runs of research, the newest first."""

    def __init__(self, runs: Sequence[Experiment]) -> None:
        self._runs = tuple(runs)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Experiment]:
        return iter(self._runs)

    def __getitem__(self, number: int) -> Experiment:
        """Return the run of a number.

        Raises:
            InvalidInput: there is none.
        """
        for run in self._runs:
            if run.id == number:
                return run
        known = ", ".join(str(run.id) for run in self._runs[:SHOWN]) or "none"
        raise InvalidInput(f"There is no run {number!r} in this list. Listed: {known}.")

    @property
    def frame(self) -> pd.DataFrame:
        """One row per run by its number: what was run, on what, and its figures."""
        import pandas as pd

        rows = [
            {
                "ended": pd.Timestamp(run.recorded, unit="ms"),
                "kind": run.kind,
                "strategy": run.strategy,
                "venue": run.venue,
                "symbol": run.symbol,
                "timeframe": run.timeframe,
                "start": pd.Timestamp(run.first, unit="ms"),
                "end": pd.Timestamp(run.last, unit="ms"),
                "candles": run.candles,
                "metric": run.metric,
                "trials": run.trials,
                "code": run.code,
                "data": run.data,
                "parameters": dict(run.parameters),
                "terms": dict(run.terms),
                **run.figures,
            }
            for run in self._runs
        ]
        return pd.DataFrame(rows, index=pd.Index([run.id for run in self._runs], name="run"))

    def of(
        self, *, strategy: str | None = None, symbol: str | None = None, kind: str | None = None
    ) -> Experiments:
        """Return the runs of a strategy, a symbol or a kind.

        Args:
            strategy: name of its class.
            symbol: unified.
            kind: ``backtest``, ``sweep`` or ``walk_forward``.

        Raises:
            InvalidInput: nothing in the list has it.
        """
        runs = self._runs
        for name, wanted in (("strategy", strategy), ("symbol", symbol), ("kind", kind)):
            if wanted is None:
                continue
            known = sorted({getattr(run, name) for run in self._runs})
            runs = tuple(run for run in runs if getattr(run, name) == wanted)
            if wanted not in known:
                raise InvalidInput(
                    f"No run has {name}={wanted!r}. Listed: {', '.join(known) or 'none'}."
                    f"{did_you_mean(wanted, known)}"
                )
        return Experiments(runs)

    def compare(self, *numbers: int) -> ExperimentComparison:
        """Return runs side by side.

        Args:
            numbers: those of the runs; without any, the newest five.

        Raises:
            InvalidInput: there is no such run, or none at all.
        """
        chosen = [self[number] for number in numbers] if numbers else list(self._runs[:5])
        if not chosen:
            raise InvalidInput("The experiment book has no run yet to compare.")
        return ExperimentComparison(chosen)

    def plot(self, *numbers: int) -> Any:
        """Return a plotly figure with the equity curves of runs; see `compare`."""
        return self.compare(*numbers).plot()

    def __repr__(self) -> str:
        return f"<Experiments {formats.count(len(self))} runs>"

    def __str__(self) -> str:
        return f"{self._title()}\n{text_table(_HEADERS, self._rows())}"

    def _repr_html_(self) -> str:
        notes = "compare(run, run) shows them side by side"
        if len(self) > SHOWN:
            notes = f"the newest {SHOWN} are shown, .frame has all · {notes}"
        return card(self._title(), html_table(_HEADERS, self._rows()), notes=notes)

    def _title(self) -> str:
        tries = sum(run.trials for run in self._runs)
        return f"{formats.count(len(self))} runs, {formats.count(tries)} tries"

    def _rows(self) -> list[list[object]]:
        return [
            [
                run.id,
                iso(run.recorded)[:16],
                run.kind,
                run.strategy,
                ", ".join(f"{name}={value}" for name, value in run.parameters.items() if value),
                f"{run.symbol or '–'} {run.timeframe}",
                iso(run.first)[:10],
                iso(run.last)[:10],
                formats.count(run.trials),
                formats.percent(run.figures.get("total_return"), sign=True),
                formats.number(run.figures.get("sharpe")),
                formats.percent(run.figures.get("max_drawdown"), 1),
                formats.number(run.figures.get("round_trips"), 0),
                run.code[:6],
                run.data[:6],
            ]
            for run in self._runs[:SHOWN]
        ]
