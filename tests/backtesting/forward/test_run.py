"""Walk forward: windows, parameters chosen in sample only, a stitched out-of-sample equity."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from botlib.backtesting import WalkForwardResult
from botlib.backtesting.forward import run
from botlib.backtesting.sweeps.run import run_sweep
from botlib.core.errors import ConfigError, InvalidInput
from botlib.core.market import Market
from botlib.frames import Frames
from botlib.strategies import TrendCross, TrendPullback
from botlib.strategy import Signals, Strategy
from tests.support.backtests import backtest
from tests.support.samples import market
from tests.support.sweeps import sweep, walk_forward

START = 1_704_067_200_000  # 2024-01-01 00:00 UTC
SPACE: dict[str, Any] = {"fast": [3, 8], "slow": [20, 40]}


HOURS = market(1_500, step=0.004)


class Cross(TrendCross):
    timeframes = ("1h",)


class Always(Strategy):
    """Long from the first candle on."""

    timeframes = ("1h",)
    length: int = 1

    @property
    def warmup(self) -> int:
        return self.length

    def signals(self, data: Frames) -> Signals:
        known = data.frame["close"].rolling(self.length).count() >= self.length
        return Signals(entry=known, exit=~known)


def walked(strategy: type[Strategy] = Cross, data: Any = HOURS, **how: Any) -> WalkForwardResult:
    given: dict[str, Any] = {"train": 400, "test": 200, "workers": 0, "progress": False}
    return walk_forward(strategy, data, **(given | how))


@pytest.fixture(scope="module")
def result() -> WalkForwardResult:
    return walked(**SPACE)


def test_windows_follow_each_other_without_gap_or_overlap(result: WalkForwardResult) -> None:
    index = HOURS.index
    assert len(result.windows) == 6 and result.left_over == 0
    for number, window in enumerate(result.windows):
        middle = 400 + 200 * number
        assert window.train_from == index[middle - 400]
        assert window.train_until == index[middle - 1]
        assert window.test_from == index[middle]
        assert window.test_until == index[min(middle + 200, 1_500) - 1]
    assert result.equity.index.equals(index[400:])


def test_amounts_and_lots_are_those_of_a_backtest() -> None:
    venue = Market(
        symbol="BTC/USDT",
        id="BTCUSDT",
        base="BTC",
        quote="USDT",
        tick=Decimal("0.01"),
        step=Decimal("0.1"),
        min_amount=Decimal("0.1"),
        min_cost=Decimal(5),
    )
    found = walked(market=venue, order_cost=500.0, fast=[5], slow=[20])
    trips = pd.concat([window.result.roundtrips for window in found.windows])
    # Lots of 0.1 at a price of about 100.
    assert len(trips) > 10
    assert trips["amount"].max() < 8
    assert trips["amount"].to_numpy() == pytest.approx(trips["amount"].round(1).to_numpy())
    with pytest.raises(InvalidInput, match="order_cost"):
        walked(order_cost=-1.0, fast=[5], slow=[20])


@pytest.mark.parametrize("anchored", [False, True])
def test_no_training_candle_is_within_purge_and_embargo_of_its_test(anchored: bool) -> None:
    found = walked(purge=24, embargo="10h", anchored=anchored, fast=[5], slow=[20])
    index = HOURS.index
    assert found.windows[0].test_from == index[434]
    for before, window in zip((None, *found.windows), found.windows, strict=False):
        test = index.get_loc(window.test_from)
        assert window.train_until == index[test - 35]
        first = 0 if anchored else test - 434
        assert window.train_from == index[first], "training is as long as without a gap"
        assert before is None or window.test_from == before.test_until + pd.Timedelta("1h")
    with pytest.raises(InvalidInput, match="purge=-1 is no length"):
        walked(purge=-1, fast=[5], slow=[20])
    with pytest.raises(InvalidInput, match=r"a gap of 1.100"):
        walked(embargo=1_100, fast=[5], slow=[20])


def test_windows_without_a_metric_are_told_and_in_neither_mean() -> None:
    class Early(Cross):
        """A cross that enters in the first half of the candles only."""

        def signals(self, data: Frames) -> Signals:
            signals = super().signals(data)
            early = pd.Series(data.index < HOURS.index[900], index=data.index)
            return Signals(entry=signals.entry & early, exit=signals.exit)

    found = walked(Early, fast=[5], slow=[20])
    rated = [one for one in found.windows if np.isfinite([one.in_sample, one.out_of_sample]).all()]
    assert 0 < len(rated) < len(found.windows) == 6
    left = len(found.windows) - len(rated)
    assert len(found.unrated) == left
    assert any(np.isfinite(one.in_sample) for one in found.unrated), "traded in sample only"
    assert found.in_sample == pytest.approx(np.mean([one.in_sample for one in rated]))
    assert found.out_of_sample == pytest.approx(np.mean([one.out_of_sample for one in rated]))
    assert f"{left} of 6 windows have no sharpe" in found.verdict
    assert f"{left} of 6 windows have no sharpe" in found._repr_html_()
    assert f"{left} unrated" in repr(found)


def test_an_anchored_walk_trains_on_everything_before() -> None:
    found = walked(anchored=True, **SPACE)
    assert {window.train_from for window in found.windows} == {HOURS.index[0]}
    assert [window.train_until for window in found.windows] == [
        HOURS.index[399 + 200 * number] for number in range(6)
    ]
    assert "anchored" in repr(found)


def test_lengths_may_be_durations() -> None:
    found = walked(train="20d", test="10d", fast=[5], slow=[20])
    assert found.windows[0].test_from == HOURS.index[480]
    assert found.windows[1].test_from == HOURS.index[720]


def test_too_few_candles_for_a_window_are_left_over() -> None:
    found = walked(data=HOURS.iloc[:1_090], fast=[5], slow=[20])
    assert len(found.windows) == 3 and found.left_over == 90
    assert walked(data=HOURS.iloc[:1_110], fast=[5], slow=[20]).left_over == 0


def test_each_window_trades_the_best_of_its_training_candles(result: WalkForwardResult) -> None:
    seen = set()
    for number, window in enumerate(result.windows):
        training = HOURS.iloc[200 * number : 200 * number + 400]
        best = sweep(Cross, training, workers=0, progress=False, **SPACE)
        assert window.parameters == best.best_parameters
        assert window.in_sample == best.frame["sharpe"].iloc[0]
        seen.add(tuple(window.parameters.values()))
    assert len(seen) > 1, "the market of this test has to change its mind"


def test_later_candles_change_no_choice_and_no_trade(
    result: WalkForwardResult,
) -> None:
    """Changed candles from the third test window on change neither its parameters nor the past."""
    changed = HOURS.copy()
    changed.iloc[800:] = market(1_500, seed=99, step=0.004).iloc[800:].to_numpy()
    found = walked(data=changed, **SPACE)
    for window, other in zip(result.windows[:2], found.windows[:2], strict=True):
        assert window.out_of_sample == other.out_of_sample
        pd.testing.assert_series_equal(window.result.equity, other.result.equity)
    assert result.windows[2].parameters == found.windows[2].parameters
    assert result.windows[2].out_of_sample != found.windows[2].out_of_sample


def test_a_window_is_a_backtest_with_history_to_warm_up(result: WalkForwardResult) -> None:
    """A backtest of the whole history from the test on has the same entries and exits."""
    compared = 0
    for window in result.windows:
        strategy = Cross(**window.parameters)
        data = HOURS.loc[: window.test_until]
        cash = window.result.cash
        whole = backtest(strategy, data, start=window.test_from, cash=cash)
        trips = window.result.roundtrips
        expected = whole.roundtrips.head(len(trips))
        # The end of the window may have ended the last trip.
        columns = ["entry_time", "exit_time", "entry_price", "exit_price", "amount"]
        pd.testing.assert_frame_equal(trips[columns][:-1], expected[columns][:-1])
        assert trips["entry_time"].iloc[-1] == expected["entry_time"].iloc[-1]
        compared += len(trips)
    assert compared > 20


def test_windows_shorter_than_the_warm_up_are_traded_from_their_first_candle() -> None:
    found = walked(Always, train=200, test=20, length=[100])
    for window in found.windows:
        trips = window.result.roundtrips
        assert list(trips["entry_time"]) == [window.test_from]
        # Sold at the open of the last candle: every window ends without a position.
        assert list(trips["exit_time"]) == [window.test_until]
        assert trips["exit_fee"].iloc[0] > 0


def test_the_equity_is_carried_from_window_to_window(result: WalkForwardResult) -> None:
    assert result.windows[0].result.cash == 10_000.0
    for before, after in zip(result.windows, result.windows[1:], strict=False):
        assert after.result.cash == before.result.equity.iloc[-1]
    growth = np.prod([1 + window.result.figures.total_return for window in result.windows])
    assert result.equity.iloc[-1] == pytest.approx(10_000 * growth)
    assert result.figures.total_return == pytest.approx(growth - 1)
    trips = result.roundtrips
    assert trips["pnl"].sum() == pytest.approx(result.equity.iloc[-1] - 10_000)
    assert len(trips) == result.frame["round_trips"].sum()
    assert trips["exit_time"].notna().all()


def test_costs_are_charged_in_and_out_of_sample(result: WalkForwardResult) -> None:
    free = walked(fee=0.0, cash=500.0, **SPACE)
    assert free.in_sample > result.in_sample
    assert free.roundtrips["fees"].sum() == 0 < result.roundtrips["fees"].sum()
    assert free.windows[0].result.cash == 500.0


def test_parameters_of_noise_are_better_in_sample_than_out(result: WalkForwardResult) -> None:
    found = walked(train=200, test=100, fast=[2, 3, 5, 8], slow=[10, 14, 20, 30, 40])
    assert found.in_sample > found.out_of_sample
    assert found.degradation == pytest.approx(1 - found.out_of_sample / found.in_sample) or (
        np.isnan(found.degradation) and found.in_sample <= 0
    )


def test_a_higher_timeframe_is_seen_until_its_close() -> None:
    rows = HOURS.groupby(HOURS.index.floor("4h"))
    slow = rows.agg({"open": "first", "high": "max", "low": "min", "close": "last"})
    slow["volume"] = rows["volume"].sum()
    slow.index = slow.index.astype("datetime64[ms]")

    class Pullback(TrendPullback):
        timeframes = ("1h", "4h")

    data = {"1h": HOURS, "4h": slow}
    found = walked(Pullback, data, length=[10, 20], trend=[6])
    assert len(found.windows) == 6 and len(found.roundtrips) > 10
    changed = {"1h": HOURS, "4h": slow.copy()}
    # The candle that opens with hour 596 closes with hour 599: the last of the first test window.
    changed["4h"].iloc[150:] = 1.0
    other = walked(Pullback, changed, length=[10, 20], trend=[6])
    pd.testing.assert_series_equal(found.windows[0].result.equity, other.windows[0].result.equity)


def test_the_result_is_shown(result: WalkForwardResult) -> None:
    frame = result.frame
    assert list(frame.columns) == [
        *("train_from", "train_until", "test_from", "test_until", "fast", "slow"),
        *("in_sample", "out_of_sample", "total_return", "round_trips"),
    ]
    assert frame.index.name == "window" and list(frame.index) == [1, 2, 3, 4, 5, 6]
    assert repr(result).startswith("<WalkForwardResult Cross") and "6 rolling windows" in repr(
        result
    )
    assert "out of sample" in str(result)
    page = result._repr_html_()
    assert "<table" in page and "fast" in page
    figure = result.plot()
    names = [trace.name for trace in figure.data]
    assert names == ["out-of-sample equity", "drawdown", "in sample", "out of sample"]
    assert list(figure.data[2].y) == [window.in_sample for window in result.windows]
    assert len(figure.layout.shapes) == len(result.windows)


def test_another_metric_is_chosen_by_and_compared() -> None:
    found = walked(metric="total_return", **SPACE)
    for window in found.windows:
        assert window.out_of_sample == window.result.figures.total_return
    assert "total_return" in repr(found)


def test_conditions_and_samples_reach_the_sweep() -> None:
    found = walked(where=lambda p: p["fast"] == 8, **SPACE)
    assert {window.parameters["fast"] for window in found.windows} == {8}
    drawn = walked(method="random", samples=2, seed=4, **SPACE)
    assert len(drawn.windows) == 6


def test_an_interrupt_keeps_the_finished_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def interrupted_third(*given: Any, **how: Any) -> Any:
        calls.append(given)
        found = run_sweep(*given, **how)
        found.interrupted = len(calls) == 3
        return found

    monkeypatch.setattr(run, "run_sweep", interrupted_third)
    found = walked(**SPACE)
    assert found.interrupted and len(found.windows) == 2
    assert "interrupted" in repr(found) and "interrupted" in found.verdict
    assert len(found.equity) == 400


def test_an_interrupt_before_the_first_window_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(*given: Any, **how: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_sweep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        walked(**SPACE)


def test_an_interrupt_between_sweeps_keeps_the_finished_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def interrupted_second(*given: Any, **how: Any) -> Any:
        calls.append(given)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return run_sweep(*given, **how)

    monkeypatch.setattr(run, "run_sweep", interrupted_second)
    found = walked(**SPACE)
    assert found.interrupted and len(found.windows) == 1


def test_a_walk_is_resumed_from_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: WalkForwardResult
) -> None:
    walked(data=HOURS.iloc[:1_000], directory=tmp_path, **SPACE)
    assert len(list(tmp_path.iterdir())) == 3
    computed = []
    signals = Cross.signals

    def counted(strategy: Cross, data: Frames) -> Signals:
        computed.append(data.frame.index[0])
        return signals(strategy, data)

    monkeypatch.setattr(Cross, "signals", counted)
    found = walked(directory=tmp_path, **SPACE)
    pd.testing.assert_frame_equal(found.frame, result.frame)
    # The first three training windows begin before hour 600, and so does the warm-up of the first
    # two tests: only these are computed again.
    assert sum(start < HOURS.index[600] for start in computed) == 2


@pytest.mark.parametrize(
    ("how", "word"),
    [
        ({"train": 1_400, "test": 400}, "too few"),
        ({"train": 3}, "no length of a window"),
        ({"test": True}, "test is True .bool.. Accepted: a span"),
        ({"train": 10.5}, "train is 10.5 .float.. Accepted: a span"),
        ({"train": "1m"}, "no length of a window"),
        ({"test": "soon"}, "duration"),
        ({"metric": "sharp"}, "sharpe"),
    ],
)
def test_impossible_walks_are_refused(how: dict[str, Any], word: str) -> None:
    with pytest.raises(InvalidInput, match=word):
        walked(**(SPACE | how))


def test_a_wrong_parameter_is_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'fast'"):
        walked(fsat=[3], slow=[20])


def test_the_progress_of_the_windows_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    walked(progress=True, fast=[5], slow=[20])
    assert "window" in capsys.readouterr().out
