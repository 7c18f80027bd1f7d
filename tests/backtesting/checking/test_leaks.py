"""Leaks that cuts alone do not show are found by name, and honest strategies pass.

A frame closed over, signals of a constructor, a global that remembers, a model fitted once, a stop
set while answering: over cut histories all of them say what they say over the whole one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from botlib.backtesting import checking
from botlib.backtesting.checking.reach import Reach
from botlib.frames import Frames
from botlib.strategies import BandReversion, TrendCross, TrendPullback
from botlib.strategy import Signals, Strategy
from tests.support.samples import market

check = partial(checking.check, seconds=300.0)
"""However slow the machine is."""

HOURS = market(3_000)
SHORT = HOURS.iloc[:1_000]
LONGEST: dict[str, pd.DataFrame] = {}


def rising(frame: pd.DataFrame) -> pd.Series:
    """Return whether the next close is higher, which nobody knows."""
    return frame["close"].shift(-1) > frame["close"]


def crossing(held: pd.Series) -> Signals:
    before = held.shift(1, fill_value=False)
    return Signals(entry=held & ~before, exit=~held & before)


class Hourly(Strategy):
    timeframes = ("1h",)
    length: int = 20

    @property
    def warmup(self) -> int:
        return self.length + 1

    def above(self, data: Frames) -> pd.Series:
        close = data.frame["close"]
        return close > close.rolling(self.length).mean()


# The leaks.


class ClosedOver(Hourly):
    def signals(self, data: Frames) -> Signals:
        return crossing(rising(HOURS).reindex(data.index, fill_value=False))


class ClosedOverInPart(Hourly):
    """Follows the prices it is handed as well."""

    def signals(self, data: Frames) -> Signals:
        known = rising(HOURS).reindex(data.index, fill_value=False)
        return crossing(self.above(data) & known)


class ByPlace(Hourly):
    """Reads the frame by position, so that no date gives it away."""

    def signals(self, data: Frames) -> Signals:
        known = rising(HOURS).to_numpy()[-len(data.index) :]
        return crossing(pd.Series(known, index=data.index))


class Constructed(Hourly):
    """Computes its signals when it is made."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.wanted = rising(HOURS)

    def signals(self, data: Frames) -> Signals:
        return crossing(self.wanted.reindex(data.index, fill_value=False))


class Remembers(Hourly):
    """Keeps the longest frame that it was ever handed."""

    def signals(self, data: Frames) -> Signals:
        if len(data.frame) > len(LONGEST.get("frame", ())):
            LONGEST["frame"] = data.frame.copy()
        return crossing(rising(LONGEST["frame"]).reindex(data.index, fill_value=False))


class FittedOnce(Hourly):
    """Fits a threshold on what it sees first, and keeps it."""

    model = None

    def signals(self, data: Frames) -> Signals:
        close = data.frame["close"]
        if self.model is None:
            self.model = np.array([close.mean(), close.std()])
        return crossing(close > self.model[0] + 0.1 * self.model[1])


