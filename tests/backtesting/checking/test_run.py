"""Checks of strategies: known leaks are named, clean strategies pass, warm-ups are measured."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from botlib.backtesting import checking
from botlib.backtesting.checking import CheckReport
from botlib.backtesting.checking.truncation import truncate, truncate_end
from botlib.core.errors import CheckFailed, ConfigError, InvalidInput
from botlib.core.timeframe import timeframe_ms
from botlib.frames import Frames, candle_frame
from botlib.strategies import BandReversion, TrendCross, TrendPullback
from botlib.strategy import Signals, Strategy
from tests.support.samples import market

check = partial(checking.check, seconds=300.0, second_process=False)
"""What one process finds; `test_leaks` has what takes a second one."""

START = 1_704_067_200_000  # 2024-01-01 00:00 UTC
HOUR = timeframe_ms("1h")


def higher(frame: pd.DataFrame, timeframe: str) -> pd.DataFrame:
    """Return the candles of a higher timeframe that had closed with the last candle."""
    rows = frame.groupby(frame.index.floor(pd.Timedelta(timeframe)))
    built = rows.agg({"open": "first", "high": "max", "low": "min", "close": "last"})
    built["volume"] = rows["volume"].sum()
    whole = rows.size() == rows.size().max()
    built = built[whole]
    return candle_frame(built.index.to_numpy("datetime64[ms]").astype(np.int64), built.to_numpy())


HOURS = market(3_000)
BOTH = {"1h": HOURS, "4h": higher(HOURS, "4h")}


class Above(Strategy):
    """A strategy that holds while a condition is true, which each test defines."""

    timeframes = ("1h",)
    warm: int = 21

    @property
    def warmup(self) -> int:
        return self.warm

    def wanted(self, data: Frames) -> pd.Series:
        return data.frame["close"] > 0

    def signals(self, data: Frames) -> Signals:
        held = self.wanted(data)
        before = held.shift(1, fill_value=False)
        known = pd.Series(np.arange(len(held)) >= self.warm - 1, index=held.index)
        return Signals(entry=held & ~before & known, exit=~held & before & known)


class NextClose(Above):
    def wanted(self, data: Frames) -> pd.Series:
        close = data.frame["close"]
        return (close.shift(-1) > close.rolling(20).mean()).fillna(False).astype(bool)


class UnlessFalling(Above):
    """True on the newest candle, and often false later."""

    def signals(self, data: Frames) -> Signals:
        close = data.frame["close"]
        signals = super().signals(data)
        return Signals(entry=signals.entry & ~(close.shift(-1) < close), exit=signals.exit)

    def wanted(self, data: Frames) -> pd.Series:
        return data.frame["close"] > data.frame["close"].rolling(20).mean()


class Centred(Above):
    def wanted(self, data: Frames) -> pd.Series:
        close = data.frame["close"]
        return close > close.rolling(21, center=True).mean()


class Normalised(Above):
    def wanted(self, data: Frames) -> pd.Series:
        close = data.frame["close"]
        return (close - close.mean()) / close.std() > 0.3


class EarlyTrend(Above):
    """Uses a 4h candle from the moment it opened."""

    timeframes = ("1h", "4h")

    def wanted(self, data: Frames) -> pd.Series:
        slow = data["4h"]["close"]
        rising = (slow > slow.rolling(5).mean()).astype(float)
        return rising.reindex(data.frame.index, method="ffill") > 0


class ClosedTrend(Above):
    timeframes = ("1h", "4h")

    def wanted(self, data: Frames) -> pd.Series:
        slow = data["4h"]["close"]
        rising = (slow > slow.rolling(20).mean()).astype(float)
        return data.align(rising, "4h") > 0


class NewestCandle(Above):
    """Always enters on the newest candle."""

    def signals(self, data: Frames) -> Signals:
        entry = pd.Series(False, index=data.frame.index)
        entry.iloc[-1] = True
        return Signals(entry=entry, exit=~entry & False)


class AboveEma(Above):
    def wanted(self, data: Frames) -> pd.Series:
        return data.frame["close"] > data.indicator("ema(20)")


class SinceTheBeginning(Above):
    def wanted(self, data: Frames) -> pd.Series:
        return data.frame["close"] > data.frame["close"].expanding().mean()


class SummedMean(Above):
    """A mean by the difference of two running sums."""

    def wanted(self, data: Frames) -> pd.Series:
        sums = data.frame["close"].cumsum()
        return data.frame["close"] > (sums - sums.shift(20)) / 20


class RollingMean(Above):
    def wanted(self, data: Frames) -> pd.Series:
        return data.frame["close"] > data.frame["close"].rolling(20).mean()


def value_known_at(strategy: Strategy, frames: Frames, column: str, bar: pd.Timestamp) -> bool:
    return bool(getattr(strategy.signals(frames), column).loc[bar])


@pytest.mark.parametrize(
    ("strategy", "data"),
    [
        (NextClose(), HOURS),
        (UnlessFalling(), HOURS),
        (Centred(), HOURS),
        (Normalised(), HOURS),
        (EarlyTrend(), BOTH),
        (NewestCandle(), HOURS),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_leak_is_found_and_its_example_is_true(
    strategy: Strategy, data: pd.DataFrame | dict[str, pd.DataFrame]
) -> None:
    report = check(strategy, data)
    assert not report.ok
    whole = Frames("", data if isinstance(data, dict) else {"1h": data})
    for finding in report.findings:
        assert finding.kind == "looks ahead"
        assert finding.bar is not None and finding.known is not None
        known = int(whole.frame.index.get_loc(finding.known)) + 1
        seen = value_known_at(strategy, truncate_end(whole, known), finding.column, finding.bar)
        assert finding.then == seen
        assert finding.whole == value_known_at(strategy, whole, finding.column, finding.bar) != seen
        assert str(finding.bar) in finding.text
    assert "looks ahead" in str(report) and "looks ahead" in report._repr_html_()
    assert any("warm-up was not measured" in note for note in report.notes)
    with pytest.raises(CheckFailed, match="is not reliable yet"):
        report.raise_for_problems()


def finding_of(report: CheckReport, column: str = "entry") -> str:
    return next(finding.text for finding in report.findings if finding.column == column)


def test_a_leak_of_one_candle_is_distinguished_from_a_wide_one() -> None:
    assert "up to 1 candle back" in finding_of(check(NextClose(), HOURS))
    assert "shift(-1)" in finding_of(check(NextClose(), HOURS))
    assert "10 later candles" in finding_of(check(Centred(), HOURS))


def test_a_value_of_the_whole_sample_is_named() -> None:
    assert "over all candles" in finding_of(check(Normalised(), HOURS))


def test_a_higher_candle_used_before_its_close_is_named() -> None:
    text = finding_of(check(EarlyTrend(), BOTH))
    assert "4h candle before it closed" in text and "data.align(values, '4h')" in text


def test_a_leak_that_shows_on_few_candles_is_found() -> None:
    """Three entries in 3,000 candles, each decided by the next close."""

    class Rare(Above):
        def signals(self, data: Frames) -> Signals:
            frame = data.frame
            chosen = frame.index.isin(frame.index[:0].append(HOURS.index[[700, 1500, 2400]]))
            entry = (frame["close"].shift(-1) > 0) & chosen
            return Signals(entry=entry, exit=~entry & False)

    report = check(Rare(), HOURS, cuts=12)
    assert [finding.column for finding in report.findings] == ["entry"]
    assert report.signals == 3


def test_signals_that_change_after_their_candle_are_called_repainting() -> None:
    """The value of the newest candle stays; at noon, that of the one before it changes."""

    class Flickers(Above):
        def signals(self, data: Frames) -> Signals:
            entry = data.frame["close"].diff() > 0
            if data.frame.index[-1].hour == 12:
                entry.iloc[-2:-1] = ~entry.iloc[-2:-1]
            return Signals(entry=entry, exit=~entry)

    report = check(Flickers(), HOURS, cuts=200)
    assert {finding.kind for finding in report.findings} == {"repaints"}
    assert "was the newest candle" in finding_of(report)


@pytest.mark.parametrize(
    ("strategy", "data"),
    [
        (TrendCross(timeframes=("1h",)), HOURS),
        (BandReversion(timeframes=("1h",)), HOURS),
        (TrendPullback(timeframes=("1h", "4h")), BOTH),
        (ClosedTrend(), BOTH),
    ],
    ids=lambda value: type(value).__name__,
)
def test_clean_strategies_pass(
    strategy: Strategy, data: pd.DataFrame | dict[str, pd.DataFrame]
) -> None:
    report = check(strategy, data, cuts=20)
    assert report.ok, str(report)
    assert report.raise_for_problems() is report
    assert report.signals > 20 and report.cuts >= 50
    assert report.settled is not None and report.settled <= strategy.warmup
    assert "the same live as over history" in report.verdict


def test_the_examples_are_clean_on_recorded_candles(recorded: Callable[[str], Path]) -> None:
    path = recorded("candles/BTCUSDT-15m-20231231-20241229.csv.gz")
    with gzip.open(path, "rt", newline="") as file:
        rows = list(csv.DictReader(file))[:12_000]
    times = [int(row["timestamp"]) for row in rows]
    names = ("open", "high", "low", "close", "volume")
    quarters = candle_frame(times, [[float(row[name]) for name in names] for row in rows])
    data = {"15m": quarters, "4h": higher(quarters, "4h")}
    for strategy in (
        TrendCross(timeframes=("15m",)),
        BandReversion(timeframes=("15m",)),
        TrendPullback(),
    ):
        report = check(strategy, data, cuts=20)
        assert report.ok, str(report)


# Warm-up.


def settles(report: CheckReport, column: str) -> int | None:
    return next(one.candles for one in report.settling if one.column == column)


def test_a_window_settles_when_it_is_full() -> None:
    report = check(TrendCross(timeframes=("1h",), fast=8, slow=30), HOURS)
    assert settles(report, "sma(30)") == 30
    assert settles(report, "sma(8)") == 8
    assert report.settled is not None and 25 <= report.settled <= 31


def test_a_recursive_indicator_needs_more_than_its_length() -> None:
    report = check(AboveEma(), HOURS)
    assert {finding.kind for finding in report.findings} == {"warm-up"}
    needed = settles(report, "ema(20)")
    # The weight of what came before falls by 1 - 2/21 per candle; a millionth is 138 candles.
    assert needed is not None and 60 < needed <= 140
    assert "claimed warm-up of 21" in finding_of(report)
    assert f"return {needed} from warmup" in finding_of(report)
    assert check(AboveEma(warm=needed), HOURS).ok


def test_a_warm_up_that_is_long_enough_for_the_signals_only_is_noted() -> None:
    report = check(AboveEma(warm=75), HOURS)
    assert report.ok, str(report)
    assert any("ema(20) agrees to six digits only after" in note for note in report.notes)


def test_a_higher_timeframe_counts_its_own_candles() -> None:
    """Live, a warm-up of 21 means 21 candles of each: enough for a mean of 20, now and before."""
    assert check(ClosedTrend(warm=21), BOTH, cuts=20).ok
    short = check(ClosedTrend(warm=20), BOTH, cuts=60)
    assert {finding.kind for finding in short.findings} == {"warm-up"}


def test_a_column_that_depends_on_the_beginning_never_settles() -> None:
    report = check(SinceTheBeginning(), HOURS)
    assert {finding.kind for finding in report.findings} == {"warm-up"}
    assert settles(report, "entry") is None and report.settled is None
    assert "does not settle" in finding_of(report)
    assert "more than" in str(report)


def test_ties_are_noted_and_not_counted_as_a_warm_up() -> None:
    """In flat prices a mean equals the close but for last digits that vary with the sum."""
    frame = market(3_000, seed=3).round(3)
    for first in range(300, 2_900, 100):
        frame.iloc[first : first + 60] = [*[frame["close"].iloc[first]] * 4, 1.0]
    report = check(SummedMean(warm=22), frame)
    assert report.ok, str(report)
    assert any("last digits of equal values" in note for note in report.notes), str(report)
    assert report.settled is not None and report.settled <= 22


def test_few_candles_leave_the_warm_up_unmeasured() -> None:
    report = check(TrendCross(timeframes=("1h",)), HOURS.iloc[:60])
    assert report.settling == () and report.settled is None
    assert any("too few" in note for note in report.notes)


# Other defects.


def test_values_that_cannot_be_repeated_are_reported() -> None:
    random = np.random.default_rng(0)

    class Unrepeatable(Above):
        def wanted(self, data: Frames) -> pd.Series:
            return pd.Series(random.random(len(data.frame)) > 0.5, index=data.frame.index)

    report = check(Unrepeatable(), HOURS)
    assert {finding.kind for finding in report.findings} == {"not repeatable"}
    assert report.cuts == 0


def test_a_strategy_that_fails_on_short_history_is_reported() -> None:
    class Hungry(Above):
        def wanted(self, data: Frames) -> pd.Series:
            if len(data.frame) < 50:
                raise ValueError("no <b>candles</b>")
            return data.frame["close"] > data.frame["close"].rolling(20).mean()

    report = check(Hungry(), HOURS)
    assert [finding.kind for finding in report.findings] == ["fails"]
    assert "fails on 21 candles" in str(report) and "claims a warm-up of 21" in str(report)
    assert "&lt;b&gt;" in report._repr_html_() and "<b>candles" not in report._repr_html_()
    assert check(Hungry(warm=50), HOURS, cuts=9).ok


def test_a_strategy_that_writes_into_its_frames_is_not_confused() -> None:
    class Writes(RollingMean):
        def wanted(self, data: Frames) -> pd.Series:
            data.frame["mean"] = data.frame["close"].rolling(20).mean()
            data.frame["close"] *= 1.0
            return data.frame["close"] > data.frame["mean"]

    before = HOURS.copy()
    assert check(Writes(), HOURS, cuts=9).ok
    pd.testing.assert_frame_equal(HOURS, before)


def test_a_strategy_without_signals_is_noted() -> None:
    class Never(Above):
        def signals(self, data: Frames) -> Signals:
            none = pd.Series(False, index=data.frame.index)
            return Signals(entry=none, exit=none)

    report = check(Never(), HOURS)
    assert report.ok and report.signals == 0
    assert any("no signal at all" in note for note in report.notes)


def test_the_same_seed_makes_the_same_cuts() -> None:
    assert check(AboveEma(), HOURS, cuts=9, seed=3) == check(AboveEma(), HOURS, cuts=9, seed=3)


def test_what_cannot_be_checked_is_refused() -> None:
    class Wrong(Above):
        def signals(self, data: Frames) -> Signals:
            return Signals(entry=data.frame["close"], exit=data.frame["close"])

    with pytest.raises(ConfigError, match="bool"):
        check(Wrong(), HOURS)
    with pytest.raises(InvalidInput, match="at least 1"):
        check(TrendCross(timeframes=("1h",)), HOURS, cuts=0)
    with pytest.raises(InvalidInput, match="too few"):
        check(TrendCross(timeframes=("1h",)), HOURS.iloc[:20])
    with pytest.raises(InvalidInput, match="1h"):
        check(ClosedTrend(), {"4h": BOTH["4h"]})


# Truncation.


def test_a_cut_shows_of_higher_timeframes_what_had_closed() -> None:
    whole = Frames("", BOTH)
    for rows in range(1, 30):
        cut = truncate_end(whole, rows)
        assert len(cut.frame) == rows
        # A 4h candle has closed with each fourth hour.
        assert len(cut["4h"]) == rows // 4


@pytest.mark.parametrize("first", [40, 41, 42, 43])
def test_a_later_beginning_keeps_as_many_higher_candles_as_live(first: int) -> None:
    whole = Frames("", BOTH)
    live = truncate(whole, first, first + 100, back=8)
    then = truncate_end(whole, first + 8)
    assert live.frame.index[0] == HOURS.index[first]
    seen = live["4h"].index[live["4h"].index <= then["4h"].index[-1]]
    assert list(seen) == list(then["4h"].index[-8:])
