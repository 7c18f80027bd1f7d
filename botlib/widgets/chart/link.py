"""The connection of a chart with its pages: numbered messages out, reports and requests in.

Messages may be sent from any thread, under one lock, so that their numbers are in order. Messages
of a page arrive on a thread of the kernel, and wait while a cell blocks.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from botlib.widgets.chart.scene import Scene

logger = logging.getLogger(__name__)

MOST_ROWS: Final = 400
"""Most rows of an update; more are sent as a new history."""

_RESEND_AFTER: Final = (1.0, 3.0, 8.0)
"""Seconds after a view was shown at which it receives a whole history if it has not answered.

A view that is created after the first updates misses them, and its request waits while a cell
blocks.
"""


class Listener(Protocol):
    """The receiver of a page's reports and requests."""

    def page_opened(self) -> None: ...

    def clicked(self, message: dict[str, Any]) -> None: ...

    def timeframe_chosen(self, timeframe: str) -> None: ...

    def older_requested(self, before: int, want: int) -> None: ...

    def screenshot_received(self, message: dict[str, Any], image: bytes | None) -> None: ...


class Link:
    """The connection of one chart with its views.

    Args:
        still: CSS class of the pictures that the page hides while it has a view.
    """

    def __init__(
        self, scene: Scene, lock: threading.RLock, listener: Listener, *, still: str
    ) -> None:
        self._scene = scene
        self._lock = lock
        self._listener = listener
        self._still = still
        self.model: Any = None
        self.seq = 0
        self.sent = 0
        """Number of messages with rows that were sent."""
        self._views: set[str] = set()
        self._seen = False
        self._shown_at = 0.0
        self._resent = len(_RESEND_AFTER)
        self._notice = ""

    @property
    def watched(self) -> bool:
        """Whether a page may show it, which is assumed until the first message of one."""
        return self.model is not None and (bool(self._views) or not self._seen)

    def show(self, height: int) -> dict[str, Any]:
        """Return the mime bundle of a view; the first one creates the model."""
        with self._lock:
            if self.model is None:
                from botlib.widgets.chart.widget import ChartWidget

                self.model = ChartWidget(
                    self.newest,
                    height=height,
                    spec=self._scene.spec(),
                    marks=self._scene.wire_marks(),
                    notice=self._notice,
                    still=self._still,
                )
                self.model.on_msg(self._receive)
            self._seen = bool(self._views)
            self._shown_at, self._resent = time.monotonic(), 0
            bundle = self.model._repr_mimebundle_()
        data: dict[str, Any] = bundle[0] if isinstance(bundle, tuple) else bundle
        return data

    def newest(self) -> dict[str, Any]:
        """Return the current window and its numbers, for a page that opens."""
        with self._lock:
            block, rows = self._scene.block(self._scene.start)
            return {"window": block, "window_info": {"rows": rows, **self._numbers()}}

    def update(self, since: int, taken: float) -> None:
        """Send the rows from an open time on.

        Args:
            since: ms.
            taken: when the first of them arrived, s since 1970.
        """
        with self._lock:
            if self._resend_due():
                self.history()
                return
            rows = self._scene.updates(since)
            if len(rows) > MOST_ROWS:
                self.history()
                return
            self.seq += 1
            self.sent += 1
            self._send(
                {
                    "type": "update",
                    "seq": self.seq,
                    "taken": round(taken * 1_000, 1),
                    "sent": round(time.time() * 1_000, 1),
                    "rows": rows,
                }
            )

    def history(self, view: str | None = None) -> None:
        """Send the newest window to one view, or to all.

        Sent to all it has a number of its own, so that a view that misses it notices.
        """
        with self._lock:
            scene = self._scene
            if view is None:
                self.seq += 1
            block, rows = scene.block(scene.start)
            self.sent += 1
            message = {"type": "history", "rows": rows, **self._numbers()}
            if view is not None:
                message["view"] = view
            else:
                scene.shown_from = None
            self._send(message, [block])

    def older(self, before: int, start: int, end: int) -> None:
        """Send rows before the oldest of a page.

        Args:
            before: open time of the oldest, ms.
            start: first row, counted among those that are shown.
            end: the row after the last.
        """
        with self._lock:
            block, rows = self._scene.block(start, end)
            more = start > 0 or not self._scene.rows.whole
            message = {"type": "older", "rows": rows, "more": more, "before": before / 1_000}
            self._send({**message, "spec": self._scene.version}, [block])

    def series(self) -> None:
        """Send the changed series and their values."""
        with self._lock:
            if self.model is not None:
                self.model.spec = self._scene.spec()
                self.history()

    def marks(self) -> None:
        """Send the changed marks."""
        with self._lock:
            if self.model is not None:
                self.model.marks = self._scene.wire_marks()

    def say(self, text: str) -> None:
        """Show a short text over the chart; an empty one removes it."""
        with self._lock:
            self._notice = text
            if self.model is not None:
                self.model.notice = text

    def request_screenshot(self, number: int) -> None:
        """Request a screenshot of a page."""
        self._send({"type": "shoot", "id": number})

    def replace_views(self, height: int) -> dict[str, Any]:
        """End the views, and return the mime bundle of the ones that replace them.

        The new views start with the newest window, since they may not be able to request it.
        """
        with self._lock:
            self._send({"type": "leave"})
            for name, value in self.newest().items():
                setattr(self.model, name, value)
            return self.show(height)

    def close(self) -> None:
        """End every view."""
        with self._lock:
            if self.model is not None:
                self.model.close()
            self.model = None
            self._views.clear()

    def _numbers(self) -> dict[str, Any]:
        scene = self._scene
        more = scene.start > 0 or not scene.rows.whole
        return {"seq": self.seq, "more": more, "spec": scene.version}

    def _resend_due(self) -> bool:
        if self._views or self._resent >= len(_RESEND_AFTER):
            return False
        if time.monotonic() - self._shown_at < _RESEND_AFTER[self._resent]:
            return False
        self._resent += 1
        return True

    def _send(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        with self._lock:
            if self.model is None:
                return
            try:
                self.model.send(content, buffers)
            except Exception:
                # The chart's data must not depend on a page.
                logger.warning("a message to the chart could not be sent", exc_info=True)

    # Messages of a page

    def _receive(self, _: object, message: dict[str, Any], buffers: list[Any]) -> None:
        try:
            self._take(message, buffers)
        except Exception:
            logger.exception("the chart could not answer %s", message.get("type"))

    def _take(self, message: dict[str, Any], buffers: list[Any]) -> None:
        kind, view = message.get("type"), str(message.get("view", ""))
        if kind == "ready":
            self._ready(view, message)
        elif kind == "resync":
            self.history(view or None)
        elif kind == "gone":
            with self._lock:
                self._views.discard(view)
        elif kind == "older":
            before = round(float(message["before"]) * 1_000)
            self._listener.older_requested(before, min(max(int(message["want"]), 1), 20_000))
        elif kind == "timeframe":
            self._listener.timeframe_chosen(str(message["timeframe"]))
        elif kind == "click":
            self._listener.clicked(message)
        elif kind == "shot":
            self._listener.screenshot_received(message, bytes(buffers[0]) if buffers else None)
        elif kind != "painted":
            logger.debug("the page sent a message of the unknown type %r", kind)

    def _ready(self, view: str, message: dict[str, Any]) -> None:
        with self._lock:
            self._views.add(view)
            self._seen = True
            self._listener.page_opened()
            if message.get("seq") != self.seq or message.get("spec") != self._scene.version:
                self.history(view or None)
