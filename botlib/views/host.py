"""`EngineViews`: the charts, the dashboard and the summary of one engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from botlib.views.dashboard import finish_dashboard, open_dashboard
from botlib.views.live_chart import LiveCharts
from botlib.views.summary import Summaries

if TYPE_CHECKING:
    from botlib.runtime import Runtime
    from botlib.views.engine import OperableEngine
    from botlib.widgets.dashboard import Dashboard


class EngineViews:
    """The views of one engine; they show its last state when it stops.

    Args:
        engine: calls the views before each stop.
        runtime: runs the actions of the dashboard's buttons.
    """

    def __init__(self, engine: OperableEngine, runtime: Runtime) -> None:
        self._engine = engine
        self._runtime = runtime
        self._dashboard: Dashboard | None = None
        self.summaries = Summaries(engine)
        self.charts = LiveCharts(engine)

    def dashboard(self, *, height: int) -> Dashboard:
        """Return the one dashboard of the engine; called on the engine's loop.

        Args:
            height: pixels in the page.

        Raises:
            EngineError: the engine has never run.
        """
        shown = self._dashboard
        if shown is None or (shown.closed and self._engine.started):
            shown = self._dashboard = open_dashboard(self._engine, self._runtime, height=height)
        shown.height = height
        return shown

    def finish_dashboard(self) -> None:
        """Show the state in which a stopped engine ended; nothing follows."""
        if self._dashboard is not None:
            finish_dashboard(self._engine, self._dashboard)
