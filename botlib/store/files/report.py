"""`Recording`, the candles of a file, and `RecordingReport`, the findings about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from botlib.core.clock import iso
from botlib.core.text.cards import Tone, card, lines
from botlib.core.text.formats import count
from botlib.venues.registry import capabilities

MAX_BAD_SHARE: Final = 0.05
"""A file with a larger share of unusable rows is refused."""

VALUES: Final = ("open", "high", "low", "close", "volume")

ACCEPTED: Final = (
    f"Accepted: CSV, Parquet, Feather, JSON (gzipped or not) or a zip of the dumps of "
    f"{capabilities().title}, with the columns symbol, timeframe, timestamp (open time, ms), open, "
    "high, low, close, volume."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingReport:
    """The findings about a file and the repairs made. Counts are of rows."""

    path: str
    read: int
    """Rows in the file."""
    kept: int
    """Candles kept."""
    microseconds: int = 0
    """Timestamps in microseconds, converted to ms."""
    shifted: int = 0
    """Stamped at the close, corrected to the open time."""
    reordered: int = 0
    """Earlier than the row before them; all rows were sorted."""
    duplicates: int = 0
    """Exact repetitions, dropped."""
    conflicts: int = 0
    """Different candles for one open time; the last one in the file was kept."""
    unreadable: int = 0
    """Dropped: cells missing or not numbers, or a time outside 2009 to 2100."""
    off_grid: int = 0
    """Dropped: no candle of this timeframe opens or closes at that time."""
    impossible: int = 0
    """Dropped: not finite, not positive, or open or close outside low to high."""
    unfinished: int = 0
    """Dropped: the candle still formed when the file was written, or its line is truncated."""
    future: int = 0
    """Dropped: the candle has not opened yet."""
    holes: tuple[tuple[int, int], ...] = ()
    """Runs of missing candles: open times of the first and the last one, ms."""
    missing: int = 0
    """Candles missing in all holes together."""
    cut: bool = False
    """Whether the text ends inside a line, so its last row may be incomplete."""

    @property
    def repairs(self) -> dict[str, int]:
        """The repairs made, by name, without those that were not needed."""
        counts = {
            "microsecond timestamps": self.microseconds,
            "close-time stamps shifted": self.shifted,
            "rows out of order": self.reordered,
            "duplicates dropped": self.duplicates,
            "conflicting rows, last kept": self.conflicts,
            "unreadable rows dropped": self.unreadable,
            "off-grid rows dropped": self.off_grid,
            "impossible rows dropped": self.impossible,
            "unfinished rows dropped": self.unfinished,
            "rows of the future dropped": self.future,
        }
        return {name: count for name, count in counts.items() if count}

    @property
    def remarks(self) -> list[str]:
        """The repairs and the missing candles, each in a few words."""
        parts = [f"{count(found)} {name}" for name, found in self.repairs.items()]
        if self.holes:
            shown = ", ".join(
                f"{iso(first)} to {iso(last)}" if first != last else iso(first)
                for first, last in self.holes[:3]
            )
            more = f" and {len(self.holes) - 3} more" if len(self.holes) > 3 else ""
            parts.append(
                f"{count(self.missing)} missing in {count(len(self.holes))} holes ({shown}{more})"
            )
        if self.cut:
            parts.append("the last line has no line end and may be cut")
        return parts

    def __repr__(self) -> str:
        return f"<RecordingReport {self}>"

    def _repr_html_(self) -> str:
        return card(
            self.path,
            lines(self.remarks),
            notes=f"{count(self.kept)} candles from {count(self.read)} rows",
            tone=Tone.WARN if self.remarks else Tone.GOOD,
        )

    def __str__(self) -> str:
        kept = f"{self.path}: {count(self.kept)} candles from {count(self.read)} rows"
        return "; ".join([kept, *self.remarks])


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The candles of one symbol and timeframe: parallel arrays, ascending, without duplicates."""

    symbol: str
    timeframe: str
    timestamp: NDArray[np.int64]
    open: NDArray[np.float64]
    high: NDArray[np.float64]
    low: NDArray[np.float64]
    close: NDArray[np.float64]
    volume: NDArray[np.float64]
    report: RecordingReport
    sha256: str
    """Of the file as stored on disk, in hex."""

    def __len__(self) -> int:
        return len(self.timestamp)
