"""`Dashboard`: states in, pictures and messages to the page out, wishes of the page handed on."""

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

if TYPE_CHECKING:
    from botlib.widgets.dashboard.widget import DashboardWidget

logger = logging.getLogger(__name__)

INTERVAL: Final = 0.2
"""Seconds between two states sent to the page."""

WHOLE_EVERY: Final = 10.0
"""Seconds between two whole states, which heal a page that missed a message while a cell blocks."""

PICTURE_EVERY: Final = 5.0
"""Seconds between two pictures in a notebook nobody looks at."""

WIDGET_VIEW: Final = "application/vnd.jupyter.widget-view+json"
ACTIONS: Final = frozenset(get_args(Action))
"""What a page may ask for."""

REMEMBERED: Final = 256
"""Wishes that are kept with what came of them, so that none is carried out twice."""

Reply = Callable[[bool, str], None]


class Dashboard:
    """The dashboard of one bot; shown as often as one likes, it is one model in the page.

    `publish` may be called from any thread, and so may everything the page causes: it only hands
    wishes on.

    Args:
        state: what is shown first.
        act: carries out an action on a target and calls the reply once, from any thread. It must
            not wait: it is called where the kernel takes messages.
        height: pixels.
        interval: seconds between two states the caller means to publish.
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
        """Whether nothing will be shown any more."""
        self._act = act
        self._lock = threading.RLock()
        self._state = state
        self._seq = 0
        self._height = _checked(height)
        self._live = mode() == "live"
        self._widget: DashboardWidget | None = None
        self._outputs: list[Output] = []
        self._wishes: dict[RequestId, tuple[bool, str] | None] = {}
        self._whole_at = self._drawn_at = time.monotonic()

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
        """Show another state; only what changed is sent.

        Args:
            last: it stays for good: pictures are brought up to date at once, and nothing follows.
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
            due = not self._live and now - self._drawn_at >= PICTURE_EVERY and bool(changes)
            if last or due:
                self._drawn_at = now
                for output in self._outputs:
                    output.update(self._bundle())
            self.closed = last

    def close(self) -> None:
        """Show nothing any more; the views keep what they show."""
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
            output = Output()
            self._outputs.append(output)
            output.show(self._bundle())

    @property
    def widget(self) -> DashboardWidget | None:
        """The model in the page, None before it is first shown to a front end."""
        return self._widget

    def _bundle(self) -> dict[str, Any]:
        bundle: dict[str, Any] = {"text/plain": repr(self), "text/html": picture(self._state)}
        if self._widget is not None:
            bundle[WIDGET_VIEW] = {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self._widget.model_id,
            }
        return bundle

    def _make_widget(self) -> DashboardWidget:
        from botlib.widgets.dashboard.widget import DashboardWidget

        widget = DashboardWidget(self._snapshot, height=self._height)
        widget.on_msg(self._take)
        return widget

    def _snapshot(self) -> Snapshot:
        with self._lock:
            return {"seq": self._seq, "state": self._state}

    # What the page sends

    def _take(self, widget: object, content: object, buffers: object) -> None:
        """Take a message of the page; one that makes no sense is left alone."""
        if not isinstance(content, dict):
            return
        kind = content.get("type")
        if kind in ("ready", "resync"):
            with self._lock:
                if kind == "resync" or content.get("seq") != self._seq:
                    self._send_whole()
        elif kind == "act":
            self._wish(content)
        elif kind == "ask":
            self._inquiry(content.get("id"))
        else:
            logger.debug("a message of the page has no known type: %r", kind)

    def _wish(self, content: dict[str, Any]) -> None:
        number, action, target = (content.get(key) for key in ("id", "action", "target"))
        if not isinstance(number, (int, str)) or not isinstance(target, str):
            return
        if not isinstance(action, str) or action not in ACTIONS:
            self._send_reply(number, False, f"The dashboard has no action {str(action)[:40]!r}.")
            return
        with self._lock:
            again = number in self._wishes
            if not again:
                self._wishes[number] = None
                while len(self._wishes) > REMEMBERED:
                    del self._wishes[next(iter(self._wishes))]
        if again:
            self._inquiry(number)  # the page did not hear from us
            return
        self._send({"type": "taken", "id": number})
        try:
            self._act(action, target, lambda ok, text: self._send_reply(number, ok, text))
        except Exception as error:
            self._send_reply(number, False, f"{type(error).__name__}: {error}")

    def _inquiry(self, number: object) -> None:
        """Tell how far a wish has come; nothing is carried out."""
        if not isinstance(number, (int, str)):
            return
        if number not in self._wishes:
            self._send_reply(number, False, "This did not reach the kernel. Press again.")
            return
        self._send({"type": "taken", "id": number})
        if (outcome := self._wishes[number]) is not None:
            self._send_reply(number, *outcome)

    def _send_reply(self, number: RequestId, ok: bool, text: str) -> None:
        with self._lock:
            if number in self._wishes:
                self._wishes[number] = (ok, text)
        self._send({"type": "done", "id": number, "ok": ok, "text": text})

    def _send_whole(self) -> None:
        self._whole_at = time.monotonic()
        self._seq += 1
        self._send({"type": "whole", "seq": self._seq, "state": self._state})

    def _send(self, content: KernelMessage) -> None:
        # One at a time: messages of several threads must not be mixed up on the way.
        with self._lock:
            if self._widget is not None:
                self._widget.send(content)


def _checked(height: int) -> int:
    if not isinstance(height, int) or isinstance(height, bool) or not 200 <= height <= 4_000:
        raise InvalidInput(f"height is {height!r}; accepted: 200 to 4000 pixels.")
    return height
