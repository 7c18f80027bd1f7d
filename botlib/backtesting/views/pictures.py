"""Small pictures of the tear sheet as SVG: lines, bars and dots with their axes.

They are images without scripts, so a notebook keeps them and a printer prints them. Their colours
have contrast on white and on dark grey alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING, Final

import numpy as np

from botlib.backtesting.metrics import Floats

if TYPE_CHECKING:
    import pandas as pd

INK: Final = "#8a8f98"
_LEFT: Final = 58
_RIGHT: Final = 12
_FONT: Final = 'font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,monospace" font-size="11"'

Text = Callable[[float], str]


class Plot:
    """One plot: a rectangle with axes, in a picture of a given width.

    Args:
        width: of the picture, in pixels.
        top: y of its upper edge.
        height: of the rectangle.
        xs: least and largest x.
        ys: least and largest y.
        left: x of the left edge of the picture's part that it takes.
        log: draw y by its logarithm.
    """

    def __init__(
        self,
        width: float,
        top: float,
        height: float,
        xs: tuple[float, float],
        ys: tuple[float, float],
        *,
        left: float = 0.0,
        log: bool = False,
    ) -> None:
        self._left, self._right = left + _LEFT, left + width - _RIGHT
        self._top, self._bottom = top, top + height
        self._log = log
        low, high = (math.log(one) for one in ys) if log else ys
        if high <= low:
            low, high = low - 1.0, high + 1.0
        room = 0.04 * (high - low)
        self._low, self._high = low - room, high + room
        self._first, self._last = xs if xs[1] > xs[0] else (xs[0] - 1.0, xs[1] + 1.0)
        self._parts: list[str] = []

    def __str__(self) -> str:
        return "".join(self._parts)

    def x(self, value: float) -> float:
        """Return where a value of the x axis is, in pixels."""
        return self._left + (value - self._first) / (self._last - self._first) * (
            self._right - self._left
        )

    def y(self, value: float) -> float:
        """Return where a value of the y axis is, in pixels."""
        level = math.log(value) if self._log else value
        return self._bottom - (level - self._low) / (self._high - self._low) * (
            self._bottom - self._top
        )

    def axes(
        self, text: Text, *, title: str, xs: Sequence[tuple[float, str]] = (), ticks: int = 4
    ) -> Plot:
        """Draw the grid with its labels; those of x only if some are given."""
        for value in self._y_ticks(ticks):
            y = self.y(value)
            self._line(self._left, y, self._right, y, 0.25)
            self._text(self._left - 6, y + 4, text(value), "end")
        for value, label in xs:
            x = self.x(value)
            self._line(x, self._bottom, x, self._bottom + 4, 0.6)
            self._text(x, self._bottom + 16, label, "middle")
        self._text(self._left + 2, self._top - 5, title, "start")
        return self

    def curve(
        self, xs: Floats, ys: Floats, colour: str, *, width: float = 1.5, dash: str = ""
    ) -> Plot:
        """Draw a line through points; a NaN interrupts it."""
        known = np.isfinite(ys)
        for piece in np.split(np.arange(len(xs)), np.flatnonzero(~known)):
            rows = piece[known[piece]]
            if len(rows):
                dashes = f' stroke-dasharray="{dash}"' if dash else ""
                self._parts.append(
                    f'<polyline points="{self._points(xs[rows], ys[rows])}" fill="none" '
                    f'stroke="{colour}" stroke-width="{width}"{dashes}/>'
                )
        return self

    def area(self, xs: Floats, ys: Floats, colour: str) -> Plot:
        """Fill what lies between a line and zero."""
        zero = f"{self.y(0.0):.1f}"
        self._parts.append(
            f'<polygon points="{self.x(xs[0]):.1f},{zero} {self._points(xs, ys)} '
            f'{self.x(xs[-1]):.1f},{zero}" fill="{colour}" fill-opacity=".3"/>'
        )
        return self.curve(xs, ys, colour, width=1)

    def bars(self, edges: Floats, heights: Floats, colours: Sequence[str]) -> Plot:
        """Draw a bar between every two neighbouring edges."""
        zero = self.y(0.0)
        for place, (height, colour) in enumerate(zip(heights.tolist(), colours, strict=True)):
            if height:
                left, right = self.x(float(edges[place])), self.x(float(edges[place + 1]))
                self._parts.append(
                    f'<rect x="{left:.1f}" y="{self.y(height):.1f}" '
                    f'width="{max(right - left - 1, 0.5):.1f}" '
                    f'height="{zero - self.y(height):.1f}" fill="{colour}"/>'
                )
        return self

    def dots(self, xs: Floats, ys: Floats, colour: str) -> Plot:
        """Draw a dot at every point."""
        places = "".join(
            f"M{self.x(x):.1f} {self.y(y):.1f}h0"
            for x, y in zip(xs.tolist(), ys.tolist(), strict=True)
        )
        if places:
            self._parts.append(
                f'<path d="{places}" stroke="{colour}" stroke-width="3.6" stroke-opacity=".75" '
                'stroke-linecap="round"/>'
            )
        return self

    def across(self, value: float) -> Plot:
        """Draw a dashed horizontal line, if it lies inside."""
        if self._low <= value <= self._high:
            self._line(self._left, self.y(value), self._right, self.y(value), 0.8, dash="4 3")
        return self

    def upright(self, value: float) -> Plot:
        """Draw a dashed vertical line, if it lies inside."""
        if self._first <= value <= self._last:
            self._line(self.x(value), self._top, self.x(value), self._bottom, 0.8, dash="4 3")
        return self

    def legend(self, names: Sequence[tuple[str, str, str]]) -> Plot:
        """Write the names of lines, each with its colour and dashes, from the right."""
        x = self._right
        for name, colour, dash in reversed(names):
            self._text(x, self._top - 5, name, "end")
            x -= 6.7 * len(name) + 6
            dashes = f' stroke-dasharray="{dash}"' if dash else ""
            self._parts.append(
                f'<line x1="{x - 18:.1f}" x2="{x:.1f}" y1="{self._top - 9:.1f}" '
                f'y2="{self._top - 9:.1f}" stroke="{colour}" stroke-width="2"{dashes}/>'
            )
            x -= 32
        return self

    def _y_ticks(self, count: int) -> list[float]:
        if not self._log:
            return ticks_between(self._low, self._high, count)
        found = ticks_between(math.exp(self._low), math.exp(self._high), 2 * count)
        return [one for one in found if one > 0]

    def _points(self, xs: Floats, ys: Floats) -> str:
        return " ".join(
            f"{self.x(x):.1f},{self.y(y):.1f}"
            for x, y in zip(xs.tolist(), ys.tolist(), strict=True)
        )

    def _line(
        self, x: float, y: float, x2: float, y2: float, opacity: float, *, dash: str = ""
    ) -> None:
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        self._parts.append(
            f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{INK}" '
            f'stroke-opacity="{opacity}"{dashes}/>'
        )

    def _text(self, x: float, y: float, text: str, anchor: str) -> None:
        self._parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}" {_FONT}>'
            f"{escape(text)}</text>"
        )


def picture(width: float, height: float, *plots: Plot) -> str:
    """Return plots as one SVG drawing."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" '
        f'viewBox="0 0 {width:g} {height:g}">{"".join(map(str, plots))}</svg>'
    )


