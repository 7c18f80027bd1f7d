"""The model that a page's views of a chart share. Loaded when a chart is first shown live."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import anywidget
import traitlets

from botlib.widgets.bundle import asset
from botlib.widgets.comm_threads import hear_every_page

Newest = Callable[[], dict[str, Any]]


class ChartWidget(anywidget.AnyWidget):
    """What travels to the page when it opens, and whatever state it asks for again."""

    _esm = asset("chart.js")
    _css = asset("chart.css")

    height = traitlets.Int(520).tag(sync=True)
    theme = traitlets.Unicode("auto").tag(sync=True)
    spec = traitlets.Dict().tag(sync=True)
    window = traitlets.Bytes(b"").tag(sync=True)
    window_info = traitlets.Dict().tag(sync=True)
    marks = traitlets.Dict().tag(sync=True)
    notice = traitlets.Unicode("").tag(sync=True)

    def __init__(self, newest: Newest, **traits: Any) -> None:
        # Set before the comm opens: the first window travels with it.
        self._newest = newest
        super().__init__(**traits)
        hear_every_page(self)

    def get_state(
        self, key: str | Iterable[str] | None = None, drop_defaults: bool = False
    ) -> dict[str, Any]:
        """Return the synced state; as a whole, with the newest window.

        A page that was loaded again asks for the whole, and so does a notebook that is saved.
        """
        if key is None:
            for name, value in self._newest().items():
                # Not announced: every view has it already, by updates.
                self._trait_values[name] = value
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        return state