class FittedBefore(Hourly):
    """Computes its thresholds from the whole sample when it is made."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.model = HOURS["close"].pct_change().quantile([0.3, 0.7]).to_numpy()

    def signals(self, data: Frames) -> Signals:
        change = data.frame["close"].pct_change().fillna(0.0)
        return Signals(entry=change > self.model[1], exit=change < self.model[0])


class Handed(FittedBefore):
    """Is handed the sample when it is made, which no restart does."""

    def __init__(self, sample: pd.DataFrame, **parameters: Any) -> None:
        Hourly.__init__(self, **parameters)
        self.model = list(sample["close"].pct_change().quantile([0.3, 0.7]))


class SetsItsStop(Hourly):
    def signals(self, data: Frames) -> Signals:
        self.stop_loss = float(data.frame["close"].pct_change().std())
        return crossing(self.above(data))


class Table(Hourly):
    """A table of the class, which has the truth of tomorrow by date."""

    known: ClassVar[pd.Series] = rising(HOURS)

    def signals(self, data: Frames) -> Signals:
        return crossing(self.above(data) & self.known.reindex(data.index, fill_value=False))


LEAKS = [
    (ClosedOver(), "ignores prices", "global HOURS"),
    (ClosedOverInPart(), "reads other data", "global HOURS"),
    (ByPlace(), "looks ahead", "global HOURS"),
    (Constructed(), "ignores prices", "self.wanted"),
    (Remembers(), "keeps state", "global LONGEST"),
    (FittedOnce(), "keeps state", "self.model"),
    (FittedBefore(), "looks ahead", "global HOURS"),
    (Handed(HOURS), "reads other data", "self.model"),
    (SetsItsStop(), "looks ahead", "self.stop_loss"),
    (Table(), "reads other data", "Table.known"),
]


@pytest.mark.parametrize(
    ("strategy", "kind", "name"), LEAKS, ids=[type(leak[0]).__name__ for leak in LEAKS]
)
def test_a_leak_is_found_by_name(strategy: Strategy, kind: str, name: str) -> None:
    LONGEST.clear()
    report = check(strategy, SHORT, cuts=40)
    assert (kind, True) in {(one.kind, name in one.text) for one in report.findings}, str(report)
    assert kind in str(report) and kind in report._repr_html_()


def test_a_leak_before_the_first_question_is_remembered_by_no_second_process() -> None:
    """The global has seen everything before the check begins."""
    LONGEST.clear()
    Remembers().signals(Frames("", {"1h": HOURS}))
    report = check(Remembers(), SHORT, cuts=40)
    assert any("global LONGEST" in one.text for one in report.findings), str(report)


class Rare(Hourly):
    """A crossing, but for two candles at which the next close decides."""

    places: ClassVar[Any] = market(8_000).index[[2_345, 6_789]].to_numpy()
    adds: bool = True

    def signals(self, data: Frames) -> Signals:
        times, mean = data.index.to_numpy(), data.indicator("sma(20)").to_numpy()
        close = data.frame["close"].to_numpy()
        above = close > mean
        entry, leave = above.copy(), ~above
        entry[1:] &= ~above[:-1]
        leave[1:] &= above[:-1]
        for row in np.searchsorted(times, self.places):
            if row < len(times) and times[row] in self.places:
                followed = row + 1 < len(times)
                entry[row], leave[row] = followed == self.adds, False
        return Signals(entry=pd.Series(entry, data.index), exit=pd.Series(leave, data.index))


@pytest.mark.parametrize("adds", [True, False], ids=["entries", "entries left out"])
def test_a_leak_on_two_of_8000_candles_is_found(adds: bool) -> None:
    cuts = 1_000 if adds else 8_000
    report = check(Rare(adds=adds), market(8_000), cuts=cuts, second_process=False)
    assert {one.kind for one in report.findings} == {"looks ahead"}, str(report)


NOTEBOOK = """
import pandas as pd
from botlib.backtesting.checking import check
from botlib.strategy import Signals, Strategy
from tests.support.samples import market

HOURS = market(800)

class Cell(Strategy):
    timeframes = ("1h",)
    warm: int = 21

    @property
    def warmup(self):
        return self.warm

    def signals(self, data):
        known = (HOURS["close"].shift(-1) > HOURS["close"]).reindex(data.index, fill_value=False)
        close = data.frame["close"]
        held = (close > close.rolling(20).mean()) & known
        return Signals(entry=held, exit=~held)

if __name__ == "__main__":
    print(check(Cell(), HOURS, cuts=20))
