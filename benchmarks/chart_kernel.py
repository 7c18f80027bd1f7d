"""The code that the chart benchmark runs in a notebook: a market, and updates at a rate."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd

import botlib as bl
from botlib.core.model import CandleSource
from botlib.indicators import compute, parse

MINUTE = 60_000
OVERLAYS = ["ema(20)", "bbands(20, 2)"]
PANES = ["rsi(14)", "macd(12, 26, 9)"]
"""Together with candles and volume they are four panes and 13 columns of values."""


def market(rows: int) -> pd.DataFrame:
    """Return one-minute candles of a random walk."""
    chance = np.random.default_rng(1)
    close = np.round(60_000 * np.exp(np.cumsum(chance.normal(scale=8e-4, size=rows))), 2)
    first = np.concatenate([close[:1], close[:-1]])
    columns = {
        "open": first,
        "high": np.maximum(first, close) + 9,
        "low": np.minimum(first, close) - 9,
        "close": close,
        "volume": np.round(np.abs(chance.normal(size=rows)) * 10, 3),
    }
    times = pd.date_range("2026-01-05", periods=rows, freq="1min", unit="ms", name="timestamp")
    return pd.DataFrame(columns, index=times)


def prices(frame: pd.DataFrame, per_candle: int) -> Iterator[tuple[int, float, bool]]:
    """Yield updates: open time (ms), price, and whether the candle closed."""
    chance = np.random.default_rng(2)
    last = int(frame.index[-1].timestamp() * 1_000)
    price = float(frame["close"].iloc[-1])
    number = 0
    while True:
        number += 1
        candle, place = divmod(number - 1, per_candle)
        price = round(price * (1 + float(chance.normal(scale=1e-4))), 2)
        yield last + (candle + 1) * MINUTE, price, place == per_candle - 1


class Kit:
    """A chart of botlib."""

    def __init__(self, frame: pd.DataFrame) -> None:
        self.shown: Any = bl.chart(frame, overlays=OVERLAYS, panes=PANES, height=560)
        self._opened = 0.0, 0.0, 0.0

    def update(self, timestamp: int, price: float, closed: bool) -> None:
        first, high, low = self._opened
        if not first:
            first, high, low = price, price, price
        high, low = max(high, price), min(low, price)
        self._opened = (0.0, 0.0, 0.0) if closed else (first, high, low)
        self.show(
            bl.Candle(
                symbol="BTC/USDT",
                timeframe="1m",
                timestamp=timestamp,
                open=first,
                high=high,
                low=low,
                close=price,
                volume=1.0,
                closed=closed,
                source=CandleSource.STREAM,
            )
        )

    def show(self, candle: bl.Candle) -> None:
        self.shown.update(candle)


class Each(Kit):
    """A chart of botlib that sends every update separately."""

    def show(self, candle: bl.Candle) -> None:
        self.shown.take(candle)
        self.shown.flush()


class Idle(Kit):
    """No chart: the cost of the updates themselves."""

    def __init__(self) -> None:
        self._opened = 0.0, 0.0, 0.0

    def show(self, candle: bl.Candle) -> None:
        pass


class Plotly:
    """The same chart as plotly's FigureWidget, the last value of every trace changing."""

    def __init__(self, frame: pd.DataFrame) -> None:
        import plotly.graph_objects as go
        from plotly.subplots import make_subplots

        figure = make_subplots(rows=4, cols=1, shared_xaxes=True)
        bars = {name: frame[name] for name in ("open", "high", "low", "close")}
        figure.add_trace(go.Candlestick(x=frame.index, **bars), row=1, col=1)
        figure.add_trace(go.Bar(x=frame.index, y=frame["volume"]), row=2, col=1)
        for row, specs in ((1, OVERLAYS), (3, PANES[:1]), (4, PANES[1:])):
            for spec in specs:
                values = compute(parse(spec), frame)
                for _, column in pd.DataFrame(values).items():
                    figure.add_trace(go.Scatter(x=frame.index, y=column), row=row, col=1)
        figure.update_layout(height=560, xaxis_rangeslider_visible=False, title_text="0")
        self.shown = go.FigureWidget(figure)

    def update(self, timestamp: int, price: float, closed: bool) -> None:
        figure = self.shown
        with figure.batch_update():
            figure.data[0].close = np.append(figure.data[0].close[:-1], price)
            for trace in figure.data[1:]:
                trace.y = np.append(trace.y[:-1], price)
            # The page computes the lag from it.
            figure.layout.title.text = str(time.time() * 1_000)


class Feed:
    """A thread that updates a chart at a rate."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self.figures: dict[str, Any] = {}

    def start(
        self, drawn: Kit | Plotly, frame: pd.DataFrame, rate: float, count: int, per_candle: int
    ) -> None:
        """Start; ``rate`` is in updates per second, 0 is as fast as possible."""
        stream = prices(frame, per_candle)

        def work() -> None:
            began, spent = time.perf_counter(), time.process_time()
            for number in range(count):
                if rate:
                    time.sleep(max(0.0, began + number / rate - time.perf_counter()))
                drawn.update(*next(stream))
            self.figures = {
                "seconds": time.perf_counter() - began,
                "cpu_ms": 1_000 * (time.process_time() - spent) / count,
            }

        self._thread = threading.Thread(target=work, daemon=True)
        self._thread.start()

    def end(self) -> str:
        """Wait for the last update and return the figures as JSON."""
        assert self._thread is not None
        self._thread.join()
        return json.dumps(self.figures)


def busy_tasks(bot: Any, count: int, rate: float) -> None:
    """Register tasks that run ``rate`` times a second each."""

    def make(number: int) -> Callable[[], Any]:
        async def work() -> None:
            return None

        work.__name__ = f"task_{number}"
        return work

    for number in range(count):
        bot.task(interval=1 / rate)(make(number))
