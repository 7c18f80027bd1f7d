"""`Dashboard`: shows states in a page or as a picture, and passes on the requests of the page."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, get_args

from botlib.core.errors import InvalidInput
from botlib.widgets.dashboard.delta import delta
from botlib.widgets.dashboard.picture import headline, picture
from botlib.widgets.dashboard.schema import (
    Action,
    DashboardState,
    KernelMessage,
    RequestId,
    Snapshot,
)
from botlib.widgets.display import Output, mode
from botlib.widgets.pictures import NO_TEXT, Pictures

if TYPE_CHECKING:
    from botlib.widgets.dashboard.widget import DashboardWidget

logger = logging.getLogger(__name__)

INTERVAL: Final = 0.2
"""Seconds between two states sent to the page."""

WHOLE_EVERY: Final = 10.0
"""Seconds between two whole states, for a page that missed a message while a cell blocked."""

WIDGET_VIEW: Final = "application/vnd.jupyter.widget-view+json"
ACTIONS: Final = frozenset(get_args(Action))
"""The actions that a page can request."""

REMEMBERED: Final = 256
"""Requests that are kept with their outcomes, so that none is carried out twice."""

Reply = Callable[[bool, str], None]
"""A function that receives the outcome of an action: whether it succeeded, and a text."""


class Dashboard:
    """The dashboard of one bot; all its views in a page share one model.

    `publish` may be called from any thread.

    Args:
        state: shown first.
        act: carries out an action on a target and calls the reply once, from any thread. It must
            not wait, since it is called on the thread that receives the kernel's messages.
        height: pixels.
        interval: seconds between two calls of `publish`, for the caller.
    """

    def __init__(
        self,
        state: DashboardState,
        act: Callable[[str, str, Reply], None],
        *,
        height: int = 560,
        interval: float = INTERVAL,
    ) -> None:
        self.interval = interval
        self.closed = False
        """Whether further states are ignored."""
        self._act = act
        self._lock = threading.RLock()
        self._state = state
        self._seq = 0
        self._height = _checked(height)
        self._live = mode() == "live"
        self._widget: DashboardWidget | None = None
        self._pictures = Pictures(lambda: (picture(self._state), repr(self)))
        self._requests: dict[RequestId, tuple[bool, str] | None] = {}
        self._whole_at = time.monotonic()

    @property
    def height(self) -> int:
        """Height in the page, in pixels."""
        return self._height

    @height.setter
    def height(self, pixels: int) -> None:
        self._height = _checked(pixels)
        if self._widget is not None:
            self._widget.height = pixels

    def publish(self, state: DashboardState, *, last: bool = False) -> None:
        """Show a state; only its changes are sent.

        Args:
            last: the state is final: pictures are updated at once, and later states are ignored.
        """
        with self._lock:
            if self.closed:
                return
            now = time.monotonic()
            changes = delta(self._state, state)
            self._state = state
            if now - self._whole_at >= WHOLE_EVERY:
                self._send_whole()
            elif changes:
                self._seq += 1
                self._send({"type": "delta", "seq": self._seq, "changes": changes})
            if last or (changes and self._pictures.due):
                self._pictures.update()
            self.closed = last

    def close(self) -> None:
        """Ignore further states; the views keep the last one."""
        with self._lock:
            self.closed = True

    def __repr__(self) -> str:
        return f"<Dashboard {headline(self._state)}>"

    def _repr_html_(self) -> str:
        return picture(self._state)

    def _ipython_display_(self) -> None:
        with self._lock:
            if self._live and self._widget is None:
                self._widget = self._make_widget()
            if self._widget is not None:
                Output().show(self._view())
            self._pictures.show(beside=self._widget is not None)()

    @property
    def widget(self) -> DashboardWidget | None:
        """The widget model; None before it is first shown live."""
        return self._widget

    def _view(self) -> dict[str, Any]:
        assert self._widget is not None
        view = {"version_major": 2, "version_minor": 0, "model_id": self._widget.model_id}
        return {**NO_TEXT, WIDGET_VIEW: view}

    def _make_widget(self) -> DashboardWidget:
        from botlib.widgets.dashboard.widget import DashboardWidget

        widget = DashboardWidget(self._snapshot, height=self._height, still=self._pictures.still)
        widget.on_msg(self._receive)
        return widget

    def _snapshot(self) -> Snapshot:
        with self._lock:
            return {"seq": self._seq, "state": self._state}

    # Messages of a page

    def _receive(self, widget: object, content: object, buffers: object) -> None:
        """Handle a `PageMessage`; a malformed one is ignored."""
        if not isinstance(content, dict):
            return
        kind = content.get("type")
        if kind in ("ready", "resync"):
            with self._lock:
                if kind == "resync" or content.get("seq") != self._seq:
                    self._send_whole()
        elif kind == "act":
            self._carry_out(content)
        elif kind == "ask":
            self._report(content.get("id"))
        else:
            logger.debug("the page sent a message of the unknown type %r", kind)

    def _carry_out(self, content: dict[str, Any]) -> None:
        number, action, target = (content.get(key) for key in ("id", "action", "target"))
        if not isinstance(number, (int, str)) or not isinstance(target, str):
            return
        if not isinstance(action, str) or action not in ACTIONS:
            self._send_reply(number, False, f"The dashboard has no action {str(action)[:40]!r}.")
            return
        with self._lock:
            again = number in self._requests
            if not again:
                self._requests[number] = None
                while len(self._requests) > REMEMBERED:
                    del self._requests[next(iter(self._requests))]
        if again:
            self._report(number)  # the page missed our messages
            return
        self._send({"type": "taken", "id": number})
        try:
            self._act(action, target, lambda ok, text: self._send_reply(number, ok, text))
        except Exception as error:
            self._send_reply(number, False, f"{type(error).__name__}: {error}")

    def _report(self, number: object) -> None:
        """Send the progress of a request; nothing is carried out."""
        if not isinstance(number, (int, str)):
            return
        if number not in self._requests:
            self._send_reply(number, False, "This did not reach the kernel. Press again.")
            return
        self._send({"type": "taken", "id": number})
        if (outcome := self._requests[number]) is not None:
            self._send_reply(number, *outcome)

    def _send_reply(self, number: RequestId, ok: bool, text: str) -> None:
        with self._lock:
            if number in self._requests:
                self._requests[number] = (ok, text)
        self._send({"type": "done", "id": number, "ok": ok, "text": text})

    def _send_whole(self) -> None:
        self._whole_at = time.monotonic()
        self._seq += 1
        self._send({"type": "whole", "seq": self._seq, "state": self._state})

    def _send(self, content: KernelMessage) -> None:
        # Under the lock: messages of several threads must keep the order of their numbers.
        with self._lock:
            if self._widget is not None:
                self._widget.send(content)


def _checked(height: int) -> int:
    if not isinstance(height, int) or isinstance(height, bool) or not 200 <= height <= 4_000:
        raise InvalidInput(f"height is {height!r}; accepted: 200 to 4000 pixels.")
    return height
