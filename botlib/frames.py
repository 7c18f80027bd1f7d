"""Candle frames as strategies see them, one timeframe or several.

A candle frame is a pandas DataFrame: one row per closed candle, ascending, columns
``open high low close volume`` (float64), index ``timestamp``: the open time as tz-naive UTC
``datetime64[ms]``. Candles of a higher timeframe are visible from the moment they closed, never
before, whichever timeframe asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from botlib.errors import InvalidInput
from botlib.indicators import Indicator, compute, parse
from botlib.timeframe import open_time, timeframe_ms

if TYPE_CHECKING:
    import pandas as pd

    from botlib.model import Candle

COLUMNS: Final = ("open", "high", "low", "close", "volume")


def candle_frame(timestamps: npt.ArrayLike, values: npt.ArrayLike) -> pd.DataFrame:
    """Build a candle frame.

    Args:
        timestamps: n open times, int ms UTC, ascending.
        values: n rows of open, high, low, close, volume.
    """
    import pandas as pd

    index = pd.DatetimeIndex(
        np.asarray(timestamps, dtype=np.int64).astype("datetime64[ms]"), name="timestamp"
    )
    array = np.asarray(values, dtype=np.float64).reshape(len(index), len(COLUMNS))
    return pd.DataFrame(array, index=index, columns=list(COLUMNS))


class Frames(Mapping[str, "pd.DataFrame"]):
    """The frames of one symbol as of one moment: what a strategy may look at.

    ``data["4h"]`` is the frame of a timeframe; `frame` is the trading one, the first of
    `timeframes`. No candle in any of them closes after the last one of the trading frame.
    """

    def __init__(self, symbol: str, frames: Mapping[str, pd.DataFrame]) -> None:
        self.symbol = symbol
        self._frames = dict(frames)
        self._indicators: dict[tuple[str, Indicator], pd.Series | pd.DataFrame] = {}

    @property
    def timeframes(self) -> tuple[str, ...]:
        """The timeframes, the trading one first."""
        return tuple(self._frames)

    @property
    def frame(self) -> pd.DataFrame:
        """The frame of the trading timeframe."""
        return self._frames[self.timeframes[0]]

    def indicator(
        self, spec: str | Indicator, timeframe: str | None = None
    ) -> pd.Series | pd.DataFrame:
        """Return an indicator over the frame of a timeframe, the trading one where none is named.

        Each distinct indicator is computed once for as long as this object lives.

        Args:
            spec: such as ``"ema(20)"``, ``"bbands(20, 2)"`` or ``"sma(10, source=high)"``.

        Returns:
            float64 on the index of that timeframe's frame, NaN before the first value: a Series, or
            a DataFrame where the indicator gives several columns. `align` brings one of a higher
            timeframe onto the trading frame.

        Raises:
            InvalidInput: the specification or the timeframe is not accepted.
        """
        key = (timeframe or self.timeframes[0], parse(spec))
        found = self._indicators.get(key)
        if found is None:
            found = self._indicators[key] = compute(key[1], self[key[0]])
        # Shallow: with pandas' copy-on-write, what a caller does to it stays with the caller.
        return found.copy(deep=False)

    def align(self, values: pd.Series, timeframe: str) -> pd.Series:
        """Bring values of a higher timeframe onto the trading frame, by close time.

        Args:
            values: one value per candle of ``timeframe``, indexed by its open time.

        Returns:
            One value per candle of the trading frame: that of the newest candle of ``timeframe``
            which had closed when the trading candle closed; NaN before the first one.
        """
        import pandas as pd

        base = self.frame.index
        closes = _open_times(base) + timeframe_ms(self.timeframes[0])
        known = _open_times(values.index) + timeframe_ms(timeframe)
        place = np.searchsorted(known, closes, side="right") - 1
        picked = values.to_numpy(dtype=float)[np.maximum(place, 0)] if len(values) else np.nan
        return pd.Series(np.where(place >= 0, picked, np.nan), index=base, name=values.name)

    def __getitem__(self, timeframe: str) -> pd.DataFrame:
        try:
            return self._frames[timeframe]
        except KeyError:
            raise InvalidInput(
                f"No frame for {timeframe!r}: this strategy sees {', '.join(self.timeframes)}. "
                "Add it to the strategy's timeframes."
            ) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._frames)

    def __len__(self) -> int:
        return len(self._frames)


def _open_times(index: pd.Index) -> npt.NDArray[np.int64]:
    return np.asarray(index, dtype="datetime64[ms]").astype(np.int64)


class _Window:
    """The newest closed candles of one symbol and timeframe, in arrays that are refilled rarely."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.size = 0
        self.timestamps = np.empty(2 * rows, dtype=np.int64)
        self.values = np.empty((2 * rows, len(COLUMNS)), dtype=np.float64)

    def append(self, candle: Candle) -> bool:
        if self.size and candle.timestamp <= self.timestamps[self.size - 1]:
            return False
        if self.size == len(self.timestamps):
            keep = self.rows
            self.timestamps[:keep] = self.timestamps[-keep:]
            self.values[:keep] = self.values[-keep:]
            self.size = keep
        self.timestamps[self.size] = candle.timestamp
        self.values[self.size] = (
            candle.open,
            candle.high,
            candle.low,
            candle.close,
            candle.volume,
        )
        self.size += 1
        return True

    def last_before(self, timestamp: int) -> int | None:
        end = int(np.searchsorted(self.timestamps[: self.size], timestamp, side="left"))
        return int(self.timestamps[end - 1]) if end else None

    def grow(self, rows: int) -> _Window:
        if rows <= self.rows:
            return self
        larger = _Window(rows)
        larger.size = self.size
        larger.timestamps[: self.size] = self.timestamps[: self.size]
        larger.values[: self.size] = self.values[: self.size]
        return larger

    def frame(self, last_open: int) -> pd.DataFrame:
        end = int(np.searchsorted(self.timestamps[: self.size], last_open, side="right"))
        start = max(0, end - self.rows)
        return candle_frame(self.timestamps[start:end], self.values[start:end])


