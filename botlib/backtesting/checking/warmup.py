"""The warm-up check: after its warm-up, a strategy must not depend on where history began."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from botlib.backtesting.checking.report import Finding, Settling
from botlib.backtesting.checking.truncation import (
    Columns,
    ObservedColumn,
    perturb,
    python_value,
    sample_rows,
    truncate,
)
from botlib.core.text import formats

if TYPE_CHECKING:
    import pandas as pd

    from botlib.backtesting.checking.subject import Deadline, Subject
    from botlib.frames import Frames

# A chart shows no more than six digits of an indicator.
_SETTLED: Final = 1e-6

_LEAST_HORIZON: Final = 1_000

# Far above the rounding of a sum of prices, far below any tick.
_LAST_DIGITS: Final = 1e-10

# A tie falls either way, and a signal may need several ties to fall one way.
_DRAWS: Final = 64


@dataclass(slots=True)
class _StartDependence:
    """The dependence of one column on where its history began."""

    timeframe: str
    searched: int
    candles: int = 1
    compared: int = 0
    different: int = 0
    """Rows that differ, of those ``compared`` after the claimed warm-up."""
    ties: int = 0
    """Rows that differ because the signal depends on the last digits."""
    example: tuple[pd.Timestamp, int, object, object] | None = None


@dataclass(slots=True)
class WarmupCheck:
    """The warm-up check of a strategy.

    Args:
        whole: its columns over the whole history.
    """

    subject: Subject
    frames: Frames
    whole: Columns
    made: int = 0
    columns: dict[str, _StartDependence] = field(default_factory=dict)

    @property
    def _claimed(self) -> int:
        return max(self.subject.warmup, 1)

    @property
    def _horizon(self) -> int:
        rows = len(self.frames.frame)
        return min(max(20 * self._claimed, _LEAST_HORIZON), rows - max(rows // 4, 1))

    @property
    def possible(self) -> bool:
        """Whether there are enough candles to distinguish a settled signal from one that is not."""
        return self._horizon > 2 * self._claimed

    def compare_starts(self, starts: int, random: np.random.Generator, deadline: Deadline) -> None:
        """Compare histories that begin later, at candles chosen at random."""
        last = len(self.frames.frame) - self._horizon
        # The whole history must have settled at the rows it is compared with.
        first = max(1, min(self._horizon // 2, last // 2))
        for start in sorted(sample_rows(np.arange(first, last + 1), starts, random)):
            if self.made and deadline.over:
                return
            self._compare(start)

    def _compare(self, start: int) -> None:
        self.made += 1
        cut = truncate(self.frames, start, start + self._horizon, back=self._claimed)
        for name, column in self.subject.observe(cut).items():
            if name not in self.whole or not len(column.values):
                continue
            late = self.columns.setdefault(
                name, _StartDependence(column.timeframe, len(column.values))
            )
            late.searched = min(late.searched, len(column.values))
            different = column.differs(self.whole[name], tolerance=_SETTLED)
            late.compared += max(len(different) - self._claimed + 1, 0)
            rows = np.flatnonzero(different)
            if column.is_signal and len(rows) and rows[-1] >= self._claimed - 1:
                early, warm = np.split(rows, [np.searchsorted(rows, self._claimed - 1)])
                tied = self._tied(cut, column, warm)
                late.ties += int(tied.sum())
                rows = np.concatenate([early, warm[~tied]])
            if not len(rows):
                continue
            late.candles = max(late.candles, int(rows[-1]) + 2)
            wrong = rows[rows >= self._claimed - 1]
            late.different += len(wrong)
            if len(wrong) and late.example is None:
                row = int(wrong[0])
                place = int(self.whole[name].index.searchsorted(column.index[row]))
                late.example = (
                    column.index[row],
                    row + 1,
                    python_value(column.values[row]),
                    python_value(self.whole[name].values[place]),
                )

    def _tied(
        self, cut: Frames, column: ObservedColumn, rows: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.bool_]:
        """Return for rows of a signal whether it changes with the last digits of prices.

        Sums over the same candles differ in their last digits by where they began. A comparison of
        two values that are otherwise equal then falls either way, above all in flat prices.
        """
        random = np.random.default_rng(0)
        tied = np.zeros(len(rows), dtype=bool)
        for draw in range(_DRAWS):
            shaken = self.subject.observe(perturb(cut, _LAST_DIGITS, random))[column.name]
            tied |= shaken.values[rows] != column.values[rows]
            if tied.all() or (draw >= _DRAWS // 4 and not tied.any()):
                break
        return tied

    def settling(self) -> tuple[Settling, ...]:
        """Return after how many candles each column agreed with the whole history."""
        return tuple(
            Settling(
                column=name,
                timeframe=late.timeframe,
                candles=late.candles if late.candles <= 0.9 * late.searched else None,
                searched=late.searched,
            )
            for name, late in self.columns.items()
        )

    def findings(self) -> list[Finding]:
        """Return the signals that still differed after the claimed warm-up."""
        settling = {one.column: one.candles for one in self.settling()}
        known = [candles for candles in settling.values() if candles is not None]
        return [
            self._finding(name, late, settling[name], max(known, default=0))
            for name, late in self.columns.items()
            if late.example is not None and self.whole[name].is_signal
        ]

    def remarks(self) -> list[str]:
        """Return a sentence for each column that may differ live without being wrong."""
        return [
            f"{name} hangs on the last digits of equal values at {formats.count(late.ties)} of "
            f"{formats.count(late.compared)} candles compared, where it may differ live: compare "
            "with a margin."
            for name, late in self.columns.items()
            if late.ties
        ] + [
            f"{one.column} agrees to six digits only after "
            f"{formats.count(one.candles or one.searched)} candles "
            f"of {one.timeframe}{'' if one.candles else ' or more'}: a signal that hangs on a "
            "smaller difference may differ."
            for one in self.settling()
            if not self.whole[one.column].is_signal
            and (one.candles is None or one.candles > self._claimed)
        ]

    def _finding(
        self, name: str, late: _StartDependence, settled: int | None, enough: int
    ) -> Finding:
        assert late.example is not None
        bar, candles, then, whole = late.example
        if settled is None:
            advice = (
                f"It does not settle within {formats.count(late.searched)} candles: what it "
                "computes depends "
                "on where history begins (a cumulative sum, an expanding window, a position it "
                "remembers)."
            )
        else:
            after, safe = formats.count(settled), formats.count(enough)
            advice = f"It settles after {after} candles: return {safe} from warmup."
            if enough > settled:
                advice = (
                    f"It settles after {after} candles, what it was computed from after "
                    f"{safe}: return {safe} from warmup."
                )
        return Finding(
            kind="warm-up",
            column=name,
            bar=bar,
            known=bar,
            then=then,
            whole=whole,
            text=f"is not settled after the claimed warm-up of {self.subject.warmup}: at {bar} it "
            f"is {then} over {formats.count(candles)} candles and {whole} over all "
            f"({formats.count(late.different)} of {formats.count(late.compared)} candles "
            f"compared). {advice}",
        )
