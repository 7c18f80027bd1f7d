"""What runs write into the experiment book, what of it is counted, and how it is shown."""

from __future__ import annotations

from pathlib import Path

import apsw
import numpy as np
import pandas as pd
import pytest

from botlib.backtesting import SweepResult, backtest, sweep, walk_forward
from botlib.backtesting.experiments import Experiments
from botlib.backtesting.significance.overfitting import overfitting
from botlib.core.errors import InvalidInput
from botlib.store.experiment_book import ExperimentBook
from tests.support.sweeps import Cross, candles

FRAME = candles(900)
MARKET = "BTC/USDT"


def swept(book: Path | None, fast: range = range(2, 5), frame: pd.DataFrame = FRAME) -> SweepResult:
    return sweep(
        Cross, frame, symbol=MARKET, fast=fast, slow=[8, 13], workers=0, progress=False, book=book
    )


def test_bare_functions_write_nothing_unless_they_are_given_a_book(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOTLIB_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    backtest(Cross(fast=3, slow=8), FRAME)
    assert swept(None).overfitting(blocks=4).earlier is None
    assert list(tmp_path.iterdir()) == []
    backtest(Cross(fast=3, slow=8), FRAME, book=tmp_path)
    assert [run.kind for run in ExperimentBook(tmp_path).runs()] == ["backtest"]


def test_the_deflated_sharpe_ratio_knows_the_trials_of_earlier_runs(tmp_path: Path) -> None:
    alone = swept(None).overfitting(blocks=4)
    wide = swept(tmp_path, range(2, 7))
    assert wide.overfitting(blocks=4).earlier == 0, "its own combinations are no earlier ones"
    backtest(Cross(fast=7, slow=9), FRAME, symbol=MARKET, book=tmp_path)
    report = swept(tmp_path).overfitting(blocks=4)
    assert (report.trials, report.earlier) == (6, 5), "4 of the wide sweep and one by hand"
    assert report.independent > alone.independent
    assert report.deflated < alone.deflated
    # Independently: the same trials, with the figures of the wide sweep turned into periods.
    fresh = wide.frame[wide.frame["fast"] > 4]["sharpe"].to_numpy()
    by_hand = backtest(Cross(fast=7, slow=9), FRAME).stats()["sharpe"]
    year = 365 * 24 * 60 / (900 / 480)
    others = np.append(fresh, by_hand) / np.sqrt(year)
    returns = swept(None).period_returns()
    ratios = np.append((returns.mean() / returns.std()).to_numpy(), others)
    assert report.expected_maximum == pytest.approx(
        overfitting(returns, blocks=4, trials=report.independent, best=0).expected_maximum
        * np.sqrt(ratios.var(ddof=1) / (returns.mean() / returns.std()).var()),
        rel=1e-6,
    )
    again = swept(tmp_path).overfitting(blocks=4)
    assert (again.earlier, again.deflated) == (report.earlier, report.deflated), "run again"
    moved = swept(tmp_path, frame=FRAME.iloc[50:]).overfitting(blocks=4)
    assert moved.earlier == 5, "the same parameters on an overlapping stretch are no other try"


def test_a_walk_forward_writes_the_combinations_of_its_windows(tmp_path: Path) -> None:
    walk_forward(
        Cross, FRAME, train=400, test=200, fast=[2, 3], slow=[8], workers=0, progress=False,
        book=tmp_path,
    )  # fmt: skip
    (run,) = ExperimentBook(tmp_path).runs()
    assert (run.kind, run.trials, run.candles) == ("walk_forward", 2, 900)
    assert run.figures.keys() >= {"in_sample", "out_of_sample", "round_trips"}
    assert swept(tmp_path).overfitting(blocks=4).earlier == 0, "both are in the sweep"


@pytest.mark.parametrize("harm", ["damaged", "locked"])
def test_a_book_that_fails_stops_no_run_and_is_told_in_a_line(
    harm: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = swept(tmp_path)
    path = ExperimentBook(tmp_path).path
    monkeypatch.setattr("botlib.store.experiment_book.BUSY_TIMEOUT", 50)
    holder = None
    if harm == "damaged":
        path.write_bytes(path.read_bytes()[:5_000] + b"\xff" * 20_000)
    else:
        holder = apsw.Connection(str(path))
        holder.execute("BEGIN EXCLUSIVE")
    capsys.readouterr()
    try:
        result = backtest(Cross(fast=3, slow=8), FRAME, book=tmp_path)
        assert len(result.roundtrips)
        told = capsys.readouterr().out.splitlines()
        assert len(told) == 1 and told[0].startswith("The experiment book is not used: "), told
        assert str(path) in told[0]
        assert healthy.overfitting(blocks=4).earlier is None
        assert len(capsys.readouterr().out.splitlines()) == 1
    finally:
        if holder is not None:
            holder.close()


def test_runs_are_listed_and_shown_side_by_side(tmp_path: Path) -> None:
    backtest(Cross(fast=3, slow=8), FRAME, symbol=MARKET, book=tmp_path)
    backtest(Cross(fast=4, slow=8), FRAME.iloc[100:], symbol=MARKET, fee=0.002, book=tmp_path)
    swept(tmp_path)
    book = Experiments(ExperimentBook(tmp_path).runs())
    assert list(book.frame.index) == [3, 2, 1] and len(book.of(kind="sweep")) == 1
    assert "3 runs, 8 tries" in str(book) and "Cross" in book._repr_html_()
    side = book.compare(1, 2)
    frame = side.frame
    assert frame.loc[("parameters", "fast")].tolist() == [3, 4]
    assert frame.loc[("terms", "fee")].tolist() == [0.001, 0.002]
    expected = backtest(Cross(fast=3, slow=8), FRAME).stats()
    assert frame.loc[("figures", "sharpe"), 1] == expected["sharpe"]
    differing = set(side.differences.index.get_level_values("name"))
    assert {"fast", "fee", "data", "sharpe"} <= differing
    assert not {"code", "slow", "symbol"} & differing
    figure = side.plot()
    assert [len(curve.x) for curve in figure.data] == [400, 400]
    assert figure.data[0].y[-1] == pytest.approx(expected["total_return"])
    shown = side._repr_html_()
    assert shown.count("<img") == 1 and "run 2 · Cross(fast=4, slow=8" in shown
    with pytest.raises(InvalidInput, match=r"no run 9 in this list. Listed: 3, 2, 1"):
        book.compare(9)
    with pytest.raises(InvalidInput, match=r"No run has strategy='Cros'.*Did you mean 'Cross'"):
        book.of(strategy="Cros")
