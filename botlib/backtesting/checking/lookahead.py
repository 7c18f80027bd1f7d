"""The look-ahead check: the values of a candle must not change when later candles arrive.

History is cut at its end, so that the strategy sees what it would have seen live.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from botlib.backtesting.checking.report import Finding, Kind
from botlib.backtesting.checking.truncation import (
    Columns,
    ObservedColumn,
    python_value,
    sample_rows,
    truncate_end,
)
from botlib.core.text import formats

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.checking.subject import Deadline, Subject
    from botlib.frames import Frames

# In a shorter history a few candles are a large share of it already.
_LEAST_FOR_SHARE: Final = 20


@dataclass(frozen=True, slots=True)
class _Example:
    """The first row of a column that differs, after ``known`` trading candles."""

    bar: pd.Timestamp
    newest: bool
    known: int
    then: object
    whole: object


@dataclass(slots=True)
class _Leak:
    """The differences of one column that changed when later candles arrived."""

    example: _Example
    cuts: int = 0
    newest: int = 0
    """Cuts after which the newest candle itself differs."""
    reach: int = 0
    share: float = 0.0


@dataclass(slots=True)
class LookAheadCheck:
    """The look-ahead check of a strategy.

    Args:
        whole: its columns over the whole history.
    """

    subject: Subject
    frames: Frames
    whole: Columns
    left: dict[str, object] = field(default_factory=dict)
    """Fingerprints of the attributes of the copy that was asked about the whole history."""
    made: int = 0
    kept: dict[str, tuple[pd.Timestamp, object, object]] = field(default_factory=dict)
    """Attributes that a cut left with another value than the whole history did: the newest candle
    then, the value then, the value over the whole history."""
    leaks: dict[str, _Leak] = field(default_factory=dict)
    failed: list[Finding] = field(default_factory=list)

    @property
    def least(self) -> int:
        """Fewest candles on which a strategy is called live."""
        return max(self.subject.warmup, 1)

    def compare_everywhere(
        self, cuts: int, random: np.random.Generator, deadline: Deadline
    ) -> None:
        """Compare cuts of the whole history after candles with signals, and after others."""
        rows = len(self.frames.frame)
        chosen = {self.least, rows - 1}
        for name in ("entry", "exit"):
            signals = np.flatnonzero(self.whole[name].values) + 1
            chosen |= sample_rows(signals[signals >= self.least], math.ceil(cuts / 4), random)
        others = np.arange(self.least, rows)
        chosen |= sample_rows(others, max(cuts - len(chosen), 1), random)
        for length in sorted(chosen):
            if self.least <= length <= rows and not deadline.over:
                self.compare(length)
                self.made += 1
                self._compare_kept(length)

    def compare(self, length: int) -> None:
        """Compare the history of the first ``length`` candles with the whole one."""
        cut = truncate_end(self.frames, length)
        try:
            seen = self.subject.observe(cut)
        except Exception as error:
            self._fail(error, cut)
            return
        self.note(seen, length)

    def note(self, seen: Columns, length: int) -> None:
        """Note how the columns of the first ``length`` candles differ from the whole ones."""
        for name, column in seen.items():
            if name not in self.whole:
                continue
            rows = np.flatnonzero(column.differs(self.whole[name]))
            if not len(rows):
                continue
            self._note(name, column, self.whole[name], rows, length)

    def _compare_kept(self, length: int) -> None:
        then, whole = self.subject.after, self.left
        for name in then.keys() | whole.keys():
            if name not in self.kept and then.get(name) != whole.get(name):
                bar = self.frames.frame.index[length - 1]
                self.kept[name] = (bar, then.get(name), whole.get(name))

    def _note(
        self,
        name: str,
        column: ObservedColumn,
        whole: ObservedColumn,
        rows: npt.NDArray[np.int64],
        known: int,
    ) -> None:
        row, count = int(rows[0]), len(column.values)
        newest = bool(rows[-1] == count - 1)
        bar = column.index[row]
        leak = self.leaks.get(name)
        if leak is None or (newest and not leak.newest):
            example = _Example(
                bar=bar,
                newest=row == count - 1,
                known=known,
                then=python_value(column.values[row]),
                whole=python_value(whole.values[int(whole.index.searchsorted(bar))]),
            )
            if leak is None:
                leak = self.leaks[name] = _Leak(example)
            leak.example = example
        leak.cuts += 1
        leak.newest += newest
        leak.reach = max(leak.reach, count - row)
        if count > _LEAST_FOR_SHARE:
            leak.share = max(leak.share, 1 - row / count)

    def _fail(self, error: Exception, frames: Frames) -> None:
        if self.failed:
            return
        length = len(frames.frame)
        self.failed.append(
            Finding(
                kind="fails",
                column="",
                bar=None,
                known=frames.frame.index[-1],
                then=f"{type(error).__name__}: {error}",
                whole=None,
                text=f"fails on {formats.count(length)} candle{'s' * (length != 1)}, though it "
                f"claims a warm-up of {self.subject.warmup}: {type(error).__name__}: {error}",
            )
        )

    def findings(self) -> list[Finding]:
        """Return the findings, one per column."""
        return [*self.failed, *(self._finding(name, leak) for name, leak in self.leaks.items())]

    def _finding(self, name: str, leak: _Leak) -> Finding:
        seen = leak.example
        known = self.frames.frame.index[seen.known - 1]
        moment = (
            "while that candle was the newest"
            if seen.newest
            else f"when {known} was the newest candle"
        )
        kind: Kind = "looks ahead" if leak.newest else "repaints"
        text = (
            f"{kind}: at {seen.bar} it was {seen.then} {moment}, and is {seen.whole} with the "
            f"candles after it ({leak.cuts} of {self.made} cuts, up to {formats.count(leak.reach)} "
            f"candle{'s' * (leak.reach > 1)} back). {self._cause(name, leak)}"
        )
        return Finding(
            kind=kind,
            column=name,
            bar=seen.bar,
            known=known,
            then=seen.then,
            whole=seen.whole,
            text=text,
        )

    def _cause(self, name: str, leak: _Leak) -> str:
        timeframe = self._early_timeframe(name, leak)
        if timeframe:
            return (
                f"It uses a {timeframe} candle before it closed: "
                f"bring values over with data.align(values, {timeframe!r})."
            )
        if leak.share > 0.9:
            return (
                "It changes from the beginning of history on: look for a mean, a rank, a maximum "
                "or a fit over all candles, and use a rolling or expanding one."
            )
        candles = (
            "one later candle" if leak.reach == 1 else f"{formats.count(leak.reach)} later candles"
        )
        return (
            f"It knows at least {candles}: look for shift(-{leak.reach}), a centred window, "
            "a backward fill or interpolation."
        )

    def _early_timeframe(self, name: str, leak: _Leak) -> str:
        """Return the higher timeframe without whose cut the difference disappears, or ""."""
        length = leak.example.known
        for timeframe in self.frames.timeframes[1:]:
            try:
                seen = self.subject.observe(truncate_end(self.frames, length, uncut=timeframe))
            except Exception:
                # If the strategy fails with future candles, they are not the cause.
                continue
            column = seen.get(name)
            if column is not None and not column.differs(self.whole[name]).any():
                return timeframe
        return ""
