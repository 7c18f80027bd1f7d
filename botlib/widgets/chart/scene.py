"""The contents of a chart, from which both the page and the static picture are drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from botlib.core.errors import InvalidInput
from botlib.core.text.masking import masked
from botlib.venues.kinds import KINDS
from botlib.widgets.chart.marks import Marks, Shade
from botlib.widgets.chart.studies import UP, VOLUME, ChartSeries, Study, is_price, unknown_study
from botlib.widgets.chart.svg import Picture

if TYPE_CHECKING:
    from botlib.indicators import Indicator
    from botlib.widgets.chart.rows import ChartRows

Floats = npt.NDArray[np.float64]

MAIN: Final = 0
"""Group of the studies drawn over the candles."""

VOLUME_COLUMN: Final = 5
"""Column of the volume in a row of cells."""

_WEIGHTS: Final = (4.0, 0.8, 1.3)
"""Relative heights of the panes: candles, volume, and each one below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartInfo:
    """The market of a chart.

    Attributes:
        timeframes: those that a reader can choose.
        title: shown in place of symbol and timeframe.
        kind: of the market, as `botlib.venues.kinds` names it; empty for candles of a frame.
        words: whose prices and money it is, if the kind does not say that.
        decimals: digits of prices after the point.
    """

    symbol: str = ""
    timeframe: str = "1m"
    timeframes: tuple[str, ...] = ()
    title: str = ""
    venue: str = ""
    kind: str = ""
    words: str = ""
    decimals: int = 2


