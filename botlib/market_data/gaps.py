"""The judge of the venue's answers about missing candles, for streams and downloads alike.

An answer lists the candles that a venue has. A candle that the answer lacks may be absent at the
venue for ever, or may be missing only because the answer came from a copy of the venue's data that
lags behind. `judge_answer` decides between the two.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from botlib.core.model import Candle
from botlib.core.timeframe import DAY, is_open_time, timeframe_ms
from botlib.store.holes import Run
from botlib.venues.base import Exchange

ABSENT: Final = "absent at the venue"
"""The cause with which holes are stored that an answer proves."""

PROOF_AGE: Final = DAY
"""Age in ms of a closed candle from which its absence alone counts as proof."""

LAG: Final = 10_000
"""Longest time in ms for which a copy of the venue's data lags behind."""

ATTEMPTS: Final = 4
"""How often the same candles are requested before an answer is taken as final."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What one answer of the venue proves."""

    until: int
    """Open time in ms up to which the answer is complete."""
    candles: list[Candle]
    """The closed candles up to there, oldest first, none of them off the timeframe's grid."""
    holes: list[Run]
    """The runs of open times up to there without a candle, as (first, last) in ms."""
    again: bool
    """Whether candles are left that the same request may bring a moment later."""


async def fetch_answer(
    exchange: Exchange, symbol: str, timeframe: str, start: int, end: int, *, now: int
) -> list[Candle]:
    """Fetch one page of candles to be judged, oldest first.

    The candle after ``end`` is requested too, closed or not: an answer that has it is up to date.

    Args:
        exchange: the venue.
        symbol: in unified form.
        timeframe: one of `botlib.core.timeframe.TIMEFRAMES`.
        start: first open time of interest, ms.
        end: last open time of interest, ms.
        now: market time in ms.

    Raises:
        ExchangeUnavailable: the venue cannot be reached.
    """
    return await exchange.fetch_candles(
        symbol,
        timeframe,
        start,
        end + timeframe_ms(timeframe),
        now=now,
        limit=exchange.capabilities.candles_per_page,
        forming=True,
    )


def judge_answer(
    rows: Sequence[Candle],
    start: int,
    end: int,
    timeframe: str,
    *,
    now: int,
    page: int,
    evident: bool = False,
    final: bool = False,
) -> Judgement:
    """Judge an answer to `fetch_answer`.

    An answer with a candle after ``end`` is complete. In a shorter one the last candle may be a
    copy from before its close, unless it closed more than `LAG` ago, and absent candles are proven
    only if they closed more than `PROOF_AGE` ago.

    Args:
        rows: the answer, oldest first.
        start: first open time that was requested, ms.
        end: last open time of interest, ms; its candle has closed.
        timeframe: of the candles.
        now: market time in ms at the request.
        page: most candles in one answer.
        evident: whether the venue is known to have a later candle, so that it did not halt.
        final: whether the request was repeated often enough: the answer does not lag.
    """
    length = timeframe_ms(timeframe)
    # Around the halts of 2017 and 2018 some candles open off the grid.
    sound = on_grid(rows)
    reached = start - length
    if rows:
        reached = rows[-1].timestamp - (rows[-1].timestamp - start) % length
    if reached > end:
        until, again = end, False
    elif len(rows) >= page:
        # The last candle is requested once more, since it may be the newest one.
        until, again = reached - length, True
    else:
        settled = final or not _may_lag(reached + length, now)
        certain = reached if not rows or (rows[-1].closed and settled) else reached - length
        recent = max(0, -((now - PROOF_AGE - length - end) // length))
        proven = end if evident and final else end - recent * length
        until = max(certain, proven)
        again = until < end and not final and (evident or _may_lag(end + length, now))
    open_rows = [row.timestamp for row in sound if not row.closed and row.timestamp <= until]
    if open_rows:
        until = open_rows[0] - length
    candles = [row for row in sound if start <= row.timestamp <= until]
    holes = absent((row.timestamp for row in candles), start, until, length)
    return Judgement(until=until, candles=candles, holes=holes, again=again)


def on_grid(rows: Iterable[Candle]) -> list[Candle]:
    """Return the candles that open at a time at which their timeframe has one."""
    return [row for row in rows if is_open_time(row.timestamp, row.timeframe)]


def absent(times: Iterable[int], start: int, end: int, length: int) -> list[Run]:
    """Return the runs of open times from ``start`` to ``end`` that are not in ``times``.

    Args:
        times: open times in ms, ascending.
        start: first open time, ms.
        end: last open time, ms.
        length: of a candle, ms.
    """
    runs = []
    for timestamp in times:
        if timestamp > start:
            runs.append((start, timestamp - length))
        start = timestamp + length
    return [*runs, (start, end)] if start <= end else runs


def _may_lag(close_time: int, now: int) -> bool:
    return now - close_time < LAG
