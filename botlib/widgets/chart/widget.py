"""The widget model that the views of a chart share, imported when one is first shown live."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import anywidget
import traitlets

from botlib.widgets.bundle import asset
from botlib.widgets.comm_threads import receive_on_main_thread

Newest = Callable[[], dict[str, Any]]


class ChartWidget(anywidget.AnyWidget):
    """One chart in the front end: the state that a page receives when it opens."""

    _esm = asset("chart.js")
    _css = asset("chart.css")

    height = traitlets.Int(520).tag(sync=True)
    theme = traitlets.Unicode("auto").tag(sync=True)
    spec = traitlets.Dict().tag(sync=True)
    window = traitlets.Bytes(b"").tag(sync=True)
    window_info = traitlets.Dict().tag(sync=True)
    marks = traitlets.Dict().tag(sync=True)
    notice = traitlets.Unicode("").tag(sync=True)
    still = traitlets.Unicode("").tag(sync=True)
    """CSS class of the pictures beside its views."""

    def __init__(self, newest: Newest, **traits: Any) -> None:
        # Set before the comm opens, which sends the first window.
        self._newest = newest
        super().__init__(**traits)
        receive_on_main_thread(self)

    def get_state(
        self, key: str | Iterable[str] | None = None, drop_defaults: bool = False
    ) -> dict[str, Any]:
        """Return the synced state; without a key, with the newest window.

        A reloaded page requests it without a key, and so does a notebook that is saved.
        """
        if key is None:
            for name, value in self._newest().items():
                # Without a notification: every view has the updates already.
                self._trait_values[name] = value
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        return state
