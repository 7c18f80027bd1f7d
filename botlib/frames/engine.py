"""The frames of every subscribed symbol and timeframe, kept as candles close."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from botlib.core.errors import InvalidInput
from botlib.core.timeframe import open_time, timeframe_ms
from botlib.frames.frame import Frames
from botlib.frames.resampling import CandleBuilder, Row, divides
from botlib.frames.window import CandleWindow
from botlib.indicators import Indicator, parse, warmup

if TYPE_CHECKING:
    import pandas as pd

    from botlib.core.model import Candle
    from botlib.indicators.columns import CandleColumns

_Key = tuple[str, str]


class MultiTimeframeEngine:
    """The newest closed candles of every symbol and timeframe, with their indicators.

    A timeframe is either streamed, so that its candles are passed to `update`, or built from those
    of a shorter one. Timeframes are joined by the time at which candles close.
    """

    def __init__(self) -> None:
        self._windows: dict[_Key, CandleWindow] = {}
        self._builders: dict[_Key, CandleBuilder] = {}

    def require(self, symbol: str, timeframe: str, rows: int, *, resample: bool = False) -> None:
        """Keep at least ``rows`` candles of a symbol and timeframe.

        Args:
            resample: build them from the longest timeframe kept that divides this one, unless it
                is streamed already. `depth` returns how much of that timeframe to load.

        Raises:
            InvalidInput: there is no such timeframe, or nothing to build it from.
        """
        key = (symbol, timeframe)
        timeframe_ms(timeframe)
        window = self._windows.get(key)
        if resample and (window is None or key in self._builders):
            self._build(key, rows)
            return
        if self._builders.pop(key, None) is not None and window is not None:
            window = window.emptied()  # from now on it is streamed
        self._windows[key] = (window or CandleWindow(timeframe, rows)).grow(rows)

    def forget(self, symbol: str, timeframe: str) -> None:
        """Drop the candles of a symbol and timeframe, and those built from them."""
        self._windows.pop((symbol, timeframe), None)
        self._builders.pop((symbol, timeframe), None)
        for key, builder in self._built_from(symbol, timeframe):
            builder.reset()
            self._windows[key] = self._windows[key].emptied()

    def depth(self, symbol: str, timeframe: str) -> int:
        """Return how many candles of a timeframe to load, so that all values from them are right.

        They fill its frame, the warm-up of its indicators, and the timeframes built from it.
        """
        window = self._windows.get((symbol, timeframe))
        if window is None:
            return 0
        needed = [window.rows]
        for indicator in window.tracked:
            needed.append(window.rows - 1 + self._warmup(indicator, timeframe))
        for (_, higher), _builder in self._built_from(symbol, timeframe):
            ratio = timeframe_ms(higher) // timeframe_ms(timeframe)
            # One more: the history may start in the middle of a candle.
            needed.append((self.depth(symbol, higher) + 1) * ratio)
        return max(needed)

    def load(self, candles: Iterable[Candle]) -> int:
        """Add stored history, ascending, and return how many candles were new."""
        taken = sum(self._take(candle) for candle in candles)
        for window in self._windows.values():
            window.follow()
        return taken

    def update(self, candle: Candle) -> bool:
        """Add a closed candle and return whether it was added.

        An old, repeated or unrequired candle is ignored.
        """
        taken = self._take(candle)
        if taken:
            self._windows[candle.symbol, candle.timeframe].follow()
            for key, _ in self._built_from(candle.symbol, candle.timeframe):
                self._windows[key].follow()
        return taken

    def indicators(
        self, symbol: str, timeframe: str, spec: str | Indicator
    ) -> pd.Series | pd.DataFrame:
        """Return an indicator over the candles kept, and keep it up to date from now on.

        A value is the same as over all history once `botlib.indicators.warmup` candles precede
        it; `depth` includes them.

        Returns:
            float64, one row per candle kept, on their open times: a Series, or a DataFrame if the
            indicator gives several columns. NaN before there are enough candles.

        Raises:
            InvalidInput: the specification is not accepted, the indicator depends on all history,
                or no candles of the symbol and timeframe are kept.
        """
        window = self._window(symbol, timeframe)
        indicator = parse(spec)
        window.track(indicator)
        window.follow()
        return window.indicator(indicator)

    def last_open(self, symbol: str, timeframe: str) -> int | None:
        """Return the open time (ms) of the newest candle, None before the first."""
        window = self._windows.get((symbol, timeframe))
        return window.last_open if window else None

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
        """Return whether every higher candle that had closed with a trading candle has arrived.

        Args:
            timeframes: the trading one first.
            timestamp: open time of the trading candle, ms.
        """
        closed_at = timestamp + timeframe_ms(timeframes[0])
        trading = self._windows.get((symbol, timeframes[0]))
        if trading is None:
            return False
        for name in timeframes[1:]:
            builder = self._builders.get((symbol, name))
            # A built candle arrives with the last one of its base.
            timeframe = builder.base if builder else name
            # A higher candle exists if it contains a trading candle; in a halt there is none.
            before = trading.last_before(open_time(closed_at, timeframe))
            last = self.last_open(symbol, timeframe)
            if before is not None and (last is None or last < open_time(before, timeframe)):
                return False
        return True

    def frames(self, symbol: str, timeframes: tuple[str, ...], timestamp: int) -> Frames:
        """Return the frames at the moment when the trading candle of ``timestamp`` closed.

        Args:
            timeframes: the trading one first.
            timestamp: open time of the trading candle, ms.

        Raises:
            InvalidInput: no candles of a timeframe are kept.
        """
        closed_at = timestamp + timeframe_ms(timeframes[0])
        found: dict[str, CandleColumns] = {}
        for timeframe in timeframes:
            window = self._window(symbol, timeframe)
            builder = self._builders.get((symbol, timeframe))
            if builder and self.complete(symbol, (timeframes[0], timeframe), timestamp):
                # In a halt its last base candles are missing, so that no candle completes it.
                self._extend(window, builder.close(closed_at))
            found[timeframe] = window.columns(closed_at - timeframe_ms(timeframe))
        return Frames.of(symbol, found)

    def _window(self, symbol: str, timeframe: str) -> CandleWindow:
        window = self._windows.get((symbol, timeframe))
        if window is None:
            raise InvalidInput(
                f"No candles of {symbol} {timeframe} are kept. Subscribe to them first."
            )
        return window

    def _build(self, key: _Key, rows: int) -> None:
        symbol, timeframe = key
        if key in self._builders:
            self._windows[key] = self._windows[key].grow(rows)
            return
        streamed = [
            name
            for kept, name in self._windows
            if kept == symbol and (kept, name) not in self._builders and divides(name, timeframe)
        ]
        if not streamed:
            raise InvalidInput(
                f"There is nothing to build {symbol} {timeframe} from. "
                "Subscribe to a shorter timeframe of which it is a multiple, such as 1m."
            )
        builder = CandleBuilder(max(streamed, key=timeframe_ms), timeframe)
        self._builders[key] = builder
        self._windows[key] = CandleWindow(timeframe, rows)
        base = self._windows[symbol, builder.base]
        for timestamp, row in zip(
            base.timestamps[: base.size].tolist(), base.values[: base.size].tolist(), strict=True
        ):
            self._extend(self._windows[key], builder.take(timestamp, row))

    def _built_from(self, symbol: str, timeframe: str) -> list[tuple[_Key, CandleBuilder]]:
        return [
            (key, builder)
            for key, builder in self._builders.items()
            if key[0] == symbol and builder.base == timeframe
        ]

    def _take(self, candle: Candle) -> bool:
        key = (candle.symbol, candle.timeframe)
        window = self._windows.get(key)
        if window is None or key in self._builders:
            return False
        row: Row = (candle.open, candle.high, candle.low, candle.close, candle.volume)
        if not window.append(candle.timestamp, row):
            return False
        for built, builder in self._built_from(*key):
            self._extend(self._windows[built], builder.take(candle.timestamp, row))
        return True

    @staticmethod
    def _extend(window: CandleWindow, finished: list[tuple[int, Row]]) -> None:
        for timestamp, row in finished:
            window.append(timestamp, row)

    @staticmethod
    def _warmup(indicator: Indicator, timeframe: str) -> int:
        try:
            return warmup(indicator, timeframe=timeframe)
        except InvalidInput:
            return 1  # it adds up from its first candle, whichever that is