class MultiTimeframeEngine:
    """Keeps the newest closed candles of every subscribed symbol and timeframe, ready as frames."""

    def __init__(self) -> None:
        self._windows: dict[tuple[str, str], _Window] = {}

    def require(self, symbol: str, timeframe: str, rows: int) -> None:
        """Keep at least ``rows`` candles of a symbol and timeframe."""
        key = (symbol, timeframe)
        timeframe_ms(timeframe)
        self._windows[key] = self._windows.get(key, _Window(rows)).grow(rows)

    def forget(self, symbol: str, timeframe: str) -> None:
        """Drop what is kept of a symbol and timeframe."""
        self._windows.pop((symbol, timeframe), None)

    def load(self, candles: Iterable[Candle]) -> int:
        """Take stored history, ascending; return how many candles were new."""
        return sum(self.update(candle) for candle in candles)

    def update(self, candle: Candle) -> bool:
        """Take a closed candle; an old, repeated or unrequired one changes nothing (False)."""
        window = self._windows.get((candle.symbol, candle.timeframe))
        return window is not None and window.append(candle)

    def last_open(self, symbol: str, timeframe: str) -> int | None:
        """Return the open time (ms) of the newest candle, None before the first."""
        window = self._windows.get((symbol, timeframe))
        return int(window.timestamps[window.size - 1]) if window and window.size else None

    def last_close(self, symbol: str) -> float | None:
        """Return the price at which the newest candle of any timeframe closed."""
        newest: tuple[int, float] | None = None
        for (name, timeframe), window in self._windows.items():
            if name == symbol and window.size:
                closed = int(window.timestamps[window.size - 1]) + timeframe_ms(timeframe)
                if newest is None or closed > newest[0]:
                    newest = (closed, float(window.values[window.size - 1, 3]))
        return newest[1] if newest else None

    def complete(self, symbol: str, timeframes: tuple[str, ...], timestamp: int) -> bool:
        """Tell whether every higher candle that had closed with a trading candle has arrived.

        Args:
            timeframes: the trading one first.
            timestamp: open time of the trading candle, ms.
        """
        closed_at = timestamp + timeframe_ms(timeframes[0])
        base = self._windows.get((symbol, timeframes[0]))
        if base is None:
            return False
        for timeframe in timeframes[1:]:
            # A higher candle exists where a trading candle lies in it; in a halt there is none.
            before = base.last_before(open_time(closed_at, timeframe))
            last = self.last_open(symbol, timeframe)
            if before is not None and (last is None or last < open_time(before, timeframe)):
                return False
        return True

    def frames(self, symbol: str, timeframes: tuple[str, ...], timestamp: int) -> Frames:
        """Return what was known when the trading candle that opened at ``timestamp`` closed."""
        closed_at = timestamp + timeframe_ms(timeframes[0])
        found: dict[str, pd.DataFrame] = {}
        for timeframe in timeframes:
            window = self._windows.get((symbol, timeframe))
            if window is None:
                raise InvalidInput(
                    f"No candles of {symbol} {timeframe} are kept. Subscribe to them first."
                )
            found[timeframe] = window.frame(closed_at - timeframe_ms(timeframe))
        return Frames(symbol, found)
