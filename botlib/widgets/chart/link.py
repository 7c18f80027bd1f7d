"""The way to the page: one model, its views, numbered messages, and what comes back.

Messages may be sent from any thread; all of them go out under one lock, so that their numbers are
in order. What the page sends arrives on a thread of the kernel, and waits while a cell blocks.
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
"""Rows an update carries; more are sent as a new history."""

_GREETINGS: Final = (1.0, 3.0, 8.0)
"""Seconds after it was shown at which a page that could not answer yet gets a whole history.

A view that is made after the first updates misses these, and cannot ask while a cell blocks.
"""


class Listener(Protocol):
    """Takes what the page asks for and reports."""

    def greeted(self) -> None: ...

    def clicked(self, message: dict[str, Any]) -> None: ...

    def asked_older(self, before: int, want: int) -> None: ...

    def shot(self, message: dict[str, Any], image: bytes | None) -> None: ...


class Link:
    """The connection of one chart with its views."""

    def __init__(self, scene: Scene, lock: threading.RLock, listener: Listener) -> None:
        self._scene = scene
        self._lock = lock
        self._listener = listener
        self.model: Any = None
        self.seq = 0
        self.sent = 0
        """Messages with rows that were sent."""
        self._views: set[str] = set()
        self._seen = False
        self._shown_at = 0.0
        self._greeted = len(_GREETINGS)
        self._notice = ""

    @property
    def watched(self) -> bool:
        """Whether a page may be looking: before its first word that is taken for granted."""
        return self.model is not None and (bool(self._views) or not self._seen)

    def show(self, height: int) -> dict[str, Any]:
        """Return the mime bundle of a view, opening the model for the first one."""
        with self._lock:
            if self.model is None:
                from botlib.widgets.chart.widget import ChartWidget

                self.model = ChartWidget(
                    self.newest,
                    height=height,
                    spec=self._scene.spec(),
                    marks=self._scene.wire_marks(),
                    notice=self._notice,
                )
                self.model.on_msg(self._receive)
            self._seen = bool(self._views)
            self._shown_at, self._greeted = time.monotonic(), 0
            bundle = self.model._repr_mimebundle_()
        data: dict[str, Any] = bundle[0] if isinstance(bundle, tuple) else bundle
        return data

    def newest(self) -> dict[str, Any]:
        """Return the window as it is now, with its numbers, for a page that opens."""
        with self._lock:
            block, rows = self._scene.block(self._scene.start)
            return {"window": block, "window_info": {"rows": rows, **self._numbers()}}

    def update(self, since: int, taken: float) -> None:
        """Send the rows from an open time (ms) on; ``taken`` is when the first was taken, s."""
        with self._lock:
            if self._greeting_due():
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
        """Send the newest window: to one view that asks for it, or to all.

        To all it counts as a message of its own, so that a view which misses it notices.
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
        """Send rows from before the oldest a page has, counted among those that are shown."""
        with self._lock:
            block, rows = self._scene.block(start, end)
            more = start > 0 or not self._scene.rows.whole
            message = {"type": "older", "rows": rows, "more": more, "before": before / 1_000}
            self._send({**message, "spec": self._scene.version}, [block])

    def series(self) -> None:
        """Send the series anew, and what they show."""
        with self._lock:
            if self.model is not None:
                self.model.spec = self._scene.spec()
                self.history()

    def marks(self) -> None:
        """Send the marks where they changed."""
        with self._lock:
            if self.model is not None:
                self.model.marks = self._scene.wire_marks()

    def say(self, text: str) -> None:
        """Show a short text over the chart; an empty one takes it away."""
        with self._lock:
            self._notice = text
            if self.model is not None:
                self.model.notice = text

    def shoot(self, number: int) -> None:
        """Ask a page for its picture."""
        self._send({"type": "shoot", "id": number})

    def leave(self, height: int) -> dict[str, Any]:
        """Let the views make way for others, and return the mime bundle of these.

        They begin with the newest window, since they may not be able to ask for it.
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

    def _greeting_due(self) -> bool:
        if self._views or self._greeted >= len(_GREETINGS):
            return False
        if time.monotonic() - self._shown_at < _GREETINGS[self._greeted]:
            return False
        self._greeted += 1
        return True

    def _send(self, content: dict[str, Any], buffers: list[bytes] | None = None) -> None:
        with self._lock:
            if self.model is None:
                return
            try:
                self.model.send(content, buffers)
            except Exception:
                # A page is not worth the data it shows: what feeds the chart goes on.
                logger.warning("a message to the chart could not be sent", exc_info=True)

    # What the page sends

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
            self._listener.asked_older(before, min(max(int(message["want"]), 1), 20_000))
        elif kind == "click":
            self._listener.clicked(message)
        elif kind == "shot":
            self._listener.shot(message, bytes(buffers[0]) if buffers else None)
        elif kind != "painted":
            logger.debug("the page sent %r, which means nothing here", kind)

    def _ready(self, view: str, message: dict[str, Any]) -> None:
        with self._lock:
            self._views.add(view)
            self._seen = True
            self._listener.greeted()
            if message.get("seq") != self.seq or message.get("spec") != self._scene.version:
                self.history(view or None)
