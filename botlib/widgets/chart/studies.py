"""Indicators on a chart: the drawn outputs, their panes and colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from botlib.core.errors import InvalidInput
from botlib.indicators import Incremental, Indicator, parse, warmup
from botlib.indicators.compute import outputs_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

LINES: Final = (
    ("#2f6fed", "#f2690d", "#d27994"),
    ("#d97f06", "#39aca1", "#993df5"),
    ("#a855f7", "#f2690d", "#39aca1"),
    ("#0e9a99", "#f2690d", "#a125f4"),
    ("#e0457b", "#b89714", "#0d7ff2"),
    ("#7c9a0d", "#b625f4", "#da0b87"),
    ("#8b6cef", "#f2690d", "#39aca1"),
)
"""The colours of the lines of an indicator; each indicator of a chart gets the next ones.

They are readable on light and on dark backgrounds, and those of one indicator differ for readers
who see two of the three primary colours. Further lines have the same colours in other styles.
"""

STYLES: Final = ("solid", "dashed", "dotted", "long dashes")
"""The styles of the first lines of an indicator, of the next ones, and so on."""

UP: Final = "#26a69a"
DOWN: Final = "#ef5350"
VOLUME: Final = "#7f8c9a"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartSeries:
    """One series of the chart."""

    id: str
    kind: str
    pane: int
    title: str
    color: str
    signed: bool = False
    style: str = STYLES[0]
    levels: tuple[float, ...] = ()

    def wire(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "id": self.id,
            "kind": self.kind,
            "pane": self.pane,
            "title": self.title,
            "color": self.color,
            "signed": self.signed,
            "style": self.style,
            "levels": list(self.levels),
        }


class Study:
    """One indicator on a chart.

    Args:
        group: 0 is the pane of the candles; studies of the same other group share a pane.
        place: number among the studies of the chart, which chooses the colours.
        timeframe: of the candles.
    """

    def __init__(self, spec: str | Indicator, *, group: int, place: int, timeframe: str) -> None:
        self.indicator = parse(spec)
        self.group = group
        self.place = place
        self.timeframe = timeframe
        self._drawing = self.indicator.record.drawing
        outputs = outputs_of(self.indicator)
        wanted = self._drawing.outputs or outputs
        self.columns = [outputs.index(name) for name in wanted]
        """Indices of the drawn outputs among those of the indicator."""
        self.names = wanted
        self.warmup, self.settles = _warmup(self.indicator, timeframe)
        """Candles up to and including the first right value; whether there is such a number."""

    @property
    def name(self) -> str:
        """The one spelling of the indicator."""
        return str(self.indicator)

    def series(self, pane: int) -> list[ChartSeries]:
        """Return its series in a pane, one per drawn output."""
        several = len(self.names) > 1
        drawing, colours = self._drawing, LINES[self.place % len(LINES)]
        lines = self._lines()
        return [
            ChartSeries(
                id=f"{self.name}.{name}" if several else self.name,
                kind="histogram" if name in drawing.bars else "line",
                pane=pane,
                title=f"{self.name} {name}" if several else self.name,
                color=colours[lines[name] % len(colours)] if name in lines else VOLUME,
                signed=name in drawing.bars,
                style=STYLES[lines.get(name, 0) // len(colours) % len(STYLES)],
                levels=drawing.levels if number == 0 else (),
            )
            for number, name in enumerate(self.names)
        ]

    def pick(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the drawn ones of the indicator's values, for rows or one row."""
        picked: npt.NDArray[np.float64] = values[..., self.columns]
        return picked

    def follower(self) -> Incremental:
        """Return the incremental computation of the indicator.

        Raises:
            InvalidInput: it depends on all history.
        """
        return Incremental(self.indicator, timeframe=self.timeframe)

    def _lines(self) -> dict[str, int]:
        """Return the number of the colour of every output that is drawn as a line."""
        drawn = [name for name in self.names if name not in self._drawing.bars]
        first = [name for name in drawn if name in self._drawing.in_first_colour]
        others = [name for name in drawn if name not in first]
        start = 1 if first else 0
        return {
            **dict.fromkeys(first, 0),
            **{name: number for number, name in enumerate(others, start=start)},
        }


def is_price(indicator: Indicator, values: npt.ArrayLike, closes: npt.ArrayLike) -> bool:
    """Return whether the values of an indicator are prices, which are drawn over the candles.

    If its record does not say so, the median of its values must be near the range of the closes.
    """
    if indicator.source == "volume":
        return False
    if (known := indicator.record.drawing.price) is not None:
        return known
    found, prices = np.asarray(values, dtype=np.float64), np.asarray(closes, dtype=np.float64)
    found, prices = found[np.isfinite(found)], prices[np.isfinite(prices)]
    if not len(found) or not len(prices):
        return False
    low, high = float(prices.min()), float(prices.max())
    spread = max(high - low, 0.05 * abs(high))
    middle = float(np.median(found))
    return low - spread <= middle <= high + spread


def unknown_study(name: object, studies: Iterable[Study]) -> InvalidInput:
    """Return the error for an indicator that is not on the chart."""
    from botlib.core.errors import did_you_mean

    shown = [study.name for study in studies]
    return InvalidInput(
        f"{name!r} is not on this chart. On it are: {', '.join(shown) or 'no indicators'}."
        f"{did_you_mean(str(name), shown)}"
    )


def _warmup(indicator: Indicator, timeframe: str) -> tuple[int, bool]:
    try:
        return warmup(indicator, timeframe=timeframe), True
    except InvalidInput:
        return 1, False
