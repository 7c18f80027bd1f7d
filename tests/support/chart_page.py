"""A page without a browser, which applies the messages of a chart as the protocol prescribes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from comm.base_comm import BaseComm

from botlib.frames.frame import candle_frame
from botlib.widgets.chart import Chart

Floats = npt.NDArray[np.float64]

START = 1_767_571_200_000
"""2026-01-05, a Monday; ms."""

MINUTE = 60_000

Shown = list[tuple[str, str, dict[str, Any]]]
"""Displays: ``display`` or ``update``, the display's id, the bundle."""


class Wire(BaseComm):  # type: ignore[misc]
    """A comm that records every message in the order of sending."""

    def __init__(self, **keys: Any) -> None:
        self.log: list[tuple[str, dict[str, Any], list[bytes]]] = []
        super().__init__(**keys)

    def publish_msg(
        self,
        msg_type: str,
        data: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
        buffers: list[bytes] | None = None,
        **keys: Any,
    ) -> None:
        self.log.append((msg_type, dict(data or {}), list(buffers or [])))


class Page:
    """One view of a chart, fed from the messages of its comm.

    ``lose`` are the places of custom messages that never arrive.
    """

    def __init__(self, chart: Chart, wire: Wire, *, name: str = "view", lose: Any = ()) -> None:
        self.chart, self.wire, self.name = chart, wire, name
        self.lose = frozenset(lose)
        self.rows: dict[float, list[float]] = {}
        self.spec: dict[str, Any] = {}
        self.marks: dict[str, Any] = {}
        self.notice = ""
        self.seq = -1
        self.drawn = 0
        self.whole = False
        """Version of the series of the rows."""
        self.gaps = 0
        self.more = False
        self.types: list[str] = []
        self._read = 0
        self._custom = 0
        self._opened = False

    def pump(self) -> Page:
        """Apply every message that has arrived since the last call."""
        while self._read < len(self.wire.log):
            kind, data, buffers = self.wire.log[self._read]
            self._read += 1
            if kind == "comm_open":
                self._open(data, buffers)
            elif data.get("method") == "update":
                self._state(data["state"])
            elif data.get("method") == "custom":
                self._custom += 1
                if self._custom not in self.lose:
                    self._apply(data["content"], buffers)
        return self

    def say(self, **message: Any) -> None:
        """Send a message to the kernel, as the page does."""
        buffers = message.pop("buffers", [])
        self.chart.model._handle_custom_msg({"view": self.name, **message}, buffers)

    def ready(self) -> Page:
        self.pump()
        self.say(type="ready", seq=self.seq, spec=self.spec.get("version"))
        return self.pump()

    def table(self) -> Floats:
        """Return the drawn rows, without those of missing candles."""
        rows = [self.rows[moment] for moment in sorted(self.rows)]
        return np.array([row for row in rows if not math.isnan(row[4])])

    def _open(self, data: dict[str, Any], buffers: list[bytes]) -> None:
        state = data["state"]
        if state.get("_model_name") != "AnyModel":
            return
        self._state(state)
        window = bytes(buffers[[path == ["window"] for path in data["buffer_paths"]].index(True)])
        self._replace(window, state["window_info"])

    def _state(self, state: dict[str, Any]) -> None:
        self.spec = state.get("spec", self.spec)
        self.marks = state.get("marks", self.marks)
        self.notice = state.get("notice", self.notice)

    def _apply(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        self.types.append(message["type"])
        if message["type"] == "history" and message.get("view", self.name) == self.name:
            self._replace(bytes(buffers[0]), message)
        elif message["type"] == "older":
            if message["before"] == min(self.rows):
                self.more = message["more"]
                for row in self._block(bytes(buffers[0]), message["rows"]):
                    self.rows[row[0]] = row
        elif message["type"] == "update":
            fits = self.drawn == self.spec["version"]
            fits = fits and len(message["rows"][0]) == self._columns()
            if message["seq"] != self.seq + 1 or not fits:
                self.gaps += 1
                self.whole = False
            if not self.whole:  # it repeats the request until it is answered
                self.say(type="resync", have=self.seq, got=message["seq"])
            self.seq = max(self.seq, message["seq"])
            for row in message["rows"] if fits else ():
                self.rows[row[0]] = [math.nan if one is None else one for one in row]

    def _replace(self, window: bytes, info: dict[str, Any]) -> None:
        if info["spec"] != self.spec["version"]:
            return
        self.rows = {row[0]: row for row in self._block(window, info["rows"])}
        self.seq, self.more, self.drawn = info["seq"], info["more"], info["spec"]
        self.whole = True

    def _columns(self) -> int:
        return 1 + sum(4 if one["kind"] == "candles" else 1 for one in self.spec["series"])

    def _block(self, block: bytes, rows: int) -> list[list[float]]:
        columns = self._columns()
        assert len(block) == rows * columns * 8
        table: list[list[float]] = np.frombuffer(block, "<f8").reshape(columns, rows).T.tolist()
        return table


def view(chart: Chart, **settings: Any) -> Page:
    """Return a page that opened the chart."""
    return Page(chart, chart.model.comm, **settings).pump()


def market(rows: int, *, step: int = MINUTE, seed: int = 1) -> Any:
    """Return a candle frame of a synthetic market."""
    random = np.random.default_rng(seed)
    close = 60_000 * np.exp(np.cumsum(random.normal(scale=8e-4, size=rows)))
    first = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(first, close) * (1 + abs(random.normal(scale=4e-4, size=rows)))
    low = np.minimum(first, close) * (1 - abs(random.normal(scale=4e-4, size=rows)))
    volume = abs(random.normal(size=rows)) * 10
    values = np.round(np.column_stack([first, high, low, close, volume]), 2)
    return candle_frame(START + np.arange(rows) * step, values)