class Scene:
    """Candles, studies and marks of one chart.

    Args:
        window: candles that a page receives first.
    """

    def __init__(self, facts: ChartInfo, rows: ChartRows, window: int) -> None:
        self.facts = facts
        self.rows = rows
        self.window = window
        rows.keep = window
        self.version = 1
        """Counts the changes of the series."""
        self.marks = Marks()
        self.repaired: tuple[tuple[int, int], ...] = ()
        """Ranges that were fetched later, to fill a gap: first and last open time, ms."""
        self.shown_from: int | None = None
        """Open time (ms) of the oldest candle that was sent to a page, beyond its window."""
        self._volume: tuple[int, bool] | None = None
        self._added = 0
        self._groups = 0

    @property
    def start(self) -> int:
        """First row of the window, counted among the closed candles that are shown."""
        return max(0, len(self.rows.times) - self.window)

    def new_group(self) -> int:
        """Return a group for studies that share a pane of their own."""
        self._groups += 1
        return self._groups

    def add(self, spec: str | Indicator, *, group: int | None) -> Study:
        """Add an indicator and return it; one that is shown already moves to the group.

        Args:
            group: its pane; None chooses by its values.

        Raises:
            InvalidInput: the specification is not accepted.
        """
        study = Study(spec, group=MAIN, place=self._added, timeframe=self.rows.timeframe)
        known = next((one for one in self.rows.studies if one.name == study.name), None)
        if known is not None:
            known.group = known.group if group is None else group
            self.version += 1
            return known
        if not self.rows.whole:
            study.follower()  # raises now if it cannot be kept up to date
        self.rows.include(study)
        self._added += 1
        study.group = self._judged(study) if group is None else group
        self.version += 1
        return study

    def remove(self, spec: str | Indicator) -> None:
        """Remove an indicator.

        Raises:
            InvalidInput: it is not shown.
        """
        from botlib.indicators import parse

        try:
            name = str(parse(spec))
        except InvalidInput:
            name = str(spec)
        for study in self.rows.studies:
            if study.name == name:
                self.rows.studies.remove(study)
                self.rows.recompute()
                self.version += 1
                return
        raise unknown_study(spec, self.rows.studies)

    def show_timeframe(self, timeframe: str, rows: ChartRows) -> None:
        """Replace the candles by those of another timeframe; the studies and their panes stay."""
        rows.keep = self.window
        for old in self.rows.studies:
            rows.include(
                Study(old.indicator, group=old.group, place=old.place, timeframe=timeframe)
            )
        self.facts = replace(self.facts, timeframe=timeframe)
        self.rows = rows
        self.repaired, self.shown_from, self._volume = (), None, None
        self.version += 1

    def spec(self) -> dict[str, Any]:
        """Return the series and panes as JSON values for the page."""
        facts, volume = self.facts, self._has_volume
        below = 2 if volume else 1
        groups = sorted({study.group for study in self.rows.studies} - {MAIN})
        panes = {MAIN: 0, **{group: below + place for place, group in enumerate(groups)}}
        name = f"{facts.symbol} {facts.timeframe}".strip()
        series = [ChartSeries(id="candles", kind="candles", pane=0, title=name, color=UP)]
        if volume:
            series.append(
                ChartSeries(id="volume", kind="volume", pane=1, title="volume", color=VOLUME)
            )
        for study in self.rows.studies:
            series += study.series(panes[study.group])
        weights = [_WEIGHTS[0], *([_WEIGHTS[1]] if volume else []), *[_WEIGHTS[2]] * len(groups)]
        return {
            "version": self.version,
            "title": masked(facts.title),
            "symbol": facts.symbol,
            "timeframe": facts.timeframe,
            "timeframes": list(facts.timeframes),
            "step": self.rows.step // 1_000,
            "kind": facts.kind,
            "words": facts.words or (KINDS[facts.kind].words if facts.kind else ""),
            "venue": facts.venue,
            "price_decimals": facts.decimals,
            "series": [one.wire() for one in series],
            "panes": weights,
        }

    def wire_marks(self, start: int | None = None) -> dict[str, Any]:
        """Return the marks as JSON values, from ``start`` (ms), by default what a page shows."""
        if start is None:
            start = self._from()
        shades = tuple(Shade(start=a, end=b, kind="missing") for a, b in self.rows.missing(start))
        shades += tuple(Shade(start=a, end=b, kind="repaired") for a, b in self.repaired)
        whole = replace(self.marks, shades=self.marks.shades + shades)
        return whole.wire(self.facts.timeframe, start)

    def block(self, start: int = 0, end: int | None = None) -> tuple[bytes, int]:
        """Return rows as bytes for the page, column after column, and their number."""
        if end is not None and end < len(self.rows.times):
            # With the empty rows up to the next one, which the page has already.
            cells = self.rows.cells(start, end + 1)[:-1]
        else:
            cells = self.rows.cells(start, end)
        drawn = self._drawn(cells)
        return np.ascontiguousarray(drawn.T, dtype="<f8").tobytes(), len(drawn)

    def updates(self, since: int) -> list[list[float | None]]:
        """Return the rows from an open time (ms) on, as JSON values of an update."""
        one = self.rows.forming_row(since)
        if one is not None:
            if not self._has_volume:
                del one[VOLUME_COLUMN]
            rows = [one]
        else:
            rows = self._drawn(self.rows.since(since)).tolist()
        return [[None if value != value else value for value in row] for row in rows]

    def picture(self, last: int, note: str) -> Picture:
        """Return the picture of the newest candles.

        Args:
            last: number of candles.
            note: text next to the title.
        """
        start = max(0, len(self.rows) - last)
        cells = self.rows.cells(start)[-last:]
        first = int(cells[0, 0] * 1_000) if len(cells) else 0
        marks = self.wire_marks(first)
        return Picture(spec=self.spec(), cells=self._drawn(cells), marks=marks, note=note)

    def _from(self) -> int:
        times = self.rows.times
        newest = int(times[self.start]) if len(times) else 0
        return newest if self.shown_from is None else min(newest, self.shown_from)

    @property
    def _has_volume(self) -> bool:
        # Decided once per version of the series: all rows of a version have the same columns.
        if self._volume is None or self._volume[0] != self.version:
            volume = self.rows.candles[:, VOLUME_COLUMN - 1][-self.window :]
            self._volume = self.version, not len(volume) or bool(np.isfinite(volume).any())
        return self._volume[1]

    def _drawn(self, cells: Floats) -> Floats:
        return cells if self._has_volume else np.delete(cells, VOLUME_COLUMN, axis=1)

    def _judged(self, study: Study) -> int:
        start = self.rows.cells()[-500:]
        column = self.rows.column(study)
        closes = start[:, 4]
        price = is_price(study.indicator, start[:, column], closes)
        return MAIN if price else self.new_group()
