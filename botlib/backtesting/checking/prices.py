"""`PriceCheck`: what a strategy says of other prices at the same times, and of other times.

A strategy whose signals do not follow the prices it is handed has them from somewhere else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from botlib.backtesting.checking.altered import CALENDAR_DAYS, ROUND_DAYS, altered, moved
from botlib.backtesting.checking.report import Finding, Kind
from botlib.backtesting.checking.truncation import has_signal, python_value, sample_rows
from botlib.core.text import formats

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from botlib.backtesting.checking.reach import ReachedData
    from botlib.backtesting.checking.subject import Deadline, Subject
    from botlib.backtesting.checking.truncation import Columns
    from botlib.frames import Frames

CUTS: Final = 16
"""Candles after which all prices are altered."""

_FEW_DATES: Final = 4
_FEW_SHARE: Final = 0.02
"""Candles, and share of those with a signal, that differ where a date is named."""

_LAST_YEAR: Final = 2099
"""The last year in which the calendar repeats after 28 years."""


@dataclass(slots=True)
class PriceCheck:
    """The check of a strategy on altered prices and times.

    Args:
        whole: its columns over the whole history.
        data: what it reaches beyond its candles.
    """

    subject: Subject
    frames: Frames
    whole: Columns
    data: Sequence[ReachedData]
    found: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    looked: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    def run(self, random: np.random.Generator, deadline: Deadline) -> None:
        """Alter the future after some signals, then all prices, then all times."""
        rows = np.flatnonzero(has_signal(self.whole))
        if not len(rows):
            self.missed.append("other prices: there is no signal that could follow them")
            return
        self._alter_future(rows, random, deadline)
        if deadline.over:
            self.missed.append("other prices at the same times: the time was up")
            return
        try:
            answer = self.subject.observe(altered(self.frames, random))
        except Exception as error:
            self.missed.append(
                f"other prices at the same times: it failed there ({type(error).__name__}: {error})"
            )
            return
        self.looked.append("other prices at the same times, which its signals have to follow")
        self._judge(follows=self._difference(answer) is not None)

    def _alter_future(
        self,
        rows: npt.NDArray[np.int64],
        random: np.random.Generator,
        deadline: Deadline,
    ) -> None:
        made = 0
        for row in sorted(sample_rows(rows[rows < len(self.frames.frame) - 1], CUTS, random)):
            if deadline.over:
                break
            try:
                answer = self.subject.observe(altered(self.frames, random, after=row))
            except Exception:
                continue
            made += 1
            changed = self._difference(answer, rows=row + 1)
            if changed is None:
                continue
            name, place = changed
            bar, known = self.frames.index[place], self.frames.index[row]
            then, whole = answer[name].values[place], self.whole[name].values[place]
            self.found.append(
                Finding(
                    kind="looks ahead",
                    column=name,
                    bar=bar,
                    known=known,
                    then=python_value(then),
                    whole=python_value(whole),
                    text=f"looks ahead: at {bar} it is {whole}, and {then} once the prices after "
                    f"{known} are altered.",
                )
            )
            break
        self.looked.append(
            f"other prices after {formats.count(made)} signals, which no earlier signal may see"
        )

    def _judge(self, *, follows: bool) -> None:
        """Judge whether the signals follow prices or dates."""
        dated = self._by_date()
        column = next(n for n, one in self.whole.items() if one.acted_on and one.values.any())
        bar = self.frames.index[int(np.flatnonzero(self.whole[column].values)[0])]
        reached = ", ".join(one.words for one in self.data)
        where = (
            f"It reaches {reached}."
            if reached
            else ("Look for a frame read from a file or a store, or a list of dates.")
        )
        if not follows and (dated or self.data):
            self.found.append(
                self._finding(
                    "ignores prices",
                    column,
                    bar,
                    "ignores prices: its signals are the same on wholly other "
                    f"ones, so they come from somewhere else. {where} Compute them from data.",
                )
            )
        elif not follows:
            self.notes.append(
                "Its signals are the same on wholly other prices: it trades by the clock alone."
            )
        elif dated:
            self.found.append(
                self._finding(
                    "reads other data",
                    column,
                    bar,
                    "reads other data: the same prices at later dates give other signals "
                    f"({formats.count(dated)} candles differ). {where} Live it has nothing newer, "
                    "and whether "
                    "it knows what came later cannot be seen: hand it over in the candles, or "
                    "leave it out.",
                )
            )

    def _by_date(self) -> int:
        """Return how many candles have other signals with the same prices at any other dates.

        Hours, weekdays and dates repeat after 28 years, counts of days after a round number of
        them, and a week is on the same side of a day that is named: a strategy by the calendar, by
        such a count or from a day on gives nearly every candle the same signal in one of them.
        """
        years = (self.frames.index[0].year, self.frames.index[-1].year)
        ahead = 1 if years[1] + 28 <= _LAST_YEAR else -1
        changed = np.ones(len(self.frames.index), dtype=bool)
        for days in (ahead * CALENDAR_DAYS, ahead * ROUND_DAYS, 7, -7):
            try:
                answer = self.subject.observe(moved(self.frames, days))
            except Exception:
                continue  # It has nothing at these dates: every candle differs.
            changed &= self._changed(answer)
            if not changed.any():
                break
        self.looked.append("the same prices at other dates, which must give the same")
        few = max(_FEW_DATES, _FEW_SHARE * int(has_signal(self.whole).sum()))
        return int(changed.sum()) if changed.sum() > few else 0

    def _changed(self, answer: Columns) -> npt.NDArray[np.bool_]:
        different = np.zeros(len(self.frames.index), dtype=bool)
        for name, column in answer.items():
            if column.acted_on and name in self.whole:
                values, expected = column.values, self.whole[name].values
                if column.is_signal:
                    different |= values != expected
                else:
                    different |= ~np.isclose(values, expected, 1e-9, 0.0, equal_nan=True)
        return different

    def _difference(self, answer: Columns, *, rows: int | None = None) -> tuple[str, int] | None:
        for name, column in answer.items():
            if column.acted_on and name in self.whole:
                places = np.flatnonzero(column.differs(self.whole[name])[:rows])
                if len(places):
                    return name, int(places[0])
        return None

    def _finding(self, kind: Kind, column: str, bar: pd.Timestamp, text: str) -> Finding:
        return Finding(
            kind=kind,
            column=column,
            bar=bar,
            known=self.frames.index[-1],
            then=None,
            whole=True,
            text=text,
        )
