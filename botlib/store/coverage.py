"""`data_report`: the stored candles, the holes of the venue, and the candles still missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from html import escape
from itertools import groupby
from typing import Final

from botlib.core.clock import iso
from botlib.core.text import formats
from botlib.core.text.cards import Tone, card, lines
from botlib.core.text.tables import html_picture, html_table, text_table
from botlib.core.timeframe import timeframe_ms
from botlib.store import CandleStorage, Hole
from botlib.store.inventory import StoredCandles, inventory
from botlib.venues.symbols import unified_symbol

_HEADERS: Final = (
    "symbol", "timeframe", "from (UTC)", "to", "candles", "coverage", "missing", "holes", "sources",
    "revised",
)  # fmt: skip

_CHARACTER: Final = 7
_WIDTH: Final = 600
_ROW: Final = 16
_TEXT_COLUMNS: Final = 48


class State(Enum):
    """The content of a time span. The value is its character in a terminal."""

    NOTHING = "·"
    STORED = "█"
    HOLE = "▒"
    MISSING = "×"


_COLOURS: Final = {State.STORED: "#2e9e5b", State.HOLE: "#c9a227", State.MISSING: "#d64545"}
_MEANING: Final = {
    State.STORED: "stored",
    State.HOLE: "hole: the venue has no candles",
    State.MISSING: "missing: not fetched",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """The completeness of one symbol and timeframe, from the first to the last stored candle."""

    stock: StoredCandles
    holes: tuple[Hole, ...]
    """Candles that the venue does not have, oldest first."""
    missing: tuple[tuple[int, int], ...]
    """Runs that are neither stored nor holes: the first and the last open time of each, ms."""

    @property
    def missing_candles(self) -> int:
        """The number of missing candles."""
        length = timeframe_ms(self.stock.timeframe)
        return sum((last - first) // length + 1 for first, last in self.missing)

    @property
    def share(self) -> float:
        """The stored fraction of the candles that the venue has or may have, 0 to 1."""
        return self.stock.candles / (self.stock.candles + self.missing_candles)

    @property
    def causes(self) -> dict[str, int]:
        """Candles in holes, by cause."""
        counts: Counter[str] = Counter()
        for hole in self.holes:
            counts[hole.cause] += hole.candles
        return dict(counts)

    def states(self, start: int, end: int, columns: int) -> list[State]:
        """Return the content of equal time spans; a span with any missing candle is MISSING.

        Args:
            start: start of the first span, ms.
            end: end of the last span, ms.
            columns: number of spans.
        """
        length, width = timeframe_ms(self.stock.timeframe), (end - start) / columns
        found = [State.NOTHING] * columns

        def paint(first: int, last: int, state: State) -> None:
            # Up to the close of the last candle; a span that it only touches is not painted.
            begin = int((first - start) / width)
            stop = max(begin + 1, int(-((start - last - length) // width)))
            for column in range(max(0, begin), min(columns, stop)):
                found[column] = state

        paint(self.stock.first, self.stock.last, State.STORED)
        for hole in self.holes:
            if hole.end > self.stock.first:
                paint(hole.start, hole.end, State.HOLE)
        for first, last in self.missing:
            paint(first, last, State.MISSING)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """The stored candles by symbol and timeframe; displayed as a table with a picture."""

    rows: tuple[Coverage, ...]

    @property
    def holes(self) -> list[Hole]:
        """Every hole, oldest first within its symbol and timeframe."""
        return [hole for row in self.rows for hole in row.holes]

    @property
    def svg(self) -> str:
        """A timeline per symbol and timeframe, as a self-contained SVG picture."""
        if not self.rows:
            return ""
        start, end = self._span()
        longest = max(len(row.stock.symbol + row.stock.timeframe) for row in self.rows)
        label, height = (longest + 2) * _CHARACTER, len(self.rows) * _ROW + 40
        wide = label + _WIDTH + 10
        parts = [
            f'<svg class="botlib" role="img" xmlns="http://www.w3.org/2000/svg" '
            f'viewBox="0 0 {wide} {height}" width="{wide}" '
            'style="font:11px ui-monospace,monospace;max-width:100%;display:block;margin:.5em 0" '
            'fill="currentColor">',
            f"<title>Coverage from {iso(start)} to {iso(end)} UTC</title>",
        ]
        for number, row in enumerate(self.rows):
            parts += _strip(row, label, number * _ROW, start, end)
        axis = len(self.rows) * _ROW + 11
        parts.append(f'<text x="{label}" y="{axis}">{iso(start)[:16]}</text>')
        parts.append(
            f'<text x="{label + _WIDTH}" y="{axis}" text-anchor="end">{iso(end)[:16]}</text>'
        )
        parts += _legend(label, axis + 8)
        return "".join([*parts, "</svg>"])

    def __repr__(self) -> str:
        stored = sum(row.stock.candles for row in self.rows)
        missing = sum(row.missing_candles for row in self.rows)
        return (
            f"<DataReport {len(self.rows)} series · {formats.count(stored)} candles · "
            f"{formats.count(missing)} missing>"
        )

    def __str__(self) -> str:
        if not self.rows:
            return "No candles are stored. Fetch some, or import a file."
        start, end = self._span()
        strips = [
            [
                row.stock.symbol,
                row.stock.timeframe,
                "".join(state.value for state in row.states(start, end, _TEXT_COLUMNS)),
            ]
            for row in self.rows
        ]
        signs = ", ".join(f"{state.value} {meaning}" for state, meaning in _MEANING.items())
        parts = [text_table(_HEADERS, self._table()), *self._notes(), ""]
        parts += [f"{iso(start)} to {iso(end)} UTC ({signs})"]
        return "\n".join([*parts, text_table(("symbol", "timeframe", "coverage"), strips)])

    def _repr_html_(self) -> str:
        if not self.rows:
            return card(str(self))
        missing = sum(row.missing_candles for row in self.rows)
        return card(
            "Stored candles",
            html_table(_HEADERS, self._table()),
            lines(self._notes()),
            html_picture(self.svg, "coverage"),
            notes=f"{formats.count(sum(row.stock.candles for row in self.rows))} candles, "
            f"{formats.count(missing)} missing",
            tone=Tone.WARN if missing else Tone.GOOD,
        )

    def _span(self) -> tuple[int, int]:
        return (
            min(row.stock.first for row in self.rows),
            max(row.stock.last + timeframe_ms(row.stock.timeframe) for row in self.rows),
        )

    def _table(self) -> list[list[object]]:
        return [
            [
                row.stock.symbol,
                row.stock.timeframe,
                iso(row.stock.first)[:16],
                iso(row.stock.last)[:16],
                row.stock.candles,
                _percent(row.share),
                row.missing_candles if row.missing else None,
                _counted(row.causes),
                _counted(row.stock.sources),
                row.stock.revised or None,
            ]
            for row in self.rows
        ]

    def _notes(self) -> list[str]:
        """Return sentences about the longest gaps and the newest corrections."""
        notes = []
        for row in self.rows:
            name = f"{row.stock.symbol} {row.stock.timeframe}"
            if row.missing:
                first, last = max(row.missing, key=lambda run: run[1] - run[0])
                where = f"from {iso(first)} to {iso(last)}" if first < last else f"at {iso(first)}"
                longest = ", the longest run" if len(row.missing) > 1 else ""
                missing = formats.count(row.missing_candles)
                notes.append(f"{name}: {missing} missing{longest} {where}")
            if row.stock.last_revision is not None:
                times = formats.count(row.stock.revisions)
                notes.append(
                    f"{name}: closed candles corrected {times} times, last on "
                    f"{iso(row.stock.last_revision)}"
                )
        return notes


def data_report(
    storage: CandleStorage, symbol: str | None = None, timeframe: str | None = None
) -> DataReport:
    """Return a report on the completeness of the stored candles.

    Args:
        storage: of any venue; it is only read.
        symbol: in either form; None is all.
        timeframe: one of `botlib.core.timeframe.TIMEFRAMES`; None is all.

    Raises:
        InvalidInput: the symbol or the timeframe cannot be read.
    """
    name = None if symbol is None else unified_symbol(symbol)
    rows = []
    for stock in inventory(storage, name, timeframe):
        key = stock.symbol, stock.timeframe
        rows.append(
            Coverage(
                stock=stock,
                holes=tuple(storage.holes(*key)),
                missing=tuple(storage.missing(*key, stock.first, stock.last)),
            )
        )
    return DataReport(rows=tuple(rows))


def _counted(counts: Mapping[str, int]) -> str:
    return "; ".join(f"{formats.count(found)} {name}" for name, found in counts.items())


def _percent(share: float) -> str:
    # Rounded down, so that incomplete candles never show as 100 %.
    return formats.percent(1, 0) if share == 1 else formats.percent(int(share * 10_000) / 10_000)


def _strip(row: Coverage, left: int, top: int, start: int, end: int) -> Iterator[str]:
    name = escape(f"{row.stock.symbol} {row.stock.timeframe}")
    yield f'<text x="0" y="{top + 11}">{name}</text>'
    yield (f'<rect x="{left}" y="{top + 2}" width="{_WIDTH}" height="{_ROW - 4}" opacity=".08"/>')
    place = left
    for state, run in groupby(row.states(start, end, _WIDTH)):
        width = len(list(run))
        if state is not State.NOTHING:
            yield (
                f'<rect x="{place}" y="{top + 2}" width="{width}" height="{_ROW - 4}" '
                f'fill="{_COLOURS[state]}"><title>{name}: {_MEANING[state]}</title></rect>'
            )
        place += width


def _legend(left: int, top: int) -> Iterator[str]:
    place = left
    for state, meaning in _MEANING.items():
        yield f'<rect x="{place}" y="{top}" width="9" height="9" fill="{_COLOURS[state]}"/>'
        yield f'<text x="{place + 13}" y="{top + 9}">{meaning}</text>'
        place += 30 + _CHARACTER * len(meaning)