"""


def test_a_strategy_of_a_cell_is_asked_in_a_second_process(tmp_path: Path) -> None:
    """Its class is of ``__main__``, which the other process does not have."""
    (tmp_path / "cell.py").write_text(NOTEBOOK)
    root = Path(__file__).parents[3]
    printed = subprocess.run(
        [sys.executable, "cell.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(root)},
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "looks ahead through global HOURS (DataFrame, 800 × 5)" in printed


def test_what_was_not_looked_at_is_told(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    SHORT["close"].to_csv(table)

    class Slow(Hourly):
        def signals(self, data: Frames) -> Signals:
            time.sleep(0.02)
            return crossing(self.above(data))

    class Reads(Hourly):
        """Holds a lock, and reads a file."""

        def __init__(self, **parameters: Any) -> None:
            super().__init__(**parameters)
            self.file = table

        def signals(self, data: Frames) -> Signals:
            pd.read_csv(self.file)
            return crossing(self.above(data))

    report = check(Slow(), SHORT, seconds=1.5, second_process=False)
    assert report.ok
    told = " ".join(report.not_looked_at)
    assert "signals (the time was up" in told and "other prices right after" in told
    assert "a second process" in told and "not looked at" in report._repr_html_()
    assert "Not looked at:" in report.verdict

    report = check(Reads(), SHORT, cuts=20)
    assert any(f"opens {table}" in warning for warning in report.warnings), str(report)

    locked = Reads()
    locked.lock = threading.Lock()  # type: ignore[attr-defined]
    report = check(locked, SHORT, cuts=20)
    told = " ".join(report.not_looked_at)
    assert "cannot be sent there" in told and "cannot be copied" in told, str(report)


def test_a_strategy_that_learns_is_checked_with_what_it_has_learned() -> None:
    class Learns(Hourly):
        def fit(self, train: Frames) -> None:
            self.level = train.frame["close"].to_numpy()[-50:]

        def signals(self, data: Frames) -> Signals:
            return crossing(data.frame["close"] > self.level.mean())

    report = check(Learns(), SHORT, cuts=20)
    assert report.ok, str(report)
    assert any("learned from 500 candles" in warning for warning in report.warnings), str(report)


# Honest strategies.


class Weekdays(Hourly):
    """Holds from Monday to Thursday, whatever the price is."""

    def signals(self, data: Frames) -> Signals:
        index = pd.DatetimeIndex(data.index)
        return crossing(pd.Series(index.day_of_week < 4, index=index))


class Nights(Hourly):
    def signals(self, data: Frames) -> Signals:
        hour = pd.DatetimeIndex(data.index).hour
        return crossing(self.above(data) & ((hour >= 20) | (hour < 6)))


class EveryTenthDay(Hourly):
    def signals(self, data: Frames) -> Signals:
        day = data.index.to_numpy("datetime64[D]").astype(int)
        return crossing(self.above(data) & (day % 10 < 3))


class FromADay(Hourly):
    def signals(self, data: Frames) -> Signals:
        return crossing(self.above(data) & (data.index >= pd.Timestamp("2024-01-20")))


class MonthEnds(Hourly):
    def signals(self, data: Frames) -> Signals:
        return crossing(self.above(data) | (pd.DatetimeIndex(data.index).day >= 25))


WEIGHTS = np.array([0.1, 0.2, 0.3, 0.4])


class Weighted(Hourly):
    def signals(self, data: Frames) -> Signals:
        close = data.frame["close"]
        mean = np.convolve(close, WEIGHTS[::-1])[: len(close)]
        return crossing(pd.Series(close.to_numpy() > mean, index=data.index))


class Shapes(Hourly):
    """Three rising candles, whatever their prices are."""

    def signals(self, data: Frames) -> Signals:
        green = (data.frame["close"] > data.frame["open"]).astype(int)
        return crossing(green.rolling(3).sum() == 3)


class Breakout(Hourly):
    def signals(self, data: Frames) -> Signals:
        frame = data.frame
        high = frame["high"].rolling(self.length).max().shift(1)
        low = frame["low"].rolling(self.length).min().shift(1)
        return Signals(entry=frame["close"] > high, exit=frame["close"] < low)


class Volumes(Hourly):
    def signals(self, data: Frames) -> Signals:
        volume = data.frame["volume"]
        return crossing(volume > 1.5 * volume.rolling(self.length).median())


class Counts(Hourly):
    """Counts how often it was asked, and keeps the last answer for a person to look at."""

    calls: int = 0
    last: Any = None

    def signals(self, data: Frames) -> Signals:
        self.calls += 1
        self.last = crossing(self.above(data))
        return crossing(self.above(data))


class Loops(Hourly):
    """A threshold that follows the price in a loop, forgotten after a while."""

    @property
    def warmup(self) -> int:
        return 400

    def signals(self, data: Frames) -> Signals:
        level, held = data.frame["close"].iloc[0], []
        for price in data.frame["close"]:
            level += 0.1 * (price - level)
            held.append(price > level)
        return crossing(pd.Series(held, index=data.index))


class Derived(Hourly):
    """Keeps what it computes from its parameters when it is made."""

    def __init__(self, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.weights = np.linspace(1, 2, 3 * self.length)
        self.weights /= self.weights.sum()
        self.cache: dict[int, float] = {}

    @property
    def warmup(self) -> int:
        return 3 * self.length + 1

    def signals(self, data: Frames) -> Signals:
        close = data.frame["close"]
        mean = np.convolve(close, self.weights)[: len(close)]
        return crossing(pd.Series(close.to_numpy() > mean, index=data.index))


class Regression(Hourly):
    """Fits a line on a rolling window, again for each candle."""

    def signals(self, data: Frames) -> Signals:
        close = data.frame["close"]
        time = pd.Series(np.arange(len(close), dtype=float), index=close.index)
        self.slope = close.rolling(self.length).cov(time)
        return crossing(self.slope > 0)


PRICES_ALONE = [
    BandReversion(timeframes=("1h",)), TrendPullback(timeframes=("1h", "4h")), Weekdays(), Nights(),
    EveryTenthDay(), FromADay(), MonthEnds(), Shapes(), Breakout(), Volumes(),
]  # fmt: skip
KEEP_OR_REACH = [
    TrendCross(timeframes=("1h",)), Weighted(), Counts(), Loops(), Derived(), Regression(),
]  # fmt: skip


exit_prices = market(300)
"""Data of the module, named as an attribute below is."""


class NamesAnAttribute(TrendCross):
    """Reads an attribute that has the name of something in its module."""

    def signals(self, data: Frames) -> Signals:
        wishes = super().signals(data)
        return Signals(entry=wishes.entry, exit=wishes.exit_prices)


def test_an_attribute_is_not_taken_for_a_global_of_its_name() -> None:
    assert "global exit_prices" not in Reach.of(NamesAnAttribute()).roots
    reaching = type("Reaches", (TrendCross,), {"signals": lambda self, data: exit_prices})
    assert "global exit_prices" in Reach.of(reaching()).roots


@pytest.mark.parametrize("honest", PRICES_ALONE + KEEP_OR_REACH, ids=lambda one: type(one).__name__)
def test_an_honest_strategy_passes(honest: Strategy) -> None:
    report = check(honest, HOURS, cuts=40, second_process=honest in KEEP_OR_REACH)
    assert report.ok, str(report)
