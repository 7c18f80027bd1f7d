"""The widget model that the views of a dashboard share, imported when one is first shown live."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import anywidget
import traitlets

from botlib.widgets.bundle import asset
from botlib.widgets.comm_threads import receive_on_main_thread
from botlib.widgets.dashboard.schema import Snapshot


class DashboardWidget(anywidget.AnyWidget):
    """One dashboard in the front end.

    It holds the state, so that it is drawn while the cell that created it still blocks.
    """

    _esm = asset("dashboard.js")
    _css = asset("dashboard.css")

    height = traitlets.Int(560).tag(sync=True)
    """Pixels."""
    theme = traitlets.Unicode("auto").tag(sync=True)
    """``auto``, ``light`` or ``dark``."""
    still = traitlets.Unicode("").tag(sync=True)
    """CSS class of the pictures beside its views."""
    snapshot = traitlets.Dict().tag(sync=True)
    """A `Snapshot`; changes come as messages."""

    def __init__(self, newest: Callable[[], Snapshot], **traits: Any) -> None:
        self._newest = newest
        super().__init__(snapshot=newest(), **traits)
        receive_on_main_thread(self)

    def get_state(
        self, key: str | Iterable[str] | None = None, drop_defaults: bool = False
    ) -> dict[str, Any]:
        """Return the synced state; without a key, with the newest snapshot.

        A reloaded page requests it without a key, and so does a notebook that is saved.
        """
        if key is None:
            # Without a notification: every view has the changes already.
            self._trait_values["snapshot"] = self._newest()
        state: dict[str, Any] = super().get_state(key, drop_defaults)
        return state
