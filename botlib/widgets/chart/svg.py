"""The static picture of a chart for headless notebooks: SVG, drawn with numpy alone.

It has no background of its own, and only greys and colours that are readable on light and dark
pages.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from botlib.core.text.formats import number
from botlib.widgets.chart.axes import Scale, nice_levels, short_number, time_ticks
from botlib.widgets.chart.studies import DOWN, UP

if TYPE_CHECKING:
    from collections.abc import Sequence

Floats = npt.NDArray[np.float64]

WIDTH: Final = 960
_AXIS: Final = 74
_TOP: Final = 24
_BOTTOM: Final = 22
_LETTER: Final = 6.0
"""Width of a letter of the small text."""
_GAP: Final = 6
_LEGEND: Final = 15
_TEXT: Final = "#8a8f98"
_GRID: Final = "#8a8f98"
_SHADES: Final = {"repaired": ("#f59e0b", 0.16), "missing": ("#8a8f98", 0.22)}
_DASHES: Final = {"solid": "", "dashed": "6 4", "dotted": "2 3", "long dashes": "12 5"}
_NEAR: Final = 22
"""Pixels within which markers on one side of the candles are drawn as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The input of a static picture.

    Attributes:
        spec: series and panes, as `Scene.spec` returns them.
        cells: rows of the time (s) and one value per column of the series, NaN if there is none.
        marks: as `Scene.wire_marks` returns them.
        note: text next to the title.
    """

    spec: dict[str, Any]
    cells: Floats
    marks: dict[str, Any]
    note: str = ""

    def draw(self, height: int) -> str:
        """Return the SVG."""
        return _Drawing(self, height).text()


class _Drawing:
    def __init__(self, picture: Picture, height: int) -> None:
        self.spec, self.marks, self.note = picture.spec, picture.marks, picture.note
        self.cells = picture.cells
        self.height = max(height, 200)
        self.right = WIDTH - _AXIS
        rows = len(self.cells)
        self.pitch = (self.right - 8) / max(rows, 1)
        self.x = 4 + self.pitch * (np.arange(rows) + 0.5)
        self.seconds = self.cells[:, 0]
        self.parts: list[str] = []

    def text(self) -> str:
        """Return the whole picture as SVG."""
        add = self.parts.append
        add(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height}" '
            f'width="{WIDTH}" height="{self.height}" font-family="system-ui,-apple-system,'
            f'Segoe UI,Helvetica,Arial,sans-serif" font-size="10.5" fill="{_TEXT}">'
        )
        self._title()
        if len(self.cells):
            self._time_axis()
            for number, (top, bottom) in enumerate(self._panes()):
                self._pane(number, top, bottom)
        else:
            add(
                f'<text x="{WIDTH / 2:.0f}" y="{self.height / 2:.0f}" font-size="14" '
                'text-anchor="middle">no candles yet</text>'
            )
        add("</svg>")
        return "".join(self.parts)

    def _title(self) -> None:
        spec, right = self.spec, 4
        title = str(spec["title"] or spec["symbol"])
        if spec["timeframe"] not in title:
            title = f"{title} {spec['timeframe']}".strip()
        words = [escape(title)]
        self.parts.append(
            f'<text x="{right}" y="15" font-size="13" font-weight="600">{words[0]}</text>'
        )
        facts = [str(spec["venue"])] if spec["venue"] else []
        if spec["kind"]:
            facts = [f"{spec['kind'].upper()} · {spec['words']}"]
        if self.note:
            facts.append(self.note)
        if facts:
            self.parts.append(
                f'<text x="{self.right}" y="15" text-anchor="end">'
                f"{escape(' · '.join(facts))}</text>"
            )

    def _panes(self) -> list[tuple[float, float]]:
        weights = list(self.spec["panes"])
        room = self.height - _TOP - _BOTTOM - _GAP * (len(weights) - 1)
        places, top = [], float(_TOP)
        for weight in weights:
            bottom = top + room * weight / sum(weights)
            places.append((top, bottom))
            top = bottom + _GAP
        return places

    def _time_axis(self) -> None:
        bottom = self.height - _BOTTOM
        grid, labels = [], []
        for row, label, strong in time_ticks(self.seconds, most=9):
            grid.append(f"M{self.x[row]:.1f} {_TOP}V{bottom}")
            weight = ' font-weight="600"' if strong else ""
            labels.append(
                f'<text x="{max(self.x[row], 33):.0f}" y="{self.height - 7}" '
                f'text-anchor="middle"{weight}>'
                f"{label}</text>"
            )
        self.parts.append(f'<path d="{"".join(grid)}" stroke="{_GRID}" stroke-opacity=".16"/>')
        self.parts += labels
        self.parts.append(
            f'<text x="{WIDTH - 4}" y="{self.height - 7}" text-anchor="end" '
            'font-weight="600">UTC</text>'
        )

    def _pane(self, number: int, top: float, bottom: float) -> None:
        shown = [
            (one, column)
            for one, column in zip(self.spec["series"], self._columns(), strict=True)
            if one["pane"] == number
        ]
        # Nothing is drawn where the legend is, if the pane is high enough.
        room = _LEGEND if bottom - top > 3 * _LEGEND else 0
        scale = self._scale(shown, top + room, bottom, main=number == 0)
        self._grid(scale, shown)
        if number == 0:
            self._shades(top, bottom)
        for one, column in shown:
            if one["kind"] == "candles":
                self._candles(scale, self.cells[:, column : column + 4])
            elif one["kind"] in ("volume", "histogram"):
                self._bars(scale, one, self.cells[:, column])
            else:
                self._line(scale, self.cells[:, column], one)
        self._legend(shown, top)
        if number == 0:
            self._lines(scale)
            self._markers(scale)

    def _columns(self) -> list[int]:
        columns, place = [], 1
        for one in self.spec["series"]:
            columns.append(place)
            place += 4 if one["kind"] == "candles" else 1
        return columns

    def _scale(
        self, shown: Sequence[tuple[dict[str, Any], int]], top: float, bottom: float, *, main: bool
    ) -> Scale:
        found: list[Floats] = []
        for one, column in shown:
            width = 4 if one["kind"] == "candles" else 1
            found.append(self.cells[:, column : column + width].ravel())
            found.append(np.array(one["levels"], dtype=np.float64))
            if one["kind"] in ("volume", "histogram"):
                found.append(np.zeros(1))
        values = np.concatenate(found) if found else np.zeros(1)
        scale = Scale.over(values, top, bottom, margin=0.06 if main else 0.1)
        if main:
            # A scale that includes distant lines would flatten the candles.
            prices = np.array(self._prices(), dtype=np.float64)
            spread = scale.high - scale.low
            near = prices[np.abs(prices - (scale.low + scale.high) / 2) < 1.25 * spread]
            scale = Scale.over(np.concatenate([values, near]), top, bottom, margin=0.06)
        return scale

    def _grid(self, scale: Scale, shown: Sequence[tuple[dict[str, Any], int]]) -> None:
        add, tall = self.parts.append, scale.bottom - scale.top
        kinds = {one["kind"] for one, _ in shown}
        lines = []
        levels = sorted({level for one, _ in shown for level in one["levels"]})
        for value in levels or nice_levels(scale.low, scale.high, max(2, int(tall // 45))):
            y = scale.y(value)
            if not scale.top + 3 <= y <= scale.bottom - 1:
                continue
            if not levels:
                lines.append(f"M0 {y:.1f}H{self.right}")
            add(f'<text x="{self.right + 5}" y="{y + 3.5:.1f}">{self._number(value, kinds)}</text>')
        add(f'<path d="{"".join(lines)}" stroke="{_GRID}" stroke-opacity=".16"/>')
        add(f'<path d="M0 {scale.bottom:.1f}H{WIDTH}" stroke="{_GRID}" stroke-opacity=".35"/>')
        marks = "".join(f"M0 {scale.y(level):.1f}H{self.right}" for level in levels)
        if marks:
            add(f'<path d="{marks}" stroke="{_GRID}" stroke-opacity=".6" stroke-dasharray="3 4"/>')

    def _number(self, value: float, kinds: set[str]) -> str:
        if "candles" in kinds:
            return number(value, self.spec["price_decimals"])
        return short_number(value)

    def _shades(self, top: float, bottom: float) -> None:
        step = float(self.spec["step"])
        for shade in self.marks["shades"]:
            inside = np.flatnonzero(
                (self.seconds > shade["from"] - step / 2) & (self.seconds < shade["to"] + step / 2)
            )
            if not len(inside):
                continue
            colour, opacity = _SHADES[shade["kind"]]
            left = self.x[inside[0]] - self.pitch / 2
            wide = max(self.pitch * len(inside), 1.0)
            self.parts.append(
                f'<rect x="{left:.1f}" y="{top:.1f}" width="{wide:.1f}" '
                f'height="{bottom - top:.1f}" fill="{colour}" fill-opacity="{opacity}">'
                f"<title>{shade['kind']} candles</title></rect>"
            )

    def _candles(self, scale: Scale, values: Floats) -> None:
        known = np.isfinite(values).all(axis=1)
        rising = values[:, 3] >= values[:, 0]
        half = max(self.pitch * 0.36, 0.4)
        for mask, colour in ((known & rising, UP), (known & ~rising, DOWN)):
            rows = np.flatnonzero(mask)
            first, high, low, last = (scale.y(values[rows, place]) for place in range(4))
            x = self.x[rows]
            tops, bottoms = np.minimum(first, last), np.maximum(first, last)
            tall = np.maximum(bottoms - tops, 0.8)
            wicks = "".join(
                f"M{a:.1f} {b:.1f}V{c:.1f}" for a, b, c in zip(x, high, low, strict=True)
            )
            width = f"{2 * half:.1f}"
            bodies = "".join(
                f"M{a:.1f} {b:.1f}h{width}v{c:.1f}h-{width}z"
                for a, b, c in zip(x - half, tops, tall, strict=True)
            )
            if len(rows):
                self.parts.append(
                    f'<path d="{wicks}" stroke="{colour}"/><path d="{bodies}" fill="{colour}"/>'
                )

    def _bars(self, scale: Scale, one: dict[str, Any], values: Floats) -> None:
        prices = self.cells[:, 1:5]
        rising = values >= 0 if one["signed"] else prices[:, 3] >= prices[:, 0]
        zero = scale.y(0.0)
        width = f"{max(self.pitch * 0.7, 0.6):.1f}"
        left = self.x - float(width) / 2
        known = np.isfinite(values)
        for mask, colour in ((known & rising, UP), (known & ~rising, DOWN)):
            rows = np.flatnonzero(mask)
            edges = scale.y(values[rows])
            tops, tall = np.minimum(edges, zero), np.maximum(np.abs(edges - zero), 0.5)
            bars = "".join(
                f"M{a:.1f} {b:.1f}h{width}v{c:.1f}h-{width}z"
                for a, b, c in zip(left[rows], tops, tall, strict=True)
            )
            if bars:
                self.parts.append(f'<path d="{bars}" fill="{colour}" fill-opacity=".55"/>')

    def _line(self, scale: Scale, values: Floats, one: dict[str, Any]) -> None:
        known = np.isfinite(values)
        edges = np.flatnonzero(np.diff(np.concatenate(([0], known.astype(np.int8), [0]))))
        y = scale.y(values)
        pieces = []
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            points = " ".join(
                f"{a:.1f} {b:.1f}" for a, b in zip(self.x[begin:end], y[begin:end], strict=True)
            )
            pieces.append(f"M{points}" if end - begin > 1 else f"M{points}h.1")
        dashes = f' stroke-dasharray="{found}"' if (found := _DASHES[one["style"]]) else ""
        if pieces:
            self.parts.append(
                f'<path d="{"".join(pieces)}" fill="none" stroke="{one["color"]}" '
                f'stroke-width="1.3"{dashes} stroke-linejoin="round"/>'
            )

    def _legend(self, shown: Sequence[tuple[dict[str, Any], int]], top: float) -> None:
        words, study = [], ""
        for one, column in shown:
            if one["kind"] == "candles":
                words.append(self._last_candle(column))
                continue
            values = self.cells[:, column]
            known = values[np.isfinite(values)]
            text = self._number(known[-1], {shown[0][0]["kind"]}) if len(known) else "–"
            colour = _TEXT if one["kind"] == "volume" else one["color"]
            gap = ' dx="8"' if words else ""
            # The name of an indicator with several columns appears once.
            name, before = one["title"], study
            study, _, part = ("", "", name) if name.endswith(")") else name.rpartition(" ")
            label = part if study in (before, part) else name
            words.append(f'<tspan fill="{colour}"{gap}>{escape(label or name)} {text}</tspan>')
        if words:
            self.parts.append(f'<text x="4" y="{top + 12:.1f}">{"".join(words)}</text>')

    def _last_candle(self, column: int) -> str:
        values = self.cells[:, column : column + 4]
        known = np.flatnonzero(np.isfinite(values).all(axis=1))
        if not len(known):
            return ""
        first, high, low, last = values[known[-1]]
        colour = UP if last >= first else DOWN
        text = " ".join(
            f"{name} {number(value, self.spec['price_decimals'])}"
            for name, value in zip("OHLC", (first, high, low, last), strict=True)
        )
        return f'<tspan fill="{colour}">{text}</tspan>'

    def _lines(self, scale: Scale) -> None:
        closes = self.cells[:, 4]
        known = np.flatnonzero(np.isfinite(closes))
        if len(known):
            last, before = closes[known[-1]], self.cells[known[-1], 1]
            self._price_line(scale, float(last), UP if last >= before else DOWN, "dotted", "")
        for line in self.marks["lines"]:
            if "steps" in line:
                self._track(scale, line)
            else:
                self._price_line(scale, line["price"], line["color"], line["style"], line["title"])

    def _prices(self) -> list[float]:
        """Return the prices of all lines."""
        found: list[float] = []
        for line in self.marks["lines"]:
            held = "steps" in line
            found += [piece[2] for piece in self._pieces(line)] if held else [line["price"]]
        return found

    def _pieces(self, line: dict[str, Any]) -> list[tuple[int, int, float]]:
        """Return the steps of a line over a past range: first row, row after the last, price."""
        since = np.array([since for since, _ in line["steps"]])
        rows = np.searchsorted(self.seconds, since).tolist()
        last = int(np.searchsorted(self.seconds, line.get("to", np.inf), side="right"))
        return [
            (row, end, price)
            for (_, price), row, end in zip(line["steps"], rows, [*rows[1:], last], strict=True)
            if end > row
        ]

    def _track(self, scale: Scale, line: dict[str, Any]) -> None:
        """Draw a line over a past range, in steps if its price changed."""
        drawn, before = "", -1
        for row, end, price in self._pieces(line):
            if not scale.low <= price <= scale.high:
                continue
            y, left = scale.y(price), self.x[row] - self.pitch / 2
            drawn += f"V{y:.1f}" if row == before else f"M{left:.1f} {y:.1f}"
            drawn += f"H{left + self.pitch * (end - row):.1f}"
            before = end
        if drawn:
            self.parts.append(
                f'<path d="{drawn}" fill="none" stroke="{line["color"]}" '
                f'stroke-dasharray="{_DASHES[line["style"]]}"/>'
            )

    def _price_line(self, scale: Scale, price: float, colour: str, style: str, title: str) -> None:
        if not scale.low <= price <= scale.high:
            return
        y = scale.y(price)
        label = number(price, self.spec["price_decimals"])
        self.parts.append(
            f'<path d="M0 {y:.1f}H{self.right}" stroke="{colour}" stroke-opacity=".85" '
            f'stroke-dasharray="{_DASHES[style]}"/>'
            f'<rect x="{self.right}" y="{y - 8:.1f}" width="{_AXIS}" height="16" rx="2" '
            f'fill="{colour}"/>'
            f'<text x="{self.right + 5}" y="{y + 3.5:.1f}" fill="#fff">{label}</text>'
        )
        if title:
            # On the left, away from the newest candles.
            self.parts.append(f'<text x="6" y="{y - 3:.1f}" fill="{colour}">{escape(title)}</text>')

    def _markers(self, scale: Scale) -> None:
        places = {round(float(second)): row for row, second in enumerate(self.seconds)}
        drawn = [(places.get(round(one["time"])), one) for one in self.marks["markers"]]
        visible = [
            (row, one)
            for row, one in drawn
            if row is not None and np.isfinite(self.cells[row, 2:4]).all()
        ]
        for below in (True, False):
            side = [(row, one) for row, one in visible if (one["position"] == "belowBar") == below]
            for group in _near(side, self.pitch):
                self._marker(scale, group, below=below)

    def _marker(
        self, scale: Scale, group: Sequence[tuple[int, dict[str, Any]]], *, below: bool
    ) -> None:
        """Draw markers near each other as one, with their number."""
        rows, one = slice(group[0][0], group[-1][0] + 1), group[-1][1]
        prices = self.cells[rows, 3 if below else 2]
        turn = 1 if below else -1
        edge = scale.y(float(np.nanmin(prices) if below else np.nanmax(prices))) + 4 * turn
        x = (self.x[group[0][0]] + self.x[group[-1][0]]) / 2
        if one["shape"] == "circle":
            shape = f'<circle cx="{x:.1f}" cy="{edge + 4 * turn:.1f}" r="3.5"'
        else:
            shape = f'<path d="M{x:.1f} {edge:.1f}l4.5 {8 * turn}h-9z"'
        label = one["text"]
        if len(group) > 1:
            same = label and all(other["text"] == label for _, other in group)
            label = f"{len(group)} × {label}" if same else str(len(group))
        text = ""
        if label:
            # Beyond the candles on both sides, which the text is wider than.
            under = np.abs(self.x - x) <= _LETTER * len(label) / 2 + self.pitch / 2
            ends = self.cells[under, 3 if below else 2]
            far = scale.y(float(np.nanmin(ends) if below else np.nanmax(ends)))
            y = max(edge + 18, far + 13) if below else min(edge - 11, far - 5)
            text = (
                f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="middle" fill="{one["color"]}">'
                f"{escape(label)}</text>"
            )
        self.parts.append(f'{shape} fill="{one["color"]}"/>{text}')


def _near(
    markers: Sequence[tuple[int, dict[str, Any]]], pitch: float
) -> list[list[tuple[int, dict[str, Any]]]]:
    """Return groups of markers within `_NEAR` pixels, by the rows they are at."""
    groups: list[list[tuple[int, dict[str, Any]]]] = []
    for row, one in markers:
        if groups and (row - groups[-1][0][0]) * pitch < _NEAR:
            groups[-1].append((row, one))
        else:
            groups.append([(row, one)])
    return groups
