"""`clean`: checks the rows of a candle file, repairs some and drops others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from botlib.core.errors import RecordingError
from botlib.core.timeframe import WEEK, open_time, timeframe_ms
from botlib.store.files.report import ACCEPTED, MAX_BAD_SHARE, RecordingReport
from botlib.store.files.rows import CandleRows

# Nothing was traded before 2009; microseconds of any later date are above 1e14 and ms far below.
_EARLIEST: Final = 1_230_768_000_000
_LATEST: Final = 4_102_444_800_000
_MICROSECONDS: Final = 100_000_000_000_000


def clean(
    path: Path,
    timeframe: str,
    rows: CandleRows,
    belongs: NDArray[np.bool_],
    *,
    now: int | None,
    written: int,
) -> tuple[NDArray[np.int64], list[NDArray[np.float64]], RecordingReport]:
    """Return the sound rows in order, without duplicates, and a report about the others.

    Args:
        path: of the file, for messages.
        timeframe: of all rows.
        rows: as read.
        belongs: which of them are of this symbol and timeframe.
        now: the time in ms, or None if every candle counts as final.
        written: time of the last write to the file, ms.

    Raises:
        RecordingError: too many rows cannot be used.
    """
    length = timeframe_ms(timeframe)
    origin = open_time(WEEK, timeframe)
    micro = rows.timestamp >= _MICROSECONDS
    times = np.where(micro, rows.timestamp // 1000, rows.timestamp)
    o, h, low, c, v = rows.values
    readable = belongs & (times >= _EARLIEST) & (times <= _LATEST)
    readable &= ~np.isnan(np.stack(rows.values)).any(axis=0)
    at_close = readable & ((times + 1 - origin) % length == 0)
    times = np.where(at_close, times + 1 - length, times)
    on_grid = readable & ((times - origin) % length == 0)
    possible = (low > 0) & (low <= np.minimum(o, c)) & (np.maximum(o, c) <= h) & (v >= 0)
    sound = on_grid & possible & np.isfinite(h) & np.isfinite(v)
    future, forming = _not_final(times, sound, length, now, written)
    usable = sound & ~future & ~forming
    read = len(times) + rows.broken + rows.unfinished
    report = RecordingReport(
        path=str(path),
        read=read,
        kept=int(usable.sum()),
        microseconds=int((micro & usable).sum()),
        shifted=int((at_close & usable).sum()),
        unreadable=rows.broken + int((~readable).sum()),
        off_grid=int((readable & ~on_grid).sum()),
        impossible=int((on_grid & ~sound).sum()),
        unfinished=rows.unfinished + int(forming.sum()),
        future=int(future.sum()),
    )
    bad = read - report.kept - report.unfinished
    if bad > MAX_BAD_SHARE * read or not report.kept:
        raise RecordingError(
            f"{str(path)!r} is refused: {read - report.kept} of {read} rows cannot be used as "
            f"{timeframe} candles ({report.unreadable} unreadable, {report.off_grid} at a time no "
            f"candle opens, {report.impossible} impossible, {report.unfinished} unfinished, "
            f"{report.future} in the future); at most {MAX_BAD_SHARE:.0%} is repaired. {ACCEPTED}"
        )
    times, values = times[usable], [value[usable] for value in rows.values]
    order, keep, duplicates, conflicts = _unique(times, values)
    reordered = int(np.count_nonzero(np.diff(times) < 0))
    times, values = times[order][keep], [value[order][keep] for value in values]
    steps = np.diff(times)
    if len(times) > 2 and steps.min() > length:
        raise RecordingError(
            f"{str(path)!r} is said to hold {timeframe} candles, but they are at least "
            f"{steps.min() // 1000} s apart. Correct its name or its timeframe column."
        )
    gaps = np.flatnonzero(steps > length)
    return (
        times,
        values,
        replace(
            report,
            kept=len(times),
            reordered=reordered,
            duplicates=duplicates,
            conflicts=conflicts,
            holes=tuple((int(times[i]) + length, int(times[i + 1]) - length) for i in gaps),
            missing=int((steps[gaps] // length - 1).sum()),
        ),
    )


def _not_final(
    times: NDArray[np.int64],
    sound: NDArray[np.bool_],
    length: int,
    now: int | None,
    written: int,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return masks of the candles that had not opened yet, and of those that still formed."""
    if now is None or not sound.any():
        nothing = np.zeros(len(times), np.bool_)
        return nothing, nothing
    future = sound & (times > now)
    forming = sound & ~future & (times + length > now)
    newest = times[sound].max()
    # A copy or a download may have any date: only one inside the last candle is significant.
    if newest <= written < newest + length:
        forming |= sound & ~future & (times == newest)
    return future, forming


def _unique(
    times: NDArray[np.int64], values: list[NDArray[np.float64]]
) -> tuple[NDArray[np.intp], NDArray[np.bool_], int, int]:
    """Return the order by time, the rows of it to keep, and the counts of repeats and conflicts."""
    order = np.argsort(times, kind="stable")
    same_time = np.diff(times[order]) == 0
    keep = np.append(~same_time, True)
    # Every dropped row is compared with the one that is kept: the last in the file of its time.
    kept = np.flatnonzero(keep)[np.searchsorted(np.flatnonzero(keep), np.flatnonzero(~keep))]
    dropped = np.flatnonzero(~keep)
    equal = np.ones(len(dropped), np.bool_)
    for value in values:
        equal &= value[order][dropped] == value[order][kept]
    return order, keep, int(equal.sum()), int((~equal).sum())
