"""`ExperimentComparison`: runs of the experiment book side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from botlib.backtesting.views.experiments import curves_picture, legend, plot_curves
from botlib.core.clock import iso
from botlib.core.text import formats
from botlib.core.text.cards import card, section
from botlib.core.text.tables import Tone, Toned, html_table, text_table

if TYPE_CHECKING:
    import pandas as pd

    from botlib.store.experiment_book import Experiment

_PERCENTS: Final = {
    "total_return", "annual_return", "volatility", "max_drawdown", "win_rate", "exposure",
}  # fmt: skip
_WHOLE: Final = {"round_trips"}


class ExperimentComparison:
    """Runs side by side: what was run, on what, its parameters, terms and figures.

    Attributes:
        runs: in the order they were asked for.
    """

    def __init__(self, runs: Sequence[Experiment]) -> None:
        self.runs = tuple(runs)

    @property
    def frame(self) -> pd.DataFrame:
        """One column per run, one row per fact; the index has a group and a name."""
        import pandas as pd

        rows = self._facts()
        index = pd.MultiIndex.from_tuples([key for key, _ in rows], names=["group", "name"])
        columns = pd.Index([run.id for run in self.runs], name="run")
        return pd.DataFrame([list(row) for _, row in rows], index=index, columns=columns)

    @property
    def differences(self) -> pd.DataFrame:
        """The rows of `frame` in which the runs differ."""
        frame = self.frame
        return frame[[len({repr(value) for value in row}) > 1 for row in frame.to_numpy()]]

    def plot(self) -> Any:
        """Return a plotly figure: the growth of every run, in one picture."""
        return plot_curves(self.runs)

    def __repr__(self) -> str:
        return f"<ExperimentComparison of runs {', '.join(str(run.id) for run in self.runs)}>"

    def __str__(self) -> str:
        headers, rows = self._table()
        return text_table(headers, [[*map(_plain, row)] for row in rows])

    def _repr_html_(self) -> str:
        headers, rows = self._table()
        picture = section("growth of the cash at the start", curves_picture(self.runs))
        return card(
            f"Runs {', '.join(str(run.id) for run in self.runs)}",
            picture,
            legend(self.runs),
            html_table(headers, rows, wrapped=headers[1:]),
            notes="rows in which they differ are coloured",
        )

    def _table(self) -> tuple[list[str], list[list[object]]]:
        rows: list[list[object]] = []
        for (group, name), values in self._facts():
            texts = [_text(group, name, value) for value in values]
            tone = Tone.INFO if len(set(texts)) > 1 else Tone.PLAIN
            rows.append([name, *(Toned(text, tone) for text in texts)])
        return ["", *(f"run {run.id}" for run in self.runs)], rows

    def _facts(self) -> list[tuple[tuple[str, str], tuple[object, ...]]]:
        """Return the values of all runs by group and name; None for what a run does not have."""
        of_run = [_facts_of(run) for run in self.runs]
        keys = dict.fromkeys(key for facts in of_run for key in facts)
        groups = list(dict.fromkeys(group for group, _ in keys))
        ordered = sorted(keys, key=lambda key: groups.index(key[0]))
        return [(key, tuple(facts.get(key) for facts in of_run)) for key in ordered]


def _facts_of(run: Experiment) -> dict[tuple[str, str], object]:
    facts: dict[tuple[str, str], object] = {
        ("run", "kind"): run.kind,
        ("run", "ended"): iso(run.recorded)[:16],
        ("run", "strategy"): run.strategy,
        ("run", "code"): run.code,
        ("data", "data"): run.data,
        ("data", "venue"): run.venue,
        ("data", "symbol"): run.symbol,
        ("data", "timeframe"): run.timeframe,
        ("data", "from"): iso(run.first)[:16],
        ("data", "until"): iso(run.last)[:16],
        ("data", "candles"): run.candles,
        ("choice", "tries"): run.trials,
        ("choice", "by"): run.metric or None,
    }
    for group, values in (
        ("parameters", run.parameters), ("terms", run.terms), ("figures", run.figures),
    ):  # fmt: skip
        facts |= {(group, name): value for name, value in values.items()}
    return facts


def _text(group: str, name: str, value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name in ("code", "data"):
        return str(value)[:8]
    if formats.is_number(value):
        if name in _PERCENTS:
            return formats.percent(value)
        if name in _WHOLE:
            return formats.number(value, 0)
        return formats.number(value) if group == "figures" else formats.exact(value)
    return str(value)


def _plain(cell: object) -> object:
    return cell.value if isinstance(cell, Toned) else cell