def ticks_between(low: float, high: float, count: int) -> list[float]:
    """Return about ``count`` round numbers between two others."""
    raw = (high - low) / max(count, 1)
    size = 10 ** math.floor(math.log10(raw))
    step = next(one * size for one in (1, 2, 2.5, 5, 10) if one * size >= raw * 0.999)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [number * step for number in range(first, last + 1)]


def time_ticks(index: pd.Index, most: int = 7) -> list[tuple[float, str]]:
    """Return the times at which the x axis is labelled, in ms, with their labels."""
    import pandas as pd

    first, last = index[0], index[-1]
    days = max((last - first) / pd.Timedelta(days=1), 1e-9)
    for step, form in (("1h", "%H:%M"), ("6h", "%d %b %H:%M"), ("1D", "%d %b"), ("7D", "%d %b")):
        if days / (pd.Timedelta(step) / pd.Timedelta(days=1)) <= most:
            times = pd.date_range(first.ceil(step), last, freq=step)
            return [(time.timestamp() * 1e3, f"{time:{form}}") for time in times]
    months = days / 30.44
    for count in (1, 2, 3, 6, 12, 24, 60, 120):
        if months / count <= most or count == 120:
            times = pd.date_range(first.to_period("M").to_timestamp(), last, freq=f"{count}MS")
            return [(time.timestamp() * 1e3, f"{time:%b %Y}") for time in times if time >= first]
    return []
